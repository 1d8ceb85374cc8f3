// npm run counters [-- pattern] [--update]: what the shipped kernels move and compute at GPT-2 124M's
// shapes, counted on the emulated GPU, against bench/counters.json. Ends with 1 where a figure got worse
// by more than 2 %. --update writes counters.json and the tables of bench/README.md.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compare, count, format, lacking } from './count/count.js'
import type { Report } from './count/count.js'
import { ladderNeeds } from './count/ladder.js'
import { insert, tables } from './count/tables.js'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const file = here('counters.json')

function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { update: { type: 'boolean', default: false } },
  })
  const reason = lacking()
  if (reason) throw new Error(reason)
  if (values.update) update(positionals)
  else check(positionals[0])
}

function update(positionals: string[]): void {
  if (positionals.length > 0) throw new Error('--update counts everything: leave the pattern out')
  const missing = ladderNeeds()
  if (missing) throw new Error(`the ladder needs ${missing} on the PATH`)
  const report = count()
  const readme = here('README.md')
  writeFileSync(readme, insert(readFileSync(readme, 'utf8'), tables(report)))
  writeFileSync(file, format(report))
  print(report)
}

function check(pattern?: string): void {
  const report = count({ pattern })
  if (report.ops.length === 0) throw new Error(`no op matches ${pattern}`)
  print(report)
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : null
  const worse = before ? compare(report, before) : []
  for (const line of worse) console.error(`worse: ${line}`)
  process.exitCode = worse.length > 0 ? 1 : 0
}

function print(report: Report): void {
  for (const [name, table] of Object.entries(tables(report))) console.log(`\n${name}\n\n${table}`)
}

try {
  main()
} catch (error) {
  console.error(`error: ${(error as Error).message}`)
  process.exitCode = 2
}
