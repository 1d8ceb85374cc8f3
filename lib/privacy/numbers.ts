// What begins with a digit: numbers in groups, told apart by the lengths of the groups, what stands
// between them, and check digits.
import { card, isbn } from './checksums.js'
import { dottedIdentity } from './credentials.js'
import { digitIdentities } from './identities.js'
import type { Country, Kind } from './kinds.js'
import { internationalEnd, nationalForms, zeroLed } from './phones.js'
import { isDigit, isWordCode } from './scan.js'
import type { Scan } from './scan.js'
import { streetAround } from './streets.js'
import { Word } from './vocabulary.js'

const SPACE = 32
const DASH = 45
const DOT = 46
const SLASH = 47
const OPEN = 40
const CLOSE = 41
/** Stands for punctuation with spaces around it. */
const WIDE = 119
const MAX_GROUPS = 8
const MAX_DIGITS = 24

/** The groups of digits that begin at one place. One is used again and again: nothing is kept. */
export class Groups {
  count = 0
  /** Digits up to the end of each group. */
  readonly totals = new Int32Array(MAX_GROUPS)
  readonly starts = new Int32Array(MAX_GROUPS)
  readonly ends = new Int32Array(MAX_GROUPS)
  /** What stands after each group, 0 for nothing that leads to another. */
  readonly gaps = new Int32Array(MAX_GROUPS)

  read(text: string, start: number, end: number): void {
    let total = 0
    this.count = 0
    for (;;) {
      const n = this.count++
      total += end - start
      this.starts[n] = start
      this.ends[n] = end
      this.totals[n] = total
      this.gaps[n] = 0
      if (this.count === MAX_GROUPS || total > MAX_DIGITS) return
      const next = this.#gap(text, end, n)
      if (next === 0) return
      start = end = next
      while (isDigit(text.charCodeAt(end)) && end - start <= MAX_DIGITS) end++
    }
  }

  /** Where the group after a gap begins, 0 when there is none. */
  #gap(text: string, at: number, n: number): number {
    let gap = 0
    let i = at
    let spaces = 0
    for (; i < at + 3; i++) {
      const mark = markOf(text.charCodeAt(i))
      if (mark === 0) break
      if (mark === SPACE) spaces++
      else if (gap === 0) gap = mark
      else if (gap === CLOSE || mark === OPEN) gap = mark
      else return 0
    }
    if (i === at || !isDigit(text.charCodeAt(i)) || spaces > 2) return 0
    if (gap === 0 && spaces > 1) return 0
    const isWide = spaces > 0 && gap !== 0 && gap !== CLOSE && gap !== OPEN
    this.gaps[n] = gap === 0 ? SPACE : isWide ? WIDE : gap
    return i
  }

  /** The digits of the first groups. */
  digits(text: string, groups: number): string {
    let digits = ''
    for (let n = 0; n < groups; n++) digits += text.slice(this.starts[n], this.ends[n])
    return digits
  }
}

/** What a character between groups counts as, 0 for one that ends the number. */
function markOf(code: number): number {
  if (code === SPACE || code === 0xa0 || code === 0x202f || code === 0x2009) return SPACE
  if (code === DASH || code === 0x2010 || code === 0x2011 || code === 0x2013) return DASH
  return code === DOT || code === SLASH || code === OPEN || code === CLOSE ? code : 0
}

interface Form {
  kind: Kind
  country?: Country
  detail?: string
  score: number
  flag: number
  valid: (digits: string) => boolean
}

/** By shape: '3-2-4' is three, two and four digits with dashes between them. */
const forms = new Map<string, Form[]>()
// Totals of digits that a form has, to pass over all else.
const totals = new Set<number>()

