import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ExampleFile, ExampleWriter } from '../../lib/data/examples.js'
import type { EncodedExample } from '../../lib/data/examples.js'
import { IGNORED } from '../../lib/data/loader.js'
import type { Batch } from '../../lib/data/loader.js'
import { PackedLoader } from '../../lib/data/packed.js'
import { Random } from '../../lib/random.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-packed-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const T = 24
const random = new Random(7)
const examples: EncodedExample[] = Array.from({ length: 211 }, (_, i) => {
  const length = 2 + random.integer(T)
  const tokens = Int32Array.from({ length }, () => 1 + random.integer(70_000))
  const learn = Uint8Array.from(tokens, () => random.integer(2))
  learn[1 + random.integer(length - 1)] = 1
  learn[0] = random.integer(2)
  const origin = { source: i % 3, line: 2 ** 40 + i, row: i + 1 }
  return { tokens, learn, origin, learnedBytes: i }
})

const parts = Uint8Array.from(examples, (_, i) => (i % 10 === 0 ? 1 : 0))

async function write(name: string): Promise<ExampleFile> {
  const writer = await ExampleWriter.create(folder, name, 70_001)
  for (const example of examples) await writer.add(example)
  await writer.finish(12345, parts)
  return ExampleFile.open(folder, name)
}

test('what is written is read, example by example', async () => {
  const file = await write('a')
  assert.is(file.count, examples.length)
  assert.is(file.tokens.bytes, 12345)
  for (const [i, example] of examples.entries()) {
    const { tokens, learn } = await file.read(i)
    assert.equal(tokens, example.tokens)
    assert.equal(learn, example.learn)
    const entry = await file.entry(i)
    assert.equal(entry.origin, example.origin)
    assert.is(file.length(i), example.tokens.length)
    assert.is(entry.learnedBytes, example.learnedBytes)
    assert.is(entry.learnedTokens, [...learn].slice(1).filter(Boolean).length)
    assert.is(file.part(i), parts[i])
  }
  await file.close()
})

test('damaged files are refused, naming the file', async () => {
  for (const extension of ['learn', 'index', 'tokens', 'parts']) {
    await (await write('b')).close()
    const path = join(folder, `b.${extension}`)
    const bytes = readFileSync(path)
    truncateSync(path, bytes.length - 1)
    const refused = async () => {
      const error = await ExampleFile.open(folder, 'b').then(String, (error) => error)
      assert.is(error.code, 'ERR_FORMAT', String(error))
      assert.match(error.message, `b.${extension}`)
    }
    await refused()
    if (extension !== 'index') continue
    bytes[8]! ^= 1 // the length of the first example
    writeFileSync(path, bytes)
    await refused()
  }
})

const all = (file: ExampleFile) => Uint32Array.from({ length: file.count }, (_, i) => i)

/** The examples in a batch, from its starts, as text that names their targets. */
function contents({ tokens, targets, starts }: Batch): string[] {
  const found: string[] = []
  for (let row = 0; row < tokens.length; row += T) {
    for (let t = 0; t < T;) {
      let end = t + 1
      while (end < T && starts![row + end] === t) end++
      assert.is(starts![row + t], t, 'an example begins where its positions do')
      found.push(key(tokens.subarray(row + t, row + end), targets.subarray(row + t, row + end)))
      t = end
    }
  }
  return found
}

function key(inputs: Int32Array, targets: Int32Array): string {
  return `${inputs.join(' ')} > ${targets.join(' ')}`
}

function expected({ tokens, learn }: EncodedExample): string {
  const targets = tokens.slice(1).map((token, t) => (learn[t + 1] ? token : IGNORED))
  return key(tokens.subarray(0, -1), targets)
}

const isFiller = (text: string) => /^(0 ?)+ > (-100 ?)+$/.test(text)

test('an epoch shows every example once, whole and masked, in another order each time', async () => {
  const file = await write('c')
  const loader = new PackedLoader(file, [{ examples: all(file) }], {
    batch: 1,
    context: T,
    seed: 3,
  })
  const orders: string[] = []
  for (let epoch = 0; epoch < 2; epoch++) {
    const found: string[] = []
    let targets = 0
    for (let step = 0; step < loader.windowsPerEpoch; step++) {
      const batch = await loader.batch(epoch * loader.windowsPerEpoch + step)
      found.push(...contents(batch).filter((text) => !isFiller(text)))
      targets += batch.targetCount
      assert.is(batch.targetCount, batch.targets.filter((target) => target !== IGNORED).length)
    }
    assert.equal([...found].sort(), examples.map(expected).sort())
    const learned = examples.reduce(
      (sum, { learn }) => sum + learn.subarray(1).reduce((a, b) => a + b, 0),
      0,
    )
    assert.is(targets, learned)
    orders.push(found.join())
  }
  assert.is.not(orders[0], orders[1])
  assert.is(loader.epoch(loader.windowsPerEpoch), 1)
  assert.ok(loader.padding < 0.1, `padding ${loader.padding}`)
  await file.close()
})

test('a batch follows from integers alone; windows() shows everything once', async () => {
  const file = await write('d')
  const options = { batch: 4, context: T, seed: 5, micros: 2 }
  const [one, two] = [0, 1].map(() => new PackedLoader(file, [{ examples: all(file) }], options))
  for (const [step, micro] of [
    [0, 0],
    [0, 1],
    [1, 0],
    [40, 1],
    [7, 1],
  ] as const)
    assert.equal(await two!.batch(step, micro), await one!.batch(step, micro))
  const found: string[] = []
  for await (const batch of one!.windows())
    found.push(...contents(batch).filter((text) => !isFiller(text)))
  assert.equal(found.sort(), examples.map(expected).sort())
  let places = 0
  for await (const batch of one!.windows(10 * T))
    places += contents(batch).length && batch.tokens.length
  assert.is(places, 12 * T, '10 windows in batches of 4')
  await file.close()
})

test('weights say how often a source is shown', async () => {
  const file = await write('e')
  const sources = await file.sources()
  const of = (source: number) => all(file).filter((i) => sources[i] === source)
  const weights = [1, 2.5, 0.5]
  const loader = new PackedLoader(
    file,
    weights.map((weight, source) => ({ examples: of(source), weight })),
    { batch: 1, context: T, seed: 1 },
  )
  const seen = new Map<string, number>()
  const epochs = 4
  for (let step = 0; step < epochs * loader.windowsPerEpoch; step++) {
    for (const text of contents(await loader.batch(step))) seen.set(text, (seen.get(text) ?? 0) + 1)
  }
  for (const [source, weight] of weights.entries()) {
    const times = [...of(source)].map((i) => seen.get(expected(examples[i]!)) ?? 0)
    const wanted = weight * epochs
    assert.ok(
      times.every((n) => Math.abs(n - wanted) <= 1),
      `source ${source}: ${times}`,
    )
  }
  await file.close()
})

test('nothing to learn from, or an example beyond the context, is an error', async () => {
  const file = await write('f')
  const options = { batch: 1, context: T, seed: 0 }
  assert.throws(
    () => new PackedLoader(file, [{ examples: new Uint32Array() }], options),
    /no example/,
  )
  assert.throws(
    () => new PackedLoader(file, [{ examples: all(file) }], { ...options, context: 8 }),
    /example \d+ has \d+ tokens, expected 2 to 9/,
  )
  await file.close()
})

test.run()
