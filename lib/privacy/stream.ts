// Texts that come in pieces: what lies across two of them is found, and memory does not grow with
// the text.
import { GptloomError } from '../errors.js'
import type { Finding } from './kinds.js'
import { LEFT, LONGEST } from './scan.js'
import type { Scrubber } from './scrubber.js'

/** Held back at the end of what has come: no finding that begins before it goes on past it. */
const MARGIN = 4 * LONGEST
const BLOCK = 1 << 19
const LONGEST_LINE = 1 << 24

export interface Piece {
  text: string
  /** What was found in `source`. */
  findings: readonly Finding[]
  source: string
  /** Lines left out since something in them asked for it. */
  dropped: number
}

export class TextScrubber {
  #text = ''
  /** Up to here the text is out already and only context for what follows. */
  #from = 0
  #waitFor = BLOCK + MARGIN

  /**
   * @param lines whether the operator 'drop' takes out lines; without it nothing is dropped here
   */
  constructor(
    readonly scrubber: Scrubber,
    readonly lines: boolean,
  ) {}

  /**
   * Takes the next part of the text.
   *
   * @param last whether nothing follows
   * @returns what is ready, undefined when more has to come first
   * @throws GptloomError('ERR_DATA') for a line too long to be dropped as a whole
   */
  async push(text: string, last = false): Promise<Piece | undefined> {
    this.#text += text
    if (!last && this.#text.length - this.#from < this.#waitFor) return undefined
    const { scrubber } = this
    const source = this.#text
    const from = this.#from
    const limit = last ? source.length : source.length - MARGIN
    const needsLine = this.lines && scrubber.mayDrop && !last
    if (needsLine && source.lastIndexOf('\n', limit - 1) < from) return this.#wait()
    const names = scrubber.names ? await this.#names(source, from) : []
    const candidates = scrubber.finder.candidates(source, from, limit, names)
    const cut = last ? limit : this.#cut(candidates, from, limit)
    if (cut === from && !last) return this.#wait()
    this.#waitFor = BLOCK + MARGIN
    const findings = scrubber.finder.resolve(candidates.filter(({ start }) => start < cut))
    const piece = this.#replace(source, from, cut, findings)
    const keep = Math.max(0, cut - LEFT)
    this.#text = source.slice(keep)
    this.#from = cut - keep
    return piece
  }

  /** For the end of the line. */
  #wait(): undefined {
    if (this.#text.length - this.#from > LONGEST_LINE) throw tooLong()
    this.#waitFor += BLOCK
    return undefined
  }

  async #names(source: string, from: number) {
    const names = await this.scrubber.names!(source.slice(from))
    return names.map((span) => ({ ...span, start: span.start + from, end: span.end + from }))
  }

  /** The last place up to the limit that lies in nothing found. */
  #cut(candidates: Finding[], from: number, limit: number): number {
    let cut = limit
    for (const { start, end } of candidates.sort((a, b) => b.start - a.start)) {
      if (start < cut && end > cut) cut = start
    }
    // A chain of overlapping findings as long as all this is broken anywhere.
    if (cut <= from) cut = limit
    if (!this.lines || !this.scrubber.mayDrop) return cut
    return Math.max(from, this.#text.lastIndexOf('\n', cut - 1) + 1)
  }

  #replace(source: string, from: number, cut: number, findings: Finding[]): Piece {
    const { scrubber } = this
    let text = ''
    let done = from
    let dropped = 0
    let group: Finding[] = []
    const flush = (end: number) => {
      if (end > done) text += replaced(scrubber, source, done, end, group)
      group = []
    }
    for (const finding of findings) {
      if (finding.end <= done && dropped > 0) continue
      if (!this.lines || scrubber.operatorOf(finding.kind) !== 'drop') {
        if (finding.start >= done) group.push(finding)
        continue
      }
      const lineStart = Math.max(done, source.lastIndexOf('\n', finding.start - 1) + 1)
      const newline = source.indexOf('\n', Math.max(finding.end - 1, lineStart))
      const lineEnd = newline < 0 ? cut : newline + 1
      group = group.filter(({ end }) => end <= lineStart)
      flush(lineStart)
      dropped += source.slice(lineStart, lineEnd).trimEnd().split('\n').length
      done = Math.max(done, lineEnd)
    }
    flush(Math.max(cut, done))
    return { text, findings, source, dropped }
  }
}

/** source[start, end) with the findings in it replaced. */
function replaced(
  scrubber: Scrubber,
  source: string,
  start: number,
  end: number,
  findings: readonly Finding[],
): string {
  const moved = findings.map((finding) => ({
    ...finding,
    start: finding.start - start,
    end: finding.end - start,
  }))
  return scrubber.replace(source.slice(start, end), moved)
}

function tooLong(): GptloomError {
  return new GptloomError(
    'ERR_DATA',
    `A line of more than ${LONGEST_LINE >> 20} MB cannot be dropped as a whole: use another operator`,
  )
}
