import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exampleScrubber, toJson } from '../../lib/data/index.js'
import { checkData, readRows } from '../../lib/index.js'
import type { LedgerEntry } from '../../lib/index.js'
import { Scrubber } from '../../lib/privacy/index.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-check-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const chat = (question: string, answer: string, weight?: number) => ({
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer, ...(weight !== undefined && { weight }) },
  ],
})
const data = [
  chat('How tall is it?', 'Two metres.'),
  chat('How  tall is it?', 'Two metres.'),
  { messages: [{ role: 'user', content: 'Hello' }] },
  chat('Write to me', 'Yes', 0),
  chat('How wide?', 'One metre and a half, give or take a little.'),
  { messages: [{ role: 'robot', content: 'x' }] },
]

test('the report adds up, every problem is told, and the fixed file reads without one', async () => {
  const [fix, ledger] = [join(folder, 'fixed.jsonl'), join(folder, 'ledger.jsonl')]
  const problems: LedgerEntry[] = []
  const shown: number[] = []
  const report = await checkData(data, {
    fix,
    ledger,
    onProblem: (entry) => problems.push(entry),
    onExample: ({ row }, tokens, learn) => {
      assert.is(tokens.length, learn.length)
      shown.push(row)
    },
  })
  const { rows, kept, duplicates, dropped, broken } = report.ledger
  assert.equal([rows, kept, duplicates, dropped, broken], [6, 2, 1, 0, 3])
  assert.equal(
    problems.map(({ row }) => row),
    [2, 3, 4, 6],
  )
  assert.equal(shown, [1, 5])
  assert.equal(report.kinds, { chat: 2 })
  assert.equal(report.remarks, { 'without a system message': 2 })
  assert.ok(report.learned > 0 && report.learned < report.tokens)
  assert.ok(
    report.lengths.least <= report.lengths.median && report.lengths.median <= report.lengths.most,
  )
  const lines = readFileSync(ledger, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(
    lines.map(({ status }) => status),
    ['kept', 'duplicate', 'broken', 'broken', 'kept', 'broken'],
  )
  const again = []
  for await (const row of readRows(fix)) again.push(row)
  assert.is(again.length, 2)
  assert.ok(again.every((row) => 'example' in row))
  const second = await checkData(fix)
  assert.equal([second.ledger.rows, second.ledger.kept], [2, 2])
  assert.is(second.tokens, report.tokens)
})

test('a reader that fails leaves no half-written files', async () => {
  const into = mkdtempSync(join(folder, 'fail-'))
  async function* broken() {
    yield chat('a', 'b')
    throw new Error('the source broke')
  }
  const options = { fix: join(into, 'a'), ledger: join(into, 'b') }
  const error = await checkData(broken(), options).catch((error) => error)
  assert.match(error.message, /the source broke/)
  assert.equal(readdirSync(into), [])
  assert.match(
    String(await checkData(data, { context: 0 }).catch((e) => e)),
    /for context, received 0/,
  )
})

const failure = (promise: Promise<unknown>) => promise.then(() => undefined).catch((e) => e)

test('the data are never written over, other files only when asked to', async () => {
  const into = mkdtempSync(join(folder, 'over-'))
  const path = join(into, 'data.jsonl')
  const text = data.map((row) => JSON.stringify(row) + '\n').join('')
  writeFileSync(path, text)
  const link = join(into, 'link.jsonl')
  symlinkSync(path, link)
  for (const name of ['fix', 'ledger'])
    for (const target of [path, link, join(into, '..', into.split(/[\\/]/).at(-1)!, 'data.jsonl')])
      for (const from of [path, into, [path], join(into, '*.jsonl')]) {
        const error = await failure(checkData(from, { [name]: target, overwrite: true }))
        assert.is(error?.code, 'ERR_OUTPUT_EXISTS')
        assert.match(error.message, /belongs to the data/)
      }
  const other = join(into, 'other')
  writeFileSync(other, 'mine')
  const exists = await failure(checkData(path, { fix: other }))
  assert.is(exists?.code, 'ERR_OUTPUT_EXISTS')
  assert.match(exists.message, /other exists already/)
  assert.is(readFileSync(other, 'utf8'), 'mine')
  const both = { fix: join(into, 'a'), ledger: join(into, 'sub', '..', 'a') }
  assert.match(String(await failure(checkData(path, both))), /RangeError.* for ledger, received/)
  assert.equal(readdirSync(into).sort(), ['data.jsonl', 'link.jsonl', 'other'])
  assert.is(readFileSync(path, 'utf8'), text)
  await checkData(path, { fix: other, overwrite: true })
  assert.is(readFileSync(other, 'utf8').split('\n').length, 3)
})

test('the fixed file keeps groups and times; groups that are personal data get other names', async () => {
  const fix = join(folder, 'groups.jsonl')
  const times = [1, 86_400_000, 1_700_000_000_123, Date.UTC(12000, 0)]
  for (const time of times) {
    writeFileSync(fix, toJson({ kind: 'text', text: 'a', group: 'g', time }) + '\n')
    for await (const row of readRows(fix))
      assert.equal('example' in row && row.example, { kind: 'text', text: 'a', group: 'g', time })
  }
  rmSync(fix)
  const rows = [
    { ...chat('What is it?', 'A lamp.'), customer: 'jane@example.org', date: '2024-05-06' },
    { ...chat('Where is it?', 'On the table.'), customer: 'jane@example.org' },
    { ...chat('Whose is that one?', 'Mine, of course.'), customer: 7 },
  ]
  const read = async () => {
    const found = []
    for await (const row of readRows(fix)) if ('example' in row) found.push(row.example)
    return found
  }
  await checkData(rows, { fix })
  assert.equal(
    (await read()).map(({ group }) => group),
    ['jane@example.org', 'jane@example.org', '7'],
  )
  assert.is((await read())[0]!.time, Date.UTC(2024, 4, 6))
  await checkData(rows, { fix, overwrite: true, scrub: exampleScrubber(new Scrubber()) })
  const [a, b, c] = await read()
  assert.not.match(readFileSync(fix, 'utf8'), /jane/)
  assert.match(a!.group!, /^[0-9a-f]{16}$/)
  assert.is(a!.group, b!.group)
  assert.is(c!.group, '7')
})

test('no sound row, no fixed file', async () => {
  const fix = join(folder, 'none.jsonl')
  const report = await checkData([{ messages: [{ role: 'user', content: 'Hello' }] }], { fix })
  assert.is(report.ledger.kept, 0)
  assert.not.ok(existsSync(fix))
})

test('rules may have any name, and what was taken out of dropped rows does not count', async () => {
  const rules = ['constructor', 'lamp'].map((kind, i) => ({ kind, pattern: `SECRET${i}` }))
  const scrub = exampleScrubber(new Scrubber({ rules }))
  const rows = [
    chat('It is SECRET0 and SECRET0, or SECRET1', 'Fine.'),
    chat(`Again SECRET0 ${'and so on '.repeat(200)}`, 'Well.'),
  ]
  const ledger = join(folder, 'kinds.jsonl')
  const report = await checkData(rows, { scrub, ledger, context: 64, long: 'drop' })
  assert.equal([report.ledger.kept, report.ledger.dropped, report.ledger.redacted], [1, 1, 1])
  assert.equal(Object.entries(report.ledger.redactions), [
    ['constructor', 2],
    ['lamp', 1],
  ])
  const [kept, dropped] = readFileSync(ledger, 'utf8').split('\n')
  assert.match(kept!, /"redacted":\{"constructor":2,"lamp":1\}/)
  assert.not.match(dropped!, /redacted/)
})

test('options are checked before anything is read, and a template may be a name or a source', async () => {
  for (const [options, message] of [
    [{ learn: 'x' }, /^RangeError: Expected one of "answers", "all" for learn, received "x"/],
    [{ long: 'x' }, /^RangeError: Expected one of "auto", .* for long, received "x"/],
    [{ duplicates: 'x' }, /^RangeError: Expected one of "drop", "keep" for duplicates, received/],
    [{ nosuch: 1 }, /^TypeError: Unknown option "nosuch" in checkData\(\)/],
    [{ contex: 1 }, /did you mean "context"\?/],
    [{ template: 'chatmll' }, /^RangeError: .* for template, received "chatmll"/],
    [{ template: 7 }, /^TypeError: .* for template, received 7/],
    [{ tokenizer: 'gpt2' }, /^TypeError: .* for tokenizer, received "gpt2"/],
    [{ fix: '' }, /^TypeError: .* for fix, received ""/],
    [{ onExample: 1 }, /^TypeError: Expected a function for onExample, received 1/],
  ] as const)
    assert.match(String(await failure(checkData('/no/such/file', options as never))), message)
  const rows = [chat('How wide?', 'A metre.')]
  const tokens = async (template?: string) => (await checkData(rows, { template })).tokens
  const [usual, chatml, plain] = [await tokens(), await tokens('chatml'), await tokens('plain')]
  assert.is(usual, chatml)
  assert.is.not(plain, chatml)
  const source =
    "{% for m in messages %}{{ m['content'] }}<|endoftext|>{% endfor %}" +
    '{% if add_generation_prompt %}{% endif %}'
  assert.ok((await tokens(source)) < plain)
  const refuses = "{% if messages[0]['content'] == 'No' %}{{ raise_exception('never') }}{% endif %}"
  const two = [chat('No', 'Yes.'), ...rows]
  const { ledger } = await checkData(two, { template: refuses + source })
  assert.equal([ledger.kept, ledger.reasons.template], [1, 1])
})

test('an aborted check keeps nothing', async () => {
  const into = mkdtempSync(join(folder, 'abort-'))
  const stop = new AbortController()
  const options = { fix: join(into, 'a'), ledger: join(into, 'b'), read: { signal: stop.signal } }
  async function* rows() {
    for (let i = 0; ; i++) {
      if (i === 3000) stop.abort()
      yield chat(`What is ${i}?`, `It is ${i * i}.`)
    }
  }
  assert.is((await failure(checkData(rows(), options)))?.name, 'AbortError')
  assert.equal(readdirSync(into), [])
})

test.run()
