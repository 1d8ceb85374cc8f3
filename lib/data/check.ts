// Looks at data as training would, and says what it would do with each row.
import { createHmac, randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { AtomicFile } from '../files.js'
import { checkInteger, checkKeys, outOfRange, show, wrongType } from '../errors.js'
import { END_OF_TEXT, chatTemplate, gpt2Tokenizer, templateNames } from '../tokenizer/index.js'
import type { ChatTemplate, Tokenizer } from '../tokenizer/index.js'
import { cleanRows } from './clean.js'
import type { CleanOptions, CleanRow, Scrub } from './clean.js'
import { targets } from './examples.js'
import { checkSignal } from './formats/options.js'
import { Ledger } from './ledger.js'
import type { LedgerEntry, LedgerSummary } from './ledger.js'
import { readBatches } from './read.js'
import type { Data, ReadOptions } from './read.js'
import type { Example, Origin } from './record.js'
import { longPolicies, renderRow } from './render.js'
import type { LongPolicy, RenderSettings } from './render.js'
import { checkTargets } from './targets.js'

/** What checkData() looks at. */
export interface CheckOptions extends Omit<CleanOptions, 'likeness'> {
  /** Default: GPT-2's, with the special tokens of the template. */
  tokenizer?: Tokenizer
  /** A template, the name of one ('chatml', 'plain') or a Jinja source. Default: ChatML. */
  template?: ChatTemplate | string
  /** Default 1024. */
  context?: number
  /** Default 'auto'. */
  long?: LongPolicy
  /** Default 'answers'. */
  learn?: 'answers' | 'all'
  read?: ReadOptions
  /** Where every row's line goes, as JSON lines. */
  ledger?: string
  /** Where the rows that can be learned from are written, repaired; nothing is when there are none. */
  fix?: string
  /** Replace the two files if they are there. The data themselves are never replaced. Default false. */
  overwrite?: boolean
  /** Told of every row that is broken or left out. */
  onProblem?: (entry: LedgerEntry) => void
  /** Told of every example, with the tokens as they would be learned. */
  onExample?: (origin: Origin, tokens: Int32Array, learn: Uint8Array) => void
}

/** What training would learn from. */
export interface CheckReport {
  ledger: LedgerSummary
  /** Examples by kind. */
  kinds: Record<string, number>
  /** Tokens of all examples, and those of them that are learned. */
  tokens: number
  learned: number
  /** Lengths of examples in tokens: shortest, median, 95th percentile, longest. */
  lengths: { least: number; median: number; p95: number; most: number }
  /** Conversations by what they lack or have: { 'no system message': 12 }. */
  remarks: Record<string, number>
}

const optionNames = [
  'tokenizer',
  'template',
  'context',
  'long',
  'learn',
  'scrub',
  'scrubText',
  'duplicates',
  'read',
  'ledger',
  'fix',
  'overwrite',
  'onProblem',
  'onExample',
] as const satisfies readonly (keyof CheckOptions)[]

/**
 * Reads, cleans and tokenizes data, keeping nothing but figures.
 * @throws TypeError, RangeError naming the option; GptloomError ERR_FILE, ERR_DATA, ERR_OUTPUT_EXISTS
 *   when a file to be written is there, or is the data; AbortError by `read.signal`
 */
export async function checkData(data: Data, options: CheckOptions = {}): Promise<CheckReport> {
  checkOptions(options)
  const { read, ledger: path, fix, onProblem, scrub } = options
  const settings = await settingsOf(options)
  await checkTargets(data, options)
  const ledger = await Ledger.open(path)
  let fixed: AtomicFile | undefined
  try {
    fixed = fix === undefined ? undefined : await AtomicFile.create(fix)
    const figures = new Figures(settings, options.onExample)
    const hidden = new GroupNames(scrub)
    for await (const batch of cleanRows(readBatches(data, read), options)) {
      let text = ''
      for (const clean of batch) {
        const entry = figures.add(clean)
        await ledger.add(entry)
        if (entry.status !== 'kept') onProblem?.(entry)
        else if (fixed && 'example' in clean)
          text += toJson(await hidden.change(clean.example)) + '\n'
      }
      await fixed?.write(Buffer.from(text))
      await setImmediate() // for a signal of the operating system to be heard
      checkSignal(read?.signal)
    }
    checkSignal(read?.signal)
    if (ledger.summary.kept > 0) await fixed?.commit()
    return figures.report(await ledger.finish())
  } finally {
    await fixed?.abort()
    await ledger.abort()
  }
}

/** An example as a line of the format that is read everywhere. */
export function toJson(example: Example): string {
  const { group, time } = example
  const origin = { ...(group !== undefined && { group }), ...(time !== undefined && toIso(time)) }
  return JSON.stringify({ ...content(example), ...origin })
}

/** As text, since readers take small numbers for seconds; its years have four digits. */
function toIso(time: number): { time: string | number } {
  return { time: time < Date.UTC(10000, 0) ? new Date(time).toISOString() : time }
}

function content(example: Example): object {
  if (example.kind === 'text') return { text: example.text }
  if (example.kind === 'completion') {
    const { prompt, completion } = example
    return { prompt, completion }
  }
  const messages = example.messages.map(({ role, content, name, learn }) => ({
    role,
    content,
    ...(name !== undefined && { name }),
    ...(learn === false && { weight: 0 }),
  }))
  if (example.kind === 'chat') return { messages }
  const { chosen, rejected } = example
  return { messages, chosen, rejected }
}

/** Names of groups that are personal data, a customer's address for one, become others. */
class GroupNames {
  // Without it all addresses could be tried.
  readonly #secret = randomBytes(32)

  constructor(private readonly scrub: Scrub | undefined) {}

  async change(example: Example): Promise<Example> {
    const { kind, group } = example
    if (group === undefined || !this.scrub) return example
    const messages = [{ role: 'user', content: group } as const]
    const { redacted, drop } = await this.scrub(
      kind === 'chat' ? { kind, messages } : { kind: 'text', text: group },
    )
    if (redacted === undefined && drop === undefined) return example
    const name = createHmac('sha256', this.#secret).update(group).digest('hex').slice(0, 16)
    return { ...example, group: name }
  }
}

function checkOptions(options: CheckOptions): void {
  checkKeys('checkData()', options, optionNames)
  const { tokenizer, template, context, long, learn, duplicates, overwrite } = options
  if (tokenizer !== undefined && typeof tokenizer?.encode !== 'function')
    throw wrongType('a Tokenizer', 'tokenizer', tokenizer)
  if (
    template !== undefined &&
    typeof template !== 'string' &&
    typeof template?.render !== 'function'
  )
    throw wrongType(
      `${templateNames.map(show).join(', ')}, a Jinja template or a ChatTemplate`,
      'template',
      template,
    )
  if (context !== undefined) checkInteger('context', context)
  checkOne('long', long, longPolicies)
  checkOne('learn', learn, ['answers', 'all'])
  checkOne('duplicates', duplicates, ['drop', 'keep'])
  if (overwrite !== undefined && typeof overwrite !== 'boolean')
    throw wrongType('true or false', 'overwrite', overwrite)
  for (const name of ['scrub', 'scrubText', 'onProblem', 'onExample'] as const)
    if (options[name] !== undefined && typeof options[name] !== 'function')
      throw wrongType('a function', name, options[name])
}

function checkOne(name: string, value: string | undefined, known: readonly string[]): void {
  if (value !== undefined && !known.includes(value))
    throw outOfRange(`one of ${known.map(show).join(', ')}`, name, value)
}

async function settingsOf(options: CheckOptions): Promise<RenderSettings> {
  const { template: named = 'chatml', context = 1024, long = 'auto', learn = 'answers' } = options
  const own = options.tokenizer ?? (await gpt2Tokenizer())
  const vocabulary = {
    special: [...own.special.keys()],
    endOfText: own.endOfText === undefined ? undefined : END_OF_TEXT,
  }
  const template = typeof named === 'string' ? chatTemplate(named, vocabulary) : named
  const tokenizer = options.tokenizer ?? (await gpt2Tokenizer()).withSpecial(template.special)
  return { tokenizer, template, context, long, learn }
}

class Figures {
  #tokens = 0
  #learned = 0
  readonly #kinds: Record<string, number> = {}
  readonly #remarks: Record<string, number> = {}
  /** How many examples have each length; the context bounds it. */
  readonly #lengths: Float64Array

  constructor(
    private readonly settings: RenderSettings,
    private readonly onExample: CheckOptions['onExample'],
  ) {
    this.#lengths = new Float64Array(settings.context + 2)
  }

  add(row: CleanRow): LedgerEntry {
    if ('entry' in row) return row.entry
    const { origin, example } = row
    const { parts, entry } = renderRow(row, this.settings)
    if (parts.length === 0) return entry
    const { kind } = example
    this.#kinds[kind] = (this.#kinds[kind] ?? 0) + 1
    for (const remark of remarksOn(example))
      this.#remarks[remark] = (this.#remarks[remark] ?? 0) + 1
    for (const { tokens, learn } of parts) {
      this.#tokens += tokens.length
      this.#learned += targets(learn)
      this.#lengths[tokens.length]!++
      this.onExample?.(origin, tokens, learn)
    }
    return entry
  }

  report(ledger: LedgerSummary): CheckReport {
    const examples = this.#lengths.reduce((a, b) => a + b, 0)
    const quantile = (q: number) => {
      let left = Math.max(1, Math.ceil(q * examples))
      return examples === 0 ? 0 : this.#lengths.findIndex((count) => (left -= count) <= 0)
    }
    return {
      ledger,
      kinds: this.#kinds,
      tokens: this.#tokens,
      learned: this.#learned,
      lengths: {
        least: quantile(0),
        median: quantile(0.5),
        p95: quantile(0.95),
        most: quantile(1),
      },
      remarks: this.#remarks,
    }
  }
}

function remarksOn(example: Example): string[] {
  if (example.kind !== 'chat') return []
  const { messages } = example
  const has = (role: string) => messages.some((message) => message.role === role)
  const ends = messages.at(-1)?.role === 'assistant'
  return [
    ...(has('system') ? [] : ['without a system message']),
    ...(has('user') ? [] : ['without a message of a user']),
    ...(ends ? [] : ['ending with another message than an answer']),
  ]
}

/** The fewest examples that a fine-tuning service takes, as a measure. */
export const FEWEST = 10
