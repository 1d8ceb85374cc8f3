// Figures of a model on rows, against those that its own score() and logits() give.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rowLosses } from '../../lib/evaluate/losses.js'
import { LanguageModel, evaluate } from '../../lib/index.js'
import type { EvaluateOptions } from '../../lib/index.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { chatml, encodeSegments, plainTemplate, trainTokenizer } from '../../lib/tokenizer/index.js'
import type { ChatTemplate, Rendered } from '../../lib/tokenizer/index.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-evaluate-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const words = 'Where is the red lamp? It is here, on the table: {"a": 1} '.repeat(9)
const special = ['<|endoftext|>', ...chatml.special]
const tokenizer = await trainTokenizer([words], { size: 300, special })

function build(seed: number, context = 48, template: ChatTemplate | null = chatml): LanguageModel {
  const config = resolveModel({ layers: 1, heads: 2, width: 16, context }, tokenizer.size)
  return new LanguageModel(new GPT2(config, cpu(), seed), tokenizer, template ?? undefined)
}
const model = build(1)
const places = ['on the table', 'here', 'red', 'is it on the lamp?', 'the table is here']
const chat = (i: number) => ({
  messages: [
    { role: 'user' as const, content: `Where is ${i}?` },
    { role: 'assistant' as const, content: `It is ${places[i % 5]}` },
  ],
})
const chats = Array.from({ length: 12 }, (_, i) => chat(i))
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error('expected a rejection')
    },
    (error: Error & { code?: string }) => error,
  )
const close = (a: number, b: number) => assert.ok(Math.abs(a / b - 1) < 1e-4, `${a} ${b}`)

/** Sums over the learned tokens, from the logits of the whole row. */
async function sums(rows: typeof chats, one: LanguageModel, template: ChatTemplate = chatml) {
  let [nats, tokens, correct, bytes] = [0, 0, 0, 0]
  for (const { messages } of rows) {
    const { tokens: ids, learn } = encodeSegments(tokenizer, template.render(messages))
    const input = one.network.device.tensor(ids, [1, ids.length])
    const logits = await one.network.logits(one.network.forward(input)).data()
    for (let t = 0; t + 1 < ids.length; t++) {
      if (!learn[t + 1]) continue
      const row = Array.from(logits.slice(t * tokenizer.size, (t + 1) * tokenizer.size))
      const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0))
      nats += total - row[ids[t + 1]!]!
      correct += Number(row.indexOf(Math.max(...row)) === ids[t + 1])
      tokens++
    }
    bytes += Buffer.byteLength(messages[1]!.content)
  }
  return { nats, tokens, correct, bytes }
}

test('the learned tokens of conversations alone are measured', async () => {
  const { figures, ...rest } = await evaluate(model, chats)
  const { nats, tokens, correct, bytes } = await sums(chats, model)
  assert.equal(rest, { rows: 12, left: 0, tokens, bytes, answers: 0 })
  close(figures.loss.value, nats / tokens)
  close(figures.perplexity.value, Math.exp(nats / tokens))
  close(figures.bitsPerByte.value, nats / Math.LN2 / bytes)
  assert.is(figures.accuracy.value, correct / tokens)
  for (const { value, low, high } of Object.values(figures))
    assert.ok(low <= value && value <= high)
  assert.equal(Object.keys(figures), ['loss', 'perplexity', 'bitsPerByte', 'accuracy'])
})

test('rows that are read together are to the bit the rows alone', async () => {
  // More tokens than are read at once, of many lengths, some over the width of a vector.
  const rows = Array.from({ length: 90 }, (_, i): Rendered => {
    const length = 2 + ((i * 7) % 47)
    const tokens = Int32Array.from({ length }, (_, t) => (i * 31 + t * 17) % tokenizer.size)
    return {
      tokens,
      learn: Uint8Array.from({ length }, (_, t) => Number(i % 3 === 0 || t % i > 0)),
    }
  })
  const wide = new LanguageModel(
    new GPT2(resolveModel({ layers: 2, heads: 3, width: 48, context: 48 }, 331), cpu(), 5),
    tokenizer,
  )
  let batches = 0
  const together = await rowLosses(wide, rows, () => batches++)
  assert.ok(batches > 1 && batches < 10, `${batches} batches`)
  for (const [i, row] of rows.entries())
    assert.equal(together[i], (await rowLosses(wide, [row]))[0])
})

test('a text longer than the context is measured in parts, whole', async () => {
  const path = join(folder, 'long.txt')
  writeFileSync(path, words)
  const { figures, rows, bytes, tokens } = await evaluate(model, path)
  assert.is(rows, 1)
  const first = tokenizer.decodeBytes(tokenizer.encode(words).subarray(0, 1)).length
  assert.is(bytes, Buffer.byteLength(words) - first)
  assert.is(tokens, tokenizer.encode(words).length) // one is only given, and the end is predicted
  assert.ok(figures.loss.low < figures.loss.high)
})

