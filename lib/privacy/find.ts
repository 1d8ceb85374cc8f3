// From what the scan comes upon to what is reported: thresholds, lists, and one finding for each
// stretch of text.
import { checkKeys, checkNumber, wrongType } from '../errors.js'
import { checkNames, countries, defaultKinds, kinds } from './kinds.js'
import type { Country, Finding, Kind } from './kinds.js'
import { Rules } from './rules.js'
import type { Rule } from './rules.js'
import { LEFT, Scan, isWordCode } from './scan.js'
import type { Setup } from './scan.js'
import { Vocabulary } from './vocabulary.js'

/** Which personal data is looked for. */
export interface FindOptions {
  /** Built-in kinds to look for. Default: all but 'place'. */
  kinds?: readonly string[]
  /** Countries whose identity numbers and telephone numbers are looked for. Default: all known. */
  countries?: readonly Country[]
  /** Findings with a lower score are not reported: 0 to 1, default 0.5. */
  threshold?: number
  /**
   * Texts that are not to be found, whatever their case; '@acme.com' stands for every address there.
   */
  allow?: readonly string[]
  /** Texts that are always to be found, as kind 'denied', or as the kind given. */
  deny?: readonly (string | { text: string; kind: Kind })[]
  /** Own kinds, or more of the built-in ones. */
  rules?: readonly Rule[]
}

/** A name that a model has found, in UTF-16 units of the text it was given. */
export interface NameSpan {
  start: number
  end: number
  kind: 'person' | 'place'
  /** 0 to 1, default 0.85. */
  score?: number
}

const OPTION_NAMES = ['kinds', 'countries', 'threshold', 'allow', 'deny', 'rules']

/** Options checked and made ready: build one for many texts. */
export class Finder {
  readonly #wanted: ReadonlySet<string>
  readonly #threshold: number
  readonly #allow: ReadonlySet<string>
  readonly #setup: Setup
  readonly #rules: Rules

  /** @throws TypeError or RangeError naming the option that is wrong */
  constructor(options: FindOptions = {}) {
    checkKeys('the options', options, OPTION_NAMES)
    const wanted = checkNames('kinds', options.kinds ?? defaultKinds, kinds)
    this.#threshold = checkNumber('threshold', options.threshold ?? 0.5, 0, 1)
    this.#allow = new Set(
      checkTexts('allow', options.allow ?? []).map((text) => text.toLowerCase()),
    )
    this.#rules = new Rules(options.rules ?? [], options.deny ?? [])
    this.#wanted = new Set<string>([...wanted, ...this.#rules.kinds])
    this.#setup = {
      vocabulary: new Vocabulary(this.#rules.firstWords),
      countries: checkNames('countries', options.countries ?? countries, countries),
      names: wanted.has('person') || wanted.has('place'),
      rule: (scan, start, end) => this.#rules.words(scan, start, end),
    }
  }

  /**
   * What is found in a text, in order and without overlaps.
   *
   * @param names what a model for names has found in it
   */
  find(text: string, names: readonly NameSpan[] = []): Finding[] {
    return this.resolve(this.candidates(text, 0, text.length, names))
  }

  /**
   * As find(), with what the words of `label` say of the text: the name of the column or the field
   * that it stands in.
   */
  findLabelled(text: string, label: string, names: readonly NameSpan[] = []): Finding[] {
    const shift = label.length + 1
    const whole = `${label}=${text}`
    const found = this.candidates(whole, shift, whole.length, moved(names, shift))
    return found.length === 0 ? found : moved(this.resolve(found), -shift)
  }

  /**
   * All that begins in [from, to) and passes the threshold, overlapping and not sorted; the text
   * before `from` is context.
   */
  candidates(text: string, from: number, to: number, names: readonly NameSpan[] = []): Finding[] {
    const scan = new Scan(text, this.#setup).run(wordStart(text, from - LEFT), to)
    this.#rules.patterns(scan, from, to)
    const found = this.#setup.names ? addNames(scan.found, text, names) : scan.found
    if (found.length === 0) return found
    return found.filter(
      ({ start, end, score }) =>
        start >= from && start < to && end <= text.length && score >= this.#threshold,
    )
  }

  /** One finding for each stretch: the surer, then the longer of two that overlap. */
  resolve(candidates: Finding[]): Finding[] {
    const found = candidates.sort((a, b) => a.start - b.start || b.end - a.end)
    const kept: Finding[] = []
    for (let i = 0; i < found.length;) {
      let end = found[i]!.end
      let next = i + 1
      while (next < found.length && found[next]!.start < end) {
        end = Math.max(end, found[next++]!.end)
      }
      if (next === i + 1) kept.push(found[i]!)
      else kept.push(...best(found.slice(i, next)))
      i = next
    }
    return kept.filter((finding) => this.#wanted.has(finding.kind) && !this.#isAllowed(finding))
  }

  #isAllowed({ text }: Finding): boolean {
    if (this.#allow.size === 0) return false
    const lower = text.toLowerCase()
    const host = lower.lastIndexOf('@')
    return this.#allow.has(lower) || (host > 0 && this.#allow.has(lower.slice(host)))
  }
}

/** The place itself, or the end of the word that it cuts. */
function wordStart(text: string, at: number): number {
  if (at <= 0) return 0
  while (at < text.length && isWordCode(text.charCodeAt(at - 1))) at++
  return at
}

function moved<T extends { start: number; end: number }>(spans: readonly T[], by: number): T[] {
  return spans.map((span) => ({ ...span, start: span.start + by, end: span.end + by }))
}

/** The model knows better than the lists: what they found of persons and places goes. */
function addNames(found: Finding[], text: string, names: readonly NameSpan[]): Finding[] {
  if (names.length === 0) return found
  const own = names.map(({ start, end, kind, score = 0.85 }) => ({
    kind,
    start,
    end,
    text: text.slice(start, end),
    score,
  }))
  return [...found.filter(({ kind }) => kind !== 'person' && kind !== 'place'), ...own]
}

/** Of findings that overlap in a chain: the best, and then the best of what it leaves free. */
function best(chain: Finding[]): Finding[] {
  const kept: Finding[] = []
  const first = chain[0]!.start
  const taken = new Uint8Array(
    chain.reduce((end, finding) => Math.max(end, finding.end), 0) - first,
  )
  const order = [...chain].sort(
    (a, b) => rank(b) - rank(a) || b.end - b.start - (a.end - a.start) || a.start - b.start,
  )
  for (const finding of order) {
    const place = taken.subarray(finding.start - first, finding.end - first)
    if (place.includes(1)) continue
    place.fill(1)
    kept.push(finding)
  }
  return kept.sort((a, b) => a.start - b.start)
}

/** Differences of score below a fiftieth do not outweigh length. */
function rank({ score }: Finding): number {
  return Math.round(score * 50)
}

export function checkTexts(name: string, value: unknown): readonly string[] {
  const isList = Array.isArray(value) && value.every((text) => typeof text === 'string' && text)
  if (!isList) throw wrongType('an array of texts that are not empty', name, value)
  return value as string[]
}

/**
 * Personal data and secrets in a text, in order and without overlaps. To search many texts with the
 * same options, build a Scrubber.
 *
 * @throws TypeError or RangeError for an option that is wrong
 */
export function findPersonalData(text: string, options: FindOptions = {}): Finding[] {
  if (typeof text !== 'string') throw wrongType('a string', 'text', text)
  return new Finder(options).find(text)
}
