// What a model makes of rows that it has not learned, alone or beside another model.
import {
  AbortError,
  GptloomError,
  checkInteger,
  checkKeys,
  checkSignal,
  outOfRange,
  wrongType,
} from '../errors.js'
import {
  Cleaner,
  checkOptions,
  exampleScrubber,
  longPolicies,
  readBatches,
  renderExample,
} from '../data/index.js'
import type { Columns, Data, Example, LongPolicy, ReadOptions } from '../data/index.js'
import { LanguageModel } from '../generate/index.js'
import type { GenerateOptions } from '../generate/index.js'
import { Scrubber } from '../privacy/index.js'
import type { ScrubOptions } from '../privacy/index.js'
import { END_OF_TEXT, chatTemplate, plainTemplate } from '../tokenizer/index.js'
import type { ChatMessage, Rendered } from '../tokenizer/index.js'
import { answerMetrics } from './answers.js'
import { Bootstrap } from './bootstrap.js'
import type { Compared, Figure, Measure, Verdict } from './bootstrap.js'
import { rowLoss } from './losses.js'
import type { RowLoss } from './losses.js'

/** A figure of one's own for an answer; the more the better. Rows are averaged. */
export type AnswerFunction = (
  answer: string,
  reference: string,
  row: Example,
) => number | Promise<number>

export interface EvaluateOptions {
  /** Another model that is measured on the same rows, to tell which of the two is better. */
  base?: LanguageModel
  /**
   * Also let the model answer, and measure how near its answers are to those of the rows: true, or how
   * it answers. Default false; then with the likeliest tokens, at most 200 of them.
   */
  generate?: boolean | GenerateOptions
  /** Figures of one's own, by name; with `generate`. */
  metrics?: Record<string, AnswerFunction>
  /** The most rows that are looked at. Default: all. */
  limit?: number
  /** As in train(). */
  format?: ReadOptions['format']
  columns?: Columns
  learn?: 'answers' | 'all'
  long?: LongPolicy
  privacy?: boolean | ScrubOptions
  /** Default: each model's own; 'plain' for one that was not trained on conversations. */
  template?: string
  /** Samples of the bootstrap behind the intervals. Default 1000. */
  resamples?: number
  /** Names the random numbers of the bootstrap. Default 0. */
  seed?: number
  signal?: AbortSignal
  /** Told after every row. */
  onProgress?: (progress: { rows: number }) => void
  /** Told what the data were taken for. */
  onNotice?: ReadOptions['onNotice']
}

const OPTIONS = [
  'base',
  'generate',
  'metrics',
  'limit',
  'format',
  'columns',
  'learn',
  'long',
  'privacy',
  'template',
  'resamples',
  'seed',
  'signal',
  'onProgress',
  'onNotice',
] as const satisfies readonly (keyof EvaluateOptions)[]

export interface Evaluation {
  /** Rows that were measured. */
  rows: number
  /** Rows that could not be: broken, too long, with nothing to learn. */
  left: number
  /** Learned tokens, and the bytes of text that they stand for. */
  tokens: number
  bytes: number
  /** Rows whose answers were measured, with `generate`. */
  answers: number
  /**
   * loss (nats a token), perplexity, bitsPerByte and accuracy (the share of learned tokens that the
   * model finds the likeliest); with `generate` also exactMatch, f1, rougeL, bleu, json where the rows
   * hold JSON, and those of one's own.
   */
  figures: Record<'loss' | 'perplexity' | 'bitsPerByte' | 'accuracy', Figure> &
    Record<string, Figure>
  /** With `base`. */
  comparison?: {
    /** Rows, and parts of split ones, of which both models read the same text. */
    parts: number
    /** By the loss in bits a byte. */
    verdict: Verdict
    /**
     * Figures that both models have; those for each token only where the two cut the text into the same
     * tokens.
     */
    figures: Record<'bitsPerByte', Compared> & Record<string, Compared>
  }
}

/**
 * Measures a model on rows of data: the loss of what is learned of them, and how near its answers are.
 * Every row counts by its tokens. The intervals tell how far a figure would be from itself on other
 * rows of the same kind; rows are drawn, and parts of a text that the context cannot hold whole.
 * @throws TypeError, RangeError for options that cannot be; GptloomError ERR_FILE, ERR_DATA when no row
 *   can be measured; AbortError
 */
