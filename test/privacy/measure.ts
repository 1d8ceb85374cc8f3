// Precision and recall of what is found against labels.
import type { Labelled } from './labelled.js'

export interface Figures {
  truths: number
  /** Truths of which a finding of the same kind covers at least 80 %. */
  found: number
  /** Truths of which findings of any kind cover at least 80 %: they do not leak. */
  covered: number
  findings: number
  /** Findings at least half of which is a truth of the same kind. */
  right: number
}

export interface Mistake {
  kind: string
  text: string
  context: string
  what: 'missed' | 'wrong'
}

interface Span {
  kind: string
  start: number
  end: number
}

const overlap = (a: Span, b: Span) =>
  Math.max(0, Math.min(a.end, b.end) - Math.max(a.start, b.start))
const share = (span: Span, others: readonly Span[]) =>
  others.reduce((sum, other) => sum + overlap(span, other), 0) / (span.end - span.start)

/** Figures by kind, with those of all kinds together under 'all'. */
export function measure(
  documents: readonly Labelled[],
  find: (text: string) => readonly Span[],
): { figures: Map<string, Figures>; mistakes: Mistake[] } {
  const figures = new Map<string, Figures>()
  const mistakes: Mistake[] = []
  const count = (kind: string, key: keyof Figures) => {
    for (const name of [kind, 'all']) {
      const entry = figures.get(name) ?? { truths: 0, found: 0, covered: 0, findings: 0, right: 0 }
      entry[key]++
      figures.set(name, entry)
    }
  }
  for (const { text, truths } of documents) {
    const findings = find(text)
    const mistake = (what: Mistake['what'], { kind, start, end }: Span) =>
      mistakes.push({
        kind,
        what,
        text: text.slice(start, end),
        context: text.slice(Math.max(0, start - 30), end + 15),
      })
    for (const truth of truths) {
      count(truth.kind, 'truths')
      const same = findings.filter(({ kind }) => kind === truth.kind)
      if (share(truth, same) >= 0.8) count(truth.kind, 'found')
      else mistake('missed', truth)
      if (share(truth, findings) >= 0.8) count(truth.kind, 'covered')
    }
    for (const finding of findings) {
      count(finding.kind, 'findings')
      const same = truths.filter(({ kind }) => kind === finding.kind)
      if (share(finding, same) >= 0.5) count(finding.kind, 'right')
      else mistake('wrong', finding)
    }
  }
  return { figures, mistakes }
}

export const recall = ({ found, truths }: Figures) => (truths === 0 ? 1 : found / truths)
export const precision = ({ right, findings }: Figures) => (findings === 0 ? 1 : right / findings)

/** The figures as a table in Markdown. */
export function table(figures: Map<string, Figures>): string {
  const names = [...figures.keys()].filter((name) => name !== 'all').sort()
  const rows = [...names, 'all'].map((name) => {
    const entry = figures.get(name)!
    const { truths, findings } = entry
    const leaks = truths - entry.covered
    return (
      `| ${name} | ${truths} | ${recall(entry).toFixed(3)} | ${findings} | ` +
      `${precision(entry).toFixed(3)} | ${leaks} |\n`
    )
  })
  return (
    '| kind | in the set | recall | found | precision | left uncovered |\n' +
    `|---|---:|---:|---:|---:|---:|\n${rows.join('')}`
  )
}
