// Checkpoints that other programs wrote (test/fixtures/checkpoints.py beside the files): their logits
// must be ours.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readBase } from '../../lib/formats/base.js'
import type { Base } from '../../lib/formats/base.js'
import { fromHuggingFace } from '../../lib/formats/configs.js'
import { writeGguf } from '../../lib/formats/ggufmodel.js'
import { loadWeights, readModel, writeModel } from '../../lib/formats/huggingface.js'
import { parameterShapes } from '../../lib/formats/mapping.js'
import { openPytorch } from '../../lib/formats/pytorch.js'
import { openSafetensors, writeSafetensors } from '../../lib/formats/safetensors.js'
import { GPT2 } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { characterTokenizer } from '../../lib/tokenizer/index.js'
import fc from '../properties.js'

const fixtures = fileURLToPath(new URL('../fixtures/checkpoints', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'gptloom-base-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
let counter = 0
const scratch = () => {
  const folder = join(root, String(counter++))
  mkdirSync(folder)
  return folder
}

const file = await openSafetensors(join(fixtures, 'expected.safetensors'))
const tokens = (await file.read('tokens')) as Int32Array
const expected = async (name: string) => (await file.read(`logits.${name}`)) as Float32Array
const [B, T, V] = [2, 10, 29]

/** Logits of both rows, of the first `length` tokens of each. */
async function logits(base: Base, length = T, context = base.config.context) {
  const model = new GPT2({ ...base.config, context }, cpu())
  await base.load(model)
  const ids = [0, 1].flatMap((row) => [...tokens.subarray(row * T, row * T + length)])
  const hidden = model.forward(model.device.tensor(Int32Array.from(ids), [B, length]))
  const values = (await model.logits(hidden).data()) as Float32Array
  model.dispose()
  return values
}

function worst(actual: Float32Array, wanted: Float32Array, length = T): number {
  let most = 0
  for (let row = 0; row < B; row++) {
    for (let i = 0; i < length * V; i++) {
      const difference = actual[row * length * V + i]! - wanted[row * T * V + i]!
      most = Math.max(most, Math.abs(difference))
      assert.ok(Number.isFinite(difference))
    }
  }
  return most
}

for (const [path, name, kind] of [
  ['gpt2-legacy', 'gpt2-legacy', 'huggingface'],
  ['gpt2-legacy/pytorch_model.bin', 'gpt2-legacy', 'huggingface'],
  ['gpt2-variant', 'gpt2-variant', 'huggingface'],
  ['nanogpt', 'nanogpt', 'nanogpt'],
  ['nanogpt/ckpt.pt', 'nanogpt', 'nanogpt'],
  ['llmc/float32.bin', 'gpt2-legacy', 'llm.c'],
  ['llmc/bfloat16.bin', 'llmc-bfloat16', 'llm.c'],
] as const) {
  test(`${path}: logits as the program that wrote it`, async () => {
    const base = await readBase(join(fixtures, path))
    assert.is(base.kind, kind)
    assert.is(base.config.vocabulary, V)
    const difference = worst(await logits(base), await expected(name))
    assert.ok(difference < 2e-5, `they differ by ${difference}`)
    await base.close()
  })
}

test('GPT-Neo: logits as Transformers beyond the window of its local layers, and from a cache', async () => {
  const base = await readBase(join(fixtures, 'gpt-neo'))
  assert.equal(base.config.windows, [null, 4])
  const wanted = await expected('gpt-neo')
  const whole = worst(await logits(base), wanted)
  assert.ok(whole < 2e-5, `they differ by ${whole}`)
  // Without the window they would differ.
  const model = new GPT2({ ...base.config, windows: undefined }, cpu())
  await base.load(model)
  const hidden = model.forward(model.device.tensor(tokens, [B, T]))
  assert.ok(worst((await model.logits(hidden).data()) as Float32Array, wanted) > 1e-3)
  model.dispose()

  const local = new GPT2(base.config, cpu())
  await base.load(local)
  const cache = local.cache(B)
  for (const [from, to] of [
    [0, 3],
    [3, 9],
    [9, 10],
  ] as const) {
    const ids = [0, 1].flatMap((row) => [...tokens.subarray(row * T + from, row * T + to)])
    const part = local.device.tensor(Int32Array.from(ids), [B, to - from])
    const values = (await local.logits(local.continue(part, cache)).data()) as Float32Array
    for (let row = 0; row < B; row++) {
      for (let i = 0; i < (to - from) * V; i++) {
        const far = values[row * (to - from) * V + i]! - wanted[(row * T + from) * V + i]!
        assert.ok(Math.abs(far) < 2e-5, `row ${row}, from ${from}: they differ by ${far}`)
      }
    }
  }

  // Written, the windows stay; other programs do not take it for a GPT-2.
  const folder = scratch()
  const tokenizer = await characterTokenizer(['abc'])
  await writeModel(folder, local, tokenizer)
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
  assert.equal([config.model_type, config.gptloom.windows], ['gptloom', [null, 4]])
  const again = await readBase(folder)
  assert.ok(worst(await logits(again), wanted) < 2e-5)
  await again.close()
  const gguf = writeGguf(join(folder, 'x.gguf'), local, tokenizer)
  const refused = await gguf.catch((error: Error) => error.message)
  assert.match(
    refused as string,
    /no local layers, and some of this model's see 4 of 12 tokens only/,
  )
  local.dispose()
  await base.close()
})

test('shards in both layouts, and names with every prefix', async () => {
  const whole = await openPytorch(join(fixtures, 'gpt2-legacy/pytorch_model.bin'))
  for (const prefix of ['transformer.', '', 'module.transformer.']) {
    const folder = scratch()
    cpSync(join(fixtures, 'gpt2-legacy/config.json'), join(folder, 'config.json'))
    const map: Record<string, string> = {}
    const names = [...whole.tensors.keys()].filter((name) => name.startsWith('transformer.'))
    for (const shard of [0, 1, 2]) {
      const inputs = names.flatMap((name, i) => {
        if (i % 3 !== shard) return []
        const full = name.replace('transformer.', prefix)
        map[full] = `model-0000${shard + 1}-of-00003.safetensors`
        const { shape } = whole.tensors.get(name)!
        const data = async () => (await whole.read(name)) as Float32Array
        return { name: full, dtype: 'F32' as const, shape, data }
      })
      await writeSafetensors(join(folder, `model-0000${shard + 1}-of-00003.safetensors`), inputs)
    }
    const index = JSON.stringify({ metadata: { total_size: 1 }, weight_map: map })
    writeFileSync(join(folder, 'model.safetensors.index.json'), index)
    const base = await readBase(folder)
    assert.ok(worst(await logits(base), await expected('gpt2-legacy')) < 2e-5)
    await base.close()
  }
  await whole.close()
  const folder = scratch()
  cpSync(join(fixtures, 'gpt2-variant'), folder, { recursive: true })
  const archive = await openPytorch(join(folder, 'pytorch_model.bin'))
  const map = Object.fromEntries(Array.from(archive.tensors.keys(), (name) => [name, 'a.bin']))
  await archive.close()
  cpSync(join(folder, 'pytorch_model.bin'), join(folder, 'a.bin'))
  rmSync(join(folder, 'pytorch_model.bin'))
  const index = JSON.stringify({ weight_map: map })
  writeFileSync(join(folder, 'pytorch_model.bin.index.json'), index)
  const base = await readBase(folder)
  assert.ok(worst(await logits(base), await expected('gpt2-variant')) < 2e-5)
  await base.close()
})

test('an index that reaches out of its folder, or lies, is refused', async () => {
  const folder = scratch()
  cpSync(join(fixtures, 'gpt2-legacy'), folder, { recursive: true })
  cpSync(join(folder, 'pytorch_model.bin'), join(root, 'outside.bin'))
  const index = join(folder, 'pytorch_model.bin.index.json')
  cpSync(join(folder, 'pytorch_model.bin'), join(folder, 'part.bin'))
  rmSync(join(folder, 'pytorch_model.bin'))
  const named = (name: unknown) => ({ weight_map: { 'transformer.wte.weight': name } })
  const cases: [unknown, RegExp][] = [
    [named('../outside.bin'), /name of a file in the same folder.*received "\.\.\/outside\.bin"/],
    [named(join(root, 'outside.bin')), /name of a file in the same folder/],
    [named('..\\outside.bin'), /name of a file in the same folder/],
    [named('a/../../outside.bin'), /name of a file in the same folder/],
    [named('.hidden.bin'), /name of a file in the same folder/],
    [named('x.bin\0.bin'), /name of a file in the same folder/],
    [named('config.json'), /name of a file in the same folder/],
    [named('x'.repeat(300) + '.bin'), /name of a file in the same folder/],
    [named(3), /received 3/],
    [named('missing.bin'), /missing\.bin.*no such file/],
    [{ weight_map: { 'transformer.other': 'part.bin' } }, /holds no tensor "transformer\.other"/],
    [named('part.bin'), /holds no tensor "transformer\.wpe\.weight"/],
    [{}, /weight_map, received undefined/],
    [{ weight_map: {} }, /lists 0 files/],
    [[], /weight_map, received undefined/],
    [null, /weight_map, received undefined/],
    [
      { weight_map: Object.fromEntries([...Array(2000)].map((_, i) => [`t${i}`, `f${i}.bin`])) },
      /lists 2000 files/,
    ],
  ]
  for (const [value, pattern] of cases) {
    writeFileSync(index, JSON.stringify(value))
    const error = await readBase(folder).catch((reason: unknown) => reason)
    assert.instance(error, Error)
    assert.match((error as Error).message, pattern)
    assert.ok(['ERR_FORMAT', 'ERR_FILE'].includes((error as { code: string }).code))
  }
})

test('a larger vocabulary gets the mean of the others, a shorter context the first rows', async () => {
  const base = await readBase(join(fixtures, 'gpt2-variant'))
  const { width: C } = base.config
  const model = new GPT2({ ...base.config, vocabulary: V + 3, context: 5 }, cpu())
  await base.load(model)
  for (const name of ['wte.weight', 'lm_head.weight'] as const) {
    const had = await base.read(name)
    const state = (await model.state()).get(name)!
    assert.equal(state.subarray(0, V * C), had)
    for (let row = V; row < V + 3; row++) {
      for (let c = 0; c < C; c++) {
        let mean = 0
        for (let r = 0; r < V; r++) mean += had[r * C + c]! / V
        assert.ok(Math.abs(state[row * C + c]! - mean) < 1e-6)
      }
    }
  }
  const positions = (await base.read('wpe.weight')).subarray(0, 5 * C)
  assert.equal((await model.state()).get('wpe.weight'), positions)
  for (const change of [{ vocabulary: V - 1 }, { context: 13 }, { layers: 1 }, { width: 16 }]) {
    const other = new GPT2({ ...base.config, ...change }, cpu())
    const error = await base.load(other).catch((reason: unknown) => reason)
    if ('layers' in change) assert.match((error as Error).message, /h\.1\.ln_1\.weight is \[8\]/)
    else assert.match((error as Error).message, /the model's \[/)
  }
  await base.close()
})

test('the shapes are those of the model', () => {
  for (const change of [{}, { bias: false }, { tied: false }]) {
    const config = {
      ...{ vocabulary: 11, context: 7, layers: 3, heads: 2, width: 6, bias: true, tied: true },
      ...{ dropout: 0, epsilon: 1e-5, gelu: 'tanh' as const, ...change },
    }
    const shapes = Array.from(new GPT2(config, cpu()).namedParameters(), ([name, tensor]) => {
      return [name, [...tensor.shape]]
    })
    assert.equal([...parameterShapes(config)], shapes)
  }
})

test('a base is written as a folder of ours and read again, without a model between', async () => {
  const tokenizer = await characterTokenizer(['abcdefghijklmnopqrstuvwxyz .!'])
  for (const name of ['gpt2-variant', 'nanogpt']) {
    const base = await readBase(join(fixtures, name))
    const folder = scratch()
    await writeModel(folder, base, tokenizer, { chatTemplate: '{{ messages[0].content }}' })
    const again = await readBase(folder)
    assert.equal(again.config, base.config)
    assert.is(again.extras.chatTemplate, '{{ messages[0].content }}')
    for (const parameter of base.shapes.keys()) {
      assert.equal(await again.read(parameter), await base.read(parameter), parameter)
    }
    const model = new GPT2(base.config, cpu())
    await loadWeights(folder, model)
    assert.equal(await model.wpe.weight.data(), await base.read('wpe.weight'))
    await base.close()
    await again.close()
  }
})

test('chat templates from where Transformers keeps them', async () => {
  const folder = scratch()
  cpSync(join(fixtures, 'gpt2-legacy'), folder, { recursive: true })
  const template = async (config: unknown) => {
    writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config))
    const base = await readBase(folder)
    await base.close()
    return base.extras.chatTemplate
  }
  assert.is(await template({}), null)
  assert.is(await template(null), null)
  assert.is(await template({ chat_template: 7 }), null)
  assert.is(await template({ chat_template: [null, 1, { name: 'tool', template: 'b' }] }), null)
  assert.is(await template({ chat_template: 'one' }), 'one')
  const named = [
    { name: 'tool_use', template: 'b' },
    { name: 'default', template: 'a' },
  ]
  assert.is(await template({ chat_template: named }), 'a')
  writeFileSync(join(folder, 'chat_template.jinja'), 'file')
  assert.is(await template({ chat_template: 'one' }), 'file')
})

test("the tokenizer beside it, nanoGPT's meta.pkl, or GPT-2's own", async () => {
  const folder = scratch()
  cpSync(join(fixtures, 'nanogpt/ckpt.pt'), join(folder, 'ckpt.pt'))
  const base = await readBase(folder)
  const missing = await base.tokenizer().catch((error: Error) => error.message)
  assert.match(String(missing), /no tokenizer for the 29 tokens.*meta\.pkl/)
  // pickle.dumps({'itos': {0: 'a', 1: '\n', 2: 'é'}, 'vocab_size': 3}, 2) of CPython 3.11
  const meta = Buffer.from(
    '80027d7100285804000000' +
      '69746f7371017d7102284b00580100000061710' +
      '34b0158010000000a71044b025802000000c3a9710575580a0000' +
      '00766f6361625f73697a6571064b03752e',
    'hex',
  )
  writeFileSync(join(folder, 'meta.pkl'), meta)
  const tokenizer = await base.tokenizer()
  assert.equal([tokenizer.size, tokenizer.decode([2, 1, 0])], [3, 'é\na'])
  await base.close()
  const legacy = await readModel(await withTokenizer('gpt2-legacy'), cpu())
  assert.is(legacy.tokenizer.kind, 'character')
})

async function withTokenizer(name: string): Promise<string> {
  const folder = scratch()
  cpSync(join(fixtures, name), folder, { recursive: true })
  const tokenizer = await characterTokenizer(['abcdef'])
  for (const [file, text] of Object.entries(tokenizer.files())) {
    writeFileSync(join(folder, file), text)
  }
  return folder
}

test('random configurations are read or refused, whatever stands in them', async () => {
  const value = fc.oneof(
    fc.constantFrom(0, 1, 2, 8, -1, 29, 1e9, 2 ** 53, 0.5, '8', true, false, null, 'gelu_new'),
    fc.jsonValue({ maxDepth: 3 }),
  )
  const change = fc.array(fc.tuple(fc.nat(40), value), { maxLength: 2 })
  for (const name of ['gpt2-legacy', 'gpt-neo']) {
    const path = join(fixtures, name, 'config.json')
    const good = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
    const keys = [...Object.keys(good), 'gptloom', 'scale_attn_weights', 'n_inner']
    let read = 0
    const property = fc.property(change, (changes) => {
      const config = { ...good }
      for (const [key, changed] of changes) config[keys[key % keys.length]!] = changed
      try {
        assert.ok(fromHuggingFace(JSON.parse(JSON.stringify(config)), path).config.width > 0)
        read++
      } catch (error) {
        assert.is((error as { code?: string }).code, 'ERR_FORMAT', String(error))
      }
    })
    fc.assert(property, { numRuns: 3000, seed: 2 })
    assert.ok(read > 300 && read < 2900, `${read} were read`)
  }
  for (const any of [null, 1, 'x', [], [{}], { model_type: {} }]) {
    assert.throws(() => fromHuggingFace(any, 'config.json'), /expected "model_type"/)
  }
})

test('what is no base is said to be none', async () => {
  const folder = scratch()
  const refused = async (path: string, pattern: RegExp) => {
    const error = await readBase(path).catch((reason: unknown) => reason)
    assert.match((error as Error).message, pattern)
    assert.ok(['ERR_FORMAT', 'ERR_FILE'].includes((error as { code: string }).code))
  }
  await refused(folder, /holds no config\.json: expected a model folder/)
  await refused(join(folder, 'none'), /does not exist/)
  await refused(join(fixtures, 'adapter'), /holds an adapter, not a model/)
  if (process.platform !== 'win32') {
    const pipe = join(folder, 'pipe.pt')
    execFileSync('mkfifo', [pipe])
    await refused(pipe, /not a regular file/)
  }
  const write = (name: string, bytes: string | Uint8Array) => {
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  }
  await refused(write('a.gguf', 'GGUF1234'), /is not a valid GGUF file/)
  await refused(write('empty.bin', ''), /neither a zip archive nor a pickle/)
  await refused(write('text.pt', 'hello world'), /neither a zip archive nor a pickle/)
  const plain = readFileSync(join(fixtures, 'gpt2-legacy/pytorch_model.bin'))
  await refused(write('weights.pt', plain), /says nothing about its sizes/)
  const llmc = readFileSync(join(fixtures, 'llmc/float32.bin'))
  const edit = (index: number, value: number) => {
    const bytes = Buffer.from(llmc)
    bytes.writeInt32LE(value, 4 * index)
    return bytes
  }
  await refused(write('l.bin', edit(1, 1)), /its version is 1, expected 3 or 5/)
  await refused(write('l.bin', edit(4, 2 ** 30)), /model\.layers, received 1073741824/)
  await refused(write('l.bin', edit(6, -8)), /model\.width, received -8/)
  await refused(write('l.bin', edit(7, 28)), /padded to 28/)
  await refused(write('l.bin', edit(7, 40)), /its sizes make 9728 bytes, the file has 9472/)
  await refused(write('l.bin', edit(1, 5)), /its sizes make/)
  await refused(write('l.bin', llmc.subarray(0, 1000)), /expected at least 1024/)
  await refused(write('l.bin', llmc.subarray(0, -1)), /the file has 9471/)
})

test.run()
