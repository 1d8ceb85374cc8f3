// Finds texts that were seen before: the same, or nearly the same.
import { HIGH, LOW, joined, mix, step } from './hash.js'
import { Seen } from './seen.js'

/** How alike two texts must be, by default: the share of word 5-grams that they have in common. */
export const SIMILARITY = 0.8

const SHINGLE = 5 // words
const BINS = 64
const BANDS = 16
const EMPTY = 0xffffffff

export interface DuplicateOptions {
  /**
   * Texts whose word 5-grams have at least this Jaccard similarity, as estimated, are near duplicates;
   * 1 finds texts that are the same but for white space. Default 0.8.
   */
  similarity?: number
  /**
   * The most texts that are remembered for near duplicates, 160 bytes each; later ones are still
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
 * of 4. Two texts of similarity 0.8 meet in some band with probability 0.9998. Where words are not
 * parted by spaces, in Chinese, Japanese or Thai, each character counts as a word.
 */
export class DuplicateFinder {
  readonly #similarity: number
  readonly #exact = new Seen()
  readonly #remembered: Remembered
  /** 5-grams that so many texts share that they tell nothing: instructions, greetings, signatures. */
  #common = new Set<number>()
  readonly #minima = new Uint32Array(BINS)
  readonly #words = new Uint32Array(SHINGLE)

  constructor({ similarity = SIMILARITY, most = 200_000 }: DuplicateOptions = {}) {
    this.#similarity = similarity
    this.#remembered = new Remembered(most)
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
    const near = this.#remembered.find(this.#minima, answerHash, this.#similarity)
    if (near !== undefined) return { kind: 'near', of: near }
    this.#remembered.add(this.#minima, answerHash, number)
    return undefined
  }

  /** Gives up what lies on disk; nothing can be added then. */
  close(): void {
    this.#exact.close()
  }

  /** The hash of the text that was read last. */
  #hash = 0
  /** Words of it so far. */
  #count = 0

