import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openText } from '../../lib/data/sources.js'
import { firstInvalid } from '../../lib/data/text.js'
import { GptloomError } from '../../lib/errors.js'
import { Random } from '../../lib/random.js'

let folder = ''
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'gptloom-sources-'))
})
test.after.each(() => rmSync(folder, { recursive: true, force: true }))

async function readAll(data: string | string[]): Promise<[string, string][]> {
  const all: [string, string][] = []
  for await (const { file, index, text } of await openText(data)) {
    assert.is(index, all.length)
    let whole = ''
    for await (const piece of text) {
      assert.ok(piece.length > 0 && !/\p{Surrogate}/u.test(piece), 'pieces end between characters')
      whole += piece
    }
    all.push([file, whole])
  }
  return all
}

async function refusal(data: string | string[]): Promise<GptloomError> {
  const error = await readAll(data).then(
    () => null,
    (reason: unknown) => reason,
  )
  assert.instance(error, GptloomError, `expected a refusal, received ${error}`)
  return error as GptloomError
}

function put(name: string, contents: string | Uint8Array = name): string {
  const path = join(folder, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, contents)
  return path
}

test('a folder: text files in one order, the rest left out', async () => {
  for (const name of [
    'b.txt',
    'B.md',
    'a/z.txt',
    'a.txt',
    'a-b.TXT',
    'c.jsonl',
    '.hidden.txt',
    'x/y/ü.txt',
    'x/.git/no.txt',
    'noextension',
    'dir.md/in.txt',
  ])
    put(name)
  put('empty.txt', '')
  symlinkSync(folder, join(folder, 'x', 'loop'))
  symlinkSync(join(folder, 'x', 'y'), join(folder, 'x', 'twice'))
  symlinkSync(join(folder, 'b.txt'), join(folder, 'same.txt'))
  symlinkSync(join(folder, 'nowhere'), join(folder, 'broken'))
  const others = ['B.md', 'a-b.TXT', 'a.txt', 'a/z.txt', 'b.txt', 'dir.md/in.txt']
  const expected = [...others, 'x/twice/ü.txt']
  const all = await readAll(folder)
  assert.equal(
    all.map(([file]) => file.slice(folder.length + 1)),
    expected,
  )
  assert.equal(
    all.map(([, text]) => text),
    [...others, 'x/y/ü.txt'],
  )
  const source = await openText([folder, join(folder, 'c.jsonl')])
  assert.is(source.files.length, expected.length + 1)
  assert.is(
    source.bytes,
    source.files.reduce((sum, { bytes }) => sum + bytes, 0),
  )
  symlinkSync(join(folder, 'nowhere'), join(folder, 'broken.txt'))
  assert.match((await refusal(folder)).message, /broken\.txt: there is no such file/)
})

test('nothing to read', async () => {
  const missing = await refusal(join(folder, 'none.txt'))
  assert.is(missing.code, 'ERR_FILE')
  const none = await refusal(folder)
  assert.is(none.code, 'ERR_DATA')
  assert.match(none.message, /looked for \.txt and \.md files in it and below, found no files/)
  for (const name of ['a.pdf', 'b.pdf', 'LICENSE', 'c.JSONL']) put(name)
  put('e.txt', '')
  const found = /found only: 1 empty, 1 without extension, 2 \.pdf, 1 \.jsonl/
  assert.match((await refusal(folder)).message, found)
  assert.match((await refusal(join(folder, 'e.txt'))).message, /e\.txt is empty/)
  for (const bad of ['', [], [''], 7, null]) {
    const error = await openText(bad as string).catch((reason: unknown) => reason)
    assert.instance(error, TypeError)
  }
  if (process.platform === 'win32') return
  execFileSync('mkfifo', [join(folder, 'fifo.txt')])
  assert.match(
    (await refusal(join(folder, 'fifo.txt'))).message,
    /is a pipe, .*save it to a file first/,
  )
  put('real.txt')
  assert.is((await readAll(folder)).length, 1)
})

test('text is kept as it is, byte order marks aside', async () => {
  const text = 'a\r\nb\r\rc\n\u2028\uFEFFz𝄞\u0001'
  assert.equal(await readAll(put('plain.txt', text)), [[join(folder, 'plain.txt'), text]])
  assert.is((await readAll(put('bom.txt', '\uFEFF' + text)))[0]![1], text)
  assert.is((await readAll(put('two.txt', '\uFEFF\uFEFFx')))[0]![1], '\uFEFFx')
  assert.is((await readAll(put('only.txt', '\uFEFF')))[0]![1], '')
})