function define(shape: string, form: Form): void {
  forms.set(shape, [...(forms.get(shape) ?? []), form])
  totals.add((shape.match(/\d+/g) ?? []).reduce((sum, size) => sum + Number(size), 0))
}
for (const { shapes, valid, country, name } of digitIdentities) {
  for (const [shape, score] of Object.entries(shapes)) {
    const flag = Word.identity
    define(shape, {
      kind: 'national-id',
      country,
      detail: `${country} ${name}`,
      score,
      flag,
      valid,
    })
  }
}
for (const { shapes, valid, country } of nationalForms) {
  for (const [shape, score] of Object.entries(shapes)) {
    define(shape, { kind: 'phone', country, detail: country, score, flag: Word.phone, valid })
  }
}
for (const groups of ['4 4 4 4', '4 4 4 4 3', '4 6 5', '4 6 4', '4 4 5']) {
  for (const shape of [groups, groups.replaceAll(' ', '-')])
    define(shape, { kind: 'card', score: 0.85, flag: Word.card, valid: card })
}
for (const length of [13, 14, 15, 16, 17, 18, 19]) {
  // The longer the number, the more of it a chance hit would have to get right.
  const score = length === 16 || length === 15 ? 0.75 : 0.45
  define(String(length), { kind: 'card', score, flag: Word.card, valid: card })
}

const groups = new Groups()

/** Looks at the run of digits [start, end) and the groups after it. */
export function number(scan: Scan, start: number, end: number): void {
  const { text } = scan
  const before = scan.code(start - 1)
  if (isWordCode(before) || end - start > MAX_DIGITS) return
  const beforeThat = scan.code(start - 2)
  const inside = start < scan.seriesEnd
  // A part of a longer number or token: 1.5, 2023-01, INV-7, 1,250, .001, 12:30, and an amount of money.
  if (before === DASH && isWordCode(beforeThat)) return
  if (!inside && (before === DOT || before === SLASH) && isDigit(beforeThat)) return
  if (before === DOT && !isWordCode(beforeThat)) return
  if (before === 44 && isDigit(beforeThat) && end - start === 3) return
  if (before === 58 && isDigit(beforeThat) && end - start <= 2) return
  if (before === 36 || before === 0x20ac || before === 0xa3) return

  groups.read(text, start, end)
  const total = groups.totals[groups.count - 1]!
  if (!inside) scan.seriesEnd = groups.ends[groups.count - 1]!
  if (end - start <= 5) streetAround(scan, start, end)
  if (total < 4 || (total < 7 && groups.count !== 4)) return
  if (groups.gaps[0] === DOT && ipv4(scan, before, beforeThat)) return
  if (total < 7 || start < scan.done) return
  if (groups.gaps[0] === DOT) dottedIdentity(scan, start)
  if (before === 43 || (text.startsWith('00', start) && !inside)) {
    const from = before === 43 ? start - 1 : start
    if (international(scan, from, before === 43 ? 0 : 2)) return
  }
  // In a path, a fragment or a query the number names a thing.
  if (before === SLASH || before === 35) return
  shaped(scan, start, inside)
  if (!inside && start >= scan.done) phoneByWord(scan, start)
}

function ipv4(scan: Scan, before: number, beforeThat: number): boolean {
  const { text } = scan
  if (groups.count < 4) return false
  let high = 0
  for (let n = 0; n < 4; n++) {
    const [from, to] = [groups.starts[n]!, groups.ends[n]!]
    const octet = Number(text.slice(from, to))
    if (to - from > 3 || octet > 255 || (to - from > 1 && text[from] === '0')) return false
    if (n < 3 && (groups.gaps[n] !== DOT || groups.starts[n + 1]! !== to + 1)) return false
    high = Math.max(high, octet)
  }
  const [start, end] = [groups.starts[0]!, groups.ends[3]!]
  const after = scan.code(end)
  if (isWordCode(after) || (after === DOT && isDigit(scan.code(end + 1)))) return false
  const first = text.slice(start, end)
  // What no host has, and the host itself.
  if (/^(?:0|127|22[4-9]|2[3-5]\d)\.|\.0\.0\.0$/.test(first)) return true
  // 2.4.1.7 is a version more often than an address, and so is what a product's name precedes.
  let score = high < 32 ? 0.45 : 0.75
  if (before === SLASH && beforeThat !== SLASH) score = 0.3
  if (after === DASH && isWordCode(scan.code(end + 1)) && !isDigit(scan.code(end + 1))) score -= 0.2
  scan.add('ip', start, end, scan.weigh(start, score, Word.network), 'IPv4')
  return true
}

