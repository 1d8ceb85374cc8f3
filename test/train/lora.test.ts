// Adapters from a run to a model: what is frozen, what is written, what is resumed.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { load, train } from '../../lib/index.js'
import type { LanguageModel, TrainOptions } from '../../lib/index.js'
import { Reader } from '../../lib/generate/reader.js'
import { readAdapter } from '../../lib/formats/peft.js'
import { trainingMemory } from '../../lib/models/index.js'
import { contents, eventsOf, failure, fresh, nano, strays } from './nano.js'

const data = fresh('text.txt')
writeFileSync(data, 'The cat saw the dog. The dog saw the whale and a ship.\n'.repeat(200))
const other = fresh('other.txt')
writeFileSync(other, 'a ship, a boat; the sea the sea. cats and dogs and whales!\n'.repeat(200))
// The characters of the second text must be in the vocabulary.
const both = fresh('both.txt')
writeFileSync(both, readFileSync(data, 'utf8') + readFileSync(other, 'utf8'))
const base = fresh('base')
;(await train(nano({ data: both, output: base, steps: 40, learningRate: 1e-2 }))).model.dispose()

const tuned = (options: Partial<TrainOptions> = {}): TrainOptions => {
  const { tokenizer: _, model: __, ...rest } = nano({ data: other, ...options })
  const lora = { rank: 4, alpha: 8, dropout: 0.1 }
  return { base, lora, learningRate: 1e-2, ...rest }
}
const prompt = 'The cat saw'
const logits = async (model: LanguageModel) => (await model.logits(prompt)).values
const distance = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0)

test('an adapter is learned, the base keeps every bit, the folder is of PEFT and loads', async () => {
  const before = contents(base)
  using plain = await load(base)
  const expected = await logits(plain)
  const options = tuned({ steps: 30 })
  const events = eventsOf(train(options))
  const run = await events
  const start = run.find((event) => event.type === 'start')!
  const config = start.model
  // c_attn is C by 3C, c_proj C by C, the MLP C by 4C and back; rank 4.
  const numbers = config.layers * 4 * config.width * (4 + 2 + 5 + 5)
  assert.is(start.memory.gradients, 4 * numbers)
  assert.is(start.memory.optimizer, 8 * numbers)
  const full = trainingMemory(config, { batch: 4 })
  // Weights, gradients and both moments of the adapter instead of those of the model.
  const { activations } = start.memory
  const more = activations - full.activations
  assert.is(full.total - start.memory.total, 3 * full.weights - 4 * 4 * numbers - more)
  assert.ok(more > 0)
  const done = run.find((event) => event.type === 'done')!
  assert.is(done.report.learned, numbers)
  assert.ok(done.report.bestLoss < done.report.firstLoss)
  assert.equal(contents(base), before)

  const names = readdirSync(options.output)
  for (const name of ['adapter_config.json', 'adapter_model.safetensors', 'README.md'])
    assert.ok(names.includes(name), name)
  assert.not.ok(names.includes('config.json') || names.includes('model.safetensors'))
  const adapter = await readAdapter(options.output)
  assert.equal([adapter.rank, adapter.alpha, adapter.dropout, adapter.base], [4, 8, 0.1, base])
  assert.is(adapter.matrices.length, 4)
  await adapter.close()

  using loaded = await load(options.output)
  assert.equal([loaded.adapter, loaded.adapters], ['default', ['default']])
  const adapted = await logits(loaded)
  assert.ok(distance(adapted, expected) > 0.1)
  loaded.useAdapter(null)
  assert.equal(await logits(loaded), expected)
  loaded.useAdapter('default')
  assert.equal(await logits(loaded), adapted)
  loaded.merge()
  assert.equal([loaded.adapter, loaded.adapters], [null, []])
  assert.ok(distance(await logits(loaded), adapted) < 1e-4)
})

test('the model of a run is the one that its folder gives', async () => {
  const options = tuned({ steps: 12, evaluateEvery: 3 })
  const { model } = await train(options)
  using loaded = await load(options.output)
  assert.equal(await logits(model), await logits(loaded))
  const again = fresh('again')
  await model.save(again)
  using saved = await load(again)
  assert.equal(await logits(saved), await logits(loaded))
  model.dispose()
})