test('characters across the borders of pieces', async () => {
  const unit = 'aé€𝄞'
  for (let shift = 0; shift < 10; shift++) {
    for (const size of [65536, 131072, 150_001]) {
      const text = ('x'.repeat(shift) + unit.repeat(size / 10)).slice(0)
      assert.is((await readAll(put('t.txt', text)))[0]![1], text)
    }
  }
})

test('files that are something else', async () => {
  const cases: [string | Uint8Array, RegExp][] = [
    [Buffer.from('\uFEFFhello', 'utf16le'), /is UTF-16 text\. Convert it: iconv/],
    [Buffer.from('\uFEFFhello', 'utf16le').swap16(), /is UTF-16 text/],
    [Buffer.from('hello', 'utf16le'), /a NUL byte at offset 1 says it is a binary file, or UTF-16/],
    [Buffer.concat([Buffer.from('x'.repeat(7999)), Buffer.alloc(1)]), /NUL byte at offset 7999/],
    [Uint8Array.of(0x1f, 0x8b, 8, 0), /compressed \(gzip\)/],
    ['PK\u0003\u0004xx', /zip archive/],
    ['%PDF-1.7', /PDF/],
    [Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10), /byte 0x89 at offset 0, line 1, after ""/],
    [Buffer.from('na\nïve café\n', 'latin1'), /byte 0xEF at offset 3, line 2, after ""/],
    [Buffer.from('naive\r\ncafé\n', 'latin1'), /byte 0xE9 at offset 10, line 2, after "caf"\. C/],
    [Uint8Array.of(0x61, 0xe2, 0x82), /byte 0xE2 at offset 1/], // ends within a character
    [Uint8Array.of(0x61, 0xed, 0xa0, 0x80), /byte 0xED at offset 1/], // a surrogate
    [Uint8Array.of(0xc0, 0x80), /byte 0xC0 at offset 0/], // longer than needed
    [Uint8Array.of(0xf4, 0x90, 0x80, 0x80), /byte 0xF4 at offset 0/], // past U+10FFFF
  ]
  for (const [contents, pattern] of cases) {
    const error = await refusal(put('t.txt', contents))
    assert.is(error.code, 'ERR_DATA')
    assert.match(error.message, pattern)
    assert.ok(error.message.startsWith(join(folder, 't.txt')))
  }
})

test('an invalid byte anywhere in megabytes of text is found exactly', async () => {
  const random = new Random(2)
  const unit = Buffer.from('line é€𝄞\n') // 15 bytes, one line
  const whole = Buffer.concat(Array.from({ length: 200_000 }, () => unit))
  // At and around the borders of the pieces that are read, wherever the characters lie.
  const borders = [65535, 65536, 65537, 131071, 131072, whole.length - 1, whole.length - 15, 0, 15]
  const places = [...borders, ...Array.from({ length: 12 }, () => random.integer(whole.length))]
  for (const place of places) {
    const bytes = Buffer.from(whole)
    bytes[place] = 0xff
    // The error is where the broken character begins: at the byte, or up to 3 before it.
    const begin = [0, 1, 2, 3, 4, 5, 7, 10, 14].findLast((start) => start <= place % 15)!
    const at = place - (place % 15) + begin
    const message = (await refusal(put('t.txt', bytes))).message
    const line = Math.floor(at / 15) + 1
    assert.ok(message.includes(`at offset ${at}, line ${line}, `), `${place}: ${message}`)
  }
})

test('firstInvalid agrees with the decoder of the platform', () => {
  const random = new Random(4)
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const valid = (bytes: Uint8Array) => {
    try {
      decoder.decode(bytes)
      return true
    } catch {
      return false
    }
  }
  const parts = [
    0x00, 0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed,
    0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff,
  ]
  for (let round = 0; round < 50_000; round++) {
    const one = () => parts[random.integer(parts.length)]!
    const bytes = Uint8Array.from({ length: random.integer(7) }, one)
    const at = firstInvalid(bytes)
    assert.is(at === bytes.length, valid(bytes), Buffer.from(bytes).toString('hex'))
    assert.ok(valid(bytes.subarray(0, at)), 'all before it is valid')
  }
})

test('a reader that stops early closes the file', async () => {
  const table = '/proc/self/fd'
  if (!existsSync(table)) return console.log(`\nSKIP open files cannot be counted without ${table}`)
  const path = put('t.txt', 'x'.repeat(1 << 20))
  const before = readdirSync(table).length
  for (let i = 0; i < 50; i++) {
    for await (const { text } of await openText(path)) {
      for await (const piece of text) if (piece) break
    }
  }
  assert.is(readdirSync(table).length, before)
})

test.run()
