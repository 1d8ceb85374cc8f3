// One pass over the text that stops only where something may begin: at words that are known, at
// numbers, at tokens of letters and digits, at '@' and ':'. Everything that looks further from there
// looks at a bounded stretch, so the time is linear in the text whatever it holds.
import { insurance, token } from './credentials.js'
import type { Country, Finding, Kind } from './kinds.js'
import { at, colon } from './network.js'
import { number } from './numbers.js'
import { NOTES, Word, hashStep } from './vocabulary.js'
import type { Vocabulary } from './vocabulary.js'
import { word } from './words.js'

export interface Setup {
  vocabulary: Vocabulary
  countries: ReadonlySet<Country>
  /** Whether persons or places are looked for. */
  names: boolean
  /** Looks for custom words where one may begin. */
  rule?: (scan: Scan, start: number, end: number) => void
}

// What a character may begin. LETTER also stands for all letters beyond ASCII.
const OTHER = 0
const LETTER = 1
const DIGIT = 2
const JOINS = 3 // '-' and '_': they hold a token together
const TRIGGER = 4 // '@' and ':'

const classes = new Uint8Array(128)
for (const c of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz') {
  classes[c.charCodeAt(0)] = LETTER
}
for (const c of '0123456789') classes[c.charCodeAt(0)] = DIGIT
for (const c of '-_') classes[c.charCodeAt(0)] = JOINS
for (const c of '@:') classes[c.charCodeAt(0)] = TRIGGER

function classOf(code: number): number {
  if (code < 128) return classes[code]!
  // Letters but for the signs × and ÷, punctuation and symbols, and the marks that no word holds.
  if (code < 0xc0 || code === 0xd7 || code === 0xf7) return OTHER
  if (code >= 0x2000 && code < 0x2c00) return OTHER
  return code >= 0x3000 && (code <= 0x3004 || code >= 0xfe00) ? OTHER : LETTER
}

/** Whether a number or a name that stands beside this character is a part of something longer. */
export function isWordCode(code: number): boolean {
  if (code < 128) {
    const kind = classes[code]
    return kind === LETTER || kind === DIGIT || code === 95
  }
  // Scripts that put spaces between words.
  return (code >= 0xc0 && code < 0x530 && code !== 0xd7 && code !== 0xf7) || code === 0x1e9e
}

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

const NEVER = -1_000_000
/** How far a word speaks for what follows it, in UTF-16 units. */
const REACH = 40
const REACH_OTHER = 24
const RAISE = 0.35
const LOWER = 0.3
/** A word for other things this close after one's own belongs to it: Steuer-ID, phone number. */
const ADJOINS = 8
// A token without digits is looked at from this length on: no credential is shorter.
const LONG_TOKEN = 18

/** The furthest that anything is looked for to the left of where it begins. */
export const LEFT = 256
/** The longest thing that is found whole: private keys are longest. */
export const LONGEST = 1 << 14

/** The state of one pass, and what it has found: not sorted, and overlapping. */
export class Scan {
  readonly found: Finding[] = []
  /** Where the last word of each sort ended. */
  readonly seen = [NEVER, NEVER, NEVER, NEVER, NEVER, NEVER]
  /** Nothing of the kinds that test it begins before: it belongs to what was found. */
  done = 0
  /** End of the last series of groups of digits, and of the last run of hex digits and colons. */
  seriesEnd = 0
  colonsEnd = 0
  #footer = -1

  constructor(
    readonly text: string,
    readonly setup: Setup,
  ) {}

  add(kind: Kind, start: number, end: number, score: number, detail?: string): void {
    const text = this.text.slice(start, end)
    this.found.push({ kind, start, end, text, score: Math.min(0.99, score), detail })
  }

  /** The code at an index, 0 outside of the text. */
  code(index: number): number {
    return index >= 0 && index < this.text.length ? this.text.charCodeAt(index) : 0
  }

  /** Where the next end of a key in PEM begins, Infinity for none. The text is searched once. */
  footerAfter(position: number): number {
    if (this.#footer < position) {
      const found = this.text.indexOf('-----END ', position)
      this.#footer = found < 0 ? Infinity : found
    }
    return this.#footer
  }

  /** Whether a word of this sort stands shortly before. */
  near(position: number, flag: number): boolean {
    return position - this.seen[bit(flag)]! <= REACH
  }

  /**
   * A score with what the words before it say: more where one is of its own sort, less where a
   * nearer one speaks of other numbers.
   */
  weigh(position: number, score: number, flag: number): number {
    const own = this.seen[bit(flag)]!
    const other = this.seen[bit(Word.other)]!
    if (position - own <= REACH && own + ADJOINS >= other) return score + RAISE
    return position - other <= REACH_OTHER ? score - LOWER : score
  }

  /** Looks at what begins in [from, to); words before `from` count as said. */
  run(from: number, to: number): this {
    const { text, setup } = this
    const { vocabulary } = setup
    const length = text.length
    let i = from
    let tokenStart = -1
    let mixed = 0 // 1 for letters, 2 for digits
    while (i < to) {
      let code = text.charCodeAt(i)
      const kind = classOf(code)
      if (kind === OTHER) {
        if (tokenStart >= 0) {
          if (mixed === 3 || i - tokenStart >= LONG_TOKEN) token(this, tokenStart, i)
          tokenStart = -1
          mixed = 0
        }
        i++
        continue
      }
      const start = i
      if (kind === LETTER) {
        const capital = code > 127 || code < 97
        let hash = 0
        do {
          hash = hashStep(hash, code)
          if (++i >= length) break
          code = text.charCodeAt(i)
        } while (classOf(code) === LETTER)
        if (i - start === 2 && code === 32 && isDigit(this.code(i + 1))) insurance(this, start)
        if (vocabulary.mayHold(hash, capital)) this.#word(start, i, capital)
        if (tokenStart < 0) tokenStart = start
        mixed |= 1
      } else if (kind === DIGIT) {
        while (++i < length && isDigit(text.charCodeAt(i)));
        number(this, start, i)
        if (tokenStart < 0) tokenStart = start
        mixed |= 2
      } else if (kind === JOINS) {
        if (tokenStart < 0) tokenStart = start
        i++
      } else {
        if (tokenStart >= 0 && (mixed === 3 || i - tokenStart >= LONG_TOKEN))
          token(this, tokenStart, i)
        tokenStart = -1
        mixed = 0
        if (code === 64) at(this, i)
        else colon(this, i)
        i++
      }
    }
    if (tokenStart >= 0) token(this, tokenStart, this.#tokenEnd(i))
    return this
  }

  #tokenEnd(i: number): number {
    const limit = Math.min(this.text.length, i + LONGEST)
    while (i < limit && [LETTER, DIGIT, JOINS].includes(classOf(this.text.charCodeAt(i)))) i++
    return i
  }

  #flags(start: number, end: number): number {
    return this.setup.vocabulary.flags(this.text.slice(start, end))
  }

  #word(start: number, end: number, capital: boolean): void {
    if (end - start > LONGEST_WORD) return
    const flags = this.#flags(start, end)
    if (flags === 0) return
    this.#note(flags, end)
    if (flags & Word.rule) this.setup.rule?.(this, start, end)
    if (flags >= 1 << NOTES) word(this, start, end, flags, capital)
  }

  #note(flags: number, end: number): void {
    for (let i = 0; i < NOTES; i++) if (flags & (1 << i)) this.seen[i] = end
  }
}

const LONGEST_WORD = 40

function bit(flag: number): number {
  return 31 - Math.clz32(flag)
}
