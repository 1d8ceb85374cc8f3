import { GptloomError, checkInteger } from '../errors.js'
import { Random, permute } from '../random.js'
import type { TokenFile } from './tokens.js'

/** The target that the loss leaves out. */
export const IGNORED = -100

/** Windows of text for one pass of the model, each array [B, T] row-major. */
export interface Batch {
  readonly tokens: Int32Array
  /** The token after each position; IGNORED (-100) where there is none. */
  readonly targets: Int32Array
  /**
   * Where the document of each position begins, as an index in its row; null when every row is one
   * document. An end-of-text token belongs to the document that it ends.
   */
  readonly starts: Int32Array | null
  /** Number of targets that are not IGNORED. */
  readonly targetCount: number
}

/** What a run learns from, or is measured on: batches that follow from integers alone. */
export interface BatchSource {
  /** Epochs gone through when `step` begins, as a fraction. */
  epoch(step: number): number
  /** The batch of a training step (from 0), and of one of its micro-batches. */
  batch(step: number, micro?: number): Promise<Batch>
  /**
   * Everything once, the same every time, for measuring the loss; or this many tokens of it, spaced
   * evenly.
   */
  windows(limitTokens?: number): AsyncGenerator<Batch, void, void>
}

export interface LoaderOptions {
  /** Windows a batch, B. */
  batch: number
  /** Tokens a window, T. */
  context: number
  /** Names the order of the windows: an integer of at least 0. */
  seed: number
  /** Batches a training step (gradient accumulation), default 1. */
  micros?: number
  /** The token between documents, when attention must stay inside them. */
  endOfText?: number | undefined
}

// Keeps this stream of random numbers apart from others of the same seed: 'data' in ASCII.
const STREAM = 0x64617461

/**
 * Cuts a range of a token file into batches. It holds no state but integers: any step can be asked
 * for at any time and gives the same batch, so that a resumed run goes on exactly where it stopped.
 *
 * An epoch takes the range from a random first token, cuts it into windows that do not overlap, and
 * visits each once, in a random order. The tokens left over at the two ends, at most 2 T - 2 of
 * them, and the places of the cuts differ from epoch to epoch.
 *
 * Targets are the tokens one further on, also across documents: after end-of-text a model learns
 * how documents begin.
 */
export class Loader implements BatchSource {
  /** Windows an epoch. */
  readonly windowsPerEpoch: number
  readonly #slack: number
  readonly #targets: number
  readonly #batch: number
  readonly #context: number
  readonly #seed: number
  readonly #micros: number
  readonly #endOfText: number | undefined
  #ahead: { index: number; batch: Promise<Batch> } | undefined
  #epoch: { number: number; phase: number; key: [number, number] } | undefined

