import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { floatToBfloat, floatToHalf, halfToFloat } from '../../lib/formats/dtypes.js'
import { Random } from '../../lib/random.js'

test('every float16 comes back as it was', () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = halfToFloat(bits)
    if (Number.isNaN(value)) assert.ok(Number.isNaN(halfToFloat(floatToHalf(value))))
    else assert.is(floatToHalf(value), bits === 0x8000 ? 0x8000 : bits, String(value))
  }
})

test('the nearest float16, ties to even: by a search over all of them', () => {
  const finite = Array.from({ length: 0x7c00 }, (_, bits) => halfToFloat(bits))
  const nearest = (value: number) => {
    let [low, high] = [0, 0x7c00 - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (finite[middle]! <= value) low = middle
      else high = middle - 1
    }
    const above = low + 1 < 0x7c00 ? finite[low + 1]! : 65536
    const [down, up] = [value - finite[low]!, above - value]
    return down < up || (down === up && low % 2 === 0) ? low : low + 1
  }
  const random = new Random(2)
  const values = finite.flatMap((x, i) => [x, Math.fround((x + (finite[i + 1] ?? 65536)) / 2)])
  for (let i = 0; i < 50_000; i++) {
    values.push(Math.fround(random.uniform() * 2 ** (random.integer(44) - 27)))
  }
  for (const value of values) {
    assert.is(floatToHalf(value), nearest(value), String(value))
    assert.is(floatToHalf(-value), nearest(value) | 0x8000, String(-value))
  }
  assert.is(floatToHalf(65519.99), 0x7bff)
  assert.is(floatToHalf(65520), 0x7c00)
  assert.is(floatToHalf(-Infinity), 0xfc00)
  assert.is(floatToHalf(1e-45), 0)
})

test('the nearest bfloat16, ties to even', () => {
  const floats = new Float32Array(1)
  const bits = new Uint32Array(floats.buffer)
  const value = (upper: number) => {
    bits[0] = upper * 65536
    return floats[0]!
  }
  const random = new Random(3)
  for (let i = 0; i < 100_000; i++) {
    const upper = random.integer(0x7f80)
    const [low, high] = [value(upper), upper === 0x7f7f ? 2 ** 128 : value(upper + 1)]
    const half = low + (high - low) / 2
    assert.is(floatToBfloat(low), upper)
    assert.is(floatToBfloat(half), upper + (upper & 1))
    assert.is(floatToBfloat(-half), 0x8000 | (upper + (upper & 1)))
    bits[0] = upper * 65536 + 0x7fff
    assert.is(floatToBfloat(floats[0]!), upper)
    bits[0] = upper * 65536 + 0x8001
    assert.is(floatToBfloat(floats[0]!), upper + 1)
  }
  assert.is(floatToBfloat(Infinity), 0x7f80)
  bits[0] = 0x7f800001 // a NaN that its upper half would make infinite
  assert.is(floatToBfloat(floats[0]!) & 0x7fff, 0x7fc0)
})

test.run()