  /**
   * Hashes a text's words, of letters and digits in lower case, and their 5-grams.
   * @returns the number of 5-grams that are not common
   */
  #read(text: string, see?: (shingle: number) => void): number {
    this.#words.fill(0)
    this.#minima.fill(EMPTY)
    this.#count = 0
    let [low, high] = [LOW, HIGH]
    let telling = 0
    let word = 0
    let length = 0
    let isSpaced = false // white space counts as one space, and not at all at the two ends
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      const letter = code < 128 ? LETTERS[code]! : wideLetter(code)
      if (letter === SPACE) isSpaced = true
      else {
        if (isSpaced && low !== LOW) {
          low = step(low, 32)
          high = step(high, 33)
        }
        isSpaced = false
        low = step(low, code)
        high = step(high, code + 1)
      }
      const isAlone = code >= 0xe00 && isUnspaced(code)
      if (length > 0 && (letter <= MARK || isAlone)) {
        telling += this.#word(word ^ length, see)
        word = length = 0
      }
      if (isAlone) telling += this.#word(step(0, code) ^ 1, see)
      else if (letter > MARK) {
        word = step(word, letter)
        length++
      }
    }
    if (length > 0) telling += this.#word(word ^ length, see)
    this.#hash = joined(low, high)
    return telling
  }

  /** Takes a word, and the 5-gram that ends with it. */
  #word(hash: number, see?: (shingle: number) => void): number {
    const words = this.#words
    words[this.#count++ % SHINGLE] = mix(hash)
    const count = this.#count
    if (count < SHINGLE) return 0
    let shingle = 0
    for (let i = 0; i < SHINGLE; i++) shingle = step(shingle, words[(count + i) % SHINGLE]!)
    shingle = mix(shingle)
    see?.(shingle)
    if (this.#common.has(shingle)) return 0
    const bin = shingle >>> 26
    const value = shingle & 0x3ffffff
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
}

/**
 * Texts to compare others with. Of each, 8 bits of every minimum are kept; those of a band are one
 * word, by which tables find texts that have the same.
 */
class Remembered {
  #count = 0
  #bytes = new Uint8Array(0)
  #words = new Uint32Array(0)
  /** What each text is called, and a hash of its answer. */
  #numbers = new Uint32Array(0)
  #answers = new Float64Array(0)
  /** For each band places by the hash of its word, with one more than a text; 0 for a free place. */
  #tables: Uint32Array[] = []
  readonly #own = new Uint32Array(BANDS)
  readonly #ownBytes = new Uint8Array(this.#own.buffer)

  constructor(private readonly most: number) {}

  /** What a text with these minima and this answer is nearly the same as. */
  find(minima: Uint32Array, answer: number, similarity: number): number | undefined {
    if (this.#count === 0) return undefined
    this.#take(minima)
    for (let band = 0; band < BANDS; band++) {
      const table = this.#tables[band]!
      const candidate = table[this.#place(band, this.#own[band]!)]! - 1
      if (candidate < 0 || this.#answers[candidate] !== answer) continue
      let equal = 0
      for (let bin = 0; bin < BINS; bin++)
        if (this.#bytes[candidate * BINS + bin] === this.#ownBytes[bin]) equal++
      if (equal >= similarity * BINS) return this.#numbers[candidate]
    }
    return undefined
  }

  /** Remembers a text, while there are fewer than most. */
  add(minima: Uint32Array, answer: number, number: number): void {
    if (this.#count >= this.most) return
    if (this.#count === this.#numbers.length) this.#grow()
    this.#take(minima)
    const text = this.#count++
    this.#words.set(this.#own, text * BANDS)
    this.#numbers[text] = number
    this.#answers[text] = answer
    this.#enter(text)
  }

  #take(minima: Uint32Array): void {
    this.#ownBytes.set(minima) // modulo 256
  }

  #enter(text: number): void {
    for (let band = 0; band < BANDS; band++) {
      const at = this.#place(band, this.#words[text * BANDS + band]!)
      this.#tables[band]![at] ||= text + 1
    }
  }

  /** Where a word stands in the table of its band, or would. */
  #place(band: number, word: number): number {
    const table = this.#tables[band]!
    const mask = table.length - 1
    let at = mix(word + band) & mask
    for (let text; (text = table[at]!) > 0 && this.#words[(text - 1) * BANDS + band] !== word;)
      at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const size = Math.min(this.most, Math.max(1024, 2 * this.#count))
    const old = { words: this.#words, numbers: this.#numbers, answers: this.#answers }
    this.#words = new Uint32Array(size * BANDS)
    this.#words.set(old.words)
    this.#bytes = new Uint8Array(this.#words.buffer)
    this.#numbers = new Uint32Array(size)
    this.#numbers.set(old.numbers)
    this.#answers = new Float64Array(size)
    this.#answers.set(old.answers)
    const places = 2 ** Math.ceil(Math.log2(1.25 * size))
    this.#tables = Array.from({ length: BANDS }, () => new Uint32Array(places))
    for (let text = 0; text < this.#count; text++) this.#enter(text)
  }
}

/** What characters below 128 are: white space, marks between words, or letters in lower case. */
const [SPACE, MARK] = [0, 1]
const LETTERS = Uint8Array.from({ length: 128 }, (_, code) => {
  if (code <= 32) return SPACE
  const letter = String.fromCharCode(code).toLowerCase()
  return /[a-z0-9]/.test(letter) ? letter.charCodeAt(0) : MARK
})

function wideLetter(code: number): number {
  if (code === 0xa0 || code === 0x3000) return SPACE
  // General punctuation, that of Chinese and Japanese, and full-width ASCII's.
  if (code < 0x2000) return code
  return code < 0x2070 || (code > 0x3000 && code < 0x3040) || (code > 0xff00 && code < 0xff10)
    ? MARK
    : code
}

/** Whether a letter belongs to a script that puts no spaces between words. */
function isUnspaced(code: number): boolean {
  if (code < 0x1100) return code < 0x0f00 || code >= 0x1000 // Thai and Lao, Burmese
  if (code < 0x2e80) return code >= 0x1780 && code < 0x1800 // Khmer
  if (code < 0xa000) return code >= 0x3040 // Kana and Han
  // Han that takes two code units, compatibility forms, and narrow Kana
  return (
    (code >= 0xd840 && code < 0xd890) ||
    (code >= 0xf900 && code < 0xfb00) ||
    (code >= 0xff66 && code < 0xffa0)
  )
}
