import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hash53 } from '../../lib/data/hash.js'
import { Numbers } from '../../lib/data/numbers.js'
import { Seen } from '../../lib/data/seen.js'
import { Splitter } from '../../lib/data/split.js'

/** Different integers below 2^53, in no order. */
const key = (i: number) => hash53(i.toString(36))

test('almost two million hashes: each is found, no other is, and memory hardly grows', () => {
  const seen = new Seen()
  const count = 1_800_000
  const held = () => {
    ;(globalThis as { gc?: () => void }).gc!()
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    return arrayBuffers + heapUsed
  }
  const before = held()
  for (let i = 0; i < count; i++) if (seen.getOrSet(key(i), i) !== undefined) assert.unreachable()
  for (let i = 0; i < count; i += 17) assert.is(seen.getOrSet(key(i), 7), i)
  const grown = held() - before
  assert.ok(grown < 60e6, `${grown} bytes`)
  for (const edge of [0, 1, 2 ** 32, 2 ** 53 - 1]) {
    assert.is(seen.getOrSet(edge, 5), undefined)
    assert.is(seen.getOrSet(edge, 6), 5)
  }
  seen.close()
})

test('a list of numbers is the same in memory and on disk', () => {
  for (const type of [Uint32Array, Float64Array])
    for (const length of [0, 1, 1023, 1025, 65_536, 65_537, 300_001]) {
      const value = (i: number) => (type === Uint32Array ? (i * 2654435761) % 2 ** 32 : i / 3)
      const numbers = new Numbers(type)
      for (let i = 0; i < length; i++) numbers.push(value(i))
      assert.is(numbers.length, length)
      for (let i = 0; i < length; i += 997) assert.is(numbers.get(i), value(i))
      let shown = 0
      numbers.forEach((number, i) => {
        if (i !== shown++ || number !== value(i)) assert.unreachable(`${number} at ${i}`)
      })
      assert.is(shown, length)
      numbers.close()
    }
})

test('a split of many examples: groups are whole, the fraction is met, and the newest validate', () => {
  const count = 150_000
  for (const by of ['random', 'time'] as const) {
    const splitter = new Splitter()
    const group = (i: number) => (i * 7919) % 30_001
    for (let i = 0; i < count; i++)
      splitter.add({ group: `customer ${group(i)}`, time: group(i) * 1000 + (i % 10) })
    const parts = splitter.finish({ fraction: 0.1, by, seed: 3 })
    splitter.close()
    const side = new Int8Array(30_001).fill(-1)
    for (let i = 0; i < count; i++) {
      if (side[group(i)] === -1) side[group(i)] = parts[i]!
      if (side[group(i)] !== parts[i]) assert.unreachable(`group ${group(i)} is on both sides`)
    }
    const taken = parts.reduce((sum, part) => sum + part, 0)
    assert.ok(Math.abs(taken - count / 10) <= 5, String(taken))
    if (by === 'time') assert.ok(side.lastIndexOf(0) < side.indexOf(1))
  }
})

test.run()
