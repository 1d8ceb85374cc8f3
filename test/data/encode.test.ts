import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Cleaner } from '../../lib/data/clean.js'
import type { CleanOptions } from '../../lib/data/clean.js'
import { encodeExamples } from '../../lib/data/encode.js'
import type { EncodeOptions } from '../../lib/data/encode.js'
import type { LedgerEntry } from '../../lib/data/ledger.js'
import type { Example, Row } from '../../lib/data/record.js'
import { Spool } from '../../lib/data/spool.js'
import { chatml, gpt2Tokenizer } from '../../lib/tokenizer/index.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-encode-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const tokenizer = (await gpt2Tokenizer()).withSpecial(chatml.special)
let counter = 0

const chat = (question: string, answer: string, group?: string): Example => ({
  kind: 'chat',
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ],
  ...(group && { group }),
})
const origin = (row: number) => ({ file: row % 2 ? 'a.jsonl' : 'b.csv', line: 10 * row, row })
const toRows = (examples: Example[]): Row[] =>
  examples.map((example, i) => ({ origin: origin(i + 1), example }))

async function prepare(
  rows: Row[],
  { clean, ...options }: Partial<EncodeOptions> & { clean?: CleanOptions } = {},
) {
  const into = join(folder, `${counter++}`)
  const spool = await Spool.create(folder)
  try {
    const cleaner = new Cleaner(clean)
    for (const row of rows) await spool.add([await cleaner.clean(row)])
    const split = { fraction: 0.2, by: 'random' as const, seed: 1 }
    const common = {
      tokenizer,
      template: chatml,
      context: 64,
      long: 'auto',
      learn: 'answers',
    } as const
    const encoded = await encodeExamples({ ...common, spool, folder: into, split, ...options })
    const lines = readFileSync(join(into, 'ledger.jsonl'), 'utf8').trimEnd().split('\n')
    return { ...encoded, entries: lines.map((line) => JSON.parse(line) as LedgerEntry), into }
  } finally {
    await spool.remove()
  }
}

const words = (n: number, seed: number) =>
  Array.from({ length: n }, (_, i) => `w${(seed * 7919 + i * i * 31) % 1009}`).join(' ')

test('every row has a line in the ledger, in order, and the counts add up', async () => {
  const rows = toRows([
    ...Array.from({ length: 8 }, (_, i) => chat(`${i}? ${words(8, i)}`, `answer ${i}`)),
    chat(`2? ${words(8, 2)}`, 'answer 2'),
    { kind: 'preference', messages: [], chosen: 'a', rejected: 'b' },
    chat('A question without an end', words(200, 3)),
    { kind: 'completion', prompt: words(200, 4), completion: 'x' },
    { kind: 'text', text: words(300, 5) },
  ])
  const problem = { code: 'role', message: 'Expected a role', below: 3, column: 7, hint: 'Fix it' }
  rows.splice(4, 0, { origin: { file: 'a.jsonl', line: 5, row: 99 }, problem })
  const { ledger, entries, file, sources } = await prepare(rows)
  assert.equal(
    entries.map(({ status }) => status),
    [
      ...Array(4).fill('kept'),
      'broken',
      ...Array(4).fill('kept'),
      'duplicate',
      'dropped',
      'kept',
      'dropped',
      'kept',
    ],
  )
  assert.equal(entries[4], {
    file: 'a.jsonl',
    line: 8,
    row: 99,
    status: 'broken',
    reason: 'role',
    message: 'Expected a role',
    column: 7,
    hint: 'Fix it',
  })
  assert.equal(entries[9]!.of, origin(3))
  assert.is(entries[9]!.likeness, 'exact')
  assert.is(entries[10]!.reason, 'preference')
  assert.is(entries[11]!.cut, true)
  assert.is(entries[12]!.reason, 'too-long')
  assert.ok(entries[13]!.split! > 3)
  const { rows: count, kept, duplicates, dropped, broken } = ledger
  assert.equal([count, kept, duplicates, dropped, broken], [14, 10, 1, 2, 1])
  assert.is(count, kept + duplicates + dropped + broken)
  assert.equal(ledger.reasons, { role: 1, preference: 1, 'too-long': 1 })
  assert.is(ledger.examples, file.count)
  assert.equal(sources, ['a.jsonl', 'b.csv'])
  await file.close()
})

test('every example can be traced back to its row, and its learned tokens are the answer', async () => {
  const examples = Array.from({ length: 40 }, (_, i) =>
    chat(words(5, i), `It is ${words(3, i + 50)}.`),
  )
  const { file, sources, entries } = await prepare(toRows(examples))
  assert.is(file.count, 40)
  for (let i = 0; i < file.count; i++) {
    const { origin: from, learnedBytes } = await file.entry(i)
    const { source, line, row } = from
    assert.equal({ file: sources[source], line, row }, origin(row))
    assert.is(entries[row - 1]!.row, row)
    const { tokens, learn } = await file.read(i)
    const wanted = examples[row - 1]!
    const answer = wanted.kind === 'chat' ? wanted.messages[1]!.content : ''
    assert.is(tokenizer.decode(tokens.filter((_, t) => learn[t])), `${answer}<|im_end|>`)
    assert.is(learnedBytes, Buffer.byteLength(answer))
  }
  await file.close()
})

