// What history.jsonl says, as pictures: throughput over commits, and the time of a step over the context and
// over the width.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Entry } from '../measure/history.js'
import type { Result } from '../measure/bench.js'
import { chart } from './chart.js'
import type { Chart, Series } from './chart.js'

/** Draws what the runs on the newest line's machine and device have measured. @returns the files */
export function plot(history: string, folder: string): string[] {
  const lines = existsSync(history) ? readFileSync(history, 'utf8').split('\n').filter(Boolean) : []
  const all = lines
    .map((line) => JSON.parse(line) as Entry)
    .filter(({ results }) => results?.some(({ group }) => group !== 'kernels'))
  const newest = all.at(-1)
  if (!newest) throw new Error(`${history} holds no run to draw: npm run bench -- train scale`)
  const entries = all.filter(
    ({ machine, device }) => machine === newest.machine && device === newest.device,
  )
  const where = `${newest.device}, ${newest.machine}`
  const scaled = entries.filter(({ results }) => results.some(({ sizes }) => sizes)).at(-1)
  const charts: Record<string, Chart> = { throughput: throughput(entries, where) }
  if (scaled) {
    const note = `${where}, at ${scaled.commit}: one sequence, 2 layers, forward, backward, AdamW`
    charts.context = overSizes(scaled.results, note, 'context')
    charts.width = overSizes(scaled.results, note, 'width')
  }
  mkdirSync(folder, { recursive: true })
  return Object.entries(charts).map(([name, each]) => {
    const file = path.join(folder, `${name}.svg`)
    writeFileSync(file, chart(each))
    return file
  })
}

/** Tokens a second of each case that has them, the newest run of each commit. */
function throughput(entries: Entry[], where: string): Chart {
  const measured = entries.flatMap(({ commit, results }) =>
    results.flatMap((result) => (result.tokens && !result.sizes ? { commit, ...result } : [])),
  )
  const commits = [...new Set(measured.map(({ commit }) => commit))]
  const found = new Map<string, Map<number, number>>()
  for (const { commit, name, tokens } of measured) {
    const points = found.get(name) ?? new Map<number, number>()
    found.set(name, points.set(commits.indexOf(commit), tokens))
  }
  if (found.size === 0)
    throw new Error('The history holds no throughput to draw: npm run bench -- train')
  const series = [...found].map(([name, points]) => ({
    name: name.replace(' (float32)', ''),
    points: [...points].map(([x, y]) => ({ x, y })),
  }))
  const every = Math.ceil(commits.length / 7) // what fits below the axis
  return {
    title: 'Throughput over commits',
    note: where,
    x: {
      label: 'commit',
      ticks: commits.map((text, at) => ({ at, text })).filter(({ at }) => at % every === 0),
    },
    y: { label: 'tokens a second', log: true },
    series,
  }
}

/** The time of a step over one size, a line for each of the other. */
function overSizes(results: Result[], note: string, over: 'context' | 'width'): Chart {
  const other = over === 'context' ? 'width' : 'context'
  const lines = new Map<number, Series>()
  for (const { sizes, seconds } of results) {
    if (!sizes) continue
    const name = other === 'width' ? `width ${sizes.width}` : `T ${sizes.context}`
    const line = lines.get(sizes[other]) ?? { name, points: [] }
    line.points.push({ x: sizes[over], y: 1e3 * seconds })
    lines.set(sizes[other], line)
  }
  const series = [...lines.values()]
  for (const { points } of series) points.sort((a, b) => a.x - b.x)
  const values = [...new Set(series.flatMap(({ points }) => points.map(({ x }) => x)))]
  return {
    title:
      over === 'context'
        ? 'Time of a training step over the context'
        : 'Time of a training step over the width',
    note,
    x: {
      label: over === 'context' ? 'context T, tokens' : 'width C, channels',
      log: true,
      ticks: values.map((at) => ({ at, text: String(at) })),
    },
    y: { label: 'milliseconds', log: true },
    series,
  }
}
