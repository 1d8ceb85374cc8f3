// Training on conversations and the like: from records to a model that answers and stops, stopped and
// resumed, and from a base.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tickets } from '../../examples/shop.js'
import { load, train } from '../../lib/index.js'
import type { TrainEvent, TrainOptions } from '../../lib/index.js'
import { contents, eventsOf, failure, fresh, nano, strays, textFile, weights } from './nano.js'

const cities = ['Rome', 'Oslo', 'Lima', 'Bern', 'Cairo', 'Quito']
const records = Array.from({ length: 240 }, (_, i) => ({
  messages: [
    {
      role: 'user',
      content: `Where is parcel ${i}${i % 9 === 0 ? ', asks anna@example.org' : ''}?`,
    },
    { role: 'assistant', content: `It is in ${cities[i % 6]}.` },
  ],
}))
const jsonl = (rows: unknown[]) => {
  const path = fresh('chats.jsonl')
  writeFileSync(path, rows.map((row) => JSON.stringify(row) + '\n').join(''))
  return path
}
const chats = (change: Partial<TrainOptions> = {}) =>
  nano({
    data: jsonl(records),
    ...change,
    model: { context: 64, width: 32, ...(change.model as object) },
  })
const startOf = (events: TrainEvent[]) => events.find((event) => event.type === 'start')!

test('a model learns to answer in its template and to stop, and the ledger adds up', async () => {
  const options = chats({ steps: 160, batch: 8, learningRate: 1e-2, evaluateEvery: 80 })
  const run = train(options)
  const events = await eventsOf(run)
  const { model, report } = await run
  assert.ok(report.bestLoss < 0.6 * report.firstLoss, `${report.firstLoss} -> ${report.bestLoss}`)
  const { data } = startOf(events)
  const { rows, kept, duplicates, dropped, broken, redactions } = data.ledger!
  assert.is(rows, 240)
  assert.is(rows, kept + duplicates + dropped + broken)
  assert.ok(redactions.email! >= 20)
  assert.ok(data.padding! < 0.5)
  const notices = events.filter(({ type }) => type === 'notice')
  assert.is(notices.length, 2)
  assert.ok(
    notices.some((event) =>
      / of 240 examples validate, /.test((event as { message: string }).message),
    ),
  )
  using loaded = await load(options.output)
  assert.is(loaded.template!.name, 'chatml')
  // What the probe says of it: the answers end, and in their place.
  const { answers, stopped, empty, strayed } = report.probe!
  assert.ok(answers === 6 && stopped === 6 && empty === 0 && strayed === 0)
  assert.equal(report.probe!.warnings, [])
  const probed = events.find((event) => event.type === 'probe')!
  assert.equal(probed, { type: 'probe', ...report.probe })
  assert.match(
    readFileSync(join(options.output, 'README.md'), 'utf8'),
    /Of 6 answers to validation prompts, written greedily, 6 ended by themselves, 0 repeated/,
  )
  for (const from of [model, loaded]) {
    const [answer] = await from.completions('', { maxTokens: 1 })
    assert.ok(answer)
    let text = ''
    const question = [{ role: 'user' as const, content: 'Where is parcel 5?' }]
    for await (const piece of from.chat(question, { temperature: 0, maxTokens: 60 })) text += piece
    assert.match(text, /^It is in \w+\.$/)
  }
  assert.not.match(
    ['data/ledger.jsonl', 'tokenizer.json']
      .map((name) => readFileSync(join(options.output, name), 'utf8'))
      .join(),
    'anna@',
  )
  model.dispose()
})

test('the tickets of a shop: a small model answers in their form and stops by itself', async () => {
  const run = train({
    data: tickets(240),
    output: fresh(),
    model: { layers: 2, heads: 2, width: 48, context: 128 },
    steps: 120,
    batch: 16,
    learningRate: 1e-2,
    evaluateEvery: 120,
    sampleEvery: 0,
  })
  const { model, report } = await run
  const { answers, stopped, empty, strayed } = report.probe!
  assert.equal([answers, stopped, empty, strayed], [6, 6, 0, 0])
  const session = model.session({ system: 'You answer for Lamplight, a shop for lamps.' })
  let text = ''
  const asked = session.say('Hello, where is my order 4321?', { temperature: 0, maxTokens: 60 })
  for await (const piece of asked) text += piece
  assert.match(text, /^Order \d+ [\w ]+\.$/)
  model.dispose()
})

