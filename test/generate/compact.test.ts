// Generation with weights in fewer bytes: load(folder, { weights }).
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GptloomError, load, train } from '../../lib/index.js'
import type { LanguageModel } from '../../lib/index.js'
import { writeGguf } from '../../lib/formats/index.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import {
  CompactWeight,
  Tape,
  compact,
  compactEmbedding,
  compactMatmul,
  cpu,
  scope,
} from '../../lib/tensor/index.js'
import { stored } from '../cases/compact.js'
import { failure } from '../tensor/devices.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-compact-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

// A text with something to learn and to get wrong.
const words = ['the', 'whale', 'sea', 'ship', 'old', 'captain', 'wind', 'boat', 'and', 'of']
const text = Array.from({ length: 4000 }, (_, i) => words[(i * i + (i >> 2)) % 10]!).join(' ')
const saved = join(folder, 'model')
const data = join(folder, 'text.txt')
writeFileSync(data, text)
await train({
  data,
  model: { layers: 2, heads: 2, width: 48, context: 64 },
  tokenizer: 'character',
  output: saved,
  steps: 200,
  device: 'cpu',
})
const open = (weights?: 'float32' | 'bfloat16' | 'int8', threads?: number) =>
  load(saved, { device: 'cpu', weights, threads })

const formats = ['bfloat16', 'int8'] as const

/** The model with each matrix replaced by what the format makes of it. */
async function reference(format: (typeof formats)[number]): Promise<LanguageModel> {
  const model = await open()
  const state = await model.network.state()
  const shapes = new Map([...model.network.namedParameters()].map(([name, x]) => [name, x.shape]))
  for (const [name, values] of state) {
    const [rows, columns] = shapes.get(name) as [number, number | undefined]
    if (columns === undefined || name === 'wpe.weight') continue
    const table = name === 'wte.weight'
    const [K, N] = table ? [columns, rows] : [rows, columns]
    const at = (k: number, j: number) => (table ? j * K + k : k * N + j)
    state.set(name, Float32Array.from(stored(values, [K, N], format, at)))
  }
  model.network.loadState(state)
  return model
}

for (const format of formats) {
  test(`${format}: all that is computed is that of a float32 model with the same weights`, async () => {
    using exact = await reference(format)
    const options = { temperature: 0, maxTokens: 80 }
    const wanted = await exact.complete('the whale', options)
    for (const threads of [1, 2, 3]) {
      using model = await open(format, threads)
      assert.is(model.network.weights, format)
      assert.is(model.parameters, exact.parameters)
      assert.is(await model.complete('the whale', options), wanted)
      assert.equal(await model.logits('the old sea'), await exact.logits('the old sea'))
      // Several at once, and the prompt read whole: rows that are computed together.
      const many = await model.completions('the', { n: 3, maxTokens: 20, seed: 1 })
      assert.equal(many, await exact.completions('the', { n: 3, maxTokens: 20, seed: 1 }))
      const score = (await model.score(text.slice(0, 500))).logLikelihood
      const same = (await exact.score(text.slice(0, 500))).logLikelihood
      assert.ok(Math.abs(score / same - 1) < 1e-6, `${score} and ${same}`)
    }
  })
}

test('the loss rises by under 1 % with int8, and hardly with bfloat16', async () => {
  const held = text.slice(-6000)
  using exact = await open('float32')
  const { logLikelihood: best } = await exact.score(held)
  assert.ok(best / held.length > -1.5, `the model has learned: ${best / held.length}`)
  for (const [format, most] of [
    ['int8', 0.01],
    ['bfloat16', 0.005],
  ] as const) {
    using model = await open(format)
    const { logLikelihood } = await model.score(held)
    assert.ok(Math.abs(logLikelihood / best - 1) < most, `${format}: ${logLikelihood}, ${best}`)
    assert.is.not(logLikelihood, best)
  }
})

test('memory is what the format takes, and that of the exact weights is given back', async () => {
  const device = cpu({ threads: 1 })
  const config = resolveModel({ layers: 2, heads: 2, width: 256, context: 32 }, 1000)
  const matrices = 4 * (2 * 12 * 256 * 256 + 1000 * 256)
  for (const [format, share] of [
    ['bfloat16', 1 / 2],
    ['int8', 36 / 128],
  ] as const) {
    using model = new GPT2(config, device, 1)
    await device.idle()
    const before = device.memory()
    model.compact(format)
    await device.idle()
    device.native.trim()
    const after = device.memory()
    const freed = before.used - after.used
    assert.ok(Math.abs(freed / (matrices * (1 - share)) - 1) < 0.02, `${format}: ${freed}`)
    assert.ok(after.reserved < before.reserved - 0.9 * freed)
  }
  await device.idle()
  assert.is(device.memory().used, 0)
  device.close()
})

