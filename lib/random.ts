import { checkInteger, outOfRange } from './errors.js'

/** Four unsigned 32-bit words. */
export type Words = [number, number, number, number]

/**
 * Philox4x32-10, a counter-based generator: the same key and counter always give the same four
 * words, in any order and on any machine. (Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011.)
 *
 * @param key two unsigned 32-bit words
 * @param counter four unsigned 32-bit words
 */
export function philox(key: readonly [number, number], counter: Readonly<Words>): Words {
  let [k0, k1] = key
  let [c0, c1, c2, c3] = counter
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(0xd2511f53, c0)
    const low0 = Math.imul(0xd2511f53, c0)
    const high1 = mulHigh(0xcd9e8d57, c2)
    const low1 = Math.imul(0xcd9e8d57, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + 0x9e3779b9) | 0
    k1 = (k1 + 0xbb67ae85) | 0
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0]
}

/** The upper 32 bits of the product of two unsigned words. Every partial sum stays below 2^53. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff
  const a1 = a >>> 16
  const b0 = b & 0xffff
  const b1 = b >>> 16
  const middle = a1 * b0 + ((a0 * b0) >>> 16)
  return (a1 * b1 + Math.floor((middle + a0 * b1) / 0x10000)) | 0
}

/**
 * A stream of random numbers named by integers: nothing to save, since a stream can be made again
 * from its seed and numbers. Streams whose numbers differ are independent. A stream repeats after
 * 2^34 words.
 */
export class Random {
  readonly #key: [number, number]
  readonly #streams: [number, number, number]
  #block = 0
  #words: number[] = []

  /**
   * @param seed an integer from 0 to 2^53 - 1
   * @param streams up to three integers from 0 to 2^32 - 1, say (purpose, step, row); those left
   *   out are 0
   */
  constructor(seed: number, ...streams: number[]) {
    this.#key = splitWords(checkInteger('seed', seed, 0))
    if (streams.length > 3) throw outOfRange('at most 3 numbers', 'streams', streams)
    streams.forEach((value) => checkInteger('stream', value, 0, 0xffffffff))
    this.#streams = [streams[0] ?? 0, streams[1] ?? 0, streams[2] ?? 0]
  }

  /** The next 32 random bits, as an unsigned integer. */
  word(): number {
    if (this.#words.length === 0) {
      this.#words = philox(this.#key, [this.#block, ...this.#streams]).reverse()
      this.#block = (this.#block + 1) >>> 0
    }
    return this.#words.pop()!
  }

  /** A number in [0, 1), a multiple of 2^-53. */
  uniform(): number {
    return this.#bits53() * 2 ** -53
  }

  /** An integer in [0, n), each equally likely; n from 1 to 2^53 - 1. */
  integer(n: number): number {
    checkInteger('n', n, 1)
    const limit = 2 ** 53 - (2 ** 53 % n) // what lies above would favour the small results
    for (;;) {
      const bits = this.#bits53()
      if (bits < limit) return bits % n
    }
  }

  #bits53(): number {
    return (this.word() >>> 5) * 2 ** 26 + (this.word() >>> 6)
  }
}

/** The lower and the upper 32 bits of an integer from 0 to 2^53 - 1. */
export function splitWords(value: number): [number, number] {
  return [value >>> 0, Math.floor(value / 2 ** 32)]
}

const MAX_PERMUTED = 2 ** 40

/**
 * The place of `index` in a pseudo-random permutation of 0 ... n - 1 that needs no memory. A
 * Feistel network permutes the next larger power of four, and results outside the range are
 * permuted again until they fall into it ("cycle walking": Black and Rogaway, "Ciphers with
 * arbitrary finite domains", 2002): under 4 rounds of it on average.
 *
 * @param index an integer in [0, n)
 * @param n from 1 to 2^40
 * @param key two unsigned 32-bit words; another key is another permutation
 */
export function permute(index: number, n: number, key: readonly [number, number]): number {
  checkInteger('n', n, 1, MAX_PERMUTED)
  checkInteger('index', index, 0, n - 1)
  let bits = 1
  while (4 ** bits < n) bits++
  const half = 2 ** bits
  let value = index
  do {
    let left = Math.floor(value / half)
    let right = value % half
    // Four rounds are enough for large halves (Luby and Rackoff 1988); the tiny ones need a few
    // more.
    for (let round = 0; round < 8; round++) {
      const mixed = philox(key, [right, round, bits, 0])[0] % half
      ;[left, right] = [right, (left ^ mixed) >>> 0]
    }
    value = left * half + right
  } while (value >= n)
  return value
}