test('records from code, a file and standard input-like streams give the same weights', async () => {
  const common = { steps: 4, seed: 3, evaluateEvery: 4 }
  const a = chats(common)
  const b = chats({ ...common, data: records })
  async function* stream() {
    yield* records
  }
  const c = chats({ ...common, data: stream() })
  for (const options of [a, b, c]) (await train(options)).model.dispose()
  assert.ok(weights(a.output).equals(weights(b.output)))
  assert.ok(weights(a.output).equals(weights(c.output)))
})

test('stopped and resumed: the bits of a run without a break, and the data are not read again', async () => {
  const options = chats({ steps: 10, evaluateEvery: 5, seed: 5, model: { dropout: 0.1 } })
  const reference = { ...options, output: fresh() }
  await train(reference)
  const controller = new AbortController()
  const run = train({ ...options, signal: controller.signal })
  run.catch(() => {})
  const error = await failure(
    (async () => {
      for await (const event of run)
        if (event.type === 'step' && event.step === 4) controller.abort()
    })(),
  )
  assert.is(error.name, 'AbortError')
  const events = await eventsOf(train({ ...options, resume: true }))
  assert.not.ok(events.some(({ type }) => type === 'prepare' || type === 'notice'))
  assert.ok(startOf(events).data.ledger)
  assert.ok(weights(options.output).equals(weights(reference.output)))
  assert.equal(strays(options.output), [])
})

test('stopped while the data are read: nothing is left', async () => {
  for (const phase of ['read', 'encode'] as const) {
    const controller = new AbortController()
    const options = chats({ data: jsonl(Array(30).fill(records).flat()), duplicates: 'keep' })
    const run = train({ ...options, signal: controller.signal })
    run.catch(() => {})
    const error = await failure(
      (async () => {
        for await (const event of run)
          if (event.type === 'prepare' && event.phase === phase) controller.abort()
      })(),
    )
    assert.is(error.name, 'AbortError', String(error))
    assert.not.ok(existsSync(options.output), phase)
  }
})

test('data without a row to learn from are refused with the first reason, and nothing is left', async () => {
  const bad = jsonl([{ messages: [{ role: 'user', content: 'Hello' }] }, { messages: 3 }])
  const options = chats({ data: bad })
  const error = await failure(train(options))
  assert.is(error.code, 'ERR_DATA')
  assert.match(error.message, /none of 2 rows can be used.*The first: .*chats\.jsonl, line 1: /)
  assert.not.ok(existsSync(options.output))
  const mistake = async (change: object, pattern: RegExp) =>
    assert.throws(() => train({ ...options, ...change }), pattern)
  await mistake({ learn: 'some' }, /for learn, received "some"/)
  await mistake({ long: 'x' }, /for long, received "x"/)
  await mistake({ split: 1 }, /for split, received 1/)
  await mistake({ format: 'jsnl' }, /for format, received "jsnl"/)
  await mistake({ privacy: 'no' }, /for privacy, received "no"/)
  await mistake({ privacy: { operator: 'eat' } }, /operator/)
  await mistake({ template: 3 }, /for template, received 3/)
})

test("privacy: false leaves personal data in; a model's own vocabulary gets the special tokens", async () => {
  const options = chats({ privacy: false, tokenizer: { kind: 'bpe', size: 300 }, steps: 2 })
  const { data } = startOf(await eventsOf(train(options)))
  assert.equal(data.ledger!.redactions, {})
  using model = await load(options.output)
  for (const name of ['<|im_start|>', '<|im_end|>', '<|endoftext|>'])
    assert.ok(model.tokenizer.special.has(name), name)
  const plain = chats({ template: 'plain', steps: 2 })
  await train(plain)
  using other = await load(plain.output)
  assert.is(other.template!.name, 'plain')
  assert.not.ok(other.tokenizer.special.has('<|im_start|>'))
})

test('weights say how often an epoch shows the examples of each path', async () => {
  const halves = [jsonl(records.slice(0, 120)), jsonl(records.slice(120))]
  const one = chats({ data: halves, steps: 1 })
  const more = chats({ data: halves, steps: 1, weights: [3, 1] })
  const begin = async (options: TrainOptions) => startOf(await eventsOf(train(options)))
  const epochs = async (options: TrainOptions) => (await begin(options)).epochs
  const { data, epochs: all } = await begin({ ...more, output: fresh() })
  assert.equal(
    data.sources!.map(({ path, weight, epochs }) => [path, weight, epochs / all]),
    [
      [halves[0], 3, 3],
      [halves[1], 1, 1],
    ],
  )
  const ratio = (await epochs(one)) / (await epochs(more))
  assert.ok(Math.abs(ratio - 2) < 0.15, `an epoch is ${ratio} times as long`)
  const fails = (weights: unknown, pattern: RegExp) =>
    assert.throws(() => train({ ...more, weights } as TrainOptions), pattern)
  fails([1], /one weight for each of 2 paths for weights, received \[1\]/)
  fails([1, 0], /for weights\[1\], received 0/)
  fails(3, /a list of numbers for weights, received 3/)
})

