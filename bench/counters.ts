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
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { update: { type: 'boolean', default: false } },
})
const reason =
  lacking() ?? (values.update && ladderNeeds() ? 'the ladder needs nvcc and c++' : null)
if (reason || (values.update && positionals.length > 0)) {
  console.error(`error: ${reason ?? '--update counts everything: leave the pattern out'}`)
  process.exit(2)
}

const report = count({ pattern: positionals[0] })
const file = here('counters.json')
if (values.update) {
  writeFileSync(file, format(report))
  const readme = here('README.md')
  writeFileSync(readme, insert(readFileSync(readme, 'utf8'), tables(report)))
}
for (const [name, table] of Object.entries(tables(report))) console.log(`\n${name}\n\n${table}`)
const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : null
const got = before ? compare(report, before) : []
for (const line of got) console.error(`worse: ${line}`)
process.exitCode = got.length > 0 ? 1 : 0
