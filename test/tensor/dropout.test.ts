// What the op cases do not show of dropout: that its masks are fair and independent.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tape, attention, cpu, dropout } from '../../lib/tensor/index.js'
import { close, disposeAll, sameBits } from '../../lib/testing/index.js'

const device = cpu()
const n = 200_000

async function mask(p: number, seed: number, stream: number): Promise<Float32Array> {
  using ones = device.full([n], 1)
  using out = dropout(ones, { p, seed, stream })
  return Float32Array.from(await out.data())
}

const kept = (values: Float32Array) =>
  values.reduce((count, value) => count + Number(value !== 0), 0)

test('drops the part p, within four standard deviations, and keeps the mean', async () => {
  for (const p of [0.01, 0.1, 0.5, 0.9]) {
    const values = await mask(p, 1, 2)
    const allowed = 4 * Math.sqrt(n * p * (1 - p))
    assert.ok(
      Math.abs(kept(values) - n * (1 - p)) < allowed,
      `${kept(values)} of ${n} kept at p = ${p}`,
    )
    const scale = Math.fround(1 / (1 - p))
    const fits = (value: number) => value === 0 || Math.abs(value - scale) <= 2e-7 * scale
    assert.ok(values.every(fits), `scale at p = ${p}`)
  }
})

test('neighbours are dropped independently of each other', async () => {
  const values = await mask(0.5, 3, 4)
  for (const lag of [1, 2, 3, 4, 16, 1024]) {
    let both = 0
    for (let i = lag; i < n; i++) both += Number(values[i] !== 0 && values[i - lag] !== 0)
    const pairs = n - lag
    assert.ok(
      Math.abs(both - pairs / 4) < 5 * Math.sqrt((pairs * 3) / 16),
      `${both} pairs at lag ${lag}`,
    )
  }
})

test('the mask depends on seed and stream, and on nothing else', async () => {
  const first = await mask(0.5, 5, 6)
  sameBits(await mask(0.5, 5, 6), first, 'the same seed and stream')
  for (const [seed, stream] of [
    [5, 7],
    [6, 6],
    [5 + 2 ** 32, 6],
    [5, 6 + 2 ** 32],
    [6, 5],
  ]) {
    const other = await mask(0.5, seed!, stream!)
    const same = other.reduce((count, value, i) => count + Number(value === first[i]), 0)
    assert.ok(
      Math.abs(same - n / 2) < 5 * Math.sqrt(n / 4),
      `${same} of ${n} as with another seed or stream`,
    )
  }
})

test('the backward is the mask times dout', async () => {
  const x = device.normal([31, 33], { seed: 1 })
  x.requiresGrad = true
  using dout = device.normal([31, 33], { seed: 2 })
  using tape = new Tape()
  tape.backward(
    tape.run(() => dropout(x, { p: 0.3, seed: 9, stream: 1 })),
    dout,
  )
  const [gradient, factor] = [await x.grad!.data(), await mask(0.3, 9, 1)]
  const expected = (await dout.data()).map((value, i) => value * factor[i]!)
  close(gradient, expected, { atol: 0, rtol: 1e-6 }, 'dx')
  assert.ok(gradient.some((value) => value === 0) && gradient.some((value) => value !== 0))
  x.dispose()
})

test('p = 0 returns the tensor itself', () => {
  using x = device.zeros([3])
  assert.is(dropout(x, { p: 0, seed: 0, stream: 0 }), x)
})

test('attention drops weights: the mean over streams is the output without dropout', async () => {
  const qkv = device.normal([1, 17, 3 * 8], { seed: 11 })
  const plain = await attention(qkv, 2).data()
  const mean = new Float64Array(plain.length)
  const streams = 2000
  for (let stream = 0; stream < streams; stream++) {
    using out = attention(qkv, 2, { dropout: { p: 0.2, seed: 1, stream } })
    const values = await out.data()
    for (let i = 0; i < mean.length; i++) mean[i]! += values[i]! / streams
  }
  // A weight's deviation is sqrt(p / (1 - p)) = 0.5 of itself, values are of size 1.
  close(plain, mean, { atol: (5 * 0.5 * 3) / Math.sqrt(streams), rtol: 0 }, 'mean')
  assert.ok(mean.some((value, i) => value !== plain[i]))
  disposeAll([qkv])
})

test.run()
