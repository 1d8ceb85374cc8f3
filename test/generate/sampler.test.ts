import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Sampler } from '../../lib/generate/sampler.js'
import type { SamplingOptions } from '../../lib/generate/index.js'
import { Random } from '../../lib/random.js'

const logits = Float32Array.of(1, 3, -2, 2.5, 0, 3, 2)

/** Probabilities by the definition: softmax of logits / temperature, cut to the top k, then to the top p. */
function expected(
  values: Float32Array,
  { temperature = 0.8, topK = Infinity, topP = 1 }: SamplingOptions,
): number[] {
  const order = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b)
  const powers = [...values].map((x) => Math.exp((x - Math.max(...values)) / temperature))
  const allowed = order.slice(0, topK)
  const total = allowed.reduce((sum, i) => sum + powers[i]!, 0)
  const kept = new Set<number>()
  let sum = 0
  for (const i of allowed) {
    kept.add(i)
    sum += powers[i]!
    if (sum >= topP * total) break
  }
  return powers.map((power, i) => (kept.has(i) ? power / sum : 0))
}

function counts(values: Float32Array, options: SamplingOptions, draws: number): number[] {
  const sampler = new Sampler(options)
  const found = Array<number>(values.length).fill(0)
  for (let i = 0; i < draws; i++) found[sampler.choose(values)]!++
  return found.map((count) => count / draws)
}

const cases: SamplingOptions[] = [
  {},
  { temperature: 1 },
  { temperature: 3 },
  { temperature: 0.2 },
  { topK: 3 },
  { topK: 100 },
  { topP: 0.5 },
  { topP: 0.9, temperature: 2 },
  { topK: 4, topP: 0.7, temperature: 1.5 },
]
for (const options of cases) {
  test(`tokens come as often as they should: ${JSON.stringify(options)}`, () => {
    const draws = 20000
    const frequencies = counts(logits, { ...options, seed: 1 }, draws)
    for (const [i, p] of expected(logits, options).entries()) {
      if (p === 0) assert.is(frequencies[i], 0, `token ${i} is cut`)
      const bound = 5 * Math.sqrt((p * (1 - p)) / draws) + 1e-4 // five standard deviations
      assert.ok(Math.abs(frequencies[i]! - p) <= bound, `token ${i}: ${frequencies[i]} is not ${p}`)
    }
  })
}

test('temperature 0, top 1 and top p 0 are the likeliest token, of equals the first', () => {
  for (const options of [
    { temperature: 0 },
    { topK: 1 },
    { topP: 0 },
    { topK: 1, temperature: 50 },
  ]) {
    const sampler = new Sampler(options)
    for (let i = 0; i < 20; i++) assert.is(sampler.choose(logits), 1)
  }
})

test('large vocabularies are cut as small ones are', () => {
  const random = new Random(3)
  const large = Float32Array.from({ length: 5000 }, () => random.uniform() * 8)
  for (const options of [
    { topK: 2000 },
    { topK: 50 },
    { topP: 0.3 },
    { topP: 0.95, temperature: 2 },
  ]) {
    const p = expected(large, options)
    const sampler = new Sampler({ ...options, seed: 2 })
    const chosen = new Set(Array.from({ length: 300 }, () => sampler.choose(large)))
    for (const token of chosen)
      assert.ok(p[token]! > 0, `token ${token} of ${JSON.stringify(options)} is cut`)
    assert.ok(chosen.size > 20)
  }
})

test('of equals the earlier are kept', () => {
  // -1, -0, 0 and 1, so many that the cut goes through the zeros.
  const equals = Float32Array.from({ length: 4000 }, (_, i) => [-1, -0, 0, 1][(i * 7) % 4]!)
  for (const topK of [1500, 1100, 1020]) {
    const p = expected(equals, { topK })
    const sampler = new Sampler({ topK, seed: 4, temperature: 100 })
    const chosen = new Set(Array.from({ length: 400 }, () => sampler.choose(equals)))
    for (const token of chosen) assert.ok(p[token]! > 0, `token ${token} is not of the top ${topK}`)
    assert.ok(chosen.size > 200)
  }
})

test('extreme logits', () => {
  const far = Float32Array.of(-1e38, 1e38, -Infinity, 0)
  for (const options of [
    {},
    { topP: 0.9 },
    { topK: 2 },
    { temperature: 1e-3 },
    { temperature: 100 },
  ]) {
    assert.is(new Sampler(options).choose(far), 1)
  }
  assert.is(new Sampler({ topP: 0.5 }).choose(Float32Array.of(7)), 0)
})

test('a seed names the draws; without one they differ', () => {
  const draw = (seed?: number) => {
    const sampler = new Sampler({ seed, temperature: 5 })
    return Array.from({ length: 40 }, () => sampler.choose(logits)).join()
  }
  assert.is(draw(1), draw(1))
  assert.not.equal(draw(1), draw(2))
  assert.not.equal(draw(), draw())
})

test('mistakes are named', () => {
  const fails = (options: object, pattern: RegExp) =>
    assert.throws(() => new Sampler(options), pattern)
  fails({ temperature: -1 }, /temperature, received -1/)
  fails({ temperature: NaN }, /temperature, received NaN/)
  fails({ topK: 0 }, /topK, received 0/)
  fails({ topK: 2.5 }, /topK, received 2.5/)
  fails({ topP: 1.5 }, /topP, received 1.5/)
  fails({ seed: -1 }, /seed, received -1/)
})

test.run()
