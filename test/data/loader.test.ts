import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { IGNORED, Loader } from '../../lib/data/loader.js'
import type { Batch, LoaderOptions } from '../../lib/data/loader.js'
import { TokenFile, TokenWriter } from '../../lib/data/tokens.js'
import { GptloomError } from '../../lib/errors.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-loader-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** A file of the given tokens. */
async function fileOf(tokens: ArrayLike<number>): Promise<TokenFile> {
  const path = join(folder, 'x.tokens')
  const writer = await TokenWriter.create(path, 70_000)
  await writer.write(Int32Array.from(tokens))
  await writer.finish(0)
  return TokenFile.open(path)
}
/** Token i is i, so that a window tells where it came from. */
const counting = (length: number) => fileOf(Array.from({ length }, (_, i) => i))

function rows({ tokens }: Batch, context: number): number[] {
  return Array.from({ length: tokens.length / context }, (_, row) => tokens[row * context]!)
}

test('an epoch visits windows that do not overlap, each once, the next one others', async () => {
  for (const [start, end, context] of [
    [0, 1000, 31],
    [7, 999, 17],
    [3, 35, 31],
    [3, 36, 31],
    [0, 63, 31],
    [5, 68, 31],
    [0, 127, 1],
    [10, 12, 1],
    [0, 2049, 33],
  ] as const) {
    const file = await counting(end + 5)
    const loader = new Loader(file, { start, end }, { batch: 1, context, seed: 3 })
    const count = loader.windowsPerEpoch
    assert.is(count, Math.max(1, Math.floor((end - start - context) / context)))
    const epochs: number[][] = []
    for (let epoch = 0; epoch < 12; epoch++) {
      const begins: number[] = []
      for (let i = 0; i < count; i++) {
        const { tokens, targets, starts, targetCount } = await loader.batch(epoch * count + i)
        const begin = tokens[0]!
        assert.ok(begin >= start && begin + context < end, `${begin} in [${start}, ${end})`)
        assert.equal(
          tokens,
          Int32Array.from({ length: context }, (_, t) => begin + t),
        )
        assert.equal(
          targets,
          Int32Array.from({ length: context }, (_, t) => begin + t + 1),
        )
        assert.is(starts, null)
        assert.is(targetCount, context)
        begins.push(begin)
      }
      const sorted = begins.slice().sort((a, b) => a - b)
      assert.ok(sorted.every((begin, i) => i === 0 || begin === sorted[i - 1]! + context))
      epochs.push(begins)
    }
    const slack = end - start - 1 - count * context
    assert.ok(slack >= 0 && slack <= Math.max(2 * context - 2, 0))
    const phases = new Set(epochs.map((begins) => Math.min(...begins)))
    if (slack > 10) assert.ok(phases.size > 4, `${phases.size} phases`)
    if (count > 10) {
      const orders = epochs.map((begins) => begins.map((begin) => begin - Math.min(...begins)))
      assert.is(new Set(orders.map(String)).size, 12, 'every epoch has an order of its own')
    }
    await file.close()
  }
})

test('any step at any time: order of asking, batch and micro-batches change nothing', async () => {
  const file = await counting(5003)
  const range = { start: 11, end: 4999 }
  const make = (batch: number, micros: number, seed = 5) =>
    new Loader(file, range, { batch, context: 29, seed, micros })
  const forwards: Batch[] = []
  const loader = make(7, 3)
  for (let i = 0; i < 60; i++) forwards.push(await loader.batch(Math.floor(i / 3), i % 3))
  for (let index = 59; index >= 0; index -= 7) {
    assert.equal(await make(7, 3).batch(Math.floor(index / 3), index % 3), forwards[index])
    assert.equal(await loader.batch(Math.floor(index / 3), index % 3), forwards[index])
  }
  const single = make(21, 1)
  for (let step = 0; step < 20; step++) {
    const { tokens } = await single.batch(step)
    const parts = forwards.slice(step * 3, step * 3 + 3).flatMap((batch) => [...batch.tokens])
    assert.equal([...tokens], parts, 'one batch of 21 is three of 7')
  }
  assert.not.equal((await make(7, 3, 6).batch(0)).tokens, forwards[0]!.tokens)
  const [a, b] = await Promise.all([loader.batch(4), loader.batch(9)])
  assert.equal([a, b], [forwards[12], forwards[27]])
  assert.ok(Math.abs(loader.epoch(20) - (20 * 21) / loader.windowsPerEpoch) < 1e-12)
  await file.close()
})

