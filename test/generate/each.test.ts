// Different prompts that are continued together, against each of them alone.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LanguageModel } from '../../lib/index.js'
import type { GenerateOptions } from '../../lib/index.js'
import { writeEach, writeTokens } from '../../lib/generate/generate.js'
import type { WrittenToken } from '../../lib/generate/generate.js'
import { Reader } from '../../lib/generate/reader.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { Lora } from '../../lib/nn/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { characterTokenizer } from '../../lib/tokenizer/index.js'
import { failure } from '../tensor/devices.js'

const tokenizer = await characterTokenizer(['Call me Ishmael. Some years ago, never mind!'])

async function build(change: object = {}): Promise<GPT2> {
  const sizes = { layers: 2, heads: 2, width: 48, context: 24, ...change }
  const model = new GPT2(resolveModel(sizes, tokenizer.size), cpu(), 4)
  const state = await model.state()
  for (const [name, values] of state)
    if (!/ln_|bias/.test(name)) values.forEach((x, i) => (values[i] = x * 20))
  model.loadState(state)
  return model
}

const prompts = [[3], [1, 2, 3, 4, 5, 6, 7], [], [9, 8], [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5]]
// Longer than the context: its end is what counts.
prompts.push(Array.from({ length: 30 }, (_, i) => i % tokenizer.size))
const options = { maxTokens: 40, temperature: 0.8, topK: 9, repetitionPenalty: 1.1, seed: 3 }

async function alone(model: GPT2, prompt: number[], more: object = {}): Promise<WrittenToken[]> {
  const reader = new Reader(model, tokenizer.size)
  const written: WrittenToken[] = []
  const all = { ...options, logprobs: 3, ...more }
  for await (const token of writeTokens(reader, tokenizer.endOfText, prompt, all))
    written.push(token)
  reader.dispose()
  return written
}

/** The tokens and, to the bit, the probabilities of each prompt alone. */
async function agrees(model: GPT2, more: object = {}): Promise<number[]> {
  const written = prompts.map((): WrittenToken[] => [])
  const all = { ...options, logprobs: 3, ...more }
  for await (const token of writeEach(model, tokenizer, prompts, all))
    written[token.index]!.push({ ...token, index: 0 })
  for (const [i, prompt] of prompts.entries())
    assert.equal(written[i], await alone(model, prompt, more), `prompt ${i}`)
  return written.map(({ length }) => length)
}

test('the same tokens and probabilities as alone, beyond the context as well', async () => {
  assert.equal(new Set(await agrees(await build())), new Set([40]))
})

test('some end before the others', async () => {
  const model = await build()
  const first = (await alone(model, prompts[1]!))[4]!.token
  const lengths = await agrees(model, { ends: [first] })
  assert.ok(new Set(lengths).size > 2, lengths.join())
})

/** Weights that matter. */
function adapterFor(model: GPT2): Lora {
  const layers = [...model.linears()].map(([name, { weight }]) => {
    const [inputs, outputs] = weight.shape as [number, number]
    return { name, inputs, outputs }
  })
  const settings = { rank: 2, alpha: 4, dropout: 0, rsLora: false }
  const lora = Lora.fresh(settings, layers, { device: cpu(), dtype: 'float32', seed: 1 })
  for (const [, tensor] of lora.namedParameters())
    tensor.write(Float32Array.from({ length: tensor.size }, (_, i) => Math.sin(i) / 3))
  return lora
}

test('with local attention, and with an adapter', async () => {
  const model = await build({ windows: [null, 5] })
  await agrees(model)
  const lora = adapterFor(model)
  const before = await alone(model, prompts[0]!)
  model.useAdapter(lora)
  assert.is.not(JSON.stringify(await alone(model, prompts[0]!)), JSON.stringify(before))
  await agrees(model)
})

for (const format of ['bfloat16', 'int8'] as const)
  test(`with ${format} weights`, async () => {
    const model = await build()
    model.compact(format)
    await agrees(model)
  })

test('as texts: stop strings end each where it would end alone', async () => {
  const model = new LanguageModel(await build(), tokenizer)
  const all: GenerateOptions = { temperature: 0, maxTokens: 30, stop: ['hC', 'SS', 'sh'] }
  const texts = ['Call me', 'Some years', 'n', '']
  const encoded = texts.map((text) => tokenizer.encode(text))
  const expected = await Promise.all(texts.map((text) => model.complete(text, all)))
  const rows: number[] = []
  const { network } = model
  const one = network.continueEach.bind(network)
  network.continueEach = (tokens, caches) => {
    rows.push(caches.length)
    return one(tokens, caches)
  }
  assert.equal(await model.completeEach(encoded, all), expected)
  assert.equal(
    expected.map((text) => text.length),
    [2, 6, 8, 30],
  )
  // What has ended is computed no further: a character is a token, and each stop string has two.
  const going = (i: number) =>
    expected.filter(({ length }) => length === 30 || length + 2 > i).length
  assert.ok(rows.length > 25, `${rows.length}`)
  assert.equal(
    rows.filter((count, i) => count > going(i)),
    [],
  )
  assert.equal(await model.completeEach([], all), [])
})

test('a model that changes between two tokens is read anew', async () => {
  const model = await build()
  const read = (reader: Reader, tokens: number[]) =>
    reader.read([tokens]).then(([logits]) => logits!)
  const agree = async (tokens: number[]) => {
    const fresh = new Reader(model, tokenizer.size)
    const expected = await read(fresh, tokens)
    const logits = await read(reader, tokens)
    // Many tokens at once are summed in another order.
    assert.ok(logits.every((x, i) => Math.abs(x - expected[i]!) < 1e-3))
    fresh.dispose()
    return [...logits]
  }
  const reader = new Reader(model, tokenizer.size)
  const tokens = [1, 2, 3]
  const more = async () => {
    for (let i = 0; i < 3; i++) await agree((tokens.push(i), tokens))
    return agree(tokens)
  }
  await more()
  for (const adapter of [adapterFor(model), null]) {
    const before = await agree(tokens)
    model.useAdapter(adapter)
    const after = await agree(tokens)
    assert.ok(before.some((x, i) => Math.abs(x - after[i]!) > 1))
    await more()
  }
  model.compact('int8')
  await more()
  model.dispose()
  assert.is((await failure(() => read(reader, [...tokens, 1])))?.code, 'ERR_DISPOSED')
  reader.dispose()
})

test.run()
