// What happens to what is found.
import { createHmac } from 'node:crypto'
import { checkKeys, outOfRange, wrongType } from '../errors.js'
import { Finder } from './find.js'
import type { FindOptions, NameSpan } from './find.js'
import { kinds, placeholders } from './kinds.js'
import type { Finding, Kind } from './kinds.js'
import { Pseudonyms } from './pseudonyms.js'
import { mapStrings } from './records.js'

/**
 * placeholder: `[EMAIL]`. mask: `****@****.**`, of long numbers the last four stay. hash:
 * `[EMAIL:hkcapjdofmbe]`, the same for the same text. pseudonym: an invented stand-in, the same for
 * the same text. keep: left, and counted. drop: the whole text goes.
 */
export type Operator = 'placeholder' | 'mask' | 'hash' | 'drop' | 'keep' | 'pseudonym'

export const operators: readonly Operator[] = [
  'placeholder',
  'mask',
  'hash',
  'drop',
  'keep',
  'pseudonym',
]

/** Finds names in a text: a model of the caller's. */
export type NameFinder = (text: string) => readonly NameSpan[] | Promise<readonly NameSpan[]>

/** What is looked for, and what is done with what is found. */
export interface ScrubOptions extends FindOptions {
  /** One for all kinds, or one by kind: those not named get a placeholder, the default. */
  operator?: Operator | Readonly<Record<string, Operator>>
  /** Where stand-ins come from. Default: a new table, which is lost with the Scrubber. */
  pseudonyms?: Pseudonyms
  /**
   * Finds persons and places in the place of the word lists. One that returns a promise works with
   * scrubLater() and with files only.
   */
  names?: NameFinder
}

/** A text without personal data, and what was found in it. */
export interface Scrubbed {
  text: string
  /** With places in the text before. */
  findings: Finding[]
  /** Whether a finding's operator is 'drop': the text is not to be used. */
  drop: boolean
}

/**
 * Finds personal data and secrets and puts something else in their place.
 *
 * @throws TypeError or RangeError naming the option that is wrong
 */
export class Scrubber {
  readonly finder: Finder
  readonly pseudonyms: Pseudonyms
  readonly names?: NameFinder
  readonly #operators: ReadonlyMap<string, Operator>
  readonly #default: Operator

  constructor(options: ScrubOptions = {}) {
    const { operator = 'placeholder', pseudonyms, names, ...find } = options
    this.finder = new Finder(find)
    const own = (options.rules ?? []).map(({ kind }) => kind)
    const denied = (options.deny ?? []).map((entry) =>
      typeof entry === 'string' ? 'denied' : entry.kind,
    )
    this.#operators = checkOperators(operator, [...kinds, ...own, ...denied])
    this.#default = typeof operator === 'string' ? operator : 'placeholder'
    if (pseudonyms !== undefined && !(pseudonyms instanceof Pseudonyms))
      throw wrongType('Pseudonyms', 'pseudonyms', pseudonyms)
    if (names !== undefined && typeof names !== 'function')
      throw wrongType('a function', 'names', names)
    this.pseudonyms = pseudonyms ?? new Pseudonyms()
    this.names = names
  }

  /** Whether any kind makes whole texts go. */
  get mayDrop(): boolean {
    return this.#default === 'drop' || [...this.#operators.values()].includes('drop')
  }

  /**
   * @param label the name of the field or the column that the text stands in: it tells a password
   *   or a date of birth from other words and dates
   * @throws TypeError when `names` returns a promise: see scrubLater()
   */
  scrub(text: string, label?: string): Scrubbed {
    if (typeof text !== 'string') throw wrongType('a string', 'text', text)
    const names = this.names?.(text)
    if (names instanceof Promise) {
      names.catch(() => {})
      throw wrongType('a function that returns an array (or use scrubLater)', 'names', names)
    }
    return this.#scrub(text, label, names)
  }

  /** As scrub(), for a finder of names that returns a promise. */
  async scrubLater(text: string, label?: string): Promise<Scrubbed> {
    if (typeof text !== 'string') throw wrongType('a string', 'text', text)
    return this.#scrub(text, label, await this.names?.(text))
  }

  /**
   * A record as JSON has them (a tree of objects, arrays and strings), with every string scrubbed
   * and all else as it was. The name of a field speaks for what stands in it.
   */
  scrubRecord<T>(record: T): { record: T; findings: Finding[]; drop: boolean } {
    const findings: Finding[] = []
    let drop = false
    const changed = mapStrings(record, (text, label) => {
      const result = this.scrub(text, label)
      for (const finding of result.findings) findings.push(finding)
      drop ||= result.drop
      return result.text
    })
    return { record: changed as T, findings, drop }
  }