export async function evaluate(
  model: LanguageModel,
  data: Data,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const settings = check(model, options)
  const ours = new Subject(model, settings)
  const theirs = settings.base && new Subject(settings.base, settings)
  let [rows, left] = [0, 0]
  for await (const example of examples(data, settings)) {
    if (settings.signal?.aborted) throw aborted(settings.signal)
    const sides = example ? [ours.render(example), theirs?.render(example)] : []
    if (!example || sides.some((parts) => parts?.length === 0)) left++
    else {
      rows++
      const [a, b] = [await ours.measure(sides[0]!), await theirs?.measure(sides[1]!)]
      const apart =
        !b || (a.length === b.length && a.every(({ bytes }, i) => bytes === b[i]!.bytes))
      await ours.add(example, apart ? a : [whole(a)])
      if (b) await theirs?.add(example, apart ? b : [whole(b)])
    }
    settings.onProgress?.({ rows: rows + left })
  }
  if (rows === 0) {
    throw new GptloomError(
      'ERR_DATA',
      `There is nothing to measure: none of ${left} rows can be used. ` +
        '`gptloom check` says what is wrong with each',
    )
  }
  const { tokens, bytes } = whole(ours.losses)
  const bootstrap = new Bootstrap(settings.resamples, settings.seed)
  const measures = ours.measures()
  return {
    rows,
    left,
    tokens,
    bytes,
    answers: ours.answered,
    figures: mapped(measures, (measure) => bootstrap.estimate(measure)) as Evaluation['figures'],
    ...(theirs && { comparison: compared(ours, theirs, bootstrap) }),
  }
}

function compared(ours: Subject, theirs: Subject, bootstrap: Bootstrap): Evaluation['comparison'] {
  // A row that one of them read more of than the other is no fair comparison.
  const same = ours.losses.map((loss, i) => loss.bytes === theirs.losses[i]!.bytes)
  const alike = ours.losses.every(({ tokens }, i) => tokens === theirs.losses[i]!.tokens)
  const parts = same.filter(Boolean).length
  const [a, b] = [ours.measures(same), theirs.measures(same)]
  if (parts === 0) throw outOfRange('a model that can read the same rows', 'base', 'none in common')
  const perToken = ['loss', 'perplexity', 'accuracy']
  const names = Object.keys(a).filter((name) => b[name] && (alike || !perToken.includes(name)))
  const figures = Object.fromEntries(
    names.map((name) => [name, bootstrap.compare(a[name]!, b[name]!)]),
  ) as NonNullable<Evaluation['comparison']>['figures']
  return { parts, verdict: figures.bitsPerByte.verdict, figures }
}

/** A model, and what was found of it so far: row by row. */
class Subject {
  /** Of rows, and of each part of a row that was split. */
  readonly losses: RowLoss[] = []
  /** For each metric, what rows with an answer add, by where their losses begin. */
  readonly #answers = new Map<string, Map<number, number[]>>()
  readonly #model: LanguageModel

  constructor(
    { network, tokenizer, template }: LanguageModel,
    private readonly settings: Settings,
  ) {
    const asked =
      settings.template === undefined
        ? (template ?? plainTemplate)
        : chatTemplate(settings.template, {
            special: [...tokenizer.special.keys()],
            endOfText: tokenizer.endOfText === undefined ? undefined : END_OF_TEXT,
          })
    this.#model = new LanguageModel(network, tokenizer, asked)
  }

  get answered(): number {
    return this.#answers.get('exactMatch')?.size ?? 0
  }

  render(example: Example): Rendered[] {
    const { tokenizer, template, config } = this.#model
    const { learn, long } = this.settings
    const { context } = config
    return renderExample(example, { tokenizer, template: template!, context, long, learn }).parts
  }

  async measure(parts: readonly Rendered[]): Promise<RowLoss[]> {
    const losses: RowLoss[] = []
    for (const part of parts) losses.push(await rowLoss(this.#model, part))
    return losses
  }

  async add(example: Example, losses: readonly RowLoss[]): Promise<void> {
    const question = this.settings.generate && questionOf(example)
    if (question) await this.#answer(example, question)
    this.losses.push(...losses)
  }

  async #answer(example: Example, { prompt, reference }: Question): Promise<void> {
    const { generate, metrics, signal } = this.settings
    const options = { temperature: 0, overflow: 'shift' as const, ...generate, signal }
    const pieces =
      typeof prompt === 'string'
        ? this.#model.generate(prompt, options)
        : this.#model.chat(prompt, options)
    let answer = ''
    for await (const piece of pieces) answer += piece
    for (const [name, { row }] of Object.entries(answerMetrics))
      this.#add(name, row(answer, reference))
    for (const [name, metric] of Object.entries(metrics)) {
      const value = await metric(answer, reference, example)
      if (!Number.isFinite(value)) throw wrongType('a number', `what ${name}() returns`, value)
      this.#add(name, [value, 1])
    }
  }

  #add(name: string, row: number[]): void {
    const rows = this.#answers.get(name) ?? new Map<number, number[]>()
    this.#answers.set(name, rows.set(this.losses.length, row))
  }

