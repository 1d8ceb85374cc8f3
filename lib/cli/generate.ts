import { isUtf8 } from 'node:buffer'
import { GptloomError } from '../errors.js'
import type { GenerateOptions } from '../generate/index.js'
import { UsageError } from './arguments.js'
import type { Parsed, Verb } from './arguments.js'
import { downloadFlag, machineFlags, open, samplingFlags, valuesOf, weightsFlag } from './load.js'

export const generate: Verb = {
  name: 'generate',
  usage: '<model folder> ["<prompt>" | -] [options]',
  summary: 'let a model continue a text',
  flags: [
    {
      title: 'Text',
      flags: [
        ...samplingFlags,
        {
          name: 'no-prompt',
          help: 'print only what follows the prompt',
          sets: 'prompt',
          gives: false,
        },
        { name: 'json', help: 'every piece of text as a line of JSON, and the whole at the end' },
      ],
    },
    { title: 'Machine', flags: [...machineFlags, weightsFlag, downloadFlag] },
  ],
  examples: [
    'gptloom generate my-model "Call me" --max-tokens 100',
    'gptloom generate my-model - --temperature 0.5 --seed 1 < beginning.txt',
  ],
  run,
}

async function run({ positionals, values }: Parsed): Promise<number> {
  const { json, prompt: echo } = values
  const [folder, given, ...more] = positionals
  if (!folder) throw new UsageError('Name the folder of a model')
  if (more.length > 0) throw new UsageError('Give the prompt as one argument: put it in quotes')
  const prompt =
    given === '-' || (given === undefined && !process.stdin.isTTY)
      ? await readPrompt()
      : (given ?? '')
  // A seed of our own, so that the output can tell which one it was.
  const options = {
    seed: Math.floor(Math.random() * 2 ** 32),
    ...valuesOf(samplingFlags, values),
  } as GenerateOptions
  using model = await open(folder, values)
  const started = performance.now()
  const print = (event: object) => process.stdout.write(JSON.stringify(event) + '\n')
  const pieces = model.generate(prompt, options)
  let text = ''
  for await (const piece of pieces) {
    if (json) print({ type: 'text', text: piece })
    else process.stdout.write(text === '' && echo !== false ? prompt + piece : piece)
    text += piece
  }
  const seconds = (performance.now() - started) / 1000
  if (json) print({ type: 'done', prompt, text, seed: options.seed, seconds })
  else if (!(text || prompt).endsWith('\n'))
    process.stdout.write(text || echo === false ? '\n' : `${prompt}\n`)
  return 0
}

/** Standard input, without the line end that echo and editors put after the last line. */
async function readPrompt(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  const bytes = Buffer.concat(chunks)
  if (!isUtf8(bytes))
    throw new GptloomError('ERR_DATA', 'The prompt on standard input is not UTF-8 text')
  return bytes.toString().replace(/\r?\n$/, '')
}
