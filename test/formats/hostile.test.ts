// What a model folder may hold to make its reader hang, run out of memory or leave its folder: each is
// refused by name, soon. The readers of each format have hostile files of their own beside them.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GptloomError, show } from '../../lib/errors.js'
import { readAdapter } from '../../lib/formats/peft.js'
import { readModel, writeModel } from '../../lib/formats/huggingface.js'
import { readPickleFile } from '../../lib/formats/pytorch.js'
import { load } from '../../lib/index.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { trainTokenizer } from '../../lib/tokenizer/index.js'
import { processorSeconds } from '../processor.js'
import { zip } from './zip.js'

const root = mkdtempSync(join(tmpdir(), 'gptloom-hostile-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const tokenizer = await trainTokenizer(['the whale and the sea'], { size: 270 })
const sound = join(root, 'sound')
const sizes = { layers: 1, heads: 1, width: 8, context: 8 }
await writeModel(sound, new GPT2(resolveModel(sizes, tokenizer.size), cpu(), 1), tokenizer)

async function refused(read: () => Promise<unknown>, what: string): Promise<string> {
  let error: unknown
  const seconds = await processorSeconds(async () => {
    error = await read().catch((reason: unknown) => reason)
  })
  assert.instance(error, GptloomError, `${what}: ${error}`)
  const { message } = error as Error
  assert.ok(message.length < 1000, `${what}: a message of ${message.length} characters`)
  assert.ok(seconds < 3, `${what} took ${seconds} s`)
  return message
}

/** A copy of a sound model folder with one file in it changed. */
function changed(file: string, contents: string | Uint8Array): string {
  const folder = mkdtempSync(join(root, 'm-'))
  cpSync(sound, folder, { recursive: true })
  writeFileSync(join(folder, file), contents)
  return folder
}

const deep = '['.repeat(200_000) + ']'.repeat(200_000)
const wide = JSON.stringify(Array.from({ length: 8 }, () => Array(8).fill(Array(8).fill([1]))))
const posing = '{"constructor":{"name":{"toString":1,"valueOf":1}}}'

test('JSON that is deep, wide or poses as something else', async () => {
  const config = JSON.parse(readFileSync(join(sound, 'config.json'), 'utf8')) as object
  const text = (field: string, value: string) =>
    JSON.stringify({ ...config, [field]: 0 }).replace(`"${field}":0`, `"${field}":${value}`)
  for (const value of [deep, wide, posing]) {
    for (const field of ['model_type', 'n_layer', 'vocab_size', 'activation_function', 'n_inner']) {
      await refused(() => readModel(changed('config.json', text(field, value)), cpu()), field)
    }
    await refused(() => readModel(changed('config.json', value), cpu()), 'config.json')
    await refused(() => readModel(changed('tokenizer.json', value), cpu()), 'tokenizer.json')
    const header = Buffer.from(`{"x":${value}}`)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    const file = Buffer.concat([length, header])
    await refused(() => readModel(changed('model.safetensors', file), cpu()), 'model.safetensors')
    const index = changed('model.safetensors.index.json', `{"weight_map":{"wte.weight":${value}}}`)
    rmSync(join(index, 'model.safetensors'))
    await refused(() => readModel(index, cpu()), 'the index')
    const adapter = changed('adapter_config.json', `{"peft_type":"LORA","r":${value}}`)
    await refused(() => readAdapter(adapter), 'adapter_config.json')
  }
})

test('lists of lists that a pickle makes of a few bytes', async () => {
  // Eight times the list before, 30 times over: 8^30 items. And a list that holds itself.
  let bomb = ']q\0'
  for (let level = 1; level <= 30; level++) {
    bomb += `0](${`h${String.fromCharCode(level - 1)}`.repeat(8)}eq${String.fromCharCode(level)}`
  }
  for (const [list, what] of [
    [bomb, 'a bomb'],
    [']q\0h\0a', 'a list in itself'],
  ]) {
    const args = ['vocab_size', 'block_size', 'n_layer', 'n_head', 'n_embd', 'bias']
    const text = (name: string) => `X${String.fromCharCode(name.length)}\0\0\0${name}`
    const fields = args.map((name) => text(name) + (name === 'bias' ? list : 'K\x08')).join('')
    const state = 'ctorch._utils\n_rebuild_tensor_v2\n'
    const tensor =
      `${state}((${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cpu')}K\x01tQ` +
      'K\0(K\x01t(K\x01t\x89ccollections\nOrderedDict\n)RtR'
    const pickle =
      `\x80\x02}(${text('model_args')}}(${fields}u` +
      `${text('model')}}(${text('wte.weight')}${tensor}uu.`
    const file = join(root, 'ckpt.pt')
    const entries = { 'a/data.pkl': Buffer.from(pickle, 'latin1'), 'a/data/0': Buffer.alloc(4) }
    writeFileSync(file, zip(entries))
    assert.match(
      await refused(() => load(file), what!),
      /true or false for model.bias, received \[/,
    )
    const plain = join(root, 'meta.pkl')
    writeFileSync(plain, Buffer.from(`\x80\x02${list}.`, 'latin1'))
    assert.ok(Array.isArray(await readPickleFile(plain)))
  }
})

test('show() is short whatever it is given', () => {
  const self: unknown[] = []
  self.push(self, self)
  let bomb: unknown[] = []
  for (let level = 0; level < 40; level++) bomb = Array(8).fill(bomb) as unknown[]
  for (const value of [self, bomb, JSON.parse(deep), JSON.parse(posing)]) {
    assert.ok(show(value).length < 700)
  }
  assert.is(show([1, [2, [3]]]), '[1, [2, [...]]]')
  assert.is(show(Object.create(null)), 'an instance of Object')
})

test.run()
