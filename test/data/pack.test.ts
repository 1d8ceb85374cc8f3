import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { pack } from '../../lib/data/pack.js'
import { processorSeconds } from '../processor.js'
import fc from '../properties.js'

/** Best-fit decreasing as the definition says it, window by window. */
function slowly(lengths: number[], capacity: number): number {
  const rooms: number[] = []
  for (const length of [...lengths].sort((a, b) => b - a)) {
    const fitting = rooms.filter((room) => room >= length)
    if (fitting.length === 0) rooms.push(capacity - length)
    else rooms[rooms.indexOf(Math.min(...fitting))]! -= length
  }
  return rooms.length
}

test('every document stands in one window, none overflows, and it is best fit', () => {
  const sizes = fc
    .integer({ min: 1, max: 70 })
    .chain((capacity) =>
      fc.tuple(fc.constant(capacity), fc.array(fc.integer({ min: 1, max: capacity }))),
    )
  fc.assert(
    fc.property(sizes, ([capacity, lengths]) => {
      const { count, offsets, members, padding } = pack(lengths, capacity)
      assert.equal(
        [...members].sort((a, b) => a - b),
        [...lengths.keys()],
      )
      assert.is(offsets.length, count + 1)
      let free = 0
      for (let w = 0; w < count; w++) {
        const inside = [...members.subarray(offsets[w]!, offsets[w + 1]!)]
        const sum = inside.reduce((total, document) => total + lengths[document]!, 0)
        assert.ok(sum > 0 && sum <= capacity, `${sum} of ${capacity}`)
        assert.equal(
          inside,
          [...inside].sort((a, b) => a - b),
        )
        free += capacity - sum
      }
      assert.is(padding, free)
      assert.is(count, slowly(lengths, capacity))
    }),
  )
})

test('a million documents take about a second, and little is left empty', async () => {
  let state = 1
  const lengths = Int32Array.from({ length: 1e6 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return 1 + ((state >> 8) % 400)
  })
  let [padding, count] = [0, 0]
  const seconds = await processorSeconds(() => ({ padding, count } = pack(lengths, 1024)))
  assert.ok(seconds < 5, `${seconds} s`)
  assert.ok(padding / (count * 1024) < 0.001, `${padding / (count * 1024)}`)
})

test.run()
