// The targets of the CPU engine, group by group: measured, kept in targets.json, and written into README.md.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { keepTable, markdown } from '../count/tables.js'
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

/** By machine and device, as settingOf() names them. */
export type Targets = Record<string, Partial<Record<TargetGroup, Measured>>>

const settingOf = ({ machine, device }: Pick<Measured, 'machine' | 'device'>) =>
  `${machine}, ${device}`

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
  mkdirSync(folder, { recursive: true })
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
      const setting = settingOf(measured)
      const all = { ...kept, [setting]: { ...kept[setting], [group]: measured } }
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
  const text = existsSync(readme) ? readFileSync(readme, 'utf8') : ''
  const settings = Object.keys(targets)
  const head = ['', 'target', ...settings, 'why it is missed']
  const tables = [markdown(head, rowsOf(targets, reasonsOf(text)))]
  for (const setting of settings) {
    const groups = targetGroups.flatMap((group) => targets[setting]![group] ?? [])
    const lines = targetGroups.map((group) => ceilingsLine(group, targets[setting]![group]))
    tables.push(`${setting}:`, lines.filter(Boolean).join('\n'))
    for (const { head, rows } of groups.flatMap((group) => group.tables ?? []))
      tables.push(markdown(head, rows))
  }
  keepTable(readme, 'targets', tables.join('\n\n'))
}

/** The table's rows: what each setting reached, and why one misses it. */
function rowsOf(targets: Targets, reasons: Map<string, string>): string[][] {
  const settings = Object.values(targets)
  return targetGroups.flatMap((group) => {
    const found = settings.map((setting) => setting[group])
    const rows = found.flatMap((measured) => measured?.rows ?? [])
    return [...new Set(rows.map(({ name }) => name))].map((name) => {
      const each = found.map((measured) => measured?.rows.find((row) => row.name === name))
      const missed = each.some((row) => row && !met(row))
      return [
        name,
        targetText(rows.find((row) => row.name === name)!),
        ...each.map((row, i) => (row ? cell(row, found[i]!.commit) : '')),
        missed ? (reasons.get(name) ?? '') : '',
      ]
    })
  })
}

/** What was measured, and at which commit; bold where it misses the target. */
function cell(row: Row, commit: string): string {
  const value = amount(row.value, row.target.unit)
  return `${met(row) ? value : `**${value}**`} (${row.detail}; ${commit})`
}

/** The last cells of the first table's rows, by the first ones. */
export function reasonsOf(readme: string): Map<string, string> {
  const section = readme.split('<!-- targets -->')[1]?.split('<!-- end -->')[0] ?? ''
  const [table = ''] = section.trimStart().split('\n\n')
  const rows = table.split('\n').map((line) => line.slice(2, -2).split(' | '))
  const columns = rows[0]!.length
  return new Map(
    rows.filter((row) => row.length === columns).map((row) => [row[0]!.trim(), row.at(-1)!.trim()]),
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
  return parts.length ? `- ${group}: ${parts.join('; ')}` : ''
}
