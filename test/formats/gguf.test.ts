// Our GGUF files in llama.cpp (npm node-llama-cpp, its prebuilt CPU binary) and under another parser.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GGMLQuantizationType, gguf } from '@huggingface/gguf'
import { LlamaLogLevel, getLlama } from 'node-llama-cpp'
import type { LlamaModel, Token } from 'node-llama-cpp'
import { openGguf } from '../../lib/formats/gguf.js'
import { GGUF_TYPES, writeGguf, writeGgufAdapter } from '../../lib/formats/ggufmodel.js'
import type { GgufType } from '../../lib/formats/ggufmodel.js'
import { ggufName } from '../../lib/formats/ggufnames.js'
import { isMatrix, transpose } from '../../lib/formats/mapping.js'
import { mergedWeights } from '../../lib/formats/peft.js'
import type { LoraAdapter, LoraMatrix } from '../../lib/formats/peft.js'
import { weightsOf } from '../../lib/formats/huggingface.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import type { ModelOptions } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { characterTokenizer, gpt2Tokenizer, trainTokenizer } from '../../lib/tokenizer/index.js'
import type { Tokenizer } from '../../lib/tokenizer/index.js'

const root = mkdtempSync(join(tmpdir(), 'gptloom-gguf-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const path = join(root, 'model.gguf')

const text = 'the whale and the ship and the sea: the sea, the ship, the whale'
const tokenizer = await trainTokenizer([text], { size: 270, special: ['<|endoftext|>'] })
const llama = await getLlama({
  build: 'never',
  gpu: false,
  skipDownload: true,
  logLevel: LlamaLogLevel.error,
  maxThreads: 1,
})

/** A model whose weights are large enough for its logits to differ from each other. */
async function strong(options: ModelOptions = {}): Promise<GPT2> {
  const sizes = { layers: 2, heads: 2, width: 64, context: 256, vocabulary: tokenizer.size }
  const model = new GPT2(resolveModel({ ...sizes, ...options }), cpu(), 5)
  let seed = 1
  for (const [name, tensor] of model.namedParameters()) {
    const values = (await tensor.data()) as Float32Array
    const vector = values.length === tensor.shape.at(-1)
    const noise = () => Math.sin(seed++ * 12.9898) / 5
    tensor.write(values.map((x) => (vector ? x + noise() : x * (name[0] === 'w' ? 12 : 6))))
  }
  return model
}

/** Log-probabilities of every next token, after each of the tokens. */
async function ours(model: GPT2, tokens: readonly number[]): Promise<number[][]> {
  const ids = Int32Array.from(tokens)
  const logits = model.logits(model.forward(model.device.tensor(ids, [1, ids.length])))
  const values = (await logits.data()) as Float32Array
  const V = model.config.vocabulary
  return tokens.map((_, t) => {
    const row = values.subarray(t * V, (t + 1) * V)
    const most = row.reduce((a, b) => Math.max(a, b))
    const sum = row.reduce((total, x) => total + Math.exp(x - most), 0)
    return Array.from(row, (x) => x - most - Math.log(sum))
  })
}

/** llama.cpp's greedy continuation of the prompt, and its log-probabilities at each step. */
async function theirs(model: LlamaModel, prompt: number[], count: number, adapter?: string) {
  const context = await model.createContext({
    contextSize: 256,
    flashAttention: false,
    experimentalKvCacheKeyType: 'F32',
    experimentalKvCacheValueType: 'F32',
    ...(adapter && { lora: { adapters: [{ filePath: adapter, scale: 1 }] } }),
  })
  const sequence = context.getSequence()
  const tokens = prompt.slice()
  const steps: number[][] = []
  const options = { temperature: 1, topK: 0, topP: 1, minP: 0 }
  const next = { generateNext: { probabilities: true, options } }
  let unread: number[] = tokens.slice()
  for (let i = 0; i < count; i++) {
    const input = [...unread.slice(0, -1), [unread.at(-1), next]] as never
    const results = await sequence.controlledEvaluate(input)
    const probabilities = results.at(-1)!.next.probabilities as Map<Token, number>
    const row = new Array<number>(probabilities.size)
    for (const [token, probability] of probabilities) row[token] = Math.log(probability)
    steps.push(row)
    unread = [row.indexOf(Math.max(...row))]
    tokens.push(...unread)
  }
  await context.dispose()
  return { tokens, steps }
}

const difference = (a: readonly number[], b: readonly number[]) =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0)

// llama.cpp computes GELU from a table in float16, so that even float32 differs by about 1e-3; it
// rounds the inputs of products as it does the weights.
const TOLERANCE: Record<GgufType, number> = { f32: 5e-3, f16: 1e-2, bf16: 6e-2, q8_0: 0.25 }

async function agree(model: GPT2, type: GgufType, words: Tokenizer = tokenizer): Promise<void> {
  await writeGguf(path, model, words, { type })
  const loaded = await llama.loadModel({ modelPath: path, gpuLayers: 0, checkTensors: true })
  const prompt = Array.from(words.encode('the whale'))
  assert.equal(loaded.tokenize('the whale'), prompt)
  assert.is(loaded.detokenize(prompt as Token[]), 'the whale')
  const { tokens, steps } = await theirs(loaded, prompt, 12)
  await loaded.dispose()
  const rows = (await ours(model, tokens)).slice(prompt.length - 1, -1)
  for (const [step, row] of rows.entries()) {
    const error = difference(row, steps[step]!)
    assert.ok(error < TOLERANCE[type], `${type}: step ${step} differs by ${error}`)
    const best = row.indexOf(Math.max(...row))
    const token = tokens[prompt.length + step]!
    const gap = row[best]! - row[token]!
    assert.ok(gap <= 2 * TOLERANCE[type], `${type}: step ${step} takes ${token} for ${best}`)
    if (type === 'f32') assert.is(token, best)
  }
  const spread = Math.max(...rows[0]!) - Math.min(...rows[0]!)
  assert.ok(spread > 5, `the test is too easy: logits differ by ${spread} only`)
}

for (const type of GGUF_TYPES) {
  test(`llama.cpp gives our tokens and log-probabilities: ${type}`, async () => {
    await agree(await strong(), type)
  })
}

for (const options of [
  { tied: false },
  { bias: false },
  { vocabulary: tokenizer.size + 7 },
  { width: 48, heads: 3, epsilon: 1e-3 },
] as ModelOptions[]) {
  test(`llama.cpp reads ${JSON.stringify(options)}`, async () => {
    await agree(await strong(options), options.width ? 'q8_0' : 'f32')
  })
}

test('a character-level vocabulary is one of bytes and merges to llama.cpp', async () => {
  const words = await characterTokenizer([text + ' äöé€𝄞\n'], { special: ['<|endoftext|>'] })
  await agree(await strong({ vocabulary: words.size }), 'f32', words)
  const loaded = await llama.loadModel({ modelPath: path, gpuLayers: 0 })
  const sample = 'the sea €\nä𝄞é: and'
  const ids = Array.from(words.encode(sample))
  assert.equal(loaded.tokenize(sample), ids)
  assert.is(loaded.detokenize(ids as Token[]), sample)
  assert.equal(loaded.tokenize('<|endoftext|>', true), [words.endOfText])
  await loaded.dispose()
})

test("GPT-2's vocabulary cuts texts as llama.cpp does", async () => {
  const words = await gpt2Tokenizer()
  const small = { vocabulary: 50257, width: 32, heads: 2, layers: 1, context: 16 }
  await writeGguf(path, new GPT2(resolveModel(small), cpu(), 1), words, { type: 'q8_0' })
  const loaded = await llama.loadModel({ modelPath: path, gpuLayers: 0 })
  for (const sample of [
    "Hello world's  end,\n\n  don't you'll 12345 67\t!!",
    'naïve Größe 北京 дом 🙂👩‍👩‍👧 ½ x²',
    '  leading and trailing  ',
    'a\r\nb\n\n\nc',
    '<|im_start|>user\nhi',
  ]) {
    const ids = Array.from(words.encode(sample))
    assert.equal(loaded.tokenize(sample), ids, sample)
    assert.is(loaded.detokenize(ids as Token[]), sample)
  }
  await loaded.dispose()
})

test('an adapter in GGUF equals the merged weights', async () => {
  const model = await strong()
  const { width: C } = model.config
  const make = (name: string, inputs: number, outputs: number, scale: number): LoraMatrix => {
    const values = (length: number, step: number) =>
      Float32Array.from({ length }, (_, i) => Math.sin(i * step))
    const [a, b] = [values(3 * inputs, 1.3), values(3 * outputs, 0.7)]
    return { name, rank: 3, inputs, outputs, scale, a: async () => a, b: async () => b }
  }
  const adapter: LoraAdapter = {
    ...{ rank: 3, alpha: 2, dropout: 0, rsLora: true, base: null },
    matrices: [
      make('h.0.attn.c_attn', C, 3 * C, 0.2),
      make('h.1.attn.c_proj', C, C, 0.3),
      make('h.0.mlp.c_fc', C, 4 * C, 0.2),
      make('h.1.mlp.c_proj', 4 * C, C, 0.1),
    ],
  }
  await writeGguf(path, model, tokenizer, { type: 'f32' })
  await writeGgufAdapter(join(root, 'adapter.gguf'), adapter)
  const loaded = await llama.loadModel({ modelPath: path, gpuLayers: 0 })
  const prompt = Array.from(tokenizer.encode('the whale'))
  const { tokens, steps } = await theirs(loaded, prompt, 6, join(root, 'adapter.gguf'))
  await loaded.dispose()
  const before = (await ours(model, tokens)).at(prompt.length - 1)!
  const merged = mergedWeights(weightsOf(model), adapter)
  const weights: [string, Float32Array][] = []
  for (const [name] of model.namedParameters()) weights.push([name, await merged.read(name)])
  model.loadState(weights)
  const rows = (await ours(model, tokens)).slice(prompt.length - 1, -1)
  for (const [i, row] of rows.entries()) assert.ok(difference(row, steps[i]!) < TOLERANCE.f32)
  assert.ok(difference(before, steps[0]!) > 0.5, 'the adapter changes something')
})

test('@huggingface/gguf and our reader find what was written', async () => {
  const model = await strong({ vocabulary: tokenizer.size + 1 })
  for (const type of GGUF_TYPES) {
    const template = '{{ messages[0].content }}'
    await writeGguf(path, model, tokenizer, {
      ...{ type, chatTemplate: template, endOfTurn: 3, name: 'A whale' },
    })
    const parsed = await gguf(path, { allowLocalFile: true })
    const metadata = parsed.metadata as unknown as Record<string, unknown>
    const wanted: Record<string, unknown> = {
      'general.architecture': 'gpt2',
      'general.name': 'A whale',
      'gpt2.block_count': 2,
      'gpt2.context_length': 256,
      'gpt2.embedding_length': 64,
      'gpt2.feed_forward_length': 256,
      'gpt2.attention.head_count': 2,
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'gpt-2',
      'tokenizer.ggml.bos_token_id': tokenizer.endOfText,
      'tokenizer.ggml.eos_token_id': tokenizer.endOfText,
      'tokenizer.ggml.eot_token_id': 3,
      'tokenizer.chat_template': template,
    }
    for (const [key, value] of Object.entries(wanted)) assert.equal(metadata[key], value, key)
    const tokens = metadata['tokenizer.ggml.tokens'] as string[]
    assert.equal(tokens.slice(-2), ['<|endoftext|>', `[PAD${tokenizer.size}]`])
    const types = metadata['tokenizer.ggml.token_type'] as number[]
    assert.equal([tokens.length, types.slice(-3)], [tokenizer.size + 1, [1, 3, 5]])
    const file = await openGguf(path)
    const size = readFileSync(path).length
    for (const [name, tensor] of model.namedParameters()) {
      const info = parsed.tensorInfos.find((item) => item.name === ggufName(name))!
      const matrix = tensor.shape.length === 2 && name !== 'wpe.weight'
      assert.is(GGMLQuantizationType[info.dtype].toLowerCase(), matrix ? type : 'f32', name)
      const values = (await tensor.data()) as Float32Array
      const read = (await file.read(ggufName(name))) as Float32Array
      const [rows, columns] = tensor.shape as [number, number]
      const back = isMatrix(name) ? transpose(read, columns, rows) : read
      assert.equal(file.tensors.get(ggufName(name))!.shape, info.shape.map(Number).reverse())
      const relative = { f32: 0, f16: 2 ** -11, bf16: 2 ** -8, q8_0: 1 / 127 }[type]
      const most = values.reduce((a, x) => Math.max(a, Math.abs(x)), 0)
      for (const [i, x] of values.entries()) {
        // A block of q8_0 rounds to its step, at most that of the largest, and the step itself.
        const step = type === 'q8_0' ? 0.57 * most : Math.abs(x)
        const bound = matrix && type !== 'f32' ? 1.001 * relative * step + 2 ** -25 : 0
        assert.ok(Math.abs(back[i]! - x) <= bound, `${type} ${name}[${i}]`)
      }
    }
    assert.is(size % 32, 0)
    await file.close()
  }
  assert.equal(
    readdirSync(root).filter((name) => name.endsWith('.tmp')),
    [],
  )
})

test('options and models that cannot be are refused, and nothing is left behind', async () => {
  const model = await strong()
  const write = (options: object, words = tokenizer as Tokenizer, place = join(root, 'new.gguf')) =>
    writeGguf(place, model, words, options).then(
      () => assert.unreachable(),
      (error: Error) => error,
    )
  assert.match((await write({ type: 'q4_k' }))!.message, /one of f32, f16, bf16, q8_0 for type/)
  assert.match((await write({ typ: 'f16' }))!.message, /did you mean "type"/)
  const larger = await trainTokenizer([text], { size: 300 })
  const words = larger.size > tokenizer.size ? larger : tokenizer.withSpecial(['<a>', '<b>'])
  assert.match((await write({}, words))!.message, /the tokenizer has \d+ tokens, the model \d+/)
  assert.match((await write({}, tokenizer, join(root, 'no/x.gguf')))!.message, /no such file/)
  assert.match((await write({ signal: AbortSignal.abort(new Error('stop')) }))!.message, /stop/)
  model.wte.weight.write(new Float32Array(model.wte.weight.size).fill(1e5))
  assert.match((await write({}))!.message, /"token_embd\.weight" holds 100000, which f16 cannot/)
  model.wte.weight.write(new Float32Array(model.wte.weight.size).fill(1e8))
  assert.match((await write({ type: 'q8_0' }))!.message, /holds 100000000, which q8_0 cannot/)
  assert.equal(
    readdirSync(root).filter((name) => name.includes('tmp') || name.includes('new')),
    [],
  )
})

test.run()
