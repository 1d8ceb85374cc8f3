import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { GptloomError } from '../errors.js'
import { evaluate } from '../evaluate/index.js'
import type {
  AnswerFunction,
  Compared,
  EvaluateOptions,
  Evaluation,
  Figure,
} from '../evaluate/index.js'
import { exists, readJson } from '../files.js'
import { writeCard } from '../train/index.js'
import type { TrainReport } from '../train/index.js'
import { UsageError } from './arguments.js'
import type { Parsed, Verb } from './arguments.js'
import { dataFlags } from './check.js'
import { count, harmless, plural, table } from './format.js'
import { downloadFlag, machineFlags, numeric, open, weightsFlag } from './load.js'

// A row that is measured twice counts twice.
const rowFlags = dataFlags.filter(({ name }) => name !== 'duplicates')

export const evalVerb: Verb = {
  name: 'eval',
  usage: '<model folder> <file or folder ...> [options]',
  summary: 'measure a model on data, alone or against another',
  flags: [
    {
      title: 'Measuring',
      flags: [
        {
          name: 'base',
          value: '<model>',
          help: 'another model on the same rows, to tell which is better',
        },
        { name: 'generate', help: 'let it answer too: exact match, F1, ROUGE-L, BLEU, JSON' },
        numeric('max-tokens', 'with --generate: the most tokens of an answer (200)', 'maxTokens'),
        {
          name: 'metrics',
          value: '<file.js>',
          help: 'with --generate: figures of your own, each an exported (answer, reference) => number',
        },
        numeric('limit', 'the most rows (all)'),
        numeric('resamples', 'samples behind the 95 % intervals (1000)'),
        numeric('seed', 'names the random numbers of the intervals (0)'),
      ],
    },
    { title: 'Data', flags: rowFlags },
    {
      title: 'Output',
      flags: [
        { name: 'card', help: "write the figures into the model's README.md" },
        { name: 'json', help: 'the figures as JSON' },
      ],
    },
    { title: 'Machine', flags: [...machineFlags, weightsFlag, downloadFlag] },
  ],
  examples: [
    'gptloom eval my-model held-out.jsonl',
    'gptloom eval my-model held-out.jsonl --base openai-community/gpt2 --generate',
    'gptloom eval my-model held-out.jsonl --weights int8 --base my-model',
  ],
  run,
}

async function run({ positionals, values }: Parsed): Promise<number> {
  const [folder, ...data] = positionals
  if (!folder) throw new UsageError('Name the folder of a model')
  if (!data.some(Boolean))
    throw new UsageError('Name the data to measure it on: a file or a folder')
  const report = values.card ? await reportOf(folder) : undefined
  using model = await open(folder, values)
  // What --base is compared with is how the model is kept, too.
  const exact = { weights: 'float32' } as const
  using base =
    values.base === undefined ? undefined : await open(String(values.base), values, exact)
  const { maxTokens } = values
  if (maxTokens !== undefined && !values.generate)
    throw new UsageError('--max-tokens is of answers: give --generate too')
  if (values.metrics !== undefined && !values.generate)
    throw new UsageError('--metrics are of answers: give --generate too')
  const metrics = values.metrics === undefined ? {} : await metricsOf(String(values.metrics))
  const own = ['limit', 'resamples', 'seed', ...rowFlags.map(({ name, sets }) => sets ?? name)]
  const taken = own.filter((name) => values[name] !== undefined)
  const result = await evaluate(model, data.length === 1 ? data[0]! : data, {
    ...(Object.fromEntries(taken.map((name) => [name, values[name]])) as EvaluateOptions),
    base,
    metrics,
    generate: values.generate
      ? { ...(maxTokens !== undefined && { maxTokens: maxTokens as number }) }
      : false,
    onNotice: ({ message }) => values.json || process.stderr.write(`${harmless(message)}\n`),
    onProgress: ({ rows }) => progress(rows, Boolean(values.json)),
  })
  if (process.stderr.isTTY && !values.json) process.stderr.write('\r\x1b[K')
  if (report) await writeCard(folder, report, result)
  process.stdout.write(values.json ? JSON.stringify(result) + '\n' : text(result))
  return 0
}

/** The functions that a module exports, by their names. */
async function metricsOf(path: string): Promise<Record<string, AnswerFunction>> {
  let module: Record<string, unknown>
  try {
    module = (await import(pathToFileURL(resolve(path)).href)) as Record<string, unknown>
  } catch (cause) {
    const why = (cause as Error).message
    throw new GptloomError('ERR_FILE', `Cannot run ${path}: ${why}`, { cause })
  }
  const functions = Object.entries(module).filter(
    ([name, value]) => typeof value === 'function' && name !== 'default',
  )
  if (functions.length > 0) return Object.fromEntries(functions) as Record<string, AnswerFunction>
  throw new UsageError(`${path} exports no function by a name: export function polite(answer) ...`)
}

async function reportOf(folder: string): Promise<TrainReport> {
  const path = join(folder, 'report.json')
  if (await exists(path)) return (await readJson(path)) as TrainReport
  throw new GptloomError(
    'ERR_FILE',
    `${folder} holds no report.json, from which its card is written: --card is for models that gptloom ` +
      'has trained',
  )
}

function progress(rows: number, quiet: boolean): void {
  if (process.stderr.isTTY && !quiet && rows % 10 === 0)
    process.stderr.write(`\r${plural(rows, 'row')}`)
}

const names: Record<string, string> = {
  bitsPerByte: 'bits per byte',
  exactMatch: 'exact match',
  f1: 'F1',
  rougeL: 'ROUGE-L',
  bleu: 'BLEU',
  json: 'valid JSON',
}
const four = (n: number) => n.toPrecision(4)

function text({ rows, left, tokens, answers, figures, comparison }: Evaluation): string {
  const what = [
    `${plural(rows, 'row')}, ${plural(tokens, 'learned token')}`,
    ...(left > 0 ? [`${count(left)} left out: \`gptloom check\` says why`] : []),
    ...(answers > 0 ? [plural(answers, 'answer')] : []),
  ].join('; ')
  const line = ([name, figure]: [string, Figure]): [string, string] => {
    const { value, low, high } = figure
    const other = comparison?.figures[name]
    const against = other ? `   ${againstText(other)}` : ''
    return [names[name] ?? name, `${four(value)} (${four(low)} to ${four(high)})${against}`]
  }
  const verdict = comparison
    ? `\nAgainst the base, in bits per byte: ${comparison.verdict}\n` +
      '(the interval of the difference on the same rows; better or worse where it leaves out 0)\n'
    : ''
  return `${what}; 95 % intervals in brackets\n${table(Object.entries(figures).map(line))}${verdict}`
}

function againstText({ base, difference, low, high, verdict }: Compared): string {
  const signed = (n: number) => (n > 0 ? '+' : '') + four(n)
  return `base ${four(base)}, ${signed(difference)} (${signed(low)} to ${signed(high)}): ${verdict}`
}
