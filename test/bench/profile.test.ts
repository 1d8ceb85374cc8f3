// npm run bench -- profile at sizes that show only that it runs, and what it makes of an op's name.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { linesOf, workOf } from '../../bench/measure/profile.js'
import { cpu } from '../../lib/tensor/index.js'
import { cpuInfo, run } from './run.js'

test('FLOPs and bytes of a call follow from the shapes in its name', () => {
  const of = (op: string) => {
    const { amount, unit } = workOf(op, 1000)
    return `${amount} ${unit}`
  }
  const flops = 2 * 6 * 3 * 5
  assert.is(of('matmul of [2, 3, 5], [2, 3, 3], [3, 5]'), `${flops} GFLOP/s`)
  assert.is(of('matmul and bias backward of [3, 5], [6, 3], [6, 5]'), `${flops} GFLOP/s`)
  assert.is(of('linear crossentropy of [2, 3, 4], [65, 4], [2, 3]'), `${6 * 6 * 4 * 65} GFLOP/s`)
  // Two heads or one: 10 pairs of a query and a key that it sees, two products of 8 channels.
  assert.is(of('attention of [1, 4, 8], [1, 4, 24]'), `${2 * 2 * 10 * 8} GFLOP/s`)
  assert.is(
    of('attention backward of [1, 4, 24], [1, 4, 8], [1, 4, 24]'),
    `${5 * 2 * 10 * 8} GFLOP/s`,
  )
  assert.is(of('layernorm of [2, 3, 4], [2, 3, 4], [4]'), `${8 * 24} GB/s`)
  assert.is(of('adamw of [1]'), '28000 GB/s')
  assert.is(of('sum of [1], [2, 3]'), '0 GB/s')
})

test('calls of one op are one line; what lies between ops and between steps is told apart', () => {
  const times = [
    ['a', 1, 2],
    ['b', 2.5, 6],
    ['a', 6, 8],
    ['a', 11, 12],
    ['b', 12.5, 16],
    ['a', 16, 18],
  ] as const
  const ran = times.map(([op, start, end]) => ({ what: `${op} on CPU (any)`, start, end }))
  const { lines, between, around } = linesOf(ran, 2, 0)
  assert.equal(
    lines.map(({ op, calls, seconds }) => [op, calls, seconds]),
    [
      ['b', 1, 3.5],
      ['a', 2, 3],
    ],
  )
  assert.equal([between, around], [0.5, 3])
})

test('a device notes its ops only while it is watched', async () => {
  const device = cpu({ threads: 1 })
  assert.equal(device.native.watch(true), [])
  using x = device.full([2, 3], 1)
  await x.data()
  const [noted, ...others] = device.native.watch(false)
  assert.equal(others, [])
  assert.is(noted!.what, `fill of [2, 3] on ${device.name}`)
  assert.ok(noted!.start > 0 && noted!.end >= noted!.start)
  x.write(Float32Array.of(1, 2, 3, 4, 5, 6))
  await x.data()
  assert.equal(device.native.watch(false), [])
  device.close()
})

test('a table a case: every op of a step, and what is left of it', () => {
  const { status, out, error } = run('profile')
  assert.is(status, 0, error)
  const [name, head, ...rows] = out.trim().split('\n')
  assert.is(name, 'a tiny model')
  const threads = cpuInfo().threads
  assert.match(head!, threads > 1 ? /ms, 1 thread .* ms, \d+ threads .* times/ : /ms, 1 thread/)
  for (const line of [
    /^matmul of \[2, 16, 48\], \[2, 16, 16\], \[16, 48\] +1 +[\d.e+-]+ +[\d.]+ % +[\d.e+-]+ GFLOP\/s/,
    /^layernorm of \[2, 16, 16\], \[2, 16, 16\], \[16\] +3 /,
    /^adamw of \[1\] +1 .* GB\/s/,
    /^waiting for the next op /,
    /^from the last op to the next step /,
    /^whole step +[\d.e+-]+ +100\.0 %/,
    /^JavaScript, meanwhile /,
  ])
    assert.ok(
      rows.some((row) => line.test(row)),
      `${line}\n${out}`,
    )
  const none = run('profile', '--only', 'nothing like it')
  assert.is(none.status, 2)
  assert.match(none.error, /error: No case matches \/nothing like it\/i/)
})

test.run()