test('another model on the same rows', async () => {
  const other = build(2)
  const { comparison, figures } = await evaluate(model, chats, { base: other })
  const theirs = await sums(chats, other)
  close(comparison!.figures.loss!.base, theirs.nats / theirs.tokens)
  assert.is(comparison!.parts, 12)
  const { base, difference } = comparison!.figures.bitsPerByte
  assert.ok(Math.abs(figures.bitsPerByte.value - base - difference) < 1e-12)
  const same = await evaluate(model, chats, { base: build(1) })
  assert.is(same.comparison!.verdict, 'no difference')
  assert.is(same.comparison!.figures.loss!.difference, 0)
})

test('a base without a template reads the rows in plain; what it cannot read whole is left out', async () => {
  const plain = build(3, 48, null)
  const alone = await evaluate(plain, chats)
  const { nats, bytes } = await sums(chats, plain, plainTemplate)
  close(alone.figures.bitsPerByte.value, nats / Math.LN2 / bytes)
  const length = ({ messages }: (typeof chats)[0]) =>
    encodeSegments(tokenizer, chatml.render(messages)).tokens.length
  const lengths = chats.map(length).sort((a, b) => a - b)
  const short = build(4, lengths[6]! - 1)
  const { comparison } = await evaluate(model, chats, { base: short })
  assert.ok(comparison!.parts < 12 && comparison!.parts > 0, `${comparison!.parts} of 12`)
  const named = await evaluate(plain, chats, { template: 'chatml' })
  close(named.figures.loss.value, (await sums(chats, plain)).nats / named.tokens)
})

test('answers: its own words, the reference beside them, and figures of ones own', async () => {
  const seen: [string, string][] = []
  const metrics = {
    length: (answer: string, reference: string) => {
      seen.push([answer, reference])
      return answer.length
    },
  }
  const generate = { maxTokens: 6, temperature: 0 }
  const result = await evaluate(model, chats.slice(0, 3), { generate, metrics })
  assert.is(result.answers, 3)
  for (const [i, [answer, reference]] of seen.entries()) {
    let expected = ''
    for await (const piece of model.chat([chats[i]!.messages[0]!], generate)) expected += piece
    assert.equal([answer, reference], [expected, chats[i]!.messages[1]!.content])
  }
  const lengths = seen.map(([answer]) => answer.length)
  assert.is(result.figures.length!.value, lengths.reduce((a, b) => a + b) / 3)
  assert.not.ok('json' in result.figures)
  const user = { role: 'user' as const, content: 'Where is?' }
  const json = [{ messages: [user, { role: 'assistant', content: '{"a": 1}' }] }]
  const completed = await evaluate(model, json, { generate: true })
  assert.equal([completed.figures.json!.value, completed.answers], [0, 1])
  const compared = await evaluate(model, chats, { generate, base: build(2) })
  for (const name of ['exactMatch', 'f1', 'rougeL', 'bleu'])
    assert.ok(compared.comparison!.figures[name], name)
})

test('rows that cannot be measured are counted, and none at all is an error', async () => {
  const broken = [{ messages: [{ role: 'nobody', content: 'x' }] }]
  assert.equal((await evaluate(model, [...chats, ...broken], { limit: 5 })).rows, 5)
  const { rows, left } = await evaluate(model, [...chats, ...broken])
  assert.equal([rows, left], [12, 1])
  const error = await failure(evaluate(model, broken))
  assert.is(error.code, 'ERR_DATA')
  assert.match(error.message, /none of 1 rows can be used/)
})

test('personal data is taken out as in training', async () => {
  const spoken = [
    { messages: [chats[0]!.messages[0]!, { role: 'assistant', content: 'anna@example.org' }] },
  ]
  const [taken, left] = [
    await evaluate(model, spoken),
    await evaluate(model, spoken, { privacy: false }),
  ]
  assert.is(left.bytes, 'anna@example.org'.length)
  assert.is.not(taken.bytes, left.bytes)
})

test('what cannot be is refused', async () => {
  const refused = async (options: object, pattern: RegExp) =>
    assert.match(
      (await failure(evaluate(model, chats, options as EvaluateOptions))).message,
      pattern,
    )
  await refused({ bass: model }, /Unknown option "bass".*did you mean "base"/)
  await refused({ base: 'm' }, /a model for base/)
  await refused({ metrics: { f1: () => 1 }, generate: true }, /a name that no figure has/)
  await refused({ metrics: { own: () => 1 } }, /`generate: true` beside it for metrics/)
  await refused(
    { metrics: { own: () => NaN }, generate: { maxTokens: 1 } },
    /what own\(\) returns, received NaN/,
  )
  await refused({ learn: 'some' }, /for learn, received "some"/)
  await refused({ long: 'crop' }, /for long, received "crop"/)
  await refused({ privacy: 'no' }, /for privacy, received "no"/)
  await refused({ limit: 0 }, /for limit, received 0/)
  await refused({ generate: { top: 1 } }, /Unknown option "top"/)
  await refused({ signal: AbortSignal.abort() }, /abort|Stopped/i)
  assert.match((await failure(evaluate('m' as never, chats))).message, /a model for model/)
})

test.run()
