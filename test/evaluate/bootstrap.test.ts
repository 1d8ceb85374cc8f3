// Intervals against those of the normal distribution, and verdicts against what was put in.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Bootstrap } from '../../lib/evaluate/bootstrap.js'
import type { Measure } from '../../lib/evaluate/bootstrap.js'
import { Random } from '../../lib/random.js'

const mean = (rows: number[][], better: Measure['better'] = 'lower'): Measure => ({
  ...{ rows, better },
  of: ([sum, count]) => sum! / count!,
})
/** Sums of twelve uniform numbers: near enough to normal, with variance 1. */
const normal = (n: number, seed: number, shift = 0) => {
  const random = new Random(seed)
  const value = () => Array.from({ length: 12 }, () => random.uniform()).reduce((a, b) => a + b, -6)
  return Array.from({ length: n }, () => [value() + shift, 1])
}

test('the interval of a mean is that of its standard error, also of many rows', () => {
  for (const n of [100, 5000]) {
    const rows = normal(n, 1)
    const { value, low, high } = new Bootstrap(1000, 0).estimate(mean(rows))
    const values = rows.map(([x]) => x!)
    const average = values.reduce((a, b) => a + b) / n
    const variance = values.reduce((sum, x) => sum + (x - average) ** 2, 0) / n
    const error = 1.96 * Math.sqrt(variance / n)
    assert.ok(Math.abs(value - average) < 1e-12)
    for (const [found, wanted] of [
      [high - value, error],
      [value - low, error],
    ] as const)
      assert.ok(Math.abs(found / wanted - 1) < 0.12, `${n}: ${found} for ${wanted}`)
  }
})

test('the true mean lies within 95 of 100 intervals, about', () => {
  let inside = 0
  for (let i = 0; i < 200; i++) {
    const { low, high } = new Bootstrap(200, i).estimate(mean(normal(40, 100 + i)))
    if (low <= 0 && high >= 0) inside++
  }
  assert.ok(inside >= 180 && inside <= 198, String(inside))
})

test('pairs: what both rows share does not count, so that small differences show', () => {
  const base = normal(200, 3)
  const noise = normal(200, 4)
  const shifted = (by: number) => base.map(([x, n], i) => [x! + by + 0.05 * noise[i]![0]!, n!])
  const bootstrap = new Bootstrap(1000, 0)
  const verdict = (by: number, better: Measure['better'] = 'lower') =>
    bootstrap.compare(mean(shifted(by), better), mean(base, better)).verdict
  assert.is(verdict(-0.05), 'better')
  assert.is(verdict(0.05), 'worse')
  assert.is(verdict(0), 'no difference')
  assert.is(verdict(0.05, 'higher'), 'better')
  assert.is(verdict(-0.05, 'higher'), 'worse')
  const { base: other, difference, low, high } = bootstrap.compare(mean(shifted(1)), mean(base))
  assert.ok(low < difference && difference < high && Math.abs(difference - 1) < 0.02)
  assert.is(other, bootstrap.estimate(mean(base)).value)
})

test('one row has no spread, the same model no difference, the same seed the same interval', () => {
  const bootstrap = new Bootstrap(100, 0)
  assert.equal(bootstrap.estimate(mean([[3, 2]])), { value: 1.5, low: 1.5, high: 1.5 })
  const rows = normal(50, 1)
  assert.is(bootstrap.compare(mean(rows), mean(rows)).verdict, 'no difference')
  assert.equal(bootstrap.estimate(mean(rows)), new Bootstrap(100, 0).estimate(mean(rows)))
  assert.not.equal(bootstrap.estimate(mean(rows)), new Bootstrap(100, 1).estimate(mean(rows)))
})

test.run()
