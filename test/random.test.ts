import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Random, permute, philox } from '../lib/random.js'
import type { Words } from '../lib/random.js'

const hex = (words: number[]) => words.map((word) => word.toString(16).padStart(8, '0')).join(' ')

test('known answers: philox4x32 with 10 rounds, kat_vectors of the Random123 distribution', () => {
  const ones = 0xffffffff
  assert.is(hex(philox([0, 0], [0, 0, 0, 0])), '6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  const last = philox([ones, ones], [ones, ones, ones, ones])
  assert.is(hex(last), '408f276d 41c83b0e a20bc7c6 6d5451fd')
  const counter: Words = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]
  assert.is(hex(philox([0xa4093822, 0x299f31d0], counter)), 'd16cfe09 94fdcceb 5001e420 24126ea1')
})

/** The paper's definition in integers of any size. */
function oracle(key: readonly [number, number], counter: Readonly<Words>): number[] {
  let [k0, k1] = key.map(BigInt) as [bigint, bigint]
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint]
  const mask = 0xffffffffn
  for (let round = 0; round < 10; round++) {
    const [p0, p1] = [a * 0xd2511f53n, c * 0xcd9e8d57n]
    ;[a, b, c, d] = [(p1 >> 32n) ^ b ^ k0, p1 & mask, (p0 >> 32n) ^ d ^ k1, p0 & mask]
    ;[k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask]
  }
  return [a, b, c, d].map(Number)
}

test('philox equals its definition for many keys and counters', () => {
  let words: Words = [1, 2, 3, 4]
  for (let i = 0; i < 2000; i++) {
    const key = [words[0], words[3]] as const
    const next = philox(key, words)
    assert.equal(next, oracle(key, words))
    words = next
  }
})

/** Chi-square of counts against equal shares, in standard deviations from its mean. */
function deviation(counts: number[]): number {
  const expected = counts.reduce((a, b) => a + b) / counts.length
  const chi = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0)
  return (chi - (counts.length - 1)) / Math.sqrt(2 * (counts.length - 1))
}

test('Random: streams differ, repeat and are uniform', () => {
  const take = (random: Random) => Array.from({ length: 9 }, () => random.uniform())
  assert.equal(take(new Random(7, 1, 2)), take(new Random(7, 1, 2, 0)))
  const numbers = [[7], [8], [7, 1], [7, 0, 1], [7, 0, 0, 1], [7 + 2 ** 32]]
  const all = numbers.flatMap(([seed, ...streams]) => take(new Random(seed!, ...streams)))
  assert.is(new Set(all).size, all.length)
  const random = new Random(3)
  const bins = new Array<number>(101).fill(0)
  let sum = 0
  for (let i = 0; i < 101_000; i++) {
    const value = random.uniform()
    assert.ok(value >= 0 && value < 1)
    bins[Math.floor(value * 101)]!++
    sum += value
  }
  assert.ok(Math.abs(deviation(bins)) < 4, String(deviation(bins)))
  assert.ok(Math.abs(sum / 101_000 - 0.5) < 0.005)
})

test('Random.integer is unbiased', () => {
  for (const n of [1, 2, 3, 31, 33]) {
    const random = new Random(5, n)
    const counts = new Array<number>(n).fill(0)
    for (let i = 0; i < 20_000; i++) counts[random.integer(n)]!++
    if (n > 1) assert.ok(Math.abs(deviation(counts)) < 4.5, `${n}: ${deviation(counts)}`)
  }
  // Two thirds of 2^53: taking bits % n would give the lower half twice as often as the upper.
  const n = 6004799503160661
  const random = new Random(6)
  let low = 0
  for (let i = 0; i < 20_000; i++) if (random.integer(n) < n / 2) low++
  assert.ok(Math.abs(low / 20_000 - 0.5) < 0.015, String(low))
})

test('arguments are checked', () => {
  assert.throws(() => new Random(-1), /Expected an integer of at least 0 for seed, received -1/)
  assert.throws(() => new Random(0, 2 ** 32), /for stream/)
  assert.throws(() => new Random(0, 1, 2, 3, 4), /at most 3 numbers/)
  assert.throws(() => new Random(0).integer(0), /for n/)
  assert.throws(() => permute(3, 3, [0, 0]), /an integer from 0 to 2 for index, received 3/)
  assert.throws(() => permute(0, 2 ** 41, [0, 0]), /for n/)
})

test('permute is a bijection', () => {
  const sizes = [...Array.from({ length: 70 }, (_, i) => i + 1), 127, 255, 256, 257, 1023, 4097]
  for (const n of sizes) {
    const seen = new Set<number>()
    for (let i = 0; i < n; i++) {
      const place = permute(i, n, [n, 5])
      assert.ok(Number.isInteger(place) && place >= 0 && place < n)
      seen.add(place)
    }
    assert.is(seen.size, n)
  }
})

test('permute over 2^40 and sizes beyond 32 bits', () => {
  for (const n of [2 ** 40, 2 ** 33 + 7]) {
    const places = Array.from({ length: 2000 }, (_, i) => permute(n - 1 - i, n, [1, 2]))
    assert.is(new Set(places).size, 2000)
    assert.ok(places.every((place) => Number.isSafeInteger(place) && place >= 0 && place < n))
    const bins = new Array<number>(10).fill(0)
    for (const place of places) bins[Math.floor((place / n) * 10)]!++
    assert.ok(Math.abs(deviation(bins)) < 4.5)
  }
})

test('permute: every order of a few elements, each place equally likely', () => {
  for (const n of [2, 3, 4, 5, 7, 17]) {
    const counts = new Array<number>(n * n).fill(0)
    const orders = new Map<string, number>()
    for (let key = 0; key < 3000; key++) {
      const order = Array.from({ length: n }, (_, i) => permute(i, n, [key, 9]))
      order.forEach((place, i) => counts[i * n + place]!++)
      orders.set(order.join(), (orders.get(order.join()) ?? 0) + 1)
    }
    assert.ok(deviation(counts) < 5, `${n}: ${deviation(counts)}`)
    const factorial = [1, 1, 2, 6, 24, 120][n]
    if (factorial === undefined) continue
    assert.is(orders.size, factorial, `all orders of ${n}`)
    assert.ok(deviation([...orders.values()]) < 6, `${n}: ${deviation([...orders.values()])}`)
  }
})

test.run()