  /** @param among of the rows, those that count */
  measures(among?: readonly boolean[]): Record<string, Measure> {
    const counts = (i: number) => among?.[i] ?? true
    const losses = this.losses.filter((_, i) => counts(i))
    const ratio = ([part, whole]: readonly number[]) => part! / whole!
    const perToken = losses.map(({ nats, tokens }) => [nats, tokens])
    const measures: Record<string, Measure> = {
      loss: { better: 'lower', rows: perToken, of: ratio },
      perplexity: { better: 'lower', rows: perToken, of: (sums) => Math.exp(ratio(sums)) },
      bitsPerByte: {
        better: 'lower',
        rows: losses.map(({ nats, bytes }) => [nats / Math.LN2, bytes]),
        of: ratio,
      },
      accuracy: {
        better: 'higher',
        rows: losses.map(({ correct, tokens }) => [correct, tokens]),
        of: ratio,
      },
    }
    const known: Record<string, Pick<Measure, 'of'>> = answerMetrics
    for (const [name, all] of this.#answers) {
      const rows = [...all].filter(([i]) => counts(i)).map(([, row]) => row)
      // Of JSON there may be none.
      const any = rows.some((row) => row[1]! > 0 || name === 'bleu')
      if (any) measures[name] = { better: 'higher', rows, of: known[name]?.of ?? ratio }
    }
    return measures
  }
}

function whole(losses: readonly RowLoss[]): RowLoss {
  const sum: RowLoss = { nats: 0, tokens: 0, correct: 0, bytes: 0 }
  for (const loss of losses)
    for (const key of ['nats', 'tokens', 'correct', 'bytes'] as const) sum[key] += loss[key]
  return sum
}

interface Question {
  prompt: string | readonly ChatMessage[]
  reference: string
}

/** What the model is asked, and what it should say; undefined for a text. */
function questionOf(example: Example): Question | undefined {
  if (example.kind === 'completion')
    return { prompt: example.prompt, reference: example.completion.trim() }
  if (example.kind !== 'chat') return undefined
  const { messages } = example
  const last = messages.findLastIndex(({ role }) => role === 'assistant')
  if (last < 1) return undefined
  return { prompt: messages.slice(0, last), reference: messages[last]!.content }
}

/** Rows as they would be learned from; undefined for each that cannot be. */
async function* examples(
  data: Data,
  { read, privacy, limit }: Settings,
): AsyncGenerator<Example | undefined, void, void> {
  const scrub =
    privacy === false
      ? undefined
      : exampleScrubber(
          new Scrubber(typeof privacy === 'object' ? privacy : {}),
          privacy === undefined ? 'chats' : 'all',
        )
  const cleaner = new Cleaner({ scrub, duplicates: 'keep' })
  let count = 0
  try {
    for await (const batch of readBatches(data, read)) {
      for (const row of batch) {
        if (count++ >= limit) return
        const clean = await cleaner.clean(row)
        yield 'example' in clean ? clean.example : undefined
      }
    }
  } finally {
    cleaner.close()
  }
}

interface Settings extends EvaluateOptions {
  generate: GenerateOptions | undefined
  metrics: Record<string, AnswerFunction>
  limit: number
  learn: 'answers' | 'all'
  long: LongPolicy
  resamples: number
  seed: number
  read: ReadOptions
}

function check(model: LanguageModel, options: EvaluateOptions): Settings {
  checkKeys('evaluate()', options, OPTIONS)
  const { base, generate = false, metrics = {}, limit = Infinity, format, columns } = options
  if (!(model instanceof LanguageModel)) throw wrongType('a model', 'model', model)
  if (base !== undefined && !(base instanceof LanguageModel))
    throw wrongType('a model', 'base', base)
  if (limit !== Infinity) checkInteger('limit', limit)
  checkSignal(options.signal)
  for (const [name, metric] of Object.entries(metrics)) {
    if (typeof metric !== 'function') throw wrongType('a function', `metrics.${name}`, metric)
    if (['loss', 'perplexity', 'bitsPerByte', 'accuracy'].includes(name) || name in answerMetrics)
      throw outOfRange('a name that no figure has', 'metrics', name)
    if (generate === false) throw outOfRange('`generate: true` beside it', 'metrics', name)
  }
  const named = {
    ...(format !== undefined && { format }),
    ...(columns !== undefined && { columns }),
  }
  checkOptions(named)
  const { signal, onNotice, learn = 'answers', long = 'auto', privacy } = options
  if (!['answers', 'all'].includes(learn)) throw outOfRange("'answers' or 'all'", 'learn', learn)
  if (!longPolicies.includes(long)) throw outOfRange(longPolicies.join(', '), 'long', long)
  if (!['undefined', 'boolean', 'object'].includes(typeof privacy) || privacy === null)
    throw wrongType('true, false or an object of options', 'privacy', privacy)
  return {
    ...options,
    generate: generate === false ? undefined : generate === true ? {} : generate,
    metrics,
    limit,
    learn,
    long,
    resamples: checkInteger('resamples', options.resamples ?? 1000, 10, 1e6),
    seed: checkInteger('seed', options.seed ?? 0, 0),
    read: { ...named, ...(signal && { signal }), ...(onNotice && { onNotice }) },
  }
}

function mapped<A, B>(record: Record<string, A>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))
}

function aborted(signal: AbortSignal): AbortError {
  return new AbortError('The evaluation was aborted', undefined, { cause: signal.reason })
}
