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
    const most = logits[best]!
    const weights = new Float64Array(logits.length)
    for (let i = 0; i < logits.length; i++)
      weights[i] = Math.exp((logits[i]! - most) / this.#temperature)
    // The likeliest token has the weight 1.
    const allowed = this.#allowed(weights).filter((i) => weights[i]! >= this.#minP)
    let total = 0
    for (const i of allowed) total += weights[i]!
    let left = this.#random.uniform() * total
    for (const i of allowed) {
      left -= weights[i]!
      if (left < 0) return i
    }
    return best // rounding only
  }

  // Indices by falling weight, cut to the top k and the top p; in their own order when neither cuts.
  #allowed(weights: Float64Array): Uint32Array {
    const all = Math.min(this.#topK, weights.length)
    if (this.#topP >= 1)
      return all < weights.length ? largest(weights, all) : Uint32Array.from(weights.keys())
    if (all < weights.length)
      return this.#nucleus(weights, largest(weights, all)) ?? largest(weights, all)
    // The nucleus is nearly always small: look among a few before sorting everything.
    for (let k = 64; k < weights.length; k *= 8) {
      const found = this.#nucleus(weights, largest(weights, k), weights)
      if (found) return found
    }
    const sorted = largest(weights, weights.length)
    return this.#nucleus(weights, sorted) ?? sorted
  }

  // The first of `sorted` that together reach the top p of `of`; undefined when all of them do not.
  #nucleus(weights: Float64Array, sorted: Uint32Array, of?: Float64Array): Uint32Array | undefined {
    const total = of
      ? of.reduce((a, b) => a + b, 0)
      : sorted.reduce((sum, i) => sum + weights[i]!, 0)
    let sum = 0
    for (let count = 0; count < sorted.length; count++) {
      sum += weights[sorted[count]!]!
      if (sum >= this.#topP * total) return sorted.subarray(0, count + 1)
    }
    return undefined
  }
}

/** The indices of the k largest, largest first; of equals the earlier. */
function largest(weights: Float64Array, k: number): Uint32Array {
  if (k > 1024) {
    return Uint32Array.from(weights.keys())
      .sort((a, b) => weights[b]! - weights[a]! || a - b)
      .subarray(0, k)
  }
  const kept = new Uint32Array(k)
  let count = 0
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!
    if (count === k && weight <= weights[kept[k - 1]!]!) continue
    let at = count < k ? count++ : k - 1
    for (; at > 0 && weights[kept[at - 1]!]! < weight; at--) kept[at] = kept[at - 1]!
    kept[at] = i
  }
  return kept.subarray(0, count)
}
