import { checkInteger, checkNumber } from '../errors.js'
import { Random } from '../random.js'

export interface SamplingOptions {
  /** Logits are divided by it: 0 always takes the likeliest token. Default 0.8. */
  temperature?: number
  /** Only the k likeliest tokens may be chosen. Default: all. */
  topK?: number
  /**
   * Only the likeliest tokens whose probabilities together reach this (Holtzman et al. 2020).
   * Default 1: all.
   */
  topP?: number
  /** Only tokens at least this often as likely as the likeliest (Nguyen et al. 2024). Default 0: all. */
  minP?: number
  /** The same seed gives the same text. Default: a new one each time. */
  seed?: number
}

/** Chooses tokens from logits. */
export class Sampler {
  readonly #random: Random
  readonly #temperature: number
  readonly #topK: number
  readonly #topP: number
  readonly #minP: number
  #weights = new Float64Array()

  constructor(options: SamplingOptions = {}) {
    const {
      temperature = 0.8,
      topK = Infinity,
      topP = 1,
      minP = 0,
      seed = Math.floor(Math.random() * 2 ** 32),
    } = options
    this.#temperature = checkNumber('temperature', temperature, 0, 100)
    this.#topK = topK === Infinity ? topK : checkInteger('topK', topK)
    this.#topP = checkNumber('topP', topP, 0, 1)
    this.#minP = checkNumber('minP', minP, 0, 1)
    this.#random = new Random(checkInteger('seed', seed, 0), 0x73616d70)
  }

  /** The index of the chosen token. */
  choose(logits: Float32Array): number {
    let best = 0
    for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
    if (this.#temperature === 0) return best
    const top = this.#topK < logits.length ? largest(logits, this.#topK) : undefined
    const weights = this.#weigh(logits, logits[best]!, top)
    const kept = this.#topP < 1 ? this.#nucleus(logits, weights, top) : top
    return this.#draw(weights, kept) ?? best // rounding only
  }

  /** The weights of those at `top`, or of all, each at its own index; that of the likeliest is 1. */
  #weigh(logits: Float32Array, most: number, top: Uint32Array | undefined): Float64Array {
    const { length } = logits
    if (this.#weights.length !== length) this.#weights = new Float64Array(length)
    const weights = this.#weights
    const temperature = this.#temperature
    for (let k = 0; k < (top ? top.length : length); k++) {
      const i = top ? top[k]! : k
      weights[i] = Math.exp((logits[i]! - most) / temperature)
    }
    return weights
  }

  /** The likeliest that together reach the top p of those at `top`, or of all. */
  #nucleus(logits: Float32Array, weights: Float64Array, top: Uint32Array | undefined): Uint32Array {
    let total = 0
    for (let k = 0; k < (top ? top.length : weights.length); k++)
      total += weights[top ? top[k]! : k]!
    if (top) return reaching(weights, top, this.#topP * total) ?? top
    // The nucleus is nearly always small: look among a few before sorting everything.
    for (let k = 64; k < Math.min(1024, weights.length); k *= 8) {
      const found = reaching(weights, largest(logits, k), this.#topP * total)
      if (found) return found
    }
    const all = largest(logits, weights.length)
    return reaching(weights, all, this.#topP * total) ?? all
  }

  /** One of those at `kept`, or of all, as often as its weight says. */
  #draw(weights: Float64Array, kept: Uint32Array | undefined): number | undefined {
    const count = kept ? kept.length : weights.length
    let total = 0
    for (let k = 0; k < count; k++) {
      const weight = weights[kept ? kept[k]! : k]!
      if (weight >= this.#minP) total += weight
    }
    let left = this.#random.uniform() * total
    for (let k = 0; k < count; k++) {
      const i = kept ? kept[k]! : k
      if (weights[i]! >= this.#minP) left -= weights[i]!
      if (left < 0) return i
    }
    return undefined
  }
}

/** The first of `sorted` that together weigh so much; undefined when all of them do not. */
function reaching(
  weights: Float64Array,
  sorted: Uint32Array,
  wanted: number,
): Uint32Array | undefined {
  let sum = 0
  for (let count = 0; count < sorted.length; count++) {
    sum += weights[sorted[count]!]!
    if (sum >= wanted) return sorted.subarray(0, count + 1)
  }
  return undefined
}

/** The indices of the k largest, largest first; of equals the earlier. */
function largest(values: Float32Array, k: number): Uint32Array {
  if (k > 1024) return sorted(values).subarray(0, k)
  const kept = new Uint32Array(k)
  let count = 0
  let least = -Infinity // of those kept, once there are k
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    if (count === k && value <= least) continue
    let at = count < k ? count++ : k - 1
    for (; at > 0 && values[kept[at - 1]!]! < value; at--) kept[at] = kept[at - 1]!
    kept[at] = i
    least = values[kept[count - 1]!]!
  }
  return kept.subarray(0, count)
}

const PLACES = 2 ** 21 // more than any vocabulary has

/**
 * All indices, the largest value first; of equals the earlier. A sort without a function is ten times as
 * fast: it is of numbers that hold a value's bits, in its order, and its index.
 */
function sorted(values: Float32Array): Uint32Array {
  const bits = new Int32Array(values.slice().buffer)
  const keys = new Float64Array(values.length)
  for (let i = 0; i < keys.length; i++) {
    const x = values[i] === 0 ? 0 : bits[i]! // -0 is 0
    keys[i] = -(x >= 0 ? x : x ^ 0x7fffffff) * PLACES + i
  }
  keys.sort()
  const out = new Uint32Array(keys.length)
  for (const [place, key] of keys.entries()) out[place] = key - Math.floor(key / PLACES) * PLACES
  return out
}
