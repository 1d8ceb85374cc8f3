// Several texts at once, conversations, and what a model thinks of a text.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LanguageModel } from '../../lib/index.js'
import type { ChatMessage, GenerateOptions, GptloomError } from '../../lib/index.js'
import { Reader } from '../../lib/generate/reader.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { cpu, keep, scope } from '../../lib/tensor/index.js'
import { chatml, trainTokenizer } from '../../lib/tokenizer/index.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-chat-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const text = 'How are you today? I am fine, thank you. Where is the red lamp? It is here. '.repeat(
  9,
)
const tokenizer = await trainTokenizer([text], {
  size: 290,
  special: ['<|endoftext|>', ...chatml.special],
})

/** Weights large enough that choices depend on what was read. */
async function build(context = 96): Promise<LanguageModel> {
  const config = resolveModel({ layers: 2, heads: 2, width: 16, context }, tokenizer.size)
  const network = new GPT2(config, cpu(), 4)
  const state = await network.state()
  for (const [name, values] of state)
    if (!/ln_|bias/.test(name))
      state.set(
        name,
        values.map((x) => x * 40),
      )
  network.loadState(state)
  return new LanguageModel(network, tokenizer, chatml)
}

/** Logits behind every token, by one forward pass. */
async function forward(network: GPT2, tokens: readonly number[]): Promise<number[][]> {
  using logits = scope(() => {
    const hidden = network.forward(cpu().tensor(Int32Array.from(tokens), [1, tokens.length]))
    return keep(network.logits(hidden))
  })
  const values = [...(await logits.data())]
  return tokens.map((_, t) => values.slice(t * tokenizer.size, (t + 1) * tokenizer.size))
}

const logSoftmax = (logits: number[]) => {
  const most = Math.max(...logits)
  const sum = logits.reduce((total, x) => total + Math.exp(x - most), 0)
  return logits.map((x) => x - most - Math.log(sum))
}
const close = (a: number, b: number, what = '') =>
  assert.ok(Math.abs(a - b) < 2e-4, `${a} ${b} ${what}`)

test('a reader that goes on, goes back or starts anew gives what one forward pass gives', async () => {
  const { network } = await build()
  const reader = new Reader(network, tokenizer.size)
  const a = [...tokenizer.encode(text)].slice(0, 40)
  const b = [...a.slice(0, 17), ...a.slice(3, 20)]
  for (const tokens of [a.slice(0, 9), a.slice(0, 30), a, b, b.slice(0, 20), a, a, [a[5]!]]) {
    const [logits] = await reader.read([tokens])
    const expected = (await forward(network, tokens)).at(-1)!
    for (const [i, x] of expected.entries()) close(logits![i]!, x)
  }
  const three = [a, b, a.map((_, i) => a[a.length - 1 - i]!)].map((tokens) => tokens.slice(0, 30))
  const together = await reader.read(three)
  for (const [i, tokens] of three.entries()) {
    const expected = (await forward(network, tokens)).at(-1)!
    for (const [j, x] of expected.entries()) close(together[i]![j]!, x)
  }
  reader.dispose()
})

test('n texts at once are the n texts alone, also when the context is full', async () => {
  const model = await build(24)
  const options = { maxTokens: 50, temperature: 1, topP: 0.95, repetitionPenalty: 1.1 }
  const together = await model.completions('How are', { ...options, seed: 7, n: 5 })
  assert.is(together.length, 5)
  for (const [i, completion] of together.entries()) {
    const [alone] = await model.completions('How are', { ...options, seed: 7 + i })
    assert.equal(completion, alone)
    assert.is(completion.text, await model.complete('How are', { ...options, seed: 7 + i }))
  }
  assert.ok(new Set(together.map(({ text }) => text)).size > 1)
})

test('a text says why it ended', async () => {
  const model = await build()
  const all = await model.completions('Where', { n: 30, seed: 1, maxTokens: 60, temperature: 1.5 })
  assert.ok(all.some(({ finish, tokens }) => finish === 'length' && tokens.length === 60))
  const long = all.find(({ finish }) => finish === 'length')!
  const index = all.indexOf(long)
  const stop = long.text.slice(10, 13)
  const options = { seed: 1 + index, maxTokens: 60, temperature: 1.5, stop: ['never at all', stop] }
  const [stopped] = await model.completions('Where', options)
  assert.is(stopped!.finish, 'stop')
  assert.is(stopped!.text, long.text.slice(0, long.text.indexOf(stop)))
  assert.is(await model.complete('Where', options), stopped!.text)
  const end = tokenizer.endOfText!
  const [ended] = await model.completions('Where', { logitBias: { [end]: 1e6 } })
  assert.equal(ended, { text: '', tokens: [], finish: 'end' })
})

