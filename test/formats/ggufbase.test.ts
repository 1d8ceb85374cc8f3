// Models from GGUF files: what was written comes back, and files that are no GPT-2 are refused.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readBase } from '../../lib/formats/base.js'
import { GGUF_TYPES, writeGguf } from '../../lib/formats/ggufmodel.js'
import type { GgufType } from '../../lib/formats/ggufmodel.js'
import { writeGgufFile } from '../../lib/formats/ggufwriter.js'
import type { GgufField } from '../../lib/formats/ggufwriter.js'
import { load } from '../../lib/index.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import type { ModelOptions } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { characterTokenizer, chatml, trainTokenizer } from '../../lib/tokenizer/index.js'

const root = mkdtempSync(join(tmpdir(), 'gptloom-ggufbase-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const path = join(root, 'model.gguf')
const text = 'the whale and the ship and the sea: naïve café, the whale'
const special = ['<|endoftext|>', ...chatml.special]
const tokenizer = await trainTokenizer([text], { size: 280, special })

function build(options: ModelOptions = {}, vocabulary = tokenizer.size): GPT2 {
  const sizes = { layers: 2, heads: 2, width: 32, context: 16, vocabulary }
  return new GPT2(resolveModel({ ...sizes, ...options }), cpu(), 3)
}

/** The largest error that a type may make of weights up to 1; the scale of q8_0 is a float16. */
const ROUNDING: Record<GgufType, number> = {
  f32: 0,
  f16: 2 ** -11,
  bf16: 2 ** -8,
  q8_0: 0.5 / 127 + 2 ** -11,
}

for (const type of GGUF_TYPES) {
  test(`the weights, the tokenizer and the template come back: ${type}`, async () => {
    const model = build()
    await writeGguf(path, model, tokenizer, { type, chatTemplate: chatml.source })
    const base = await readBase(path)
    assert.equal([base.kind, base.config], ['gguf', model.config])
    assert.equal(base.extras.notes.length, type === 'f32' ? 0 : 1)
    for (const [name, tensor] of model.namedParameters()) {
      const ours = (await tensor.data()) as Float32Array
      const theirs = await base.read(name)
      const most = ours.reduce((a, x) => Math.max(a, Math.abs(x)), 0)
      for (const [i, x] of theirs.entries())
        assert.ok(Math.abs(x - ours[i]!) <= 1.01 * ROUNDING[type] * most, `${name}[${i}]`)
    }
    await base.close()
    const loaded = await load(path)
    assert.equal([...loaded.tokenizer.special], [...tokenizer.special])
    for (const words of [text, 'un été <|im_start|>', '日本 🐋'])
      assert.equal(loaded.tokenizer.encode(words), tokenizer.encode(words))
    assert.is(loaded.template!.source, chatml.source)
    assert.ok(await loaded.complete('the', { temperature: 0, maxTokens: 5 }))
    loaded.dispose()
  })
}

test('an untied head, no biases, a padded vocabulary, characters', async () => {
  for (const options of [{ tied: false }, { bias: false }, { vocabulary: tokenizer.size + 7 }]) {
    const model = build(options)
    await writeGguf(path, model, tokenizer, { type: 'f32' })
    const base = await readBase(path)
    assert.equal(base.config, { ...model.config, bias: true })
    for (const [name, tensor] of model.namedParameters())
      assert.equal(await base.read(name), await tensor.data())
    assert.is((await base.tokenizer()).size, tokenizer.size)
    await base.close()
  }
  const letters = await characterTokenizer([text])
  await writeGguf(path, build({}, letters.size), letters)
  // Characters of several bytes are merges in GGUF, but not all bytes are tokens.
  assert.match(await refusal(), /the vocabulary lacks the byte/)
})

async function refusal(): Promise<string> {
  const error = await load(path).then(
    () => new Error('it was read'),
    (reason: Error) => reason,
  )
  assert.is((error as { code?: string }).code, 'ERR_FORMAT', String(error))
  return error.message
}

test('what is no GPT-2, or lies, is refused by its key', async () => {
  const sound: Record<string, GgufField> = {
    'general.architecture': { type: 'string', value: 'gpt2' },
    'gpt2.context_length': { type: 'u32', value: 4 },
    'gpt2.embedding_length': { type: 'u32', value: 2 },
    'gpt2.feed_forward_length': { type: 'u32', value: 8 },
    'gpt2.block_count': { type: 'u32', value: 1 },
    'gpt2.attention.head_count': { type: 'u32', value: 1 },
    'gpt2.attention.layer_norm_epsilon': { type: 'f32', value: 1e-5 },
  }
  const with_ = async (change: Record<string, GgufField>, pattern: RegExp, rows = 3) => {
    const data = () => new Float32Array(2 * rows)
    const tensors = [{ name: 'token_embd.weight', type: 'f32', shape: [rows, 2], data } as const]
    await writeGgufFile(path, new Map(Object.entries({ ...sound, ...change })), tensors)
    assert.match(await refusal(), pattern)
  }
  const u32 = (value: number): GgufField => ({ type: 'u32', value })
  await with_({ 'general.architecture': { type: 'string', value: 'llama' } }, /received "llama"/)
  await with_(
    { 'gpt2.block_count': u32(4e9) },
    /from 1 to 1000 for model.layers, received 4000000000/,
  )
  await with_(
    { 'gpt2.context_length': { type: 'i32[]', value: [1] } },
    /for context_length, received/,
  )
  await with_({ 'gpt2.feed_forward_length': u32(9) }, /feed_forward_length 9 is not supported/)
  await with_({ 'gpt2.attention.layer_norm_epsilon': { type: 'f32', value: NaN } }, /epsilon/)
  await with_({}, /holds no tensor "position_embd.weight"/)
})

test.run()
