// Finds texts that were seen before: the same, or nearly the same.
import { Numbers } from './numbers.js'

/** How alike two texts must be, by default: the share of word 5-grams that they have in common. */
export const SIMILARITY = 0.8

const SHINGLE = 5 // words
const BINS = 64
const BANDS = 16
const ROWS = BINS / BANDS
const EMPTY = 0xffffffff

export interface DuplicateOptions {
  /**
   * Texts whose word 5-grams have at least this Jaccard similarity, as estimated, are near duplicates;
   * 1 finds texts that are the same but for white space. Default 0.8.
   */
  similarity?: number
  /**
   * The most texts that are remembered for near duplicates, about 240 bytes each; later ones are still
   * compared with these. Default 200000.
   */
  most?: number
}

export interface Duplicate {
  kind: 'exact' | 'near'
  /** The number of the earlier text. */
  of: number
}

/**
 * Near duplicates by MinHash (Broder 1997) in one permutation (Li, Owen and Zhang 2012) with optimal
 * densification (Shrivastava 2017), looked up by bands (Indyk and Motwani 1998): 64 minima in 16 bands
 * of 4. Two texts of similarity 0.8 meet in some band with probability 0.9998.
 */
export class DuplicateFinder {
  readonly #similarity: number
  readonly #most: number
  readonly #exact = new HashTable(Float64Array)
  readonly #bands = Array.from({ length: BANDS }, () => new HashTable(Uint32Array))
  /** 8 bits of each minimum, of the texts that are remembered. */
  #signatures = new Uint8Array(BINS * 1024)
  readonly #numbers = new Numbers(Float64Array)
  /** For each remembered text a hash of its answer. */
  readonly #answers = new Numbers(Float64Array)
  /** 5-grams that so many texts share that they tell nothing: instructions, greetings, signatures. */
  #common = new Set<number>()
  readonly #minima = new Uint32Array(BINS)
  readonly #words = new Uint32Array(SHINGLE)

  constructor({ similarity = SIMILARITY, most = 200_000 }: DuplicateOptions = {}) {
    this.#similarity = similarity
    this.#most = most
  }

  /**
   * Looks at some texts for 5-grams that a fifth of them share: those do not count as likeness.
   */
  look(texts: readonly string[]): void {
    const counts = new Map<number, number>()
    for (const text of texts) {
      const own = new Set<number>()
      this.#read(text, (shingle) => own.add(shingle))
      for (const shingle of own) counts.set(shingle, (counts.get(shingle) ?? 0) + 1)
    }
    const many = Math.max(3, texts.length / 5)
    this.#common = new Set([...counts].filter(([, n]) => n > many).map(([shingle]) => shingle))
  }

  /**
   * Whether this text is a duplicate of one before; if not, it is remembered.
   * @param number what the text is called in later answers
   * @param answer what near duplicates must have in common exactly
   */
  add(text: string, number: number, answer = ''): Duplicate | undefined {
    this.#read(answer)
    const answerHash = this.#hash
    const shingles = this.#read(text)
    const same = this.#exact.getOrSet(this.#hash, number)
    if (same !== undefined) return { kind: 'exact', of: same }
    // With a single shingle, alike is the same.
    if (this.#similarity >= 1 || shingles < 2) return undefined
    this.#densify()
    const near = this.#lookUp(answerHash)
    if (near !== undefined) return { kind: 'near', of: near }
    if (this.#numbers.length < this.#most) this.#remember(number, answerHash)
    return undefined
  }

  #hash = 0

  /** Hashes the text's words, of letters and digits in lower case, and their 5-grams. */
  #read(text: string, see?: (shingle: number) => void): number {
    const words = this.#words.fill(0)
    this.#minima.fill(EMPTY)
    let [low, high] = [0x811c9dc5, 0x9747b28c]
    let count = 0
    let telling = 0 // 5-grams that are not common
    let word = 0
    let length = 0
    const end = () => {
      if (length === 0) return
      words[count % SHINGLE] = mix(word ^ length)
      count++
      if (count >= SHINGLE) telling += this.#shingle(count, see)
      word = length = 0
    }
    let space = true
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      const isSpace = code <= 32 || code === 160
      // White space counts as one space between words, and not at all at the two ends.
      if (!isSpace) {
        if (space && (low !== 0x811c9dc5 || high !== 0x9747b28c))
          [low, high] = [step(low, 32), step(high, 33)]
        ;[low, high] = [step(low, code), step(high, code + 1)]
      }
      space = isSpace
      if (isSpace || isPunctuation(code)) end()
      else {
        word = step(word, code < 128 ? lower(code) : code)
        length++
      }
    }
    end()
    this.#hash = (mix(low) & 0x1fffff) * 2 ** 32 + (mix(high) >>> 0)
    return telling
  }

