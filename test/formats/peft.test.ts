// Adapters as PEFT writes them: test/fixtures/checkpoints.py made one, and the logits with it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readBase } from '../../lib/formats/base.js'
import { mergedWeights, readAdapter, writeAdapter } from '../../lib/formats/peft.js'
import type { LoraAdapter, LoraMatrix } from '../../lib/formats/peft.js'
import { openSafetensors, writeSafetensors } from '../../lib/formats/safetensors.js'
import { GPT2 } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'

const fixtures = fileURLToPath(new URL('../fixtures/checkpoints', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'gptloom-peft-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
let counter = 0
const scratch = () => join(root, String(counter++))

test("PEFT's adapter, merged, gives PEFT's logits", async () => {
  const file = await openSafetensors(join(fixtures, 'expected.safetensors'))
  const tokens = (await file.read('tokens')) as Int32Array
  const expected = (await file.read('logits.adapter')) as Float32Array
  await file.close()
  const base = await readBase(join(fixtures, 'gpt2-legacy'))
  const adapter = await readAdapter(join(fixtures, 'adapter'))
  assert.equal([adapter.rank, adapter.alpha, adapter.rsLora], [3, 5, true])
  assert.equal(
    adapter.matrices.map(({ name, inputs, outputs }) => [name, inputs, outputs]),
    [0, 1].flatMap((i) => [
      [`h.${i}.attn.c_attn`, 8, 24],
      [`h.${i}.mlp.c_proj`, 32, 8],
    ]),
  )
  const merged = mergedWeights(base, adapter)
  const model = new GPT2(base.config, cpu())
  for (const [name, tensor] of model.namedParameters()) tensor.write(await merged.read(name))
  const hidden = model.forward(model.device.tensor(tokens, [2, 10]))
  const logits = (await model.logits(hidden).data()) as Float32Array
  const worst = logits.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0)
  assert.ok(worst < 2e-5, `they differ by ${worst}`)
  await base.close()
  await adapter.close()
})

const matrix = (name: string, rank = 2): LoraMatrix => {
  const [inputs, outputs] = name.endsWith('c_attn') ? [8, 24] : [32, 8]
  const a = Float32Array.from({ length: rank * inputs }, (_, i) => Math.sin(i))
  const b = Float32Array.from({ length: rank * outputs }, (_, i) => Math.cos(i))
  return { name, rank, inputs, outputs, scale: 4 / rank, a: async () => a, b: async () => b }
}
const adapterOf = (names: string[]): LoraAdapter => ({
  ...{ rank: 2, alpha: 4, dropout: 0.1, rsLora: false, base: 'gpt2' },
  matrices: names.map((name) => matrix(name)),
})

test('written as PEFT does, and read again', async () => {
  const names = [0, 1].flatMap((i) => [`h.${i}.attn.c_attn`, `h.${i}.mlp.c_proj`])
  const folder = scratch()
  await writeAdapter(folder, adapterOf(names), 2)
  const config = JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')) as Json
  const theirs = JSON.parse(
    readFileSync(join(fixtures, 'adapter/adapter_config.json'), 'utf8'),
  ) as Json
  for (const key of Object.keys(config)) assert.ok(key in theirs, key)
  assert.equal(config.target_modules, ['attn.c_attn', 'mlp.c_proj'])
  assert.equal([config.r, config.lora_alpha, config.fan_in_fan_out], [2, 4, true])
  const ours = await openSafetensors(join(folder, 'adapter_model.safetensors'))
  const peft = await openSafetensors(join(fixtures, 'adapter/adapter_model.safetensors'))
  assert.equal([...ours.tensors.keys()].sort(), [...peft.tensors.keys()].sort())
  await ours.close()
  await peft.close()
  const again = await readAdapter(folder)
  for (const [i, { name, scale, a, b }] of again.matrices.entries()) {
    assert.equal([name, scale], [names[i], 2])
    assert.equal(await a(), await matrix(name).a())
    assert.equal(await b(), await matrix(name).b())
  }
  assert.equal([again.dropout, again.base], [0.1, 'gpt2'])
  await again.close()
})

test('an adapter of a later version is refused with the remedy', async () => {
  const folder = scratch()
  await writeAdapter(folder, adapterOf(['h.1.attn.c_attn']), 2)
  const path = join(folder, 'adapter_model.safetensors')
  const bytes = readFileSync(path, 'latin1')
  assert.ok(bytes.includes('"gptloom":"1"'))
  writeFileSync(path, bytes.replace('"gptloom":"1"', '"gptloom":"2"'), 'latin1')
  const error = await readAdapter(folder).catch((error: Error) => error)
  assert.match((error as Error).message, /later gptloom \(format 2\): update gptloom/)
  writeFileSync(path, bytes.replace('"gptloom":"1"', '"gptloom":"x"'), 'latin1')
  assert.match(String(await readAdapter(folder).catch((e) => e)), /version of its format/)
})

test('an adapter of some blocks names them whole', async () => {
  const folder = scratch()
  await writeAdapter(folder, adapterOf(['h.1.attn.c_attn']), 2)
  const config = JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')) as Json
  assert.equal(config.target_modules, ['transformer.h.1.attn.c_attn'])
  const wrong = await writeAdapter(folder, adapterOf(['wte']), 2).catch((error: Error) => error)
  assert.instance(wrong, RangeError)
})

type Json = Record<string, unknown>

test('what is not supported, or damaged, is refused', async () => {
  const folder = scratch()
  cpSync(join(fixtures, 'adapter'), folder, { recursive: true })
  const path = join(folder, 'adapter_config.json')
  const good = JSON.parse(readFileSync(path, 'utf8')) as Json
  const refused = async (change: Json | null, pattern: RegExp) => {
    writeFileSync(path, JSON.stringify(change && { ...good, ...change }))
    const error = await readAdapter(folder).catch((reason: unknown) => reason)
    assert.instance(error, Error, String(pattern))
    assert.is((error as { code?: string }).code, 'ERR_FORMAT', String(error))
    assert.match((error as Error).message, pattern)
  }
  await refused(null, /expected "peft_type": "LORA", received undefined/)
  await refused({ peft_type: 'IA3' }, /received "IA3"/)
  await refused({ use_dora: true }, /"use_dora": true is not supported/)
  await refused({ bias: 'all' }, /"bias": "all" is not supported/)
  await refused({ modules_to_save: ['lm_head'] }, /"modules_to_save".*not supported/)
  await refused({ r: 0 }, /r, received 0/)
  await refused({ lora_alpha: '8' }, /lora_alpha, received "8"/)
  await refused({ alpha_pattern: { '(a+)+$': 3 } }, /alpha_pattern "\(a\+\)\+\$" is not supported/)
  await refused({ alpha_pattern: { c_attn: 'x' } }, /alpha_pattern, received "x"/)
  writeFileSync(path, JSON.stringify({ ...good, alpha_pattern: { c_proj: 9 } }))
  const other = await readAdapter(folder)
  assert.equal(
    other.matrices.map(({ scale }) => scale),
    [5, 9, 5, 9].map((alpha) => alpha / Math.sqrt(3)),
  )
  await other.close()

  writeFileSync(path, JSON.stringify(good))
  const weights = async (tensors: [string, number[]][], pattern: RegExp) => {
    const inputs = tensors.map(([name, shape]) => ({
      ...{ name, dtype: 'F32' as const, shape },
      data: () => new Float32Array(shape.reduce((a, b) => a * b, 1)),
    }))
    await writeSafetensors(join(folder, 'adapter_model.safetensors'), inputs)
    await refused({}, pattern)
  }
  const stem = 'base_model.model.transformer.h.0.attn.c_attn'
  await weights([], /it holds no matrices/)
  await weights([['x', [1]]], /"x" is no matrix of an adapter of GPT-2/)
  await weights([[`${stem}.lora_A.weight`, [2, 8]]], /h\.0\.attn\.c_attn has no lora_B/)
  const pair = (a: number[], b: number[]): [string, number[]][] => [
    [`${stem}.lora_A.weight`, a],
    [`${stem}.lora_B.weight`, b],
  ]
  await weights(pair([2, 8], [24, 3]), /has matrices \[2, 8\] and \[24, 3\]/)
  await weights(pair([8], [24, 8]), /has matrices \[8\]/)
  await weights(pair([0, 8], [24, 0]), /has matrices \[0, 8\]/)
  await weights(
    [...pair([2, 8], [24, 2]), [`${stem}.lora_A.second.weight`, [2, 8]]],
    /holds two adapters/,
  )
  const base = await readBase(join(fixtures, 'gpt2-legacy'))
  assert.throws(
    () => mergedWeights(base, { ...adapterOf([]), matrices: [{ ...matrix('h.5.mlp.c_proj') }] }),
    /\[32, 8\] for h\.5\.mlp\.c_proj\.weight, the model undefined/,
  )
  await base.close()
})

test.run()
