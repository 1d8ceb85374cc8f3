// Where bytes come from: files, folders, globs, gzip, streams; and what a file is taken for.
import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { matches } from '../../../lib/data/formats/find.js'
import { detectFormat, readRows } from '../../../lib/data/read.js'
import { brief, collect, notices, pieces } from './collect.js'

let folder = ''
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'gptloom-read-'))
})
test.after.each(() => rmSync(folder, { recursive: true, force: true }))

function put(name: string, contents: string | Uint8Array): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, contents)
  return path
}
const row = (text: string) => `${JSON.stringify({ text })}\n`
const texts = (rows: Awaited<ReturnType<typeof collect>>) =>
  brief(rows).map((line) => line.replace(/^\d+:/, ''))

test('folders: all kinds of data, in order, links once, loops end', async () => {
  put('b.jsonl', row('b'))
  put('a/c.csv', 'text\nc\n')
  put('a/d.txt', 'd')
  put('a/e.jsonl.gz', gzipSync(row('e')))
  put('.hidden/x.jsonl', row('x'))
  put('skip.bin', 'skip')
  put('empty.jsonl', '')
  symlinkSync(folder, join(folder, 'a', 'loop'))
  symlinkSync(join(folder, 'b.jsonl'), join(folder, 'z.jsonl'))
  assert.equal(texts(await collect(folder)), ['c', 'd', 'e', 'b'])
  assert.equal(texts(await collect([join(folder, 'a'), join(folder, 'b.jsonl'), folder])), [
    'c',
    'd',
    'e',
    'b',
  ])
})

test('globs', async () => {
  for (const name of ['1.jsonl', '2.jsonl', 'deep/er/3.jsonl', 'x[1].jsonl'])
    put(name, row(basename(name)))
  symlinkSync(folder, join(folder, 'deep', 'loop'))
  const read = async (glob: string) => texts(await collect(join(folder, glob)))
  assert.equal(await read('*.jsonl'), ['1.jsonl', '2.jsonl', 'x[1].jsonl'])
  assert.equal(await read('**/[13].jsonl'), ['1.jsonl', '3.jsonl'])
  assert.equal(await read('{2,deep/*/3}.jsonl'), ['2.jsonl', '3.jsonl'])
  assert.equal(await read('x[1].jsonl'), ['x[1].jsonl'])
  let error: unknown
  try {
    await read('*.csv')
  } catch (caught) {
    error = caught
  }
  assert.match(String(error), /No file with something in it fits/)
})

test('a pattern against a name, also one that would take other matchers for ever', () => {
  assert.ok(matches('chat-2026.jsonl', 'chat-*.js*l'))
  assert.ok(matches('b', '[a-c]') && !matches('b', '[!a-c]') && matches('😀', '?'))
  assert.not.ok(matches('a.b', 'a?b.') || matches('', '?') || matches('ab', 'a'))
  assert.not.ok(matches('a'.repeat(255), `${'*a'.repeat(100)}b`))
})

test('what is missing is refused before anything is read, a broken file costs itself', async () => {
  const good = put('a.jsonl', row('a'))
  let error: { code?: string } = {}
  try {
    await collect([good, join(folder, 'nope.jsonl')])
  } catch (caught) {
    error = caught as typeof error
  }
  assert.is(error.code, 'ERR_FILE')
  const zip = put('b.jsonl', 'PK\x03\x04 and so on')
  assert.equal(brief(await collect([zip, good])), ['0:!format', '1:a'])
  const binary = put('c.txt', 'a\0b')
  const empty = put('d.jsonl', '')
  const unknown = put('e.jsonl', '{"height": 3, "width": 4}\n')
  assert.equal(brief(await collect([binary, empty, unknown, good])), [
    '0:!format',
    '0:!empty',
    '0:!format',
    '1:a',
  ])
})

test('a file that goes away before its turn costs itself', async () => {
  const paths = ['a', 'b', 'c'].map((name) => put(`${name}.jsonl`, row(name)))
  const seen: string[] = []
  for await (const found of readRows(paths)) {
    rmSync(paths[1]!, { force: true })
    seen.push('problem' in found ? found.problem.code : basename(found.origin.file))
  }
  assert.equal(seen, ['a.jsonl', 'file', 'c.jsonl'])
})