  #shingle(count: number, see?: (shingle: number) => void): number {
    let hash = 0
    for (let i = 0; i < SHINGLE; i++) hash = step(hash, this.#words[(count + i) % SHINGLE]!)
    hash = mix(hash)
    see?.(hash)
    if (this.#common.has(hash)) return 0
    const bin = hash >>> 26
    const value = hash & 0x3ffffff
    if (value < this.#minima[bin]!) this.#minima[bin] = value
    return 1
  }

  /** Bins that no shingle fell into take the minimum of another, the same one for every text. */
  #densify(): void {
    const minima = this.#minima
    const empty: number[] = []
    for (let bin = 0; bin < BINS; bin++) if (minima[bin] === EMPTY) empty.push(bin)
    const filled = minima.slice()
    for (const bin of empty) {
      let from = bin
      for (let attempt = 1; filled[from] === EMPTY; attempt++)
        from = mix(bin * 977 + attempt) >>> 26
      minima[bin] = filled[from]!
    }
  }

  #band(band: number): number {
    let hash = band
    for (let row = 0; row < ROWS; row++) hash = step(hash, this.#minima[band * ROWS + row]!)
    return mix(hash) >>> 0
  }

  #lookUp(answer: number): number | undefined {
    for (let band = 0; band < BANDS; band++) {
      const candidate = this.#bands[band]!.get(this.#band(band))
      if (candidate === undefined || this.#answers.get(candidate) !== answer) continue
      let equal = 0
      for (let bin = 0; bin < BINS; bin++)
        if (this.#signatures[candidate * BINS + bin] === (this.#minima[bin]! & 0xff)) equal++
      if (equal >= this.#similarity * BINS) return this.#numbers.get(candidate)
    }
    return undefined
  }

  #remember(number: number, answer: number): void {
    const at = this.#numbers.length
    if (at * BINS === this.#signatures.length) {
      const larger = new Uint8Array(2 * this.#signatures.length)
      larger.set(this.#signatures)
      this.#signatures = larger
    }
    this.#numbers.push(number)
    this.#answers.push(answer)
    for (let bin = 0; bin < BINS; bin++)
      this.#signatures[at * BINS + bin] = this.#minima[bin]! & 0xff
    for (let band = 0; band < BANDS; band++) this.#bands[band]!.getOrSet(this.#band(band), at)
  }
}

/** One step of FNV-1a on 32 bits. */
function step(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193)
}

/** The finalizer of MurmurHash3: every bit of the input reaches every bit of the result. */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

function lower(code: number): number {
  return code >= 65 && code <= 90 ? code + 32 : code
}

function isPunctuation(code: number): boolean {
  return code < 128 && !(code >= 48 && code <= 57) && !(lower(code) >= 97 && lower(code) <= 122)
}

/** Integers to integers below 2^32 - 1, in typed arrays: some 10 bytes an entry, where a Map takes 50. */
class HashTable {
  #keys: Float64Array | Uint32Array
  /** One more than each value; 0 for a free place. */
  #values = new Uint32Array(1024)
  #size = 0

  /** @param type that holds the keys: below 2^53, or below 2^32 */
  constructor(private readonly type: typeof Float64Array | typeof Uint32Array) {
    this.#keys = new type(1024)
  }

  get(key: number): number | undefined {
    const value = this.#values[this.#place(key)]!
    return value === 0 ? undefined : value - 1
  }

  /** The value of a key; when there is none, sets it and returns undefined. */
  getOrSet(key: number, value: number): number | undefined {
    const at = this.#place(key)
    if (this.#values[at] !== 0) return this.#values[at]! - 1
    this.#keys[at] = key
    this.#values[at] = value + 1
    if (++this.#size > 0.8 * this.#values.length) this.#grow()
    return undefined
  }

  #place(key: number): number {
    const mask = this.#values.length - 1
    let at = mix((key >>> 0) ^ Math.floor(key / 2 ** 32)) & mask
    while (this.#values[at] !== 0 && this.#keys[at] !== key) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values]
    this.#keys = new this.type(2 * keys.length)
    this.#values = new Uint32Array(2 * values.length)
    for (let i = 0; i < keys.length; i++) {
      if (values[i] === 0) continue
      const at = this.#place(keys[i]!)
      this.#keys[at] = keys[i]!
      this.#values[at] = values[i]!
    }
  }
}