function international(scan: Scan, start: number, prefix: number): boolean {
  const count = internationalEnd(scan.text, groups, prefix)
  if (count === 0) return false
  const end = groups.ends[count - 1]!
  if (isWordCode(scan.code(end)) || isWordCode(scan.code(start - 1))) return false
  const score = prefix === 0 ? 0.8 : 0.55
  // (+49) 171
  const inside = scan.text.slice(start, end)
  const isOpen = inside.includes(')') && !inside.includes('(') && scan.code(start - 1) === OPEN
  scan.done = phone(scan, isOpen ? start - 1 : start, end, score, 'international')
  return true
}

/** Tries every number of groups from the first one against the shapes that are known. */
function shaped(scan: Scan, start: number, inside: boolean): void {
  let shape = ''
  for (let n = 0; n < groups.count; n++) {
    shape += String(groups.ends[n]! - groups.starts[n]!)
    const known = totals.has(groups.totals[n]!) ? forms.get(shape) : undefined
    if (known) {
      const end = groups.ends[n]!
      const gap = groups.gaps[n]!
      // A tight mark and another digit: this is not the end.
      const open = gap !== 0 && gap !== SPACE && gap !== WIDE && gap !== OPEN
      if (!open && !isWordCode(scan.code(end))) tryForms(scan, known, start, end, n + 1, inside)
    }
    shape += String.fromCharCode(groups.gaps[n]!)
  }
}

function tryForms(
  scan: Scan,
  known: readonly Form[],
  start: number,
  end: number,
  count: number,
  inside: boolean,
): void {
  const digits = groups.digits(scan.text, count)
  if (isBook(digits, count)) return
  // In the middle of a row of numbers, or before its end, a match by chance is likely.
  const doubt = inside || groups.gaps[count - 1] === SPACE ? 0.15 : 0
  for (const { kind, country, detail, score, flag, valid } of known) {
    if (country && !scan.setup.countries.has(country)) continue
    if (!valid(digits)) continue
    const isClosed = groups.gaps[0] === CLOSE
    if (isClosed && scan.code(start - 1) !== OPEN) continue
    const from = isClosed ? start - 1 : start
    if (kind === 'phone') phone(scan, from, end, score - doubt, detail)
    else scan.add(kind, from, end, scan.weigh(start, score - doubt, flag), detail)
  }
}

/** National numbers that begin with 0, and any digits after a word for a telephone. */
function phoneByWord(scan: Scan, start: number): void {
  const { text } = scan
  const near = scan.near(start, Word.phone)
  const isZero = text.charCodeAt(start) === 48
  if (!near && !isZero) return
  const count = zeroLed(groups, near)
  if (count === 0) return
  const end = groups.ends[count - 1]!
  if (isWordCode(scan.code(end)) || isDate(text.slice(start, end))) return
  const digits = groups.digits(text, count)
  if (isBook(digits, count)) return
  let score = 0.3
  // 0 and the length of an area code, then the rest: so Europe writes it.
  if (isZero && digits[1] !== '0' && digits.length >= 9 && digits.length <= 12) {
    const area = groups.ends[0]! - start
    if (count > 1 && area >= 2 && area <= 5) score = 0.6
    else if (count === 1 && (digits.length === 10 || digits.length === 11)) score = 0.35
  } else if (isZero && count === 2 && groups.gaps[0] === SLASH && digits.length === 8) score = 0.5
  const from = groups.gaps[0] === CLOSE && scan.code(start - 1) === OPEN ? start - 1 : start
  phone(scan, from, end, score)
}

const EXTENSION = / {0,2}(?:x|ext\.?|extension|durchwahl|dw\.?) ?\d{1,6}(?!\w)/iy

/** A telephone number with the extension that may follow; returns its end. */
function phone(scan: Scan, start: number, end: number, score: number, detail?: string): number {
  EXTENSION.lastIndex = end
  const stop = end + (EXTENSION.exec(scan.text)?.[0].length ?? 0)
  scan.add('phone', start, stop, scan.weigh(start, score, Word.phone), detail)
  return stop
}

/** An ISBN: the check digit of the short one stands alone, the long one begins as no other number. */
function isBook(digits: string, count: number): boolean {
  const last = count - 1
  const isShort = count === 4 && groups.ends[last]! - groups.starts[last]! === 1
  return (digits.length === 13 || isShort) && isbn(digits)
}

const DATE = /^(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d\d)(?!\d)/

function isDate(text: string): boolean {
  return DATE.test(text)
}
