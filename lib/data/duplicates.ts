// Finds texts that were seen before: the same, or nearly the same.
import { BINS } from './fingerprint.js'
import type { Fingerprints } from './fingerprint.js'
import { mix } from './hash.js'
import { Seen } from './seen.js'

/** How alike two texts must be, by default: the share of word 5-grams that they have in common. */
export const SIMILARITY = 0.8

const BANDS = 16

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
 * Near duplicates by their fingerprints, looked up by bands (Indyk and Motwani 1998): 64 minima in 16
 * bands of 4. Two texts of similarity 0.8 meet in some band with probability 0.9998.
 */
export class DuplicateFinder {
  readonly #similarity: number
  readonly #exact = new Seen()
  readonly #remembered: Remembered

  constructor({ similarity = SIMILARITY, most = 200_000 }: DuplicateOptions = {}) {
    this.#similarity = similarity
    this.#remembered = new Remembered(most)
  }

  /**
   * Whether text i of some is a duplicate of one before; if not, it is remembered.
   * @param number what the text is called in later answers
   */
  add(
    { texts, answers, shingles, minima }: Fingerprints,
    i: number,
    number: number,
  ): Duplicate | undefined {
    const same = this.#exact.getOrSet(texts[i]!, number)
    if (same !== undefined) return { kind: 'exact', of: same }
    // With a single shingle, alike is the same.
    if (this.#similarity >= 1 || shingles[i]! < 2) return undefined
    const own = minima.subarray(BINS * i, BINS * (i + 1))
    const near = this.#remembered.find(own, answers[i]!, this.#similarity)
    if (near !== undefined) return { kind: 'near', of: near }
    this.#remembered.add(own, answers[i]!, number)
    return undefined
  }

  /** Gives up what lies on disk; nothing can be added then. */
  close(): void {
    this.#exact.close()
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
  find(minima: Uint8Array, answer: number, similarity: number): number | undefined {
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
  add(minima: Uint8Array, answer: number, number: number): void {
    if (this.#count >= this.most) return
    if (this.#count === this.#numbers.length) this.#grow()
    this.#take(minima)
    const text = this.#count++
    this.#words.set(this.#own, text * BANDS)
    this.#numbers[text] = number
    this.#answers[text] = answer
    this.#enter(text)
  }

  #take(minima: Uint8Array): void {
    this.#ownBytes.set(minima)
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