test('duplicates that are kept stand on one side of the split, and so do groups and split rows', async () => {
  const long = (i: number): Example => ({ kind: 'text', text: words(150, 100 + i) })
  const examples = Array.from({ length: 60 }, (_, i) =>
    i % 3 === 0
      ? long(i)
      : chat(words(12, i % 20), `${words(12, i % 20)}`, i % 5 === 0 ? `g${i % 7}` : undefined),
  )
  const said: string[] = []
  const { file, entries } = await prepare(toRows(examples), {
    clean: { duplicates: 'keep' },
    onNotice: (message) => said.push(message),
  })
  const [, validation, all, groups] =
    /^(\d+) of (\d+) examples validate, drawn at random; (\d+) groups .*: none is on both/.exec(
      said.join(),
    )!
  assert.is(Number(all), file.count)
  const parts = Array.from({ length: file.count }, (_, i) => file.part(i))
  assert.is(Number(validation), parts.filter(Boolean).length)
  assert.ok(Number(groups) >= 20 && Number(groups) < 60, groups)
  const sides = new Map<string, Set<number>>()
  const note = (key: string, part: number) =>
    sides.set(key, (sides.get(key) ?? new Set()).add(part))
  for (let i = 0; i < file.count; i++) {
    const { row } = (await file.entry(i)).origin
    const example = examples[row - 1]!
    note(`row ${row}`, file.part(i))
    note(`text ${JSON.stringify({ ...example, group: undefined })}`, file.part(i))
    if (example.group) note(`group ${example.group}`, file.part(i))
  }
  assert.ok(entries.every(({ status }) => status === 'kept'))
  assert.ok(sides.size > 60)
  for (const [key, parts] of sides) assert.is(parts.size, 1, key)
  await file.close()
})

test('scrubbing: what is taken out is counted, a dropped row is said', async () => {
  const examples = Array.from({ length: 12 }, (_, i) => chat(`${words(6, i)} SECRET`, `ok ${i}`))
  const clean: CleanOptions = {
    scrub: (example) => {
      const text = JSON.stringify(example)
      if (text.includes('ok 5"')) return { example, drop: 'card' }
      return {
        example: JSON.parse(text.replace('SECRET', '[KEY]')) as Example,
        redacted: { key: 1 },
      }
    },
  }
  const { file, ledger, entries, into } = await prepare(toRows(examples), { clean })
  assert.equal(ledger.redactions, { key: 11 })
  assert.is(ledger.redacted, 11)
  assert.equal(ledger.reasons, { 'personal-data': 1 })
  assert.match(entries[5]!.message!, /of the kind card/)
  for (let i = 0; i < file.count; i++) {
    const text = tokenizer.decode((await file.read(i)).tokens)
    assert.match(text, '[KEY]')
    assert.not.match(text, 'SECRET')
  }
  assert.not.match(readFileSync(join(into, 'ledger.jsonl'), 'utf8'), 'SECRET')
  await file.close()
})

test('nothing to learn from: the counts are said and nothing is left behind', async () => {
  const problem = { code: 'json', message: 'x' }
  const rows: Row[] = [1, 2, 3].map((row) => ({ origin: origin(row), problem }))
  const into = join(folder, 'none')
  const error = await prepare(rows, { folder: into }).catch((error) => error)
  assert.is(error.code, 'ERR_DATA')
  assert.match(error.message, /nothing to learn from\. Of 3 rows, 3 broken, 0 left out/)
  assert.equal(readdirSync(into), [])
  const one = await prepare(toRows([chat('a', 'b')]), { folder: into }).catch((error) => error)
  assert.match(one.message, /too little data: validation needs a row/)
  const long = toRows([chat('a', words(300, 1)), chat('b', 'c')])
  const failed = await prepare(long, { folder: into, long: 'fail' }).catch((error) => error)
  assert.match(failed.message, /a\.jsonl, line 10: It has \d+ tokens, and 65 are the most/)
  assert.equal(readdirSync(into), [])
})

test('the spool holds every row, whatever its size, is private, and goes away', async () => {
  const spool = await Spool.create(folder)
  const rows = toRows(
    Array.from({ length: 300 }, (_, i) =>
      chat(`é\n${'€'.repeat(i * 97)}`, i % 50 ? 'x' : 'y'.repeat(3e6)),
    ),
  )
  const cleaner = new Cleaner({ duplicates: 'keep' })
  const clean = await Promise.all(rows.map((row) => cleaner.clean(row)))
  await spool.add(clean)
  for (let round = 0; round < 2; round++) {
    let i = 0
    for await (const row of spool.rows()) assert.equal(row, JSON.parse(JSON.stringify(clean[i++])))
    assert.is(i, rows.length)
  }
  assert.is(spool.clean, 300)
  const [name] = readdirSync(folder).filter((name) => name.endsWith('.tmp'))
  if (process.platform !== 'win32') assert.is(statSync(join(folder, name!)).mode & 0o077, 0)
  await spool.remove()
  assert.not.ok(existsSync(join(folder, name!)))
})

test.run()
