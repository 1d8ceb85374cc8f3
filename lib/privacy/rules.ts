import { checkKeys, checkNumber, wrongType } from '../errors.js'
import type { Kind } from './kinds.js'
import { Pattern } from './pattern.js'
import { isWordCode } from './scan.js'
import type { Scan } from './scan.js'

/** What to find besides the built-in kinds. */
export interface Rule {
  kind: Kind
  /** Words or phrases, found whatever their case where no letter or digit stands beside them. */
  words?: readonly string[]
  /**
   * A regular expression. It is matched in linear time: one with a back reference, lookahead or
   * lookbehind is refused. ^ and $ are the ends of lines; a match has at most 512 characters.
   */
  pattern?: string | RegExp
  /** Has the last word on what `words` or `pattern` found: a check digit, a list. */
  check?: (text: string) => boolean
  /** 0 to 1, default 0.8. */
  score?: number
}

interface Phrase {
  text: string
  /** Where its first run of letters begins. */
  offset: number
  rule: Rule
}

const RULE_NAMES = ['kind', 'words', 'pattern', 'check', 'score']
const DENIED: Kind = 'denied'
const LETTERS = /\p{L}+/u

/** The custom rules and the deny list, made ready. */
export class Rules {
  readonly kinds = new Set<string>()
  /** First words of the phrases, lower case: where the scan stops for them. */
  readonly firstWords = new Set<string>()
  readonly #phrases = new Map<string, Phrase[]>()
  readonly #patterns: { pattern: Pattern; rule: Rule }[] = []

  constructor(rules: readonly Rule[], deny: readonly (string | { text: string; kind: Kind })[]) {
    if (!Array.isArray(rules)) throw wrongType('an array of rules', 'rules', rules)
    if (!Array.isArray(deny)) throw wrongType('an array of texts', 'deny', deny)
    for (const rule of rules) this.#addRule(rule as Rule)
    for (const entry of deny as (string | { text: string; kind: Kind })[]) {
      const { text, kind } = typeof entry === 'string' ? { text: entry, kind: DENIED } : entry
      if (typeof text !== 'string' || text === '') throw wrongType('texts', 'deny', entry)
      this.#addPhrase(text, { kind: checkKind(kind, 'deny'), score: 0.99 })
    }
  }

  #addRule(rule: Rule): void {
    if (typeof rule !== 'object' || rule === null) throw wrongType('a rule', 'rules', rule)
    checkKeys('a rule', rule, RULE_NAMES)
    checkKind(rule.kind, 'kind of a rule')
    checkNumber('score of a rule', rule.score ?? 0, 0, 1)
    if (rule.words === undefined && rule.pattern === undefined)
      throw wrongType('words or a pattern', `the rule ${rule.kind}`, undefined)
    for (const text of rule.words ?? []) {
      if (typeof text !== 'string' || text === '')
        throw wrongType('texts', `words of the rule ${rule.kind}`, text)
      this.#addPhrase(text, rule)
    }
    if (rule.pattern !== undefined) {
      this.kinds.add(rule.kind)
      this.#patterns.push({ pattern: new Pattern(rule.pattern), rule })
    }
  }

  #addPhrase(text: string, rule: Rule): void {
    this.kinds.add(rule.kind)
    const lower = text.toLowerCase()
    const first = LETTERS.exec(lower)
    if (first && first[0].length <= 40) {
      this.firstWords.add(first[0])
      const phrases = this.#phrases.get(first[0]) ?? []
      this.#phrases.set(first[0], [...phrases, { text: lower, offset: first.index, rule }])
    } else {
      const source = [...text].map((c) => `\\u{${c.codePointAt(0)!.toString(16)}}`).join('')
      this.#patterns.push({ pattern: new Pattern(new RegExp(source, 'u')), rule })
    }
  }

  /** Phrases whose first run of letters is [start, end). */
  words(scan: Scan, start: number, end: number): void {
    const first = scan.text.slice(start, end).toLowerCase()
    for (const { text, offset, rule } of this.#phrases.get(first) ?? []) {
      const from = start - offset
      const to = from + text.length
      if (from >= 0 && scan.text.slice(from, to).toLowerCase() === text) add(scan, from, to, rule)
    }
  }

  patterns(scan: Scan, from: number, to: number): void {
    for (const { pattern, rule } of this.#patterns) {
      for (const [start, end] of pattern.matches(scan.text, from, to)) {
        if (rule.pattern !== undefined) add(scan, start, end, rule, true)
        else add(scan, start, end, rule)
      }
    }
  }
}

function add(scan: Scan, start: number, end: number, rule: Rule, isFree = false): void {
  // A pattern says itself what may stand beside it.
  const isPart =
    (isWordCode(scan.code(start)) && isWordCode(scan.code(start - 1))) ||
    (isWordCode(scan.code(end - 1)) && isWordCode(scan.code(end)))
  if (!isFree && isPart) return
  if (rule.check && !rule.check(scan.text.slice(start, end))) return
  scan.add(rule.kind, start, end, rule.score ?? 0.8)
}

function checkKind(kind: unknown, name: string): Kind {
  if (typeof kind === 'string' && /^[a-z][a-z0-9-]{0,39}$/.test(kind)) return kind
  throw wrongType('a kind (small letters, digits and dashes)', name, kind)
}
