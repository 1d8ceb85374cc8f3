// Looks at data as training would, and says what it would do with each row.
import { AtomicFile } from '../files.js'
import { checkInteger } from '../errors.js'
import { chatml, gpt2Tokenizer } from '../tokenizer/index.js'
import type { ChatTemplate, Tokenizer } from '../tokenizer/index.js'
import { Cleaner } from './clean.js'
import type { CleanOptions, CleanRow } from './clean.js'
import { Ledger } from './ledger.js'
import type { LedgerEntry, LedgerSummary } from './ledger.js'
import { readBatches } from './read.js'
import type { Data, ReadOptions } from './read.js'
import type { Example, Origin } from './record.js'
import { renderExample } from './render.js'
import type { LongPolicy, RenderSettings } from './render.js'

export interface CheckOptions extends Omit<CleanOptions, 'likeness'> {
  /** Default: GPT-2's, with the special tokens of the template. */
  tokenizer?: Tokenizer
  /** Default: ChatML. */
  template?: ChatTemplate
  /** Default 1024. */
  context?: number
  /** Default 'auto'. */
  long?: LongPolicy
  /** Default 'answers'. */
  learn?: 'answers' | 'all'
  read?: ReadOptions
  /** Where every row's line goes, as JSON lines. */
  ledger?: string
  /** Where the rows that can be learned from are written, repaired. */
  fix?: string
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

/**
 * Reads, cleans and tokenizes data, keeping nothing but figures.
 * @throws GptloomError ERR_FILE, ERR_DATA; AbortError
 */
export async function checkData(data: Data, options: CheckOptions = {}): Promise<CheckReport> {
  const { read, ledger: path, fix, onProblem } = options
  const ledger = await Ledger.open(path)
  let fixed: AtomicFile | undefined
  try {
    fixed = fix === undefined ? undefined : await AtomicFile.create(fix)
    const figures = new Figures(await settingsOf(options), options.onExample)
    const cleaner = new Cleaner(options)
    for await (const batch of readBatches(data, read)) {
      let text = ''
      for (const row of batch) {
        const clean = await cleaner.clean(row)
        const entry = figures.add(clean)
        await ledger.add(entry)
        if (entry.status !== 'kept') onProblem?.(entry)
        else if (fixed && 'example' in clean) text += toJson(clean.example) + '\n'
      }
      await fixed?.write(Buffer.from(text))
    }
    await fixed?.commit()
    return figures.report(await ledger.finish())
  } finally {
    await fixed?.abort()
    await ledger.abort()
  }
}

/** An example as a line of the format that is read everywhere. */
export function toJson(example: Example): string {
  if (example.kind === 'text') return JSON.stringify({ text: example.text })
  if (example.kind === 'completion') {
    const { prompt, completion } = example
    return JSON.stringify({ prompt, completion })
  }
  const messages = example.messages.map(({ role, content, name, learn }) => ({
    role,
    content,
    ...(name !== undefined && { name }),
    ...(learn === false && { weight: 0 }),
  }))
  if (example.kind === 'chat') return JSON.stringify({ messages })
  const { chosen, rejected } = example
  return JSON.stringify({ messages, chosen, rejected })
}

async function settingsOf(options: CheckOptions): Promise<RenderSettings> {
  const { template = chatml, context = 1024, long = 'auto', learn = 'answers' } = options
  const tokenizer = options.tokenizer ?? (await gpt2Tokenizer()).withSpecial(template.special)
  return { tokenizer, template, context: checkInteger('context', context), long, learn }
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
    const { origin, example, redacted } = row
    const outcome = renderExample(example, this.settings)
    if ('reason' in outcome) {
      const { reason, tokens } = outcome
      const long = `It has ${tokens} tokens, more than the context holds`
      const message = reason === 'too-long' ? long : 'It holds nothing to learn'
      return { ...origin, status: 'dropped', reason, message }
    }
    const { kind } = example
    this.#kinds[kind] = (this.#kinds[kind] ?? 0) + 1
    for (const remark of remarksOn(example))
      this.#remarks[remark] = (this.#remarks[remark] ?? 0) + 1
    for (const { tokens, learn } of outcome.parts) {
      this.#tokens += tokens.length
      this.#learned += learn.subarray(1).reduce((sum, bit) => sum + bit, 0)
      this.#lengths[tokens.length]!++
      this.onExample?.(origin, tokens, learn)
    }
    return {
      ...origin,
      status: 'kept',
      ...(outcome.change === 'cut' && { cut: true }),
      ...(outcome.change === 'split' && { split: outcome.parts.length }),
      ...(redacted && { redacted }),
    }
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