test('logprobs are those of the softmax of a forward pass', async () => {
  const model = await build()
  const options = { maxTokens: 6, temperature: 0.7, seed: 2, logprobs: 3 }
  const [{ tokens, logprobs } = { tokens: [] }] = await model.completions('How', options)
  assert.is(logprobs!.length, tokens.length)
  const prompt = [...tokenizer.encode('How')]
  const rows = await forward(model.network, [...prompt, ...tokens])
  for (const [i, { token, text, logprob, top }] of logprobs!.entries()) {
    const expected = logSoftmax(rows[prompt.length - 1 + i]!)
    assert.is(token, tokens[i])
    assert.is(text, tokenizer.decode([token]))
    close(logprob, expected[token]!)
    const best = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]!).slice(0, 3)
    assert.equal(
      top.map(({ token }) => token),
      best,
    )
    top.forEach(({ token, logprob }) => close(logprob, expected[token]!))
  }
})

test("overflow: 'error' says that the context is full", async () => {
  const model = await build(16)
  const ends = [...tokenizer.special.values()].map((id) => [id, -Infinity])
  const options = { overflow: 'error', maxTokens: 40, logitBias: Object.fromEntries(ends) } as const
  const error = await model.complete('How', options).catch((e) => e)
  assert.is(error.code, 'ERR_CONTEXT')
  assert.match(error.message, /context of 16 tokens is full/)
  assert.throws(
    () => model.generate('a', { overflow: 'no' as never }),
    /for overflow, received "no"/,
  )
})

test('score, logits and embed agree with forward passes', async () => {
  const model = await build(32)
  const tokens = [...tokenizer.encode(text)].slice(0, 20)
  const short = tokenizer.decode(tokens)
  assert.equal([...tokenizer.encode(short)], tokens)
  const given = [tokenizer.endOfText!, ...tokens]
  const rows = await forward(model.network, given)
  const sum = tokens.reduce((total, token, i) => total + logSoftmax(rows[i]!)[token]!, 0)
  const score = await model.score(short)
  close(score.logLikelihood / sum, 1)
  assert.is(score.tokens, 20)
  close(score.perplexity / Math.exp(-sum / 20), 1)
  close(score.bitsPerByte, -sum / Buffer.byteLength(short) / Math.LN2)

  // Longer than the context: every token is counted once, from at least half a context.
  const all = [tokenizer.endOfText!, ...tokenizer.encode(text)]
  let long = 0
  for (let t = 1; t < all.length; t++) {
    // Each window predicts what the one before did not, and reads 16 tokens of what it did.
    const from = t <= 32 ? 0 : 17 + 17 * Math.floor((t - 33) / 17)
    long += logSoftmax((await forward(model.network, all.slice(from, t))).at(-1)!)[all[t]!]!
    if (t > 120) break
  }
  const part = tokenizer.decode(all.slice(1, 122))
  assert.equal([...tokenizer.encode(part)], all.slice(1, 122))
  close((await model.score(part)).logLikelihood / long, 1)

  const { values, shape } = await model.logits(short)
  assert.equal(shape, [20, tokenizer.size])
  const plain = (await forward(model.network, tokens)).flat()
  values.forEach((x, i) => close(x, plain[i]!))
  const vector = await model.embed(short)
  assert.is(vector.length, 16)
  assert.ok(vector.some((x) => x !== 0))
  assert.equal(await model.embed(short), vector)
  assert.match(String(await model.embed(text).catch((e) => e)), /context of the model holds 32/)
  assert.match(String(await model.score('').catch((e) => e)), /a text that is not empty/)
})

const gather = async (pieces: AsyncIterable<string>) => {
  let text = ''
  for await (const piece of pieces) text += piece
  return text
}

test('chat answers in the template and ends at the end of a turn', async () => {
  const model = await build()
  const messages: ChatMessage[] = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'How are you today?<|im_end|>' },
  ]
  const options = { maxTokens: 12, temperature: 0 }
  const answer = await gather(model.chat(messages, options))
  const raw = [...model.encodeChat(messages)]
  let expected = raw
  for (let i = 0; i < 12; i++) {
    const row = (await forward(model.network, expected)).at(-1)!
    const next = row.indexOf(Math.max(...row))
    if (next === tokenizer.special.get('<|im_end|>') || next === tokenizer.endOfText) break
    expected = [...expected, next]
  }
  assert.is(answer, tokenizer.decode(expected.slice(raw.length)))
  const end = tokenizer.special.get('<|im_end|>')!
  assert.is(await gather(model.chat(messages, { logitBias: { [end]: 1e6 } })), '')
  const bare = new LanguageModel(model.network, tokenizer)
  assert.throws(() => bare.chat(messages), /has no chat template/)
  assert.throws(
    () => model.chat([{ role: 'bot', content: '' } as never]),
    /messages\[0\]\.role, received "bot"/,
  )
  assert.throws(() => model.chat([null as never]), /messages\[0\]\.role, received undefined/)
})

