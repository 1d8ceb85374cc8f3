import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Splitter } from '../../lib/data/split.js'
import type { SplitOptions } from '../../lib/data/split.js'
import fc from '../properties.js'

interface One {
  group?: string
  time?: number
  like?: number
}

function split(examples: One[], options: Partial<SplitOptions> = {}): number[] {
  const splitter = new Splitter()
  for (const example of examples) splitter.add(example)
  const parts = [...splitter.finish({ fraction: 0.2, by: 'random', seed: 1, ...options })]
  const { validation, groups, apart } = splitter.outcome
  assert.is(validation, parts.filter(Boolean).length)
  if (examples.length <= 40) assert.is(groups, new Set(components(examples)).size)
  assert.is(apart > 0, splitter.single && validation > 0)
  return parts
}

/** Groups by the definition: whoever shares a name or is like another, and so on. */
function components(examples: One[]): number[] {
  const label = examples.map((_, i) => i)
  for (let changed = true; changed;) {
    changed = false
    examples.forEach((a, i) =>
      examples.forEach((b, j) => {
        const together = (a.group !== undefined && a.group === b.group) || b.like === i
        if (!together || label[i] === label[j]) return
        label[i] = label[j] = Math.min(label[i]!, label[j]!)
        changed = true
      }),
    )
  }
  return label
}

test('no group stands on both sides, and the fraction is met as far as groups allow', () => {
  const one = fc.record(
    {
      group: fc.constantFrom('a', 'b', 'c', '__proto__', ''),
      time: fc.integer({ min: 0, max: 9 }),
      like: fc.nat(40),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(
      fc.array(one, { maxLength: 40 }),
      fc.constantFrom('random' as const, 'time' as const),
      fc.double({ min: 0, max: 0.9, noNaN: true }),
      (drawn, by, fraction) => {
        const examples = drawn.map(({ like, ...rest }, i) =>
          like !== undefined && like < i ? { ...rest, like } : rest,
        )
        const parts = split(examples, { by, fraction })
        const label = components(examples)
        const sides = new Map<number, number>()
        if (new Set(label).size === 1 && parts.length > 1 && fraction > 0) {
          // One group alone is cut: its last ones validate.
          assert.equal(parts, [...parts].sort())
          assert.equal([parts[0], parts.at(-1)], [0, 1])
          return
        }
        parts.forEach((part, i) => {
          const before = sides.get(label[i]!)
          assert.ok(before === undefined || before === part)
          sides.set(label[i]!, part)
        })
        const taken = parts.filter(Boolean).length
        const largest = Math.max(
          0,
          ...[...sides.keys()].map((l) => label.filter((x) => x === l).length),
        )
        if (fraction > 0 && sides.size > 1) {
          assert.ok(taken > 0 && taken < parts.length)
          // No more above the wanted number than half of a group, but where the smallest is too large.
          const smallest = Math.min(
            ...[...sides.keys()].map((l) => label.filter((x) => x === l).length),
          )
          const above = taken - fraction * parts.length
          assert.ok(above <= largest / 2 || taken === smallest, `${taken} of ${parts.length}`)
        } else assert.is(taken, 0)
      },
    ),
  )
})

test('a group larger than the share is passed over; all in one group are cut at the end', () => {
  const sized = (sizes: number[]) =>
    sizes.flatMap((size, i) => Array.from({ length: size }, () => ({ group: `g${i}`, time: i })))
  for (let seed = 0; seed < 30; seed++) {
    const taken = split(sized([50, 10, 40]), { fraction: 0.1, seed }).filter(Boolean).length
    assert.is(taken, 10)
  }
  const newest = split(sized([1, 1, 98]), { fraction: 0.1, by: 'time' })
  assert.ok(newest.filter(Boolean).length <= 2)
  assert.equal(split(sized([10])), [0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
})

test('by time, the newest are kept for validation', () => {
  const times = [5, 9, 1, 7, 3, 8, 2, 6, 4, 0].map((time) => ({ time }))
  assert.equal(split(times, { by: 'time' }), [0, 1, 0, 0, 0, 1, 0, 0, 0, 0])
  const some = [{ time: 1 }, {}, { time: 2 }, {}, {}]
  assert.equal(split(some, { by: 'time', fraction: 0.4 }), [1, 0, 1, 0, 0])
})

test('at random: the same for the same seed, another for another, and even', () => {
  const many = Array.from({ length: 5000 }, () => ({}))
  const parts = split(many, { fraction: 0.1 })
  assert.equal(split(many, { fraction: 0.1 }), parts)
  assert.is.not(split(many, { fraction: 0.1, seed: 2 }).join(), parts.join())
  assert.is(parts.filter(Boolean).length, 500)
  const halves = [parts.slice(0, 2500), parts.slice(2500)].map(
    (half) => half.filter(Boolean).length,
  )
  assert.ok(Math.abs(halves[0]! - halves[1]!) < 100, String(halves))
})

test.run()
