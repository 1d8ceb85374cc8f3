import { GptloomError, checkInteger } from '../errors.js'
import { Random, permute } from '../random.js'
import type { ExampleFile } from './examples.js'
import { IGNORED } from './loader.js'
import type { Batch, BatchSource } from './loader.js'
import { pack } from './pack.js'
import type { Packing } from './pack.js'

export interface PackedOptions {
  /** Windows a batch, B. */
  batch: number
  /** Tokens a window, T. */
  context: number
  /** Names the order of the windows: an integer of at least 0. */
  seed: number
  /** Batches a training step, default 1. */
  micros?: number
  /** The token that fills the places behind the last document, default 0. */
  filler?: number
}

/** Examples of one source, and how often an epoch shows them. */
export interface Mixed {
  /** Numbers of the examples in the file. */
  examples: Uint32Array
  /** Times that an epoch shows each of them, on average. Default 1. */
  weight?: number
}

/** The windows of one source, their members being examples. */
interface Source extends Packing {
  /** Windows that it gives to an epoch. */
  share: number
}

/** Examples that are packed together. */
const AT_ONCE = 1 << 17

// Keeps these streams of random numbers apart from others of the same seed: 'pack' in ASCII.
const STREAM = 0x7061636b

/**
 * Batches of packed examples. A window holds whole examples, each with its own beginning: attention
 * does not cross from one to the next, and positions start anew. Only learned tokens are targets. Like
 * Loader it holds no state but integers.
 *
 * An epoch visits the windows in a random order. With weights, each source goes through its own
 * windows, epoch after epoch, as often as its weight says.
 */
export class PackedLoader implements BatchSource {
  /** Windows an epoch. */
  readonly windowsPerEpoch: number
  /** The share of all places in windows that no example fills. */
  readonly padding: number
  readonly #sources: Source[]
  readonly #batch: number
  readonly #context: number
  readonly #seed: number
  readonly #micros: number
  readonly #filler: number
  #ahead: { index: number; batch: Promise<Batch> } | undefined