test('stopped and resumed: the bits of a run without a break', async () => {
  const noise = { neftune: 5, labelSmoothing: 0.1 }
  const common = { steps: 14, evaluateEvery: 5, checkpointEvery: 3, seed: 5, ...noise }
  const whole = tuned(common)
  ;(await train(whole)).model.dispose()
  const broken = tuned(common)
  const controller = new AbortController()
  const run = train({ ...broken, signal: controller.signal })
  for await (const event of run)
    if (event.type === 'step' && event.step === 7) {
      controller.abort()
      break
    }
  assert.is((await failure(run)).name, 'AbortError')
  const kept = readdirSync(join(broken.output, 'checkpoints'))
  assert.equal(kept, ['step-00000006', 'step-00000007'])
  const size = readFileSync(
    join(broken.output, 'checkpoints', kept[1]!, 'model.safetensors'),
  ).length
  assert.ok(size < readFileSync(join(base, 'model.safetensors')).length, 'the adapter alone')
  ;(await train({ ...broken, resume: true })).model.dispose()
  for (const name of [
    'adapter_model.safetensors',
    'checkpoints/step-00000014/optimizer.safetensors',
  ])
    assert.ok(
      readFileSync(join(broken.output, name)).equals(readFileSync(join(whole.output, name))),
      name,
    )
  assert.equal(strays(broken.output), [])
  const changed = await failure(train({ ...broken, resume: true, lora: { rank: 2 }, steps: 20 }))
  assert.match(changed.message, /^Expected .*"rank":4.*, as in the run that .* holds, for lora/)
})

test('merge: true leaves a whole model, and the adapter inside the folder', async () => {
  const common = { steps: 10, seed: 2 }
  const merged = tuned({ ...common, merge: true })
  const { model } = await train(merged)
  const apart = tuned(common)
  ;(await train(apart)).model.dispose()
  assert.not.ok(existsSync(join(merged.output, 'adapter_config.json')))
  using a = await load(merged.output)
  using b = await load(apart.output)
  using c = await load(join(merged.output, 'adapter'))
  assert.is(a.adapter, null)
  assert.equal(await logits(a), await logits(model))
  assert.equal(await logits(b), await logits(c))
  assert.ok(distance(await logits(a), await logits(b)) < 1e-4)
  model.dispose()
})

test('several adapters on one base, switched while a session goes on', async () => {
  const folders = [tuned({ steps: 10 }), tuned({ steps: 10, data, seed: 7, lora: true })]
  for (const options of folders) (await train(options)).model.dispose()
  const alone: Float32Array[] = []
  for (const { output } of folders) {
    using one = await load(output)
    alone.push(await logits(one))
  }
  using model = await load(base)
  const plain = await logits(model)
  await model.loadAdapter(folders[0]!.output, 'a')
  await model.loadAdapter(folders[1]!.output, 'b')
  assert.is(model.adapter, null)
  for (const [name, expected] of [
    ['b', alone[1]!],
    ['a', alone[0]!],
    [null, plain],
  ] as const) {
    model.useAdapter(name)
    assert.equal(await logits(model), expected)
  }
  // What a reader keeps of one adapter is not taken for another's.
  const reader = new Reader(model.network, model.tokenizer.size)
  const ids = [...model.tokenizer.encode(prompt)]
  for (const name of ['a', 'b', null]) {
    model.useAdapter(name)
    const [last] = await reader.read([ids])
    const all = await logits(model)
    assert.ok(distance(last!, all.subarray(-last!.length)) < 1e-4, String(name))
  }
  reader.dispose()
  assert.throws(() => model.useAdapter('c'), /Expected one of "a", "b" for name, received "c"/)
  assert.throws(() => model.merge(), /an adapter in use/)
  const wrong = fresh('wrong')
  const small = nano({ output: wrong, steps: 2, model: { width: 8 }, data: both })
  ;(await train(small)).model.dispose()
  using narrow = await load(wrong)
  const error = await failure(narrow.loadAdapter(folders[0]!.output))
  assert.match(
    error.message,
    /the adapter has \[16, 48\] for h\.0\.attn\.c_attn, the model \[8, 24\]/,
  )
})

test('a base that is gone, and where else it is', async () => {
  const moving = fresh('moving')
  ;(await train(nano({ data: both, output: moving, steps: 4 }))).model.dispose()
  const options = tuned({ base: moving, steps: 4 })
  ;(await train(options)).model.dispose()
  const moved = fresh('moved')
  renameSync(moving, moved)
  const error = await failure(load(options.output))
  assert.is(error.code, 'ERR_FILE')
  assert.match(
    error.message,
    /is an adapter for .*moving.*, which is not there: name its base with `base`/,
  )
  using model = await load(options.output, { base: moved })
  assert.is(model.adapter, 'default')
})

