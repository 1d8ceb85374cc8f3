// Finds texts that were seen before: the same, or nearly the same.

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
   * The most texts that are remembered for near duplicates, about 330 bytes each; later ones are still
   * compared with these. Default 250000.
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
  readonly #exact = new HashTable()
  readonly #bands = Array.from({ length: BANDS }, () => new HashTable())
  /** 8 bits of each minimum, of the texts that are remembered. */
  #signatures = new Uint8Array(BINS * 1024)
  #numbers = new Float64Array(1024)
  #remembered = 0
  readonly #minima = new Uint32Array(BINS)
  readonly #words = new Uint32Array(SHINGLE)

  constructor({ similarity = SIMILARITY, most = 250_000 }: DuplicateOptions = {}) {
    this.#similarity = similarity
    this.#most = most
  }

  /**
   * Whether this text is a duplicate of one before; if not, it is remembered.
   * @param number what the text is called in later answers
   */
  add(text: string, number: number): Duplicate | undefined {
    const shingles = this.#read(text)
    const same = this.#exact.getOrSet(this.#hash, number)
    if (same !== undefined) return { kind: 'exact', of: same }
    // With a single shingle, alike is the same.
    if (this.#similarity >= 1 || shingles < 2) return undefined
    this.#densify()
    const near = this.#lookUp()
    if (near !== undefined) return { kind: 'near', of: near }
    if (this.#remembered < this.#most) this.#remember(number)
    return undefined
  }

  #hash = 0

  /** Hashes the text's words, of letters and digits in lower case, and their 5-grams. */
  #read(text: string): number {
    const words = this.#words.fill(0)
    this.#minima.fill(EMPTY)
    let [low, high] = [0x811c9dc5, 0x9747b28c]
    let count = 0
    let word = 0
    let length = 0
    const end = () => {
      if (length === 0) return
      words[count % SHINGLE] = mix(word ^ length)
      count++
      if (count >= SHINGLE) this.#shingle(count)
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
    return Math.max(0, count - SHINGLE + 1)
  }

  #shingle(count: number): void {
    let hash = 0
    for (let i = 0; i < SHINGLE; i++) hash = step(hash, this.#words[(count + i) % SHINGLE]!)
    hash = mix(hash)
    const bin = hash >>> 26
    const value = hash & 0x3ffffff
    if (value < this.#minima[bin]!) this.#minima[bin] = value
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

  #lookUp(): number | undefined {
    for (let band = 0; band < BANDS; band++) {
      const candidate = this.#bands[band]!.get(this.#band(band))
      if (candidate === undefined) continue
      let equal = 0
      for (let bin = 0; bin < BINS; bin++)
        if (this.#signatures[candidate * BINS + bin] === (this.#minima[bin]! & 0xff)) equal++
      if (equal >= this.#similarity * BINS) return this.#numbers[candidate]!
    }
    return undefined
  }

  #remember(number: number): void {
    const at = this.#remembered++
    if (at === this.#numbers.length) {
      this.#numbers = grown(this.#numbers, Float64Array)
      this.#signatures = grown(this.#signatures, Uint8Array)
    }
    this.#numbers[at] = number
    for (let bin = 0; bin < BINS; bin++)
      this.#signatures[at * BINS + bin] = this.#minima[bin]! & 0xff
    for (let band = 0; band < BANDS; band++) this.#bands[band]!.getOrSet(this.#band(band), at)
  }
}

function grown<T extends Float64Array | Uint8Array>(array: T, type: new (length: number) => T): T {
  const larger = new type(2 * array.length)
  larger.set(array)
  return larger
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

/** Integers below 2^53 to numbers, in typed arrays: 32 bytes an entry, where a Map takes twice that. */
class HashTable {
  #keys = new Float64Array(1024).fill(-1)
  #values = new Float64Array(1024)
  #size = 0

  get(key: number): number | undefined {
    const at = this.#place(key)
    return this.#keys[at] === key ? this.#values[at] : undefined
  }

  /** The value of a key; when there is none, sets it and returns undefined. */
  getOrSet(key: number, value: number): number | undefined {
    const at = this.#place(key)
    if (this.#keys[at] === key) return this.#values[at]
    this.#keys[at] = key
    this.#values[at] = value
    if (++this.#size * 2 > this.#keys.length) this.#grow()
    return undefined
  }

  #place(key: number): number {
    const mask = this.#keys.length - 1
    let at = mix((key >>> 0) ^ Math.floor(key / 2 ** 32)) & mask
    while (this.#keys[at] !== -1 && this.#keys[at] !== key) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values]
    this.#keys = new Float64Array(2 * keys.length).fill(-1)
    this.#values = new Float64Array(2 * keys.length)
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === -1) continue
      const at = this.#place(keys[i]!)
      this.#keys[at] = keys[i]!
      this.#values[at] = values[i]!
    }
  }
}