test('an adapter goes with such a model, and is not merged into it', async () => {
  const adapter = join(folder, 'adapter')
  const lora = { rank: 2 }
  await train({ data, base: saved, lora, output: adapter, steps: 20, device: 'cpu' })
  using exact = await load(adapter, { device: 'cpu' })
  using model = await load(adapter, { device: 'cpu', weights: 'int8' })
  const logits = async (from: LanguageModel) => [...(await from.logits('the whale')).values]
  const [ours, theirs] = [await logits(model), await logits(exact)]
  model.useAdapter(null)
  const without = await logits(model)
  const distance = (a: number[], b: number[]) => Math.hypot(...a.map((x, i) => x - b[i]!))
  assert.ok(distance(ours, theirs) < 0.2 * distance(ours, without))
  model.useAdapter('default')
  assert.match(
    (await failure(() => model.merge()))?.message ?? '',
    /for merge\(\), received one with int8/,
  )
  await model.save(join(folder, 'adapter-again'))
})

test('it is not saved, exported or trained, and says why', async () => {
  using model = await open('int8')
  const { network, tokenizer } = model
  const target = join(folder, 'never')
  const input = cpu().tensor(Int32Array.of(0, 1), [1, 2])
  const step = () => new Tape().run(() => network.loss(input, input))
  for (const [what, body] of Object.entries({
    saving: () => model.save(target),
    'saving ': () => writeGguf(`${target}.gguf`, network, tokenizer, { type: 'f32' }),
    'state()': () => network.state(),
    'loadState()': () => network.loadState([]),
    'compact()': () => network.compact('int8'),
  })) {
    const error = (await failure(body)) as GptloomError
    assert.is(error?.code, 'ERR_COMPACT', what)
    assert.match(error.message, `exact weights for ${what.trim()}, received one with int8`)
  }
  const error = await failure(step)
  assert.is(error?.code, 'ERR_COMPACT')
  assert.match(error!.message, /has no backward/)
  assert.not.ok(existsSync(target) || existsSync(`${target}.gguf`))
})

test('what cannot be is refused in one sentence', async () => {
  const says = async (body: () => unknown, message: RegExp) =>
    assert.match((await failure(body))?.message ?? '', message)
  const bad = (weights: unknown) => () => load(saved, { device: 'cpu', weights: weights as 'int8' })
  await says(bad('int4'), /^Expected 'float32', 'bfloat16' or 'int8' for weights, received "int4"$/)
  await says(bad(null), /for weights, received null/)
  const device = cpu()
  scope(() => {
    const [a, w] = [device.zeros([2, 3]), device.zeros([3, 4])]
    const weight = compact(w, 'int8')
    assert.instance(weight, CompactWeight)
    assert.is(weight.bytes, 4 * 32 + 3 * 32)
    assert.throws(() => compact(w, 'float16' as 'int8'), /'bfloat16' or 'int8' for format/)
    assert.throws(() => compact(device.zeros([0, 4]), 'int8'), /some rows and columns/)
    assert.throws(() => compact(device.zeros([3]), 'int8'), /tensor \[K, N\] for weight/)
    assert.throws(() => compactMatmul(device.zeros([2, 4]), weight), /\[..., 3\] for a/)
    assert.throws(() => compactMatmul(a, w as unknown as CompactWeight), /a CompactWeight for/)
    assert.throws(() => compactMatmul(a, weight, { bias: device.zeros([3]) }), /\[4\] for bias/)
    assert.throws(() => compactMatmul(a, weight, { residual: a }), /\[2, 4\] for residual/)
    assert.throws(() => compactEmbedding(a, weight), /int32 tensor \[B, T\] for tokens/)
    weight.dispose()
    assert.throws(() => compactMatmul(a, weight), /used after dispose/)
  })
  const far = scope(() => {
    const table = compact(device.zeros([5, 3]), 'int8', { transpose: true })
    return compactEmbedding(device.tensor(Int32Array.of(5), [1, 1]), table)
  })
  await says(() => far.data(), /Expected a token id in \[0, 5\)/)
  far.dispose()
})

test.run()