test('conversations: the plain template by default, and none that needs new tokens', async () => {
  const chats = fresh('chats.jsonl')
  const row = (i: number) => ({
    messages: [
      {
        role: 'user',
        content: `the cat saw the ${i % 7 === 0 ? 'dog' : 'sea'} and the ship ${'a'.repeat(i % 13)}`,
      },
      { role: 'assistant', content: i % 2 ? 'the sea' : 'a boat' },
    ],
  })
  const rows = Array.from({ length: 120 }, (_, i) => JSON.stringify(row(i)) + '\n')
  writeFileSync(chats, rows.join(''))
  const speaking = fresh('speaking')
  const sizes = { layers: 1, heads: 2, width: 16, context: 64 }
  const common = { duplicates: 'keep' as const, privacy: false, steps: 4, sampleEvery: 0 }
  const text = fresh('words.txt')
  writeFileSync(text, (readFileSync(both, 'utf8') + rows.join('') + 'SUA:').repeat(2))
  const first = { data: text, tokenizer: { kind: 'bpe', size: 300 } as const, model: sizes }
  ;(await train({ ...first, ...common, output: speaking })).model.dispose()
  const options = { ...common, data: chats, base: speaking, lora: true, output: fresh() }
  ;(await train(options)).model.dispose()
  using model = await load(options.output)
  assert.is(model.template!.name, 'plain')
  const refused = await failure(train({ ...options, output: fresh(), template: 'chatml' }))
  assert.match(
    refused.message,
    /without special tokens that the base lacks \('plain'\), for template/,
  )
})

test('freezing by name: those bits stay, the others move, and resume knows', async () => {
  const { lora: _, ...whole } = tuned({ freeze: ['wte', 'h.*.mlp'], steps: 6, checkpointEvery: 3 })
  const { model, report } = await train(whole)
  using plain = await load(base)
  const before = await plain.network.state()
  const after = await model.network.state()
  for (const [name, values] of before) {
    const frozen = /^wte|^h\.\d+\.mlp/.test(name)
    assert.is(
      values.every((x, i) => x === after.get(name)![i]),
      frozen,
      name,
    )
  }
  assert.ok(report.learned < report.parameters)
  model.dispose()
  const further = await train({ ...whole, resume: true, steps: 9 })
  assert.is(further.report.steps, 9)
  const last = (await further.model.network.state()).get('wte.weight')!
  assert.ok(before.get('wte.weight')!.every((x, i) => x === last[i]))
  further.model.dispose()
  const other = await failure(train({ ...whole, resume: true, steps: 12, freeze: ['wte'] }))
  assert.match(other.message, /as in the run that .* holds, for freeze/)
  const error = await failure(train({ ...whole, output: fresh(), freeze: ['h.7'] }))
  assert.match(
    error.message,
    /a parameter's name, such as "wte\.weight".* for freeze, received "h\.7"/,
  )
  const all = await failure(train({ ...whole, output: fresh(), freeze: ['*'] }))
  assert.match(all.message, /something to learn for freeze/)
})

test('what cannot go together is refused at once', () => {
  const throws = (change: object, pattern: RegExp) =>
    assert.throws(() => train({ data, output: fresh(), ...change } as TrainOptions), pattern)
  throws({ lora: true }, /a base beside lora for base, received undefined/)
  throws({ merge: true }, /lora beside it for merge/)
  throws({ base, lora: { rang: 3 } }, /Unknown option "rang" in lora: did you mean "rank"/)
  throws({ base, lora: { rank: 0 } }, /for lora\.rank, received 0/)
  throws({ base, lora: { targets: [] } }, /a list of layers for lora\.targets/)
  throws({ base, lora: true, freeze: ['wte'] }, /for freeze/)
  throws({ freeze: 'wte' }, /a list of names for freeze/)
  throws({ neftune: -1 }, /for neftune, received -1/)
  throws({ labelSmoothing: 1 }, /for labelSmoothing, received 1/)
})

test('targets by the ends of their names', async () => {
  const options = tuned({ steps: 2, lora: { rank: 2, targets: ['c_proj', 'h.0.attn.c_attn'] } })
  ;(await train(options)).model.dispose()
  const adapter = await readAdapter(options.output)
  assert.equal(
    adapter.matrices.map(({ name }) => name),
    ['h.0.attn.c_attn', 'h.0.attn.c_proj', 'h.0.mlp.c_proj'],
  )
  await adapter.close()
  const error = await failure(train(tuned({ lora: { targets: ['c_prog'] } })))
  assert.match(error.message, /lora\.targets, received "c_prog"/)
})

test('a folder of an adapter is not a base, and the error says what to do', async () => {
  const options = tuned({ steps: 2 })
  ;(await train(options)).model.dispose()
  const error = await failure(train(tuned({ base: options.output })))
  assert.match(error.message, /holds an adapter, not a model.*merge the two/)
  const missing = await failure(train(tuned({ base: 'nobody/nothing' })))
  assert.match(missing.message, /nobody\/nothing is no folder.*with `download: true`/)
})

test.run()