test('gzip: cut off, damaged, or made to fill memory', async () => {
  const many = Array.from({ length: 20_000 }, (_, i) => row(`row ${i} ${(i * 7919) % 1000}`)).join(
    '',
  )
  const packed = gzipSync(many)
  const cutOff = await collect(put('a.jsonl.gz', packed.subarray(0, packed.length / 2)))
  assert.ok(cutOff.length > 1000, 'rows before the cut are read')
  assert.match(brief(cutOff).pop()!, /:!gzip$/)
  assert.ok('example' in cutOff[0]!)
  const damaged = Buffer.from(packed)
  damaged[damaged.length >> 1]! ^= 0x55
  assert.match(brief(await collect(put('b.jsonl.gz', damaged))).pop()!, /:!(gzip|json)$/)
  const bomb = gzipSync(Buffer.alloc(100 << 20, row('x'.repeat(100_000))))
  const rows = brief(await collect(put('c.jsonl.gz', bomb)))
  assert.ok(rows.length < 1000 && rows.length > 500, 'it is stopped behind 64 MiB')
  assert.equal([rows[0]!.length, rows.pop()], [100_002, '0:!gzip'])
  // One row over and over, as far apart as deflate looks back: no row packs worse.
  const noise = row(randomBytes(24_000).toString('base64'))
  const repeated = brief(await collect(put('d.jsonl.gz', gzipSync(Buffer.alloc(80 << 20, noise)))))
  assert.ok(repeated.length < 2200, `${repeated.length} rows`)
  assert.is(repeated.pop(), '0:!gzip')
})

test('gzip is told by its bytes; several in one file are one text', async () => {
  const twice = Buffer.concat([gzipSync(row('a')), gzipSync(row('b'))])
  assert.equal(brief(await collect(put('plain.jsonl', twice))), ['1:a', '2:b'])
  assert.equal(brief(await collect(pieces(twice, 3))), ['1:a', '2:b'])
})

test('a file that grows while it is read ends where it ended', async () => {
  const path = put('log.jsonl', row('a').repeat(60_000))
  let count = 0
  for await (const _ of readRows(path))
    if (count++ % 1000 === 0) appendFileSync(path, row('b').repeat(2000))
  assert.is(count, 60_000)
})

test('standard input, progress and abort', async () => {
  const stdin = pieces(Buffer.from(row('a') + row('b')), 5)
  assert.equal(brief(await collect('-', { stdin })), ['1:a', '2:b'])
  const path = put('p.jsonl', row('a').repeat(100_000))
  const seen: number[] = []
  await collect(path, { onProgress: ({ bytes, totalBytes }) => seen.push(bytes / totalBytes) })
  assert.ok(seen.length > 3 && seen[seen.length - 1] === 1)
  let error: { name?: string } = {}
  const controller = new AbortController()
  try {
    for await (const _ of readRows(path, { signal: controller.signal })) controller.abort()
  } catch (caught) {
    error = caught as typeof error
  }
  assert.is(error.name, 'AbortError')
})

