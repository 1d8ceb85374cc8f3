import { secretKinds } from './kinds.js'
import type { Finding, Kind } from './kinds.js'

export interface Sample {
  before: string
  /** Keys, passwords and cards are masked. */
  text: string
  after: string
  score: number
}

export interface KindSummary {
  kind: Kind
  count: number
  samples: Sample[]
}

const CONTEXT = 24
const LONGEST = 48

/** Counts of what was found by kind, with some of it in its context. */
export class Summary {
  readonly #kinds = new Map<Kind, KindSummary>()

  /** @param samples how many are kept of each kind: the first one, and then ever later ones */
  constructor(readonly samples = 3) {}

  add(source: string, findings: readonly Finding[]): void {
    for (const { kind, start, end, score } of findings) {
      let entry = this.#kinds.get(kind)
      if (!entry) this.#kinds.set(kind, (entry = { kind, count: 0, samples: [] }))
      entry.count++
      // At 1, 10, 100 ...: they come from all over the data, whatever its size.
      if (entry.samples.length >= this.samples || entry.count < 10 ** entry.samples.length) continue
      const found = source.slice(start, end)
      const shown = found.length > LONGEST ? `${found.slice(0, LONGEST)}...` : found
      entry.samples.push({
        before: around(source, Math.max(0, start - CONTEXT), start, findings),
        text: secretKinds.has(kind) ? shown.replace(/(?<=.{3})[\p{L}\d]/gsu, '*') : oneLine(shown),
        after: around(source, end, end + CONTEXT, findings),
        score,
      })
    }
  }

  get total(): number {
    return [...this.#kinds.values()].reduce((sum, { count }) => sum + count, 0)
  }

  /** The most frequent first. */
  get kinds(): KindSummary[] {
    return [...this.#kinds.values()].sort((a, b) => b.count - a.count)
  }
}

/** Text beside a finding, without the secrets that stand in it. */
function around(source: string, start: number, end: number, findings: readonly Finding[]): string {
  let text = ''
  let done = start
  for (const finding of findings) {
    if (!secretKinds.has(finding.kind) || finding.end <= done || finding.start >= end) continue
    text += source.slice(done, Math.max(done, finding.start)) + '***'
    done = finding.end
  }
  return oneLine(text + source.slice(done, Math.max(done, end)))
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ')
}
