// device: cuda
// timeout: 600
//
// npm run gpu-check at tiny sizes, on the GPU that there is: the emulated one knows nothing of it.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { distance } from '../../bench/check/compare.js'
import { passed, text } from '../../bench/check/report.js'
import type { GpuReport } from '../../bench/check/report.js'
import type { Report as Counters } from '../../bench/count/count.js'
import { skipsCuda } from '../tensor/cuda.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const counters = JSON.parse(
  readFileSync(path.join(root, 'bench', 'counters.json'), 'utf8'),
) as Counters
const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-gpucheck-'))
test.after(() => rmSync(folder, { recursive: true }))

function check(env: NodeJS.ProcessEnv, ...args: string[]) {
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'bench/gpucheck.ts', '--tiny', ...args],
    { cwd: root, encoding: 'utf8', env: { ...process.env, ...env } },
  )
  return { status, error: stderr }
}

const good: GpuReport = {
  ...{ date: '2026-01-01', commit: 'abc', doctor: {}, doctorText: 'a GPU', clocks: ['1 GHz'] },
  tests: [{ file: 'test/a.test.ts', passed: 3, failed: 0, seconds: 1, output: '' }],
  comparisons: [{ what: 'losses', worst: 0, limit: 0, passed: true }],
  bench: {
    device: 'a GPU',
    ceilings: { flops: { float32: 1e12 }, bandwidth: 1e12 },
    results: [],
    skipped: [],
  },
  problems: [],
}

test('a report passes only where everything was done and is right', () => {
  assert.ok(passed(good))
  assert.match(text(good, counters), /^# gptloom on a GPU: everything passed\n/)
  const [one] = good.tests
  for (const bad of [
    { ...good, tests: [{ ...one!, failed: 1, output: 'because of this' }] },
    { ...good, comparisons: [] },
    { ...good, comparisons: [{ ...good.comparisons[0]!, passed: false }] },
    { ...good, comparisons: [{ ...good.comparisons[0]!, worst: null, passed: false }] },
    { ...good, bench: null },
    { ...good, problems: ['because of this'] },
  ]) {
    assert.not.ok(passed(bad))
    assert.match(text(bad, counters), /^# gptloom on a GPU: NOT everything passed\n/)
  }
  assert.match(text({ ...good, problems: ['because of this'] }, counters), '- because of this\n')
})

test('a distance that is no number is no pass', () => {
  assert.is(distance([1, 2], [1, 4]), 0.5)
  assert.not.ok(distance([NaN, 2], [1, 2]) <= 1)
})

test('without a GPU it says why, and writes nothing', () => {
  const output = path.join(folder, 'none.md')
  // Where the emulated GPU is all there is.
  const { status, error } = check({ LD_LIBRARY_PATH: '' }, '--output', output, '--tests', 'none')
  if (/The report/.test(error)) return
  assert.is(status, 2)
  assert.match(error, /^error: .+/m)
  assert.not.ok(existsSync(output))
})

if (!skipsCuda()) {
  test('tests, comparison and bench in one file', () => {
    const output = path.join(folder, 'check.md')
    const args = ['--output', output, '--tests', 'tensor/cudaops']
    const { status, error } = check({ ONLY: '^sum$' }, ...args)
    assert.is(status, 0, error)
    const written = readFileSync(output, 'utf8')
    assert.match(written, /^# gptloom on a GPU: everything passed\n/)
    for (const part of ['Machine', 'Tests', 'Against the CPU', 'Speed', 'Against the estimates'])
      assert.match(written, `\n## ${part}\n`)
    assert.match(written, /^test\/tensor\/cudaops\.test\.ts +\d+ passed/m)
    const report = JSON.parse(/```json\n(.+)\n```/.exec(written)![1]!) as GpuReport
    assert.ok(report.tests[0]!.passed >= 5)
    assert.is(report.comparisons.length, 8)
    assert.ok(report.bench!.results.some(({ dtype }) => dtype === 'bfloat16'))
  })

  test('what fails is in the report, and in the exit code', () => {
    const output = path.join(folder, 'failed.md')
    const { status, error } = check({}, '--output', output, '--tests', 'no such test')
    assert.is(status, 1, error)
    const written = readFileSync(output, 'utf8')
    assert.match(written, /^# gptloom on a GPU: NOT everything passed\n/)
    assert.match(written, '- no test matches no such test\n')
  })
}

test.run()