test('what files are taken for', async () => {
  const cases: [name: string, contents: string, container: string, format: string][] = [
    ['a.jsonl', row('x'), 'jsonl', 'text'],
    ['a.json', row('x') + row('y'), 'jsonl', 'text'],
    ['b.jsonl', `[${row('x')}]`, 'json', 'text'],
    ['c.json', '[\n {\n  "messages": []}]', 'json', 'chat'],
    ['d.csv', 'question,answer\na,b\n', 'csv', 'completion'],
    ['e.tsv', 'text\tlabel\na\tb\n', 'tsv', 'completion'],
    ['f.md', '# Title\n', 'document', 'document'],
    ['g', 'question;answer\na;b\nc;d\n', 'csv', 'completion'],
    ['h', row('x') + row('x'), 'jsonl', 'text'],
    ['i', 'Dear diary,\ntoday was, well, a day.\n', 'document', 'document'],
    [
      'j.txt',
      '[03.02.26, 10:00:00] Ana: hi\n[03.02.26, 10:01:00] Shop: hello\n',
      'whatsapp',
      'whatsapp',
    ],
    ['k', 'From ana@x.example Mon Nov  3 09:12:00 2025\nSubject: a\n\nb\n', 'mbox', 'mbox'],
    ['l.json', '{"tickets": [{"id": 1, "subject": "a", "comments": []}]}', 'json', 'zendesk'],
    [
      'm.json',
      '{"type": "conversation.list", "conversations": [{"conversation_parts": {}}]}',
      'json',
      'intercom',
    ],
    [
      'n.json',
      '[{"id": 1, "description_text": "a", "requester_id": 5, "conversations": []}]',
      'json',
      'freshdesk',
    ],
    ['o.jsonl', '{"chosen": "a", "rejected": "b", "prompt": "c"}\n', 'jsonl', 'preference'],
    ['p.txt', '{"text": "no rows: a document"}\n', 'document', 'document'],
    [
      'q.jsonl',
      `{"messages": [{"role": "user", "content": "${'x'.repeat(400_000)}"}]}`,
      'jsonl',
      'chat',
    ],
    [
      'r.json',
      `[{"id": 1, "conversations": [{"from": "human", "value": "${'x'.repeat(400_000)}`,
      'json',
      'sharegpt',
    ],
  ]
  for (const [name, contents, container, format] of cases) {
    const found = await detectFormat(put(name, contents))
    assert.equal([found.container, found.format], [container, format], name)
    assert.ok(found.message.startsWith(`${name}: `))
  }
  const forced = await detectFormat(put('s.txt', row('x')), { format: 'text' })
  assert.equal([forced.container, forced.format], ['json', 'text'])
  const [notice] = await notices(put('t.dat', 'a|b\nc|d\n'), { columns: { text: 'b' } })
  assert.equal([notice!.container, notice!.delimiter], ['csv', '|'])
})

test('documents: one a file, long ones cut at paragraphs and kept together', async () => {
  const paragraph = `${'word '.repeat(200)}\n\n`
  const path = put('book.txt', paragraph.repeat(2500))
  const rows = await collect(path)
  assert.is(rows.length, 3)
  let whole = ''
  for (const row of rows) {
    if (!('example' in row) || row.example.kind !== 'text') throw new Error('not a document')
    assert.is(row.example.group, path)
    whole += `${row.example.text}\n`
  }
  assert.is(whole.trim(), paragraph.repeat(2500).trim())
  assert.equal(
    // 2 lines of 1002 bytes in all: 1 MiB is over with the 1047th paragraph.
    rows.map(({ origin }) => origin.line),
    [1, 2095, 4189],
  )
  assert.equal(brief(await collect(put('blank.md', ' \n\n'))), ['1:!empty'])
})

test('a first row larger than what is looked at tells what the rows are', async () => {
  const large = JSON.stringify({ note: 'x'.repeat(700_000), prompt: 'Why?', completion: 'So.' })
  const lines = `${large}\n{"prompt": "a", "completion": "b"}\n`
  const whole = ['1:Why?>So.', '2:a>b']
  assert.equal(brief(await collect(put('large.jsonl', lines))), whole)
  assert.equal(brief(await collect(put('large.jsonl.gz', gzipSync(lines)))), whole)
  assert.equal(brief(await collect(put('large.txt', lines), { format: 'completion' })), whole)
  assert.is((await detectFormat(put('large.jsonl', lines))).format, 'completion')
  // No more than the longest row is held for it.
  const limit = { maxRowBytes: 500_000 }
  const [first] = await collect(join(folder, 'large.jsonl'), limit)
  assert.is('problem' in first! && first.problem.code, 'format')
})

test('a damaged gzip file is named', async () => {
  const path = put('bad.jsonl.gz', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 255, 255, 255]))
  const error = await detectFormat(path).catch((e) => e)
  assert.is(error.code, 'ERR_DATA')
  assert.ok(error.message.startsWith(`${path}: The gzip file is damaged`), error.message)
})

test.run()
