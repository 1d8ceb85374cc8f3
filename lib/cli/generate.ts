import { isUtf8 } from 'node:buffer'
import { GptloomError } from '../errors.js'
import { load } from '../generate/index.js'
import type { GenerateOptions, LoadOptions } from '../generate/index.js'
import { UsageError, number } from './arguments.js'
import type { Flag, Parsed, Verb } from './arguments.js'

const numeric = (name: string, help: string, sets?: string): Flag => ({
  name,
  value: '<n>',
  help,
  sets,
  parse: number,
})

export const generate: Verb = {
  name: 'generate',
  usage: '<model folder> ["<prompt>" | -] [options]',
  summary: 'let a model continue a text',
  flags: [
    {
      title: 'Text',
      flags: [
        numeric('max-tokens', 'the most tokens to write (200)', 'maxTokens'),
        numeric('temperature', '0 always takes the likeliest token (0.8)'),
        numeric('top-k', 'choose among the k likeliest tokens (all)', 'topK'),
        numeric('top-p', 'choose among those that together have this probability (1)', 'topP'),
        numeric('seed', 'the same seed gives the same text (a new one each time)'),
        {
          name: 'no-prompt',
          help: 'print only what follows the prompt',
          sets: 'prompt',
          gives: false,
        },
        { name: 'json', help: 'every piece of text as a line of JSON, and the whole at the end' },
      ],
    },
    {
      title: 'Machine',
      flags: [
        { name: 'device', value: '<name>', help: 'auto, cpu, cuda or cuda:<n> (auto)' },
        numeric('threads', 'threads to use (all that the process may)'),
      ],
    },
  ],
  examples: [
    'gptloom generate my-model "Call me" --max-tokens 100',
    'gptloom generate my-model - --temperature 0.5 --seed 1 < beginning.txt',
  ],
  run,
}

async function run({ positionals, values }: Parsed): Promise<number> {
  const { device, threads, json, prompt: echo, help: _, ...sampling } = values
  const [folder, given, ...more] = positionals
  if (!folder) throw new UsageError('Name the folder of a model')
  if (more.length > 0) throw new UsageError('Give the prompt as one argument: put it in quotes')
  const prompt =
    given === '-' || (given === undefined && !process.stdin.isTTY)
      ? await readPrompt()
      : (given ?? '')
  // A seed of our own, so that the output can tell which one it was.
  const options = { seed: Math.floor(Math.random() * 2 ** 32), ...sampling } as GenerateOptions
  using model = await load(folder, { device, threads } as LoadOptions)
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