  /**
   * @param range tokens [start, end) of the file, at least two
   * @throws GptloomError('ERR_DATA') when the range holds no target
   */
  constructor(
    private readonly file: TokenFile,
    private readonly range: { readonly start: number; readonly end: number },
    options: LoaderOptions,
  ) {
    this.#batch = checkInteger('batch', options.batch)
    this.#context = checkInteger('context', options.context)
    this.#seed = checkInteger('seed', options.seed, 0)
    this.#micros = checkInteger('micros', options.micros ?? 1)
    this.#endOfText = options.endOfText
    checkInteger('range.end', range.end, 0, file.count)
    checkInteger('range.start', range.start, 0, range.end)
    this.#targets = range.end - range.start - 1
    if (this.#targets < 1) {
      const what = `a range of ${this.#targets + 1} tokens holds nothing to predict`
      throw new GptloomError('ERR_DATA', `${file.path}: ${what}`)
    }
    const whole = Math.floor((this.#targets + 1 - this.#context) / this.#context)
    this.windowsPerEpoch = Math.max(1, whole)
    this.#slack = this.#targets - this.windowsPerEpoch * this.#context
  }

  /** Epochs gone through when `step` begins, as a fraction. */
  epoch(step: number): number {
    return (step * this.#micros * this.#batch) / this.windowsPerEpoch
  }

  /**
   * The batch of a training step, and of one of its micro-batches. The one after it is read ahead,
   * so that asking in order never waits for the disk.
   *
   * @param step from 0
   * @param micro from 0 to micros - 1
   * @throws GptloomError('ERR_DATA') when the range is not longer than the context, ERR_FILE or
   *   ERR_FORMAT when reading fails
   */
  async batch(step: number, micro = 0): Promise<Batch> {
    checkInteger('step', step, 0)
    checkInteger('micro', micro, 0, this.#micros - 1)
    if (this.#slack < 0) {
      const needed = `expected at least ${this.#context + 1}, one more than the context`
      const message = `${this.file.path}: a range of ${this.#targets + 1} tokens, ${needed}`
      throw new GptloomError('ERR_DATA', message)
    }
    const index = step * this.#micros + micro
    const batch = this.#ahead?.index === index ? this.#ahead.batch : this.#training(index)
    const next = this.#training(index + 1)
    next.catch(() => {}) // its failure is reported when it is asked for
    this.#ahead = { index: index + 1, batch: next }
    return batch
  }

  /**
   * The whole range as windows one after another, the same every time, for measuring the loss. The
   * last window and the last batch are filled up with IGNORED targets; a batch that is the only one has
   * no more windows than there are.
   *
   * @param limitTokens when the range is longer, this many tokens in windows spaced evenly over it
   */
  async *windows(limitTokens = Infinity): AsyncGenerator<Batch, void, void> {
    const total = Math.ceil(this.#targets / this.#context)
    const count = Math.min(total, Math.max(1, Math.floor(limitTokens / this.#context)))
    const rows = Math.min(this.#batch, count)
    const load = (first: number) =>
      this.#load(rows, (row) => {
        if (first + row >= count) return null
        return Math.floor(((first + row) * total) / count) * this.#context
      })
    let next = load(0)
    for (let first = 0; first < count; first += rows) {
      const batch = await next
      if (first + rows < count) {
        next = load(first + rows)
        next.catch(() => {})
      }
      yield batch
    }
  }

  #training(index: number): Promise<Batch> {
    return this.#load(this.#batch, (row) => {
      const place = index * this.#batch + row
      const epoch = Math.floor(place / this.windowsPerEpoch)
      if (this.#epoch?.number !== epoch) {
        const random = new Random(this.#seed, STREAM, epoch)
        const phase = random.integer(this.#slack + 1)
        this.#epoch = { number: epoch, phase, key: [random.word(), random.word()] }
      }
      const { phase, key } = this.#epoch
      const window = permute(place % this.windowsPerEpoch, this.windowsPerEpoch, key)
      return phase + window * this.#context
    })
  }

  /** Reads a batch of B rows; `first` gives the first token of each row within the range, null for none. */
  async #load(B: number, first: (row: number) => number | null): Promise<Batch> {
    const T = this.#context
    const tokens = new Int32Array(B * T)
    const targets = new Int32Array(B * T).fill(IGNORED)
    const starts = new Int32Array(B * T)
    let targetCount = 0
    let several = false
    const readRow = async (row: number) => {
      const from = first(row)
      if (from === null) return
      const length = Math.min(T, this.#targets - from)
      const window = new Int32Array(length + 1)
      await this.file.read(this.range.start + from, length + 1, window)
      tokens.set(window.subarray(0, length), row * T)
      targets.set(window.subarray(1), row * T)
      targetCount += length
      const last = markStarts(window.subarray(0, length), this.#endOfText, starts, row * T, T)
      several ||= last > 0
    }
    await Promise.all(Array.from({ length: B }, (_, row) => readRow(row)))
    return { tokens, targets, starts: several ? starts : null, targetCount }
  }
}

/** Writes where each position's document begins; returns the last beginning. */
function markStarts(
  tokens: Int32Array,
  endOfText: number | undefined,
  starts: Int32Array,
  at: number,
  T: number,
): number {
  let begin = 0
  for (let t = 0; t < T; t++) {
    // What fills up a short window stays with its last document, even one that just ended.
    if (t > 0 && t < tokens.length && tokens[t - 1] === endOfText) begin = t
    starts[at + t] = begin
  }
  return begin
}
