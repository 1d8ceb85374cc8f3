// npm run bench -- targets at sizes that show only that it runs, and what becomes of its table.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { keepTable } from '../../bench/count/tables.js'
import { met, targetText } from '../../bench/targets/row.js'
import type { Row } from '../../bench/targets/row.js'
import { reasonsOf, runTargets, targetGroups } from '../../bench/targets/targets.js'
import type { Targets } from '../../bench/targets/targets.js'
import { cpuInfo, run } from './run.js'

const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-targets-'))
test.after(() => rmSync(folder, { recursive: true }))
const readme = path.join(folder, 'README.md')
const table = () => readFileSync(readme, 'utf8')
const all = () => JSON.parse(readFileSync(path.join(folder, 'targets.json'), 'utf8')) as Targets
/** What stands of this machine. */
const kept = () => Object.values(all())[0]!

test('a target is met from its bound on', () => {
  const row = (target: Row['target'], value: number) => ({ name: '', target, value, detail: '' })
  const least = { least: 0.92, unit: '%', of: 'FMA peak' } as const
  assert.ok(met(row(least, 0.92)) && !met(row(least, 0.9199)) && !met(row(least, NaN)))
  assert.ok(met(row({ most: 40, unit: 'ms' }, 40)) && !met(row({ most: 40, unit: 'ms' }, 40.1)))
  assert.is(targetText(row(least, 1)), 'at least 92 % of FMA peak')
  assert.is(targetText(row({ most: 2.9, unit: 'GB' }, 1)), 'at most 2.90 GB')
})

test('every group is measured, kept and written into the table', async () => {
  writeFileSync(readme, 'before\n<!-- targets -->\n\n<!-- end -->\nafter\n')
  const said: string[] = []
  await runTargets(targetGroups, { tiny: true, folder, progress: (text) => said.push(text) })
  assert.equal(Object.keys(kept()), targetGroups)
  const rows = targetGroups.flatMap((group) => kept()[group]!.rows)
  const threads = cpuInfo().threads
  assert.is(rows.length, threads === 1 ? 23 : threads === 2 ? 29 : 28)
  for (const { name, value } of rows) {
    assert.ok(Number.isFinite(value) && value > 0, `${name}: ${value}`)
    assert.ok(table().includes(`\n| ${name} | `), name)
    assert.ok(
      said.some((text) => text.includes(` ${name}: `)),
      name,
    )
  }
  for (const group of ['products', 'train', 'attention', 'generate'] as const)
    assert.ok(kept()[group]!.ceilings[threads]!.flops!.float32! > 1e6, group)
  assert.match(table(), /^before\n/)
  assert.match(table(), /\nafter\n$/)
})

test('a group alone replaces its own figures; reasons written by hand stay with what is missed', () => {
  const before = kept()
  const [row] = table().match(/^\| matrix products, dx, 1 thread .*$/m)!
  writeFileSync(readme, table().replace(row, row.replace(/\|$/, 'caches | too small |')))
  // A row of the table has no bar of its own: what stands behind one is not the reason.
  assert.is(reasonsOf(table()).get('matrix products, dx, 1 thread'), undefined)
  writeFileSync(readme, table().replace(/ caches \| too small \|$/m, ' caches are too small |'))
  const { status, error } = run('targets', 'generate', '--folder', folder)
  assert.is(status, 0, error)
  assert.match(table(), /^\| matrix products, dx, 1 thread .*\| caches are too small \|$/m)
  assert.is(kept().products!.date, before.products!.date)
  assert.is.not(kept().generate!.date, before.generate!.date)
})

test('every machine and instruction set has a column, and a missed target one reason', () => {
  const [[setting, groups]] = Object.entries(all()) as [[string, Targets['']]]
  const generate = structuredClone(groups.generate!)
  generate.device += ', another'
  generate.rows[0]!.value = 1e-9
  const file = path.join(folder, 'targets.json')
  writeFileSync(file, JSON.stringify({ other: { generate }, [setting]: groups }))
  const { status, error } = run('targets', 'generate', '--folder', folder)
  assert.is(status, 0, error)
  const head = `|  | target | other | ${setting} | why it is missed |`
  assert.ok(table().includes(`\n${head}\n`), table())
  const name = generate.rows[0]!.name
  assert.match(table(), `\n| ${name} | ${targetText(generate.rows[0]!)} | **0.0 %** (`)
  assert.match(
    table(),
    /^\| matrix products, dx, 1 thread \| [^|]* \|  \| .*\| caches are too small \|$/m,
  )
})

test('mistakes are named', () => {
  const unknown = run('targets', 'product', '--folder', folder)
  assert.is(unknown.status, 2)
  assert.match(
    unknown.error,
    `Expected ${targetGroups.join(', ')} for the group, received 'product'`,
  )
  const file = run('targets', '--folder', readme)
  assert.is(file.status, 2)
  assert.match(file.error, 'EEXIST')
  assert.is(file.out, '', 'before anything is measured')
})

test('a folder is made, and a README without the table gets one', () => {
  const to = path.join(folder, 'new', 'bench')
  assert.is(run('targets', 'generate', '--folder', to).status, 0)
  const made = readFileSync(path.join(to, 'README.md'), 'utf8')
  assert.match(made, /^<!-- targets -->\n\n\|[^]*\|\n[^]*\n<!-- end -->\n$/)
  keepTable(path.join(to, 'README.md'), 'peer none', 'a table')
  assert.is(
    readFileSync(path.join(to, 'README.md'), 'utf8'),
    `${made}\n<!-- peer none -->\n\na table\n\n<!-- end -->\n`,
  )
})

test.run()
