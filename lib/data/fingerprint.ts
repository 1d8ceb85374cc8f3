// What tells whether texts are alike: hashes of them, and of what they have in common with others.
import { isSpace, mix, spacedHash53, step } from './hash.js'

const SHINGLE = 5 // words
/** Minima of a text. */
export const BINS = 64
const EMPTY = 0xffffffff
const FILTER = 0xffff

/** Of some texts, each by its number. */
export interface Fingerprints {
  /** Hashes of the texts, and of the answers in them. */
  texts: Float64Array
  answers: Float64Array
  /** How many word 5-grams each has that tell something. */
  shingles: Uint32Array
  /** BINS a text, 8 bits of each; 0 for a text of less than two 5-grams. */
  minima: Uint8Array
}

export function fingerprints(count: number): Fingerprints {
  return {
    texts: new Float64Array(count),
    answers: new Float64Array(count),
    shingles: new Uint32Array(count),
    minima: new Uint8Array(BINS * count),
  }
}

/** 5-grams that a fifth of some texts share: they tell nothing of likeness. */
export function commonShingles(texts: readonly string[]): Int32Array {
  const reader = new Fingerprinter()
  const counts = new Map<number, number>()
  for (const text of texts)
    for (const shingle of reader.shingles(text)) counts.set(shingle, (counts.get(shingle) ?? 0) + 1)
  const many = Math.max(3, texts.length / 5)
  return Int32Array.from([...counts].filter(([, n]) => n > many).map(([shingle]) => shingle))
}

/**
 * MinHash (Broder 1997) in one permutation (Li, Owen and Zhang 2012) with optimal densification
 * (Shrivastava 2017). Where words are not parted by spaces, in Chinese, Japanese or Thai, each character
 * counts as a word.
 */
export class Fingerprinter {
  readonly #common: ReadonlySet<number>
  /** 1 where a common one may be: the set is asked for those only. */
  readonly #filter = new Uint8Array(FILTER + 1)
  readonly #minima = new Uint32Array(BINS)

  /** @param common 5-grams that do not count: instructions, greetings, signatures */
  constructor(common: Int32Array = new Int32Array(0)) {
    this.#common = new Set(common)
    for (const shingle of common) this.#filter[shingle & FILTER] = 1
  }

  /** The 5-grams of a text. */
  shingles(text: string): Set<number> {
    const found = new Set<number>()
    this.#read(text, (shingle) => found.add(shingle))
    return found
  }

  /**
   * Takes the fingerprint of a text as number i of some.
   * @param answer what near duplicates must have in common exactly
   */
  take(text: string, answer: string, into: Fingerprints, i: number): void {
    into.answers[i] = spacedHash53(answer)
    into.texts[i] = spacedHash53(text)
    const shingles = this.#read(text)
    into.shingles[i] = shingles
    if (shingles < 2) return
    this.#densify()
    into.minima.set(this.#minima, BINS * i) // modulo 256
  }

  /**
   * Hashes a text's words, of letters and digits in lower case, and their 5-grams.
   * @returns the number of 5-grams that are not common
   */
  #read(text: string, see?: (shingle: number) => void): number {
    const words = new Words()
    this.#minima.fill(EMPTY)
    let telling = 0
    let word = 0
    let length = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      const letter = code < 128 ? LETTERS[code]! : wideLetter(code)
      const isAlone = code >= 0xe00 && isUnspaced(code)
      if (letter !== MARK && !isAlone) {
        word = step(word, letter)
        length++
        continue
      }
      if (length > 0) telling += this.#take(words.add(word ^ length), see)
      word = length = 0
      if (isAlone) telling += this.#take(words.add(step(0, code) ^ 1), see)
    }
    if (length > 0) telling += this.#take(words.add(word ^ length), see)
    return telling
  }

  #take(shingle: number | undefined, see: ((shingle: number) => void) | undefined): 0 | 1 {
    if (shingle === undefined) return 0
    see?.(shingle)
    if (this.#filter[shingle & FILTER] && this.#common.has(shingle)) return 0
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

/** The last words of a text, as hashes. */
class Words {
  #count = 0
  #first = 0
  #second = 0
  #third = 0
  #fourth = 0

  /** Takes a word; returns the hash of the 5-gram that ends with it. */
  add(hash: number): number | undefined {
    const word = mix(hash)
    const begun = step(step(step(step(0, this.#first), this.#second), this.#third), this.#fourth)
    this.#first = this.#second
    this.#second = this.#third
    this.#third = this.#fourth
    this.#fourth = word
    return ++this.#count < SHINGLE ? undefined : mix(step(begun, word))
  }
}

/** What characters below 128 are: what stands between words, or letters in lower case. */
const MARK = 0
const LETTERS = Uint8Array.from({ length: 128 }, (_, code) => {
  const letter = String.fromCharCode(code).toLowerCase()
  return /[a-z0-9]/.test(letter) ? letter.charCodeAt(0) : MARK
})

function wideLetter(code: number): number {
  if (isSpace(code)) return MARK
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