test('documents: where each position began', async () => {
  const END = 9
  // Ends in unlike places: first, last, two in a row.
  const tokens = [9, 1, 2, 9, 9, 3, 4, 9, 5, 6, 7, 8, 1, 9, 2, 3, 4, 5, 6, 7, 9, 1]
  const file = await fileOf(tokens)
  const range = { start: 0, end: 22 }
  const options = { batch: 2, context: 7, seed: 1 }
  const loader = new Loader(file, range, { ...options, endOfText: END })
  const batches: Batch[] = []
  for await (const batch of loader.windows()) batches.push(batch)
  assert.is(batches.length, 2)
  assert.equal([...batches[0]!.tokens], tokens.slice(0, 14))
  assert.equal([...batches[0]!.targets], tokens.slice(1, 15))
  assert.equal([...batches[0]!.starts!], [0, 1, 1, 1, 4, 5, 5, 0, 1, 1, 1, 1, 1, 1])
  assert.equal([...batches[1]!.tokens], [...tokens.slice(14, 21), 0, 0, 0, 0, 0, 0, 0])
  const filled = new Array<number>(7).fill(IGNORED)
  assert.equal([...batches[1]!.targets], [...tokens.slice(15, 22), ...filled])
  assert.is(batches[1]!.starts, null, 'an end at the last position begins nothing')
  assert.is(batches[1]!.targetCount, 7)
  for (let step = 0; step < 10; step++) {
    const { tokens: ids, starts } = await loader.batch(step)
    // The oracle looks back from each position for the last end before it.
    const expected = Int32Array.from(ids, (_, i) => {
      const row = Math.floor(i / 7) * 7
      return Math.max(0, ids.subarray(row, i).lastIndexOf(END) + 1)
    })
    assert.equal(starts ?? new Int32Array(14), expected)
    assert.is(
      starts === null,
      expected.every((begin) => begin === 0),
    )
  }
  const none = new Loader(file, range, options)
  assert.is((await none.batch(0)).starts, null)
  // The last window is one token long, an end: what fills it up begins no document.
  const short = new Loader(file, range, { batch: 1, context: 5, seed: 1, endOfText: END })
  let last = await short.batch(0)
  for await (const batch of short.windows()) last = batch
  assert.equal([...last.tokens], [END, 0, 0, 0, 0])
  assert.equal([...last.targets], [1, IGNORED, IGNORED, IGNORED, IGNORED])
  assert.is(last.starts, null)
  await file.close()
})

test('windows cover every target of a range once', async () => {
  for (const [start, end, context, batch] of [
    [0, 2, 5, 3],
    [4, 9, 5, 1],
    [0, 100, 9, 4],
    [1, 101, 9, 4],
    [3, 131, 127, 2],
    [0, 129, 1, 7],
  ] as const) {
    const file = await counting(end + 1)
    const loader = new Loader(file, { start, end }, { batch, context, seed: 0 })
    const seen: number[] = []
    let count = 0
    for await (const { tokens, targets, targetCount } of loader.windows()) {
      const rows = Math.min(batch, Math.ceil((end - start - 1) / context))
      assert.is(tokens.length, rows * context)
      assert.is(targets.filter((target) => target !== IGNORED).length, targetCount)
      targets.forEach((target, i) => {
        if (target !== IGNORED) assert.is(target, tokens[i]! + 1)
      })
      seen.push(...targets.filter((target) => target !== IGNORED))
      count += targetCount
    }
    assert.equal(
      seen,
      Array.from({ length: end - start - 1 }, (_, i) => start + 1 + i),
    )
    assert.is(count, end - start - 1)
    await file.close()
  }
})

test('windows with a limit are the same every time, apart, and spread over the range', async () => {
  const file = await counting(10_001)
  const loader = new Loader(file, { start: 0, end: 10_001 }, { batch: 4, context: 10, seed: 0 })
  const collect = async (limit?: number) => {
    const begins: number[] = []
    for await (const batch of loader.windows(limit)) {
      begins.push(...rows(batch, 10).slice(0, batch.targetCount / 10))
    }
    return begins
  }
  const some = await collect(73)
  assert.equal(
    some,
    [0, 1, 2, 3, 4, 5, 6].map((i) => Math.floor((i * 1000) / 7) * 10),
  )
  assert.equal(await collect(73), some)
  assert.is((await collect(1)).length, 1)
  assert.is((await collect(9990)).length, 999)
  assert.is(new Set(await collect(9990)).size, 999)
  assert.is((await collect(1e9)).length, 1000)
  for await (const batch of loader.windows()) if (batch) break // leaving early is no error
  await file.close()
})

test('mistakes', async () => {
  const file = await counting(20)
  const options: LoaderOptions = { batch: 1, context: 19, seed: 0 }
  const whole = { start: 0, end: 20 }
  assert.is((await new Loader(file, whole, options).batch(0)).tokens.length, 19)
  const long = new Loader(file, whole, { ...options, context: 20 })
  const error = (await long.batch(0).catch((reason: unknown) => reason)) as GptloomError
  assert.is(error.code, 'ERR_DATA')
  assert.match(error.message, /a range of 20 tokens, expected at least 21/)
  assert.throws(() => new Loader(file, { start: 4, end: 5 }, options), /holds nothing to predict/)
  assert.throws(() => new Loader(file, { start: 0, end: 21 }, options), /range\.end, received 21/)
  assert.throws(() => new Loader(file, { start: 9, end: 8 }, options), /range\.start/)
  assert.throws(() => new Loader(file, whole, { ...options, batch: 0 }), /for batch/)
  assert.throws(() => new Loader(file, whole, { ...options, seed: -1 }), /for seed/)
  const loader = new Loader(file, whole, options)
  for (const [step, micro] of [
    [-1, 0],
    [0.5, 0],
    [0, 1],
  ] as const) {
    const thrown = await loader.batch(step, micro).catch((reason: unknown) => reason)
    assert.instance(thrown, RangeError)
  }
  await file.close()
})

test('a file that is too long to be held is read as it goes, until it is closed', async () => {
  const file = await fileOf(Array.from({ length: 300_000 }, (_, i) => i % 70_000))
  const loader = new Loader(file, { start: 0, end: 300_000 }, { batch: 3, context: 19, seed: 0 })
  const { tokens, targets } = await loader.batch(0)
  assert.equal([...targets], [...tokens.map((token) => (token + 1) % 70_000)])
  await file.close()
  await loader.batch(1).catch(() => {}) // read ahead before the file was closed
  const closed = await loader.batch(5).catch((reason: unknown) => reason)
  assert.instance(closed, Error)
})

test.run()