test('prepared data are taken from the cache for the same data and options, and only then', async () => {
  const cache = fresh('cache')
  const data = jsonl(records)
  const common = { data, cache, steps: 2, seed: 4, tokenizer: { kind: 'bpe', size: 300 } } as const
  const taken = async (change: Partial<TrainOptions> = {}) => {
    const options = chats({ ...common, ...change })
    const events = await eventsOf(train(options))
    const hit = events.some(
      (event) => event.type === 'notice' && /prepared before/.test(event.message),
    )
    assert.is(hit, !events.some(({ type }) => type === 'prepare'))
    return { hit, bits: weights(options.output), options }
  }
  const first = await taken()
  assert.is(first.hit, false)
  const second = await taken()
  assert.is(second.hit, true)
  assert.ok(second.bits.equals(first.bits))
  assert.equal(
    readdirSync(join(second.options.output, 'data')).sort(),
    readdirSync(join(first.options.output, 'data')).sort(),
  )
  assert.is((await taken({ privacy: false })).hit, false)
  assert.is((await taken({ template: 'plain' })).hit, false)
  assert.is(readdirSync(cache).length, 3)
  writeFileSync(data, readFileSync(data, 'utf8').replace('Rome', 'Nice'))
  assert.is((await taken()).hit, false)
  assert.is((await taken({ cache: undefined })).hit, false)
  assert.is(readdirSync(cache).length, 4)
})

test('what calls itself a table and cannot be told is refused, not learned as text', async () => {
  const path = fresh('odd.jsonl')
  writeFileSync(path, '{"frage": "Wo?", "antwort": "Hier, sagt anna@example.org"}\n'.repeat(30))
  const options = chats({ data: path })
  const error = await failure(train(options))
  assert.is(error.code, 'ERR_DATA', String(error))
  assert.match(error.message, /odd\.jsonl/)
  assert.not.ok(existsSync(options.output))
})

test('privacy reaches plain text and pairs, and what is said of broken rows', async () => {
  const notes = fresh('notes.txt')
  const lines = Array.from(
    { length: 400 },
    (_, i) => `Line ${i} says anna.keller${i}@example.org.\n\n`,
  )
  writeFileSync(notes, lines.join(''))
  const text = chats({
    data: notes,
    privacy: true,
    steps: 1,
    tokenizer: { kind: 'bpe', size: 400 },
  })
  await train(text)
  const pairs = Array.from({ length: 60 }, (_, i) => ({
    prompt: `Who wrote ${i}?`,
    completion: `It was bob${i}@example.org, the ${i % 7}.`,
  }))
  const broken = { prompt: 'x', completion: { text: 'mail secret.person@example.org' } }
  const file = jsonl([...pairs, broken])
  const table = chats({ data: file, steps: 1, tokenizer: { kind: 'bpe', size: 400 } })
  const { data } = startOf(await eventsOf(train(table)))
  assert.is(data.ledger!.broken, 1)
  assert.is(data.ledger!.redactions.email, 60)
  for (const { output } of [text, table])
    for (const [name, bytes] of contents(output)) assert.not.match(bytes, /@example/, name)
  using model = await load(table.output)
  assert.is(model.template, undefined, 'no conversation was learned')
})

test('what plain text still holds of people is said before it is learned', async () => {
  const path = fresh('notes.txt')
  const line = (i: number) => `Line ${i} of Anna says nothing. Mail a${i}@example.org.\n`
  // Longer than what is searched at once: what lies on the border is counted once.
  writeFileSync(path, Array.from({ length: 15_000 }, (_, i) => line(i)).join('') + '10.20.30.40')
  const texts = fresh('texts.jsonl')
  const rows = Array.from({ length: 60 }, (_, i) => ({ text: `${line(i)} It is about ${i * i}.` }))
  writeFileSync(texts, rows.map((row) => JSON.stringify(row) + '\n').join(''))
  const said = async (change: Partial<TrainOptions>) => {
    const common = { steps: 1, tokenizer: { kind: 'bpe', size: 300 } } as const
    const events = await eventsOf(train(chats({ ...common, ...change })))
    return events.flatMap((event) =>
      event.type === 'notice' && event.message.includes('plain text:') ? [event.message] : [],
    )
  }
  const [notice, ...others] = await said({ data: path })
  assert.match(notice!, /^left in plain text: 15000 email, 1 ip; .*gptloom scrub IN OUT/)
  assert.equal(others, [])
  assert.match((await said({ data: texts })).join(), /left in plain text: 60 email; /)
  assert.equal(await said({ data: path, privacy: false }), [])
  assert.equal(await said({ data: texts, privacy: true }), [])
})

