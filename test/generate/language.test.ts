import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LanguageModel, load } from '../../lib/index.js'
import type { GenerateOptions, Tokenizer } from '../../lib/index.js'
import { generateTokens } from '../../lib/generate/index.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { cpu, keep, scope } from '../../lib/tensor/index.js'
import { characterTokenizer, trainTokenizer } from '../../lib/tokenizer/index.js'

const text =
  'Call me Ishmael. Some years ago 🐳🐋 never mind how long précisément 鯨 と 海 '.repeat(20)
const character = await characterTokenizer([text])
const bpe = await trainTokenizer([text], { size: 300 })
const folder = mkdtempSync(join(tmpdir(), 'gptloom-generate-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const sizes = { layers: 2, heads: 2, width: 16, context: 12 }

/** A model whose weights are large enough that its choices depend on what it read. */
async function build(
  tokenizer: Tokenizer = character,
  change: object = {},
  device = cpu(),
): Promise<LanguageModel> {
  const model = new GPT2(resolveModel({ ...sizes, ...change }, tokenizer.size), device, 4)
  const state = await model.state()
  for (const [name, values] of state)
    if (!/ln_|bias/.test(name))
      state.set(
        name,
        values.map((x) => x * 40),
      )
  model.loadState(state)
  return new LanguageModel(model, tokenizer)
}

/** Logits after the last token, by reading everything at once. */
async function lastLogits(model: GPT2, tokens: readonly number[]): Promise<number[]> {
  const logits = scope(() => {
    const hidden = model.forward(cpu().tensor(Int32Array.from(tokens), [1, tokens.length]))
    return keep(model.logits(hidden))
  })
  return [...(await logits.data())].slice(-model.config.vocabulary)
}

async function tokensOf(
  model: LanguageModel,
  prompt: number[],
  options: GenerateOptions,
): Promise<number[]> {
  const tokens: number[] = []
  for await (const token of generateTokens(model.network, model.tokenizer, prompt, options))
    tokens.push(token)
  return tokens
}

test('temperature 0 takes the likeliest token of a whole forward pass, also beyond the context', async () => {
  const model = await build(character, { tied: false })
  const { context } = model.config
  const seen = new Set<number>()
  for (const length of [1, 5, context - 1, context, context + 7]) {
    const prompt = Array.from({ length }, (_, i) => (i * 5) % character.size)
    // The rule: what does not fit is dropped from the front; when the context is full, half of it is kept.
    let read = prompt.slice(-context)
    const expected: number[] = []
    for (let i = 0; i < 40; i++) {
      if (read.length > context) read = read.slice(-context / 2)
      const logits = await lastLogits(model.network, read)
      const next = logits.indexOf(Math.max(...logits))
      expected.push(next)
      read.push(next)
    }
    assert.equal(
      await tokensOf(model, prompt, { temperature: 0, maxTokens: 40 }),
      expected,
      `a prompt of ${length}`,
    )
    assert.equal(
      await tokensOf(model, prompt, { topK: 1, maxTokens: 40, temperature: 2 }),
      expected,
    )
    for (const token of expected) seen.add(token)
  }
  assert.ok(seen.size > 8, 'the text varies')
})

test('the same seed gives the same text, another one another', async () => {
  const model = await build()
  const options = { maxTokens: 60, seed: 1, temperature: 1, topK: 20 }
  const first = await model.complete('Call me', options)
  assert.is(await model.complete('Call me', options), first)
  assert.not.equal(await model.complete('Call me', { ...options, seed: 2 }), first)
  assert.not.equal(await model.complete('Some', options), first)
  const unnamed = () => model.complete('Call me', { maxTokens: 60 })
  assert.not.equal(await unnamed(), await unnamed())
})

test('maxTokens is the most tokens', async () => {
  const model = await build()
  assert.is([...(await model.complete('a', { maxTokens: 7, seed: 1 }))].length, 7)
  const pieces: string[] = []
  for await (const piece of model.generate('a', { maxTokens: 1, seed: 1 })) pieces.push(piece)
  assert.is(pieces.length, 1)
  assert.is([...(await model.complete('', { seed: 3 }))].length, 200)
})

test('no piece ends within a character', async () => {
  // The vocabulary has hardly a merge: most tokens are bytes, and most bytes lie within characters.
  const model = await build(await trainTokenizer(['🐳🐋鯨海'], { size: 258 }), { layers: 1 })
  const { network, tokenizer } = model
  const options = { maxTokens: 400, seed: 5, temperature: 1.2 }
  const tokens = await tokensOf(model, [...tokenizer.encode('🐳')], options)
  const pieces: string[] = []
  for await (const piece of model.generate('🐳', options)) pieces.push(piece)
  assert.is(pieces.join(''), tokenizer.decode(tokens))
  assert.ok(pieces.every((piece) => piece !== ''))
  assert.ok(pieces.every((piece) => !/^[\udc00-\udfff]|[\ud800-\udbff]$/.test(piece)))
  network.dispose()
})

test('a character that the vocabulary lacks is an error at once', async () => {
  const model = await build()
  assert.throws(
    () => model.generate('Zebra'),
    (error: Error & { code?: string }) => {
      assert.is(error.code, 'ERR_INDEX')
      assert.match(error.message, /Z/)
      return true
    },
  )
})

test('mistakes are thrown at once', async () => {
  const model = await build()
  const fails = (options: object, pattern: RegExp) =>
    assert.throws(() => model.generate('a', options), pattern)
  fails({ maxToken: 3 }, /"maxToken".*did you mean "maxTokens"/)
  fails({ maxTokens: 0 }, /maxTokens, received 0/)
  fails({ temperature: -1 }, /temperature, received -1/)
  fails({ topK: 0 }, /topK, received 0/)
  fails({ topP: 2 }, /topP, received 2/)
  fails({ seed: 0.5 }, /seed, received 0.5/)
  assert.throws(() => model.generate(3 as never), /a string for prompt, received 3/)
  const none = /Expected an object of options for the generation options, received null/
  assert.throws(() => model.generate('a', null as never), none)
  assert.throws(() => model.generate('a', { signal: {} as never }), /an AbortSignal for signal/)
  assert.throws(() => model.generate('a', { signal: null as never }), /an AbortSignal for signal/)
  const rejected = (promise: Promise<unknown>) => promise.then(String, String)
  assert.match(await rejected(model.complete('a', null as never)), none)
  assert.match(
    await rejected(load('x', null as never)),
    /TypeError: Expected an object of options for load\(\), received null/,
  )
  assert.match(await rejected(load('a\0b')), /RangeError: Expected a folder without NUL bytes/)
  assert.match(
    await rejected(load('x', { treads: 2 } as never)),
    /TypeError: Unknown option "treads" in load\(\): did you mean "threads"\?/,
  )
})

test('<|endoftext|> ends the text and is not part of it', async () => {
  const model = await build(bpe)
  const end = bpe.endOfText!
  const prompt = [...bpe.encode('Call')]
  const greedy = await tokensOf(model, prompt, { temperature: 0, maxTokens: 30 })
  // The same model with another token for the end stops at its first place.
  const other = greedy[Math.min(5, greedy.length - 1)]!
  const tokens: number[] = []
  const stopping = { endOfText: other, size: bpe.size }
  for await (const token of generateTokens(model.network, stopping, prompt, {
    temperature: 0,
    maxTokens: 30,
  })) {
    tokens.push(token)
  }
  assert.equal(tokens, greedy.slice(0, greedy.indexOf(other)))
  assert.not.ok(greedy.includes(end))
})

test('tokens beyond the tokenizer are never written', async () => {
  const model = await build(character, { vocabulary: character.size + 200 })
  const tokens = await tokensOf(model, [0], { temperature: 20, maxTokens: 300, seed: 1 })
  assert.ok(tokens.every((token) => token < character.size))
})

test('a signal stops the text', async () => {
  const model = await build()
  const controller = new AbortController()
  const pieces: string[] = []
  try {
    for await (const piece of model.generate('a', { signal: controller.signal, maxTokens: 1000 })) {
      pieces.push(piece)
      if (pieces.length === 3) controller.abort('enough')
    }
    assert.unreachable()
  } catch (error) {
    assert.is((error as Error).name, 'AbortError')
    assert.is((error as Error).cause, 'enough')
  }
  assert.is(pieces.length, 3)
  try {
    await model.complete('a', { signal: AbortSignal.abort() })
    assert.unreachable()
  } catch (error) {
    assert.is((error as Error).name, 'AbortError')
  }
})

test('the cache is freed at the end, after a break and after an abort', async () => {
  const device = cpu({ threads: 1 }) // of its own, so that nothing else is freed meanwhile
  const model = await build(character, {}, device)
  const { used } = device.memory()
  await model.complete('a', { maxTokens: 30 })
  assert.is(device.memory().used, used)
  for await (const _ of model.generate('a')) {
    assert.ok(device.memory().used > used)
    break
  }
  assert.is(device.memory().used, used)
  await model.complete('a', { signal: AbortSignal.abort() }).catch(() => {})
  assert.is(device.memory().used, used)
})

test('several texts at once do not disturb each other', async () => {
  const model = await build()
  const options = (seed: number) => ({ seed, maxTokens: 30 })
  const alone = [await model.complete('Call', options(1)), await model.complete('Some', options(2))]
  const together = await Promise.all([
    model.complete('Call', options(1)),
    model.complete('Some', options(2)),
  ])
  assert.equal(together, alone)
})

for (const [name, tokenizer, change] of [
  ['characters', character, {}],
  ['BPE, output layer of its own', bpe, { tied: false }],
  [
    'no biases, padded vocabulary',
    bpe,
    { bias: false, vocabulary: 320, epsilon: 1e-6, dropout: 0.25 },
  ],
] as const) {
  test(`save() and load() are a round trip: ${name}`, async () => {
    const model = await build(tokenizer, change)
    const path = join(folder, name.replaceAll(' ', '-'), 'below')
    await model.save(path)
    using loaded = await load(path, { threads: 1 })
    assert.equal(loaded.config, model.config)
    assert.equal(await loaded.network.state(), await model.network.state())
    assert.is(loaded.tokenizer.kind, tokenizer.kind)
    assert.equal(loaded.tokenizer.files(), tokenizer.files())
    const options = { seed: 1, maxTokens: 20 }
    assert.is(await loaded.complete('Call', options), await model.complete('Call', options))
    assert.is(loaded.parameters, model.parameters)
    await loaded.save(path) // over itself
    using again = await load(path)
    assert.equal(await again.network.state(), await model.network.state())
  })
}

test('a disposed model says so', async () => {
  const model = await build()
  model.dispose()
  try {
    await model.complete('a')
    assert.unreachable()
  } catch (error) {
    assert.is((error as { code?: string }).code, 'ERR_DISPOSED')
  }
})

test('load() of what is no model folder', async () => {
  const fails = async (path: unknown, pattern: RegExp) => {
    try {
      await load(path as string)
    } catch (error) {
      assert.match((error as Error).message, pattern)
      return
    }
    assert.unreachable()
  }
  await fails(join(folder, 'missing'), /missing does not exist: expected a model folder/)
  await fails(folder, /holds no config\.json/)
  await fails('', /a folder for folder/)
  await fails(undefined, /a folder for folder, received undefined/)
})

test.run()