test('a session answers as chat does, remembers, is saved and restored', async () => {
  const model = await build(256)
  const options = { maxTokens: 10, temperature: 0 }
  const session = model.session({ system: 'Be brief.' })
  const said: ChatMessage[] = [{ role: 'system', content: 'Be brief.' }]
  for (const question of ['How are you?', 'Where is the lamp?', 'And now?']) {
    said.push({ role: 'user', content: question })
    const answer = await gather(session.say(question, options))
    assert.is(answer, await gather(model.chat(said, options)))
    said.push({ role: 'assistant', content: answer })
    assert.equal(session.messages, said)
  }
  const path = join(folder, 'session.json')
  await session.save(path)
  const again = model.session()
  await again.restore(path)
  assert.equal(again.messages, said)
  assert.is(await gather(again.say('Why?', options)), await gather(session.say('Why?', options)))
  session.reset()
  assert.equal(session.messages, said.slice(0, 1))
  writeFileSync(path, '{"messages": [{"role": "x"}]}')
  assert.match(
    String(await again.restore(path).catch((e) => e)),
    /is no conversation: Expected system, user/,
  )
  writeFileSync(path, '{"format": 2, "messages": []}')
  assert.match(String(await again.restore(path).catch((e) => e)), /later gptloom \(format 2\)/)
  writeFileSync(path, '{"messages": []}') // of a time before the version stood there
  await again.restore(path)
  assert.equal(again.messages, [])
  session.dispose()
})

test('a session longer than the context forgets its oldest turns and keeps the system message', async () => {
  const model = await build(80)
  const session = model.session({ system: 'Be brief.' })
  const options = { maxTokens: 10, temperature: 0 }
  for (let i = 0; i < 8; i++) {
    await gather(session.say(`Where is the lamp ${i}?`, options))
    const all = session.messages.slice(0, -1)
    // The longest end of the conversation that fits, by the definition.
    const turns = [...all.keys()].filter((k) => all[k]!.role === 'user')
    const from = turns.find((k) => model.encodeChat([all[0]!, ...all.slice(k)]).length <= 80 - 10)!
    const expected = await gather(model.chat([all[0]!, ...all.slice(from)], options))
    assert.is(session.messages.at(-1)!.content, expected)
  }
  const before = session.messages.length
  const error = await gather(session.say(text, options)).catch((e) => e)
  assert.is(error.code, 'ERR_CONTEXT')
  assert.is(session.messages.length, before, 'what was refused is not remembered')
  await gather(session.say('Where?', options))
  assert.is(session.messages.length, before + 2)
})

test('chat refuses more than the context, unless its beginning may be forgotten', async () => {
  const model = await build(48)
  const messages: ChatMessage[] = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: text },
  ]
  const long = (options?: GenerateOptions) => () => model.chat(messages, options)
  for (const options of [undefined, { overflow: 'error' }] as const)
    assert.throws(long(options), (e: GptloomError) => {
      return e.code === 'ERR_CONTEXT' && /has \d+ tokens, and the context .* 48/.test(e.message)
    })
  const options = { overflow: 'shift', maxTokens: 5, temperature: 0 } as const
  const last = [...model.encodeChat(messages)].slice(-48)
  const row = (await forward(model.network, last)).at(-1)!
  const answer = await gather(model.chat(messages, { ...options, maxTokens: 1 }))
  assert.is(answer, tokenizer.decode([row.indexOf(Math.max(...row))]))
})

test('an answer broken off is remembered as far as it came; two at once are refused', async () => {
  const model = await build(256)
  const session = model.session()
  const controller = new AbortController()
  let seen = ''
  const options = { maxTokens: 100, temperature: 1, seed: 1, signal: controller.signal }
  const error = await (async () => {
    for await (const piece of session.say('How?', options)) {
      seen += piece
      const busy = await gather(session.say('Twice?')).catch((e) => e)
      assert.is(busy.code, 'ERR_BUSY')
      if (seen.length > 5) controller.abort()
    }
  })().catch((e) => e)
  assert.is(error.name, 'AbortError')
  assert.is(session.messages.at(-1)!.content, seen)
  for await (const piece of session.say('Again?', { maxTokens: 50, seed: 2 })) {
    seen = piece
    break
  }
  assert.is(session.messages.at(-1)!.content, seen)
  assert.is(session.messages.length, 4)
})

test.run()