test('a resumed run refuses other ways to shape the data, and begun anew it forgets old data', async () => {
  const options = chats({ steps: 2, learn: 'all' })
  await train(options)
  const { learn: _, ...silent } = options
  const { report } = await train({ ...silent, steps: 3, resume: true })
  assert.is(report.steps, 3)
  for (const change of [{ privacy: false }, { template: 'plain' }, { long: 'drop' as const }]) {
    const error = await failure(train({ ...options, ...change, steps: 4, resume: true }))
    assert.instance(error, RangeError)
    assert.match(error.message, /as in the run that/)
  }
  // As if it had been killed before its first checkpoint.
  rmSync(join(options.output, 'checkpoints'), { recursive: true })
  await train({ ...nano({ data: textFile() }), output: options.output, resume: true, steps: 1 })
  assert.not.ok(existsSync(join(options.output, 'data', 'examples.json')))
})

test('one group alone is cut at its end, and a template of ones own learns', async () => {
  const one = records.slice(0, 80).map((record) => ({ ...record, customer: 'anna' }))
  const events = await eventsOf(train(chats({ data: jsonl(one), steps: 1 })))
  assert.ok(events.some((event) => event.type === 'notice' && /one group/.test(event.message)))
  const untimed = await eventsOf(train(chats({ split: 'time', steps: 1 })))
  const said = (event: TrainEvent) =>
    event.type === 'notice' && /no row says when/.test(event.message)
  assert.ok(untimed.some(said))
  const template =
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}" +
    "{% if m['role'] == 'assistant' %}{{ '<|endoftext|>' }}{% endif %}{{ '\\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
  const own = chats({ template, steps: 1 })
  await train(own)
  using model = await load(own.output)
  assert.is(model.template!.source, template)
  const typo = await failure(train(chats({ template: 'chatmll', steps: 1 })))
  assert.match(String(typo), /RangeError: Expected chatml, plain or a Jinja template for template/)
})

test('from a base: sizes and words are taken, embeddings grow, and it starts where it was', async () => {
  const text = nano({
    data: textFile(4000),
    steps: 60,
    tokenizer: { kind: 'bpe', size: 280 },
    model: { width: 32, context: 64 },
  })
  const { report: before } = await train(text)
  // The same text again: the first loss is the last one.
  const again = {
    data: text.data,
    output: fresh(),
    base: text.output,
    steps: 2,
    threads: 1,
    batch: 4,
    evaluateTokens: 256,
  }
  const { report } = await train(again)
  assert.ok(
    Math.abs(report.firstLoss - before.bestLoss) < 1e-5,
    `${report.firstLoss} ${before.bestLoss}`,
  )
  const tuned = { ...again, data: jsonl(records), output: fresh(), steps: 3 }
  const start = startOf(await eventsOf(train(tuned)))
  assert.is(start.model.width, 32)
  assert.is(start.tokenizer.size, 282)
  assert.is(start.learningRate, 1e-4)
  using model = await load(tuned.output)
  assert.is(model.config.vocabulary, 282)
  const rerun = await eventsOf(train({ ...tuned, steps: 5, resume: true }))
  assert.is(startOf(rerun).step, 3)

  const before2 = contents(text.output)
  const fails = (change: object, pattern: RegExp) =>
    assert.throws(() => train({ ...again, output: fresh(), ...change } as TrainOptions), pattern)
  fails({ tokenizer: 'gpt2' }, /'auto': the base's own is taken for tokenizer/)
  fails({ model: 'micro' }, /no preset beside a base for model/)
  fails(
    { model: { layers: 3 } },
    /dropout and context alone beside a base for model, received "with layers"/,
  )
  const long = await failure(train({ ...again, output: fresh(), model: { context: 128 } }))
  assert.match(long.message, /at most the base's 64 for model.context, received 128/)
  const missing = await failure(train({ ...again, output: fresh(), base: fresh('none') }))
  assert.is(missing.code, 'ERR_FILE')
  assert.equal(contents(text.output), before2)
  assert.equal(
    readdirSync(text.output).filter((name) => name.startsWith('.')),
    [],
  )
})

test.run()
