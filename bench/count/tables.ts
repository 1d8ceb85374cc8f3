// The tables of bench/README.md, from what was counted.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Counted, Report } from './count.js'
import { missed } from './count.js'
import { shipped } from './ladder.js'
import { ops as allOps } from './ops.js'
import { FLOPS, TOKENS, machines, roofline } from './roofline.js'

/** Tables by the name of their place in the README. */
export function tables(report: Report): Record<string, string> {
  return {
    counters: countersTable(report),
    missed: missedList(report),
    kernels: kernelsTable(report),
    ladder: ladderTable(report),
    roofline: rooflineTable(report),
  }
}

/** Puts tables between `<!-- name -->` and `<!-- end -->`. */
export function insert(text: string, tables: Record<string, string>): string {
  return Object.entries(tables).reduce((text, [name, table]) => {
    const [begin, end] = [`<!-- ${name} -->\n`, '<!-- end -->']
    const from = text.indexOf(begin) + begin.length
    if (from < begin.length) throw new Error(`README.md has no place for ${name}`)
    return `${text.slice(0, from)}\n${table}\n\n${text.slice(text.indexOf(end, from))}`
  }, text)
}

/** Writes a table into a README, at its place; at the end of one that has none, or is not there yet. */
export function keepTable(readme: string, name: string, table: string): void {
  const text = existsSync(readme) ? readFileSync(readme, 'utf8') : ''
  const place = `<!-- ${name} -->\n`
  const placed = text.includes(place) ? text : `${text}${text && '\n'}${place}<!-- end -->\n`
  writeFileSync(readme, insert(placed, { [name]: table }))
}

export function markdown(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i ? '---:' : '---'))), ...rows.map(line)].join('\n')
}

const percent = (x: number) => `${(100 * x).toFixed(1)} %`
const whole = (x: number) => x.toLocaleString('en-US')
const short = (dtype: string) => (dtype === 'bfloat16' ? 'bf16' : 'f32')

function cells({ figures }: Counted): string[] {
  return [
    figures.bytes.toFixed(3) + (figures.distinct ? ` (${figures.distinct.toFixed(3)})` : ''),
    percent(figures.sectorEfficiency),
    whole(figures.bankConflicts),
    figures.tensorShare === undefined ? '' : percent(figures.tensorShare),
    whole(figures.warpInstructions),
  ]
}
const columns = [
  'bytes / least',
  'sectors used',
  'bank conflicts',
  'tensor FLOPs',
  'warp instructions',
]

function countersTable({ ops }: Report): string {
  return markdown(
    ['op', 'dtype', 'counted at', ...columns, 'launches'],
    ops.map((op) => [
      op.name,
      short(op.dtype),
      op.shape,
      ...cells(op),
      String(op.figures.launches),
    ]),
  )
}

function kernelsTable({ kernels }: Report): string {
  return markdown(
    ['kernel', 'registers', 'spilled bytes', 'local bytes', 'occupancy'],
    kernels.map(({ name, registers, spills, stack, occupancy }) => [
      name,
      String(registers),
      String(spills),
      String(stack),
      percent(occupancy),
    ]),
  )
}

function missedList(report: Report): string {
  const lines = missed(report)
  return lines.length > 0 ? lines.map((line) => `- ${line}`).join('\n') : 'None.'
}

function ladderTable({ ladder, ops }: Report): string {
  const rows = Object.entries(shipped).flatMap(([name, change]) => {
    const rungs = ladder.filter(({ kernels, least }) => kernels.length > 0 && leads(least, name))
    const last = ops.find((op) => op.name === name && rungs.some(({ dtype }) => dtype === op.dtype))
    if (!last) return []
    const row = (rung: string, counted: Counted, change: string) => [
      `${name}, ${rung}`,
      ...cells(counted),
      change,
    ]
    return [...rungs.map((rung) => row(rung.name, rung, rung.shape)), row('shipped', last, change)]
  })
  return markdown(['rung', ...columns, 'what it does'], rows)

  function leads(least: number, name: string): boolean {
    return ops.some((op) => op.name === name && op.least === least)
  }
}

function rooflineTable(report: Report): string {
  const lines = roofline(report)
  if (lines.length < allOps.filter(({ step }) => step).length) return 'Only for the whole step.'
  const milliseconds = (seconds: number) => (1000 * seconds).toFixed(2)
  const total = machines.map((_, i) => lines.reduce((sum, { times }) => sum + times[i]!.seconds, 0))
  const rows = lines.map(({ name, times }) => [
    name,
    ...times.map(({ seconds, bound }) => `${milliseconds(seconds)} (${bound})`),
  ])
  const row = (name: string, of: (seconds: number, i: number) => string) => [
    `**${name}**`,
    ...total.map((seconds, i) => `**${of(seconds, i)}**`),
  ]
  return markdown(
    ['estimate, ms a step', ...machines.map(({ name }) => name)],
    [
      ...rows,
      row('whole step, at least', (seconds) => `${milliseconds(seconds)} ms`),
      row('tokens/s, at most', (seconds) => whole(Math.round(TOKENS / seconds))),
      row('TFLOP/s of the model', (seconds) => (FLOPS / seconds / 1e12).toFixed(0)),
    ],
  )
}