  /** @throws GptloomError ERR_DATA when there is no example, or one longer than the context + 1 */
  constructor(
    private readonly file: ExampleFile,
    sources: readonly Mixed[],
    options: PackedOptions,
  ) {
    this.#batch = checkInteger('batch', options.batch)
    this.#context = checkInteger('context', options.context)
    this.#seed = checkInteger('seed', options.seed, 0)
    this.#micros = checkInteger('micros', options.micros ?? 1)
    this.#filler = options.filler ?? 0
    this.#sources = sources.flatMap(({ examples, weight = 1 }) => {
      if (examples.length === 0) return []
      const packing = this.#pack(examples)
      return [{ ...packing, share: Math.max(1, Math.round(weight * packing.count)) }]
    })
    this.windowsPerEpoch = this.#sources.reduce((sum, { share }) => sum + share, 0)
    if (this.windowsPerEpoch === 0)
      throw new GptloomError('ERR_DATA', 'There is no example to learn from')
    const sum = (of: (source: Source) => number) =>
      this.#sources.reduce((total, source) => total + of(source), 0)
    this.padding = sum(({ padding }) => padding) / (sum(({ count }) => count) * this.#context)
  }

  /** Epochs gone through when `step` begins, as a fraction. */
  epoch(step: number): number {
    return (step * this.#micros * this.#batch) / this.windowsPerEpoch
  }

  /** The batch of a training step, and of one of its micro-batches. The one after it is read ahead. */
  async batch(step: number, micro = 0): Promise<Batch> {
    checkInteger('step', step, 0)
    checkInteger('micro', micro, 0, this.#micros - 1)
    const index = step * this.#micros + micro
    const batch = this.#ahead?.index === index ? this.#ahead.batch : this.#training(index)
    const next = this.#training(index + 1)
    next.catch(() => {}) // its failure is reported when it is asked for
    this.#ahead = { index: index + 1, batch: next }
    return batch
  }

  /**
   * Every window once, in the order of the file, for measuring the loss. The last batch is filled up
   * with IGNORED targets; one that is the only one has no more windows than there are.
   * @param limitTokens when there are more, this many places in windows spaced evenly
   */
  async *windows(limitTokens = Infinity): AsyncGenerator<Batch, void, void> {
    const all = this.#sources.reduce((sum, source) => sum + source.count, 0)
    const most = Math.max(1, Math.floor(limitTokens / this.#context))
    const count = Math.min(all, most)
    const rows = Math.min(this.#batch, count)
    for (let first = 0; first < count; first += rows) {
      yield await this.#load(rows, (row) => {
        const i = first + row
        return i < count ? this.#window(Math.floor((i * all) / count)) : null
      })
    }
  }

  #window(window: number): { source: Source; window: number } | null {
    for (const source of this.#sources) {
      if (window < source.count) return { source, window }
      window -= source.count
    }
    return null
  }

  #training(index: number): Promise<Batch> {
    return this.#load(this.#batch, (row) => {
      const place = index * this.#batch + row
      const epoch = Math.floor(place / this.windowsPerEpoch)
      let slot = this.#shuffled(place % this.windowsPerEpoch, this.windowsPerEpoch, 0, epoch)
      for (const [number, source] of this.#sources.entries()) {
        if (slot < source.share) {
          const turn = epoch * source.share + slot
          const round = Math.floor(turn / source.count)
          return {
            source,
            window: this.#shuffled(turn % source.count, source.count, number + 1, round),
          }
        }
        slot -= source.share
      }
      throw new RangeError('Expected a slot within the epoch') // shares add up to windowsPerEpoch
    })
  }

  #shuffled(index: number, n: number, purpose: number, round: number): number {
    const random = new Random(this.#seed, STREAM, purpose, round)
    return permute(index, n, [random.word(), random.word()])
  }

  /**
   * Packs so many examples at a time that memory does not grow with their number, but for 4 bytes each
   * and 4 a window; more would not pack better.
   */
  #pack(examples: Uint32Array): Packing {
    const members = new Uint32Array(examples.length)
    const offsets: Uint32Array[] = []
    let [count, padding] = [0, 0]
    for (let first = 0; first < examples.length; first += AT_ONCE) {
      const some = examples.subarray(first, first + AT_ONCE)
      const packing = pack(some.map(this.#places), this.#context)
      packing.members.forEach((member, i) => (members[first + i] = some[member]!))
      offsets.push(packing.offsets.subarray(0, packing.count).map((offset) => first + offset))
      count += packing.count
      padding += packing.padding
    }
    const all = new Uint32Array(count + 1)
    let at = 0
    for (const some of offsets) {
      all.set(some, at)
      at += some.length
    }
    all[count] = examples.length
    return { count, offsets: all, members, padding }
  }

  /** Places that an example takes. */
  readonly #places = (example: number): number => {
    // The last token is only a target.
    const places = this.file.length(example) - 1
    if (places >= 1 && places <= this.#context) return places
    const what = `example ${example} has ${places + 1} tokens`
    throw new GptloomError('ERR_DATA', `${what}, expected 2 to ${this.#context + 1}`)
  }

  /** Reads a batch of B rows; `choose` gives the window of each, null for none. */
  async #load(
    B: number,
    choose: (row: number) => { source: Source; window: number } | null,
  ): Promise<Batch> {
    const T = this.#context
    const tokens = new Int32Array(B * T).fill(this.#filler)
    const targets = new Int32Array(B * T).fill(IGNORED)
    const starts = new Int32Array(B * T)
    let targetCount = 0
    const readRow = async (row: number) => {
      const chosen = choose(row)
      if (!chosen) return
      const { source, window } = chosen
      const { offsets, members } = source
      const inside = members.subarray(offsets[window], offsets[window + 1])
      const read = await Promise.all(Array.from(inside, (i) => this.file.read(i)))
      let at = 0
      for (const { tokens: ids, learn } of read) {
        const begin = at
        for (let t = 0; t + 1 < ids.length; t++, at++) {
          tokens[row * T + at] = ids[t]!
          starts[row * T + at] = begin
          if (!learn[t + 1]) continue
          targets[row * T + at] = ids[t + 1]!
          targetCount++
        }
      }
      starts.fill(at, row * T + at, (row + 1) * T)
    }
    await Promise.all(Array.from({ length: B }, (_, row) => readRow(row)))
    return { tokens, targets, starts, targetCount }
  }
}
