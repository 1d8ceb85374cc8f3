// The bench at sizes that show only that it runs, and what it makes of its samples.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bench, fitting } from '../../bench/measure/bench.js'
import { middle, time } from '../../bench/measure/clock.js'
import { compareWith, entryOf } from '../../bench/measure/history.js'
import type { Entry } from '../../bench/measure/history.js'
import { GptloomError } from '../../lib/errors.js'
import { cpu } from '../../lib/tensor/index.js'
import { run } from './run.js'

const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-bench-'))
test.after(() => rmSync(folder, { recursive: true }))

test('the median, and half the distance between the quartiles', () => {
  assert.equal(middle([4]), { seconds: 4, spread: 0 })
  assert.equal(middle([5, 1, 2, 4, 3]), { seconds: 3, spread: 1 / 3 })
  assert.is(middle([1, 2, 4, 100]).seconds, 3)
})

test('cases take turns, after a start of their own', async () => {
  const calls: string[] = []
  const each = (name: string) => ({ name, run: () => void calls.push(name), dispose() {} })
  const times = await time(cpu(), [each('a'), each('b')], { samples: 3, sample: 0 })
  assert.equal(calls.join(''), 'aaaa' + 'bbbb' + 'ababab')
  assert.equal(
    times.map(({ name }) => name),
    ['a', 'b'],
  )
})

test('every case runs, and says how near it came to a ceiling', async () => {
  const { device, ceilings, results } = await bench(cpu(), { tiny: true })
  assert.is(device, cpu().name)
  const { flops: peaks, bandwidth, read, stream } = ceilings
  for (const rate of [peaks.float32, bandwidth, read, stream]) assert.ok(rate! > 1e6, String(rate))
  assert.is(ceilings.flops.bfloat16, undefined)
  assert.ok(results.length > 20)
  assert.is(new Set(results.map(({ name }) => name)).size, results.length)
  for (const { name, seconds, fraction, flops, bytes, tokens, group } of results) {
    assert.ok(seconds > 0 && Number.isFinite(fraction) && fraction > 0, name)
    assert.ok(flops > 0 || bytes > 0, name)
    assert.is(tokens > 0, group !== 'kernels', name)
  }
})

test('a case without room is left out, and any other failure is one', async () => {
  let disposed = 0
  const opener = (error?: Error) => ({
    ...({ name: 'case', dtype: 'float32' } as const),
    open: () => ({
      ...({ name: 'case', dtype: 'float32', flops: 1, bytes: 1 } as const),
      run: () => {
        if (error) throw error
      },
      dispose: () => void disposed++,
    }),
  })
  const full = new GptloomError('ERR_OUT_OF_MEMORY', 'it holds too much')
  assert.equal(await fitting(cpu(), opener(full)), { name: 'case', reason: 'it holds too much' })
  assert.is(disposed, 1)
  assert.is((await fitting(cpu(), opener())).name, 'case')
  assert.is(disposed, 1)
  const error = await fitting(cpu(), opener(new Error('broken'))).catch((error: Error) => error)
  assert.is((error as Error).message, 'broken')
})

test('a table for people, and a line for the history', () => {
  const history = path.join(folder, 'history.jsonl')
  const first = run('kernels', '--only', '^gelu|^layernorm', '--history', history)
  assert.is(first.status, 0, first.error)
  assert.match(
    first.out,
    /ceilings, measured now: multiply-adds [\d.e+]+ GFLOP\/s float32; copy .*; read/,
  )
  assert.match(first.out, /^GELU, with backward \(float32\) +[\d.]+ (us|ms)/m)
  assert.not.match(first.out, /add \(float32\)/)
  const second = run('train', '--json', '--history', history)
  const printed = JSON.parse(second.out) as Entry
  const lines = readFileSync(history, 'utf8').trim().split('\n')
  assert.is(lines.length, 2)
  assert.equal(JSON.parse(lines[1]!), printed)
  assert.match(printed.commit, /^([0-9a-f]+\+?|unknown)$/)
  assert.equal(
    printed.results.map(({ group }) => group),
    ['train'],
  )
  // Against the first line's commit, which is the same.
  const third = run('kernels', '--only', '^gelu', '--history', history, '--compare', 'HEAD')
  assert.is(third.status, 0, third.error)
  assert.match(third.out, /at HEAD +now +times as fast\nGELU \(float32\)/)
})

test('what moved: the newest run of the same machine, device and commit', () => {
  const file = path.join(folder, 'moves.jsonl')
  const result = {
    ...({ group: 'kernels', name: 'op', dtype: 'float32', seconds: 2, spread: 0.01 } as const),
    ...({ flops: 1, bytes: 1, tokens: 0, fraction: 0.5, bound: 'bytes' } as const),
  }
  const now = entryOf({
    device: 'some',
    ceilings: { flops: {}, bandwidth: 1 },
    results: [result],
    skipped: [],
  })
  const line = (over: Partial<Entry>, seconds: number) =>
    JSON.stringify({ ...now, commit: 'abc1234', ...over, results: [{ ...result, seconds }] })
  writeFileSync(
    file,
    [
      '{"case":"something else","commit":"abc1234"}',
      line({}, 8),
      line({}, 4),
      line({ machine: 'another' }, 3),
      line({ device: 'another' }, 3),
      line({ commit: 'def' }, 2.02),
    ].join('\n') + '\n',
  )
  assert.equal(compareWith(file, now, 'abc'), [
    { name: 'op', before: 4, now: 2, ratio: 2, moved: true },
  ])
  assert.is(compareWith(file, now, 'def')![0]!.moved, false)
  assert.is(compareWith(file, now, 'fff'), null)
})

test('mistakes are named', () => {
  const unknown = run('kernel')
  assert.is(unknown.status, 2)
  assert.match(
    unknown.error,
    "Expected kernels, train, generate, scale for the group, received 'kernel'",
  )
  const none = run('--only', 'nothing like it')
  assert.is(none.status, 2)
  assert.match(none.error, /error: No case matches \/nothing like it\/i/)
  const history = path.join(folder, 'none.jsonl')
  const missing = run('--only', 'norm', '--history', history, '--compare', '0000000')
  assert.is(missing.status, 1)
  assert.match(missing.error, 'error: there is no run at 0000000 on this machine and device')
})

test.run()
