// npm run bench -- --plot: pictures of what tiny runs have measured, and what a chart does with its points.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { chart, roundTicks } from '../../bench/plot/chart.js'
import { run } from './run.js'

const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-plot-'))
test.after(() => rmSync(folder, { recursive: true }))

const series = (points: [number, number][], name = 'one') => ({
  name,
  points: points.map(([x, y]) => ({ x, y })),
})
const draw = (...lines: ReturnType<typeof series>[]) =>
  chart({ title: 'a & b', note: '', x: { label: 'x' }, y: { label: 'y' }, series: lines })
/** The places of the marks of the first line. */
const circles = (svg: string) =>
  [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [
    Number(x),
    Number(y),
  ])

test('ticks are round, even where steps are ratios', () => {
  assert.equal(roundTicks(0, 47), [0, 10, 20, 30, 40])
  assert.equal(roundTicks(0.13, 0.32), [0.15, 0.2, 0.25, 0.3])
  assert.equal(roundTicks(3, 120, true), [5, 10, 20, 50, 100])
  assert.equal(roundTicks(3, 12000, true), [10, 100, 1000, 10000])
})

test('points stand where their values are', () => {
  const svg = draw(series([[0, 10], [5, 20], [10, 10]])) // prettier-ignore
  const [a, b, c] = circles(svg) as [number[], number[], number[]]
  assert.ok(a[1] === c[1] && b[1]! < a[1]!, 'more is higher')
  assert.is(b[0], (a[0]! + c[0]!) / 2)
  // Zero is at the bottom: twice the value is twice the height.
  const bottom = Number(/stroke="#888" d="M\d+ (\d+)H/.exec(svg)![1])
  assert.ok(Math.abs((bottom - b[1]!) / (bottom - a[1]!) - 2) < 0.01)
  assert.match(svg, '>a &amp; b</text>')
  assert.is(circles(draw(series([[3, 7]]))).length, 1)
  assert.throws(() => draw(), /nothing to draw for 'a & b'/)
})

test('labels of lines that end together stand apart', () => {
  const svg = draw(series([[0, 1], [1, 5]], 'one'), series([[0, 2], [1, 5]], 'two')) // prettier-ignore
  const at = (name: string) =>
    Number(new RegExp(`y="([\\d.]+)" class="name"[^>]*>${name}<`).exec(svg)![1])
  assert.ok(Math.abs(at('one') - at('two')) >= 16)
})

test('what was measured is drawn', () => {
  const history = path.join(folder, 'history.jsonl')
  const none = run('--plot', '--history', history, '--folder', folder)
  assert.is(none.status, 2)
  assert.match(none.error, 'holds no run to draw: npm run bench -- train scale')
  const measured = run('train', 'scale', '--history', history)
  assert.is(measured.status, 0, measured.error)
  const line = readFileSync(history, 'utf8').trim()
  // The same at an earlier commit, and what another machine has measured, which is left out.
  const other = JSON.stringify({ ...JSON.parse(line), machine: 'another', commit: 'fffffff' })
  const before = JSON.stringify({ ...JSON.parse(line), commit: 'abc1234' })
  writeFileSync(history, `{"case":"something else"}\n${other}\n${before}\n${line}\n`)
  const { status, out, error } = run('--plot', '--history', history, '--folder', folder)
  assert.is(status, 0, error)
  const files = out.trim().split('\n')
  assert.equal(
    files.map((file) => path.basename(file)),
    ['throughput.svg', 'context.svg', 'width.svg'],
  )
  const [throughput, context, width] = files.map((file) => readFileSync(file, 'utf8'))
  assert.match(throughput!, '>abc1234</text>')
  assert.not.match(throughput!, 'fffffff')
  assert.is(circles(throughput!).length, 2)
  for (const label of ['>width 16<', '>width 32<', '>context T, tokens<', '>milliseconds<'])
    assert.match(context!, label)
  for (const label of ['>T 8<', '>T 16<', '>width C, channels<']) assert.match(width!, label)
})

test.run()