  #scrub(text: string, label: string | undefined, names?: readonly NameSpan[]): Scrubbed {
    const checked = names === undefined ? [] : checkSpans(names, text.length)
    const words = label === undefined ? '' : labelWords(label)
    const findings = words
      ? this.finder.findLabelled(text, words, checked)
      : this.finder.find(text, checked)
    return { text: this.replace(text, findings), findings, drop: this.drops(findings) }
  }

  /** A text with its findings replaced. */
  replace(text: string, findings: readonly Finding[]): string {
    let result = ''
    let done = 0
    for (const { kind, start, end, text: found } of findings) {
      result += text.slice(done, start) + this.#standIn(kind, found)
      done = end
    }
    return done === 0 ? text : result + text.slice(done)
  }

  drops(findings: readonly Finding[]): boolean {
    return findings.some(({ kind }) => this.operatorOf(kind) === 'drop')
  }

  operatorOf(kind: Kind): Operator {
    return this.#operators.get(kind) ?? this.#default
  }

  #standIn(kind: Kind, text: string): string {
    const operator = this.operatorOf(kind)
    if (operator === 'keep') return text
    if (operator === 'mask') return mask(kind, text)
    if (operator === 'pseudonym') return this.pseudonyms.standIn(kind, text)
    const placeholder = placeholderOf(kind)
    if (operator !== 'hash') return placeholder
    // With a secret, since all telephone numbers can be tried.
    const hash = createHmac('sha256', this.pseudonyms.secret).update(`${kind}\0${text}`).digest()
    // In letters: digits might be taken for a telephone number the next time.
    const letters = Array.from(hash.subarray(0, 12), (byte) =>
      String.fromCharCode(97 + (byte & 15)),
    )
    return `${placeholder.slice(0, -1)}:${letters.join('')}]`
  }
}

export function placeholderOf(kind: Kind): string {
  const known: Readonly<Record<string, string>> = placeholders
  return Object.hasOwn(known, kind)
    ? known[kind]!
    : `[${kind === 'denied' ? 'REDACTED' : kind.toUpperCase().replaceAll('-', '_')}]`
}

const LAST = new Set<string>(['card', 'iban', 'phone'])

function mask(kind: Kind, text: string): string {
  const isLong = LAST.has(kind) && text.replace(/[^\p{L}\d]/gu, '').length >= 8
  const stays = isLong
    ? text.length - /(?:[^\p{L}\d]*[\p{L}\d]){4}$/u.exec(text)![0].length
    : text.length
  return text.slice(0, stays).replace(/[\p{L}\d]/gu, '*') + text.slice(stays)
}

function checkOperators(value: unknown, known: readonly string[]): ReadonlyMap<string, Operator> {
  if (typeof value === 'string') {
    checkOperator('operator', value)
    return new Map()
  }
  if (typeof value !== 'object' || value === null)
    throw wrongType(`one of ${operators.join(', ')}, or an object of them`, 'operator', value)
  checkKeys('operator', value, known)
  for (const [kind, operator] of Object.entries(value)) checkOperator(`operator.${kind}`, operator)
  return new Map(Object.entries(value) as [string, Operator][])
}

function checkOperator(name: string, value: unknown): void {
  if (!(operators as readonly unknown[]).includes(value))
    throw outOfRange(`one of ${operators.join(', ')}`, name, value)
}

function checkSpans(names: unknown, length: number): readonly NameSpan[] {
  if (!Array.isArray(names)) throw wrongType('an array', 'what names returns', names)
  for (const { start, end, kind } of names as NameSpan[]) {
    const isPlace = Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end
    if (!isPlace || end > length || (kind !== 'person' && kind !== 'place'))
      throw outOfRange(
        `spans of kind person or place in 0 to ${length}`,
        'what names returns',
        `${kind} ${start}-${end}`,
      )
  }
  return names as NameSpan[]
}

const LONGEST_LABEL = 60
const MOST_LABELS = 1000
const labels = new Map<string, string>()

/** The words of the name of a field: dateOfBirth and user_password speak too. */
function labelWords(label: string): string {
  const known = labels.get(label)
  if (known !== undefined) return known
  const words = label
    .slice(0, LONGEST_LABEL)
    .replace(/(\p{Ll})(\p{Lu})/gu, '$1 $2')
    .replace(/[^\p{L}\d]+/gu, ' ')
    .trim()
    .toLowerCase()
  if (labels.size < MOST_LABELS && label.length <= LONGEST_LABEL) labels.set(label, words)
  return words
}
