// What a model makes of rows that it has not learned, alone or beside another model.
import {
  GptloomError,
  checkInteger,
  checkKeys,
  checkSignal,
  outOfRange,
  wrongType,
} from '../errors.js'
import { Cleaner, checkOptions, exampleScrubber, longPolicies, readBatches } from '../data/index.js'
import type { Columns, Data, Example, LongPolicy, ReadOptions } from '../data/index.js'
import { LanguageModel } from '../generate/index.js'
import type { GenerateOptions } from '../generate/index.js'
import { Scrubber } from '../privacy/index.js'
import type { ScrubOptions } from '../privacy/index.js'
import { answerMetrics } from './answers.js'
import { Bootstrap } from './bootstrap.js'
import type { Compared, Figure, Verdict } from './bootstrap.js'
import { Measuring, whole } from './subject.js'
import type { Subject } from './subject.js'

/** A figure of one's own for an answer; the more the better. Rows are averaged. */
export type AnswerFunction = (
  answer: string,
  reference: string,
  row: Example,
) => number | Promise<number>

/** What evaluate() takes. */
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

/** What evaluate() found. */
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
  const measuring = new Measuring(model, settings)
  for await (const example of examples(data, settings)) {
    await measuring.take(example)
  }
  await measuring.flush()
  const { ours, theirs, rows, left } = measuring
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

/** What evaluate() was asked, checked. */
export interface Settings extends EvaluateOptions {
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
