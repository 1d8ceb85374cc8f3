import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readModel, writeModel } from '../../lib/formats/huggingface.js'
import { openSafetensors, writeSafetensors } from '../../lib/formats/safetensors.js'
import type { SafetensorsInput } from '../../lib/formats/safetensors.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import type { ModelOptions } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { trainTokenizer } from '../../lib/tokenizer/index.js'

const tokenizer = await trainTokenizer(['the whale and the ship'], { size: 260 })
const root = mkdtempSync(join(tmpdir(), 'gptloom-huggingface-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
let counter = 0

const V = tokenizer.size
const [T, C] = [8, 12]
const sizes = { layers: 2, heads: 3, width: C, context: T, vocabulary: V }

interface Input {
  name: string
  dtype: SafetensorsInput['dtype']
  shape: number[]
  data: ArrayBufferView
}

// The tensors of a GPT2LMHeadModel with two layers, as `save_pretrained` of Transformers names and
// shapes them.
function tensors(prefix: string): Input[] {
  const list: [string, number[]][] = [
    ['wte.weight', [V, C]],
    ['wpe.weight', [T, C]],
  ]
  for (const i of [0, 1]) {
    const add = (name: string, ...shape: number[]) => list.push([`h.${i}.${name}`, shape])
    add('ln_1.weight', C)
    add('ln_1.bias', C)
    add('attn.c_attn.weight', C, 3 * C)
    add('attn.c_attn.bias', 3 * C)
    add('attn.c_proj.weight', C, C)
    add('attn.c_proj.bias', C)
    add('ln_2.weight', C)
    add('ln_2.bias', C)
    add('mlp.c_fc.weight', C, 4 * C)
    add('mlp.c_fc.bias', 4 * C)
    add('mlp.c_proj.weight', 4 * C, C)
    add('mlp.c_proj.bias', C)
  }
  list.push(['ln_f.weight', [C]], ['ln_f.bias', [C]])
  return list.map(([name, shape], n) => {
    const data = Float32Array.from(
      { length: shape.reduce((a, b) => a * b) },
      (_, i) => Math.sin(n + i) / 4,
    )
    return { name: prefix + name, dtype: 'F32', shape, data }
  })
}

// What the published GPT-2 has in config.json, with these sizes.
const published = {
  activation_function: 'gelu_new',
  architectures: ['GPT2LMHeadModel'],
  attn_pdrop: 0.1,
  bos_token_id: 50256,
  embd_pdrop: 0.1,
  eos_token_id: 50256,
  initializer_range: 0.02,
  layer_norm_epsilon: 1e-5,
  model_type: 'gpt2',
  n_ctx: T,
  n_embd: C,
  n_head: 3,
  n_layer: 2,
  n_positions: T,
  resid_pdrop: 0.1,
  summary_activation: null,
  summary_first_dropout: 0.1,
  summary_proj_to_labels: true,
  summary_type: 'cls_index',
  summary_use_proj: true,
  task_specific_params: { 'text-generation': { do_sample: true, max_length: 50 } },
  vocab_size: V,
}

async function checkpoint(list: Input[], config: unknown = published): Promise<string> {
  const folder = mkdtempSync(join(root, `${counter++}-`))
  for (const [name, text] of Object.entries(tokenizer.files()))
    writeFileSync(join(folder, name), text)
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  const inputs = list.map((input) => ({ ...input, data: () => input.data }))
  await writeSafetensors(join(folder, 'model.safetensors'), inputs, { format: 'pt' })
  return folder
}

async function refused(folder: string, code: string, pattern: RegExp): Promise<void> {
  const { used, reserved } = cpu().memory()
  try {
    await readModel(folder, cpu())
  } catch (error) {
    assert.is((error as { code?: string }).code, code, String(error))
    assert.match((error as Error).message, pattern)
    assert.ok((error as Error).message.includes(folder), 'the message names the file')
    const after = cpu().memory()
    assert.ok(after.used <= used && after.reserved <= reserved, 'nothing was allocated')
    return
  }
  assert.unreachable(`expected ${pattern}`)
}

for (const prefix of ['transformer.', '']) {
  test(`a checkpoint with the prefix "${prefix}" is read`, async () => {
    const list = tensors(prefix)
    const { model } = await readModel(await checkpoint(list), cpu())
    assert.is(model.config.width, C)
    assert.is(model.config.dropout, 0.1)
    assert.is(model.config.tied, true)
    const state = await model.state()
    assert.is(state.size, list.length)
    for (const { name, data } of list)
      assert.equal(state.get(name.slice(prefix.length)), data, name)
    model.dispose()
  })
}

test('what else a checkpoint holds is left alone: masks of attention, a tied head written out', async () => {
  const list = tensors('')
  list.push({
    name: 'h.0.attn.bias',
    dtype: 'F32',
    shape: [1, 1, T, T],
    data: new Float32Array(T * T),
  })
  list.push({ name: 'h.0.attn.masked_bias', dtype: 'F32', shape: [], data: new Float32Array(1) })
  list.push({ name: 'lm_head.weight', dtype: 'F32', shape: [V, C], data: list[0]!.data })
  const { model } = await readModel(await checkpoint(list), cpu())
  assert.equal((await model.state()).get('wte.weight'), list[0]!.data)
  assert.is(model.lm_head, null)
})

test('half-precision weights are read', async () => {
  const list = tensors('transformer.')
  list[1] = { ...list[1]!, dtype: 'BF16', data: new Uint16Array(T * C).fill(0x3fc0) } // 1.5
  const { model } = await readModel(await checkpoint(list), cpu())
  assert.ok((await model.wpe.weight.data()).every((x) => x === 1.5))
})

for (const options of [
  {},
  { tied: false },
  { bias: false },
  { dropout: 0.2, epsilon: 1e-6, gelu: 'exact' },
] as ModelOptions[]) {
  test(`what is written has the names and shapes of Transformers: ${JSON.stringify(options)}`, async () => {
    const model = new GPT2(resolveModel({ ...sizes, ...options }), cpu(), 3)
    const folder = join(root, `${counter++}`, 'new')
    await writeModel(folder, model, tokenizer)
    const file = await openSafetensors(join(folder, 'model.safetensors'))
    const expected = new Map(tensors('transformer.').map(({ name, shape }) => [name, [...shape]]))
    if (options.tied === false) expected.set('lm_head.weight', [V, C])
    const actual = new Map([...file.tensors].map(([name, { shape }]) => [name, [...shape]]))
    assert.equal([...actual].sort(), [...expected].sort())
    assert.equal(file.metadata, { format: 'pt' })
    if (options.bias === false) {
      const bias = (await file.read('transformer.h.1.mlp.c_fc.bias')) as Float32Array
      assert.ok(bias.every((x) => x === 0))
    }
    await file.close()
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<
      string,
      unknown
    >
    const { model_type, activation_function, n_embd, n_head, n_layer, n_positions, vocab_size } =
      config
    assert.equal(
      [model_type, activation_function, n_embd, n_head, n_layer, n_positions, vocab_size],
      ['gpt2', options.gelu ? 'gelu' : 'gelu_new', C, 3, 2, T, V],
    )
    assert.is(config.tie_word_embeddings, options.tied ?? true)
    assert.is(config.layer_norm_epsilon, options.epsilon ?? 1e-5)
    assert.is(config.resid_pdrop, options.dropout ?? 0)
    const again = await readModel(folder, cpu())
    assert.equal(again.model.config, model.config)
    assert.equal(await again.model.state(), await model.state())
    assert.not.ok(readdirSync(folder).some((name) => name.endsWith('.tmp')))
  })
}

test('a config.json that cannot be is refused, naming the field', async () => {
  const good = await checkpoint(tensors('transformer.'))
  const with_ = async (change: Record<string, unknown>, pattern: RegExp) => {
    writeFileSync(join(good, 'config.json'), JSON.stringify({ ...published, ...change }))
    await refused(good, 'ERR_FORMAT', pattern)
  }
  await with_(
    { model_type: 'llama' },
    /expected "model_type": "gpt2" or "gpt_neo", received "llama"/,
  )
  await with_({ model_type: undefined }, /received undefined/)
  await with_({ n_embd: '12' }, /n_embd, received "12"/)
  await with_({ n_embd: null }, /n_embd, received undefined/)
  await with_({ n_layer: 1.5 }, /n_layer, received 1\.5/)
  await with_({ n_layer: 0 }, /n_layer, received 0/)
  await with_({ n_head: -1 }, /n_head, received -1/)
  await with_({ n_head: 5 }, /a multiple of model\.heads \(5\)/)
  await with_({ vocab_size: [V] }, /vocab_size, received \[/)
  await with_({ n_positions: {} }, /n_positions, received an instance/)
  await with_({ activation_function: 'relu' }, /"gelu_new" or "gelu", received "relu"/)
  await with_({ n_inner: 100 }, /n_inner 100 is not supported/)
  await with_({ tie_word_embeddings: 'no' }, /tied, received "no"/)
  await with_({ layer_norm_epsilon: -1 }, /epsilon, received -1/)
  await with_({ layer_norm_epsilon: '1e-5' }, /epsilon, received "1e-5"/)
  await with_({ resid_pdrop: 2 }, /dropout, received 2/)
  await with_({ gptloom: { bias: 1 } }, /bias, received 1/)
  await with_({ scale_attn_weights: 0 }, /true or false for "scale_attn_weights", received 0/)
  await with_({ add_cross_attention: true }, /"add_cross_attention": true is not supported/)
  await with_({ gptloom: { format: 2 } }, /written by a later gptloom \(format 2\): update/)
  await with_({ gptloom: { format: 'x' } }, /the version of its format, received "x"/)
  for (const text of ['', '{', '[]', 'null', '"gpt2"', '3', '\xff']) {
    writeFileSync(join(good, 'config.json'), Buffer.from(text, 'latin1'))
    await refused(good, 'ERR_FORMAT', /config\.json/)
  }
  // These are fine: nulls and unknown fields mean nothing.
  const fine = { ...published, n_inner: 4 * C, gptloom: null, new_field: 1 }
  writeFileSync(join(good, 'config.json'), JSON.stringify(fine))
  await readModel(good, cpu())
})

test('huge sizes fail before anything is allocated', async () => {
  const good = await checkpoint(tensors('transformer.'))
  const claims: [Record<string, unknown>, RegExp][] = [
    [{ vocab_size: 2 ** 24 }, /expected floats \[16777216, 12\] for transformer\.wte\.weight/],
    [{ n_positions: 2 ** 20 }, /expected floats \[1048576, 12\] for transformer\.wpe\.weight/],
    [{ n_embd: 49152 }, /expected floats \[\d+, 49152\]/],
    [{ n_layer: 1000 }, /holds no tensor "transformer\.h\.2\.ln_1\.weight"/],
    [{ vocab_size: 1e15 }, /vocabulary, received 1000000000000000/],
    [{ n_embd: Number.MAX_SAFE_INTEGER }, /width, received/],
  ]
  for (const [change, pattern] of claims) {
    writeFileSync(join(good, 'config.json'), JSON.stringify({ ...published, ...change }))
    const before = process.memoryUsage.rss()
    await refused(good, 'ERR_FORMAT', pattern)
    assert.ok(process.memoryUsage.rss() - before < 50e6)
  }
})

test('weights that do not fit are refused, naming the tensor', async () => {
  const change = async (
    name: string,
    edit: (input: Input) => Input | undefined,
    pattern: RegExp,
  ) => {
    const list = tensors('transformer.').flatMap((input) => {
      return input.name === `transformer.${name}` ? (edit(input) ?? []) : input
    })
    try {
      await readModel(await checkpoint(list), cpu())
    } catch (error) {
      assert.is((error as { code?: string }).code, 'ERR_FORMAT', String(error))
      assert.match((error as Error).message, pattern)
      return
    }
    assert.unreachable(name)
  }
  await change(
    'wte.weight',
    (x) => ({ ...x, shape: [C, V] }),
    /expected floats \[\d+, 12\] for transformer\.wte\.weight.*received F32 \[12, \d+\]/,
  )
  await change('h.1.ln_2.bias', () => undefined, /holds no tensor "transformer\.h\.1\.ln_2\.bias"/)
  await change(
    'h.0.attn.c_attn.weight',
    (x) => ({ ...x, shape: [3 * C, C] }),
    /\[12, 36\] for transformer\.h\.0\.attn\.c_attn\.weight/,
  )
  await change(
    'ln_f.bias',
    (x) => ({ ...x, dtype: 'I32', data: new Int32Array(C) }),
    /expected floats \[12\].*received I32/,
  )
})

test('a head of its own must be there when the config says so', async () => {
  const folder = await checkpoint(tensors('transformer.'), {
    ...published,
    tie_word_embeddings: false,
  })
  try {
    await readModel(folder, cpu())
    assert.unreachable()
  } catch (error) {
    assert.match((error as Error).message, /holds no tensor .*lm_head\.weight/)
  }
})

test('a tokenizer larger than the vocabulary is read, as published models have it', async () => {
  const list = tensors('transformer.')
  const small = V - 1
  list[0] = { ...list[0]!, shape: [small, C], data: new Float32Array(small * C) }
  const folder = await checkpoint(list, { ...published, vocab_size: small })
  const { model, tokenizer: read } = await readModel(folder, cpu())
  assert.equal([model.config.vocabulary, read.size], [small, V])
})

test('missing files are named', async () => {
  const good = await checkpoint(tensors(''))
  for (const [name, pattern] of [
    ['config.json', /holds no config\.json: expected a model folder/],
    ['model.safetensors', /model\.safetensors.*no such file/],
    ['tokenizer.json', /No tokenizer in/],
  ] as const) {
    const folder = join(root, `${counter++}`)
    cpSync(good, folder, { recursive: true })
    rmSync(join(folder, name))
    if (name === 'tokenizer.json') rmSync(join(folder, 'vocab.json'), { force: true }) // its older form
    await refused(folder, 'ERR_FILE', pattern)
  }
  await refused(join(root, 'nowhere'), 'ERR_FILE', /does not exist/)
})

test('a folder that cannot be written is said, and earlier files stay', async () => {
  const model = new GPT2(resolveModel(sizes), cpu(), 3)
  const good = await checkpoint(tensors(''))
  const path = join(good, 'config.json', 'below')
  try {
    await writeModel(path, model, tokenizer)
    assert.unreachable()
  } catch (error) {
    assert.is((error as { code?: string }).code, 'ERR_FILE')
  }
  assert.ok(existsSync(join(good, 'config.json')))
})

test.run()
