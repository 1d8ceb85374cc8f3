// The targets of the CPU engine, group by group: measured, kept in targets.json, and written into README.md.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { insert, markdown } from '../count/tables.js'
import { commit, machine } from '../measure/history.js'
import { measureAttention } from './attention.js'
import { Cores } from './cores.js'
import { measurePasses } from './passes.js'
import { measureMemory, measureStart } from './process.js'
import { measureProducts } from './products.js'
import { amount, giga, met, targetText } from './row.js'
import type { Found, Measured, Row } from './row.js'
import { measureSteps } from './steps.js'
import { measureWriting } from './writing.js'

const measures = {
  products: measureProducts,
  train: measureSteps,
  passes: measurePasses,
  attention: measureAttention,
  generate: measureWriting,
  memory: measureMemory,
  start: measureStart,
} satisfies Record<string, (cores: Cores) => Promise<Found>>
export type TargetGroup = keyof typeof measures
export const targetGroups = Object.keys(measures) as TargetGroup[]

export type Targets = Partial<Record<TargetGroup, Measured>>

/** Where the figures and the table are kept. */
export const targetFolder = fileURLToPath(new URL('..', import.meta.url))

export interface TargetOptions {
  tiny?: boolean
  /** Holds targets.json and README.md. */
  folder?: string
  /** Called with what was measured, as soon as a group is done and kept. */
  progress?(text: string): void
}

/** Measures groups of targets, one after the other. What is done is kept, whatever comes after it. */
export async function runTargets(
  groups: readonly TargetGroup[],
  { tiny = false, folder = targetFolder, progress = () => {} }: TargetOptions = {},
): Promise<void> {
  const file = `${folder}/targets.json`
  for (const group of groups) {
    const cores = new Cores(tiny)
    try {
      progress(`${group} ...`)
      const start = performance.now()
      const found = await measures[group](cores)
      const measured: Measured = {
        ...{ date: new Date().toISOString(), commit: commit(), machine: machine() },
        ...{ device: cores.name, ...found },
      }
      const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Targets) : {}
      const all = { ...kept, [group]: measured }
      writeFileSync(file, `${JSON.stringify(all, round, 1)}\n`)
      writeTable(all, `${folder}/README.md`)
      const seconds = (performance.now() - start) / 1000
      progress(`${found.rows.map(line).join('\n')}\n${group}: ${seconds.toFixed(0)} s`)
    } finally {
      cores.close()
    }
  }
}

const round = (_: string, value: unknown) =>
  typeof value === 'number' ? Number(value.toPrecision(5)) : value

const line = (row: Row) =>
  `  ${met(row) ? 'met   ' : 'missed'} ${row.name}: ${amount(row.value, row.target.unit)} ` +
  `(${row.detail}), ${targetText(row)}`

/** Rewrites the tables of README.md; what was written by hand into the last column stays. */
function writeTable(targets: Targets, readme: string): void {
  const text = readFileSync(readme, 'utf8')
  const reasons = reasonsOf(text)
  const measured = targetGroups.flatMap((group) => targets[group] ?? [])
  const rows = measured.flatMap((group) =>
    group.rows.map((row) => [
      row.name,
      targetText(row),
      `${met(row) ? '' : '**'}${amount(row.value, row.target.unit)}${met(row) ? '' : '**'}`,
      row.detail,
      group.commit,
      group.machine,
      met(row) ? '' : (reasons.get(row.name) ?? ''),
    ]),
  )
  const head = ['', 'target', 'measured', '', 'commit', 'machine', 'why it is missed']
  const tables = [
    markdown(head, rows),
    ...targetGroups.map((group) => ceilingsLine(group, targets[group])).filter(Boolean),
    ...measured
      .flatMap((group) => group.tables ?? [])
      .map(({ head, rows }) => markdown(head, rows)),
  ]
  writeFileSync(readme, insert(text, { targets: tables.join('\n\n') }))
}

/** The last cells of the table's rows, by the first ones. */
export function reasonsOf(readme: string): Map<string, string> {
  const section = readme.split('<!-- targets -->')[1]?.split('<!-- end -->')[0] ?? ''
  const cells = section.split('\n').map((line) => line.split(' | ').map((cell) => cell.trim()))
  return new Map(
    cells
      .filter((row) => row.length === 7)
      .map((row) => [row[0]!.replace(/^\| /, ''), row[6]!.replace(/ ?\|$/, '')]),
  )
}

/** What the rows of a group were held against. */
function ceilingsLine(group: TargetGroup, measured: Measured | undefined): string {
  const parts = Object.entries(measured?.ceilings ?? {}).map(([threads, found]) => {
    const rates = [
      found.flops?.float32 && `multiply-adds ${giga(found.flops.float32, 'GFLOP/s')}`,
      found.read && `read ${giga(found.read, 'GB/s')}`,
      found.bandwidth && `copy ${giga(found.bandwidth, 'GB/s')}`,
      found.stream && `past the caches ${giga(found.stream, 'GB/s')}`,
    ]
    return `${threads} thread${threads === '1' ? '' : 's'}: ${rates.filter(Boolean).join(', ')}`
  })
  return parts.length ? `${group}, ${measured!.device}: ${parts.join('; ')}.` : ''
}
