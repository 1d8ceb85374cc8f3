import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Pseudonyms, Scrubber, reverseFile, scrubFile } from '../../lib/privacy/index.js'
import type { ScrubFileOptions } from '../../lib/privacy/index.js'
import { CsvSplitter, JsonSplitter } from '../../lib/privacy/parts.js'
import type { Splitter } from '../../lib/privacy/parts.js'
import fc from '../properties.js'

const folder = mkdtempSync(join(os.tmpdir(), 'gptloom-scrub-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let counter = 0
const fresh = (extension: string) => join(folder, `${counter++}${extension}`)

async function scrubbed(
  extension: string,
  contents: string | Uint8Array,
  options: ScrubFileOptions = {},
) {
  const [input, output] = [fresh(extension), fresh('.out')]
  writeFileSync(input, contents)
  const report = await scrubFile(input, output, options)
  return { text: readFileSync(output, 'utf8'), report }
}

async function failure(run: () => Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await run()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

test('text: lines, line ends and a byte order mark stay', async () => {
  const { text, report } = await scrubbed('.txt', '\ufeffa@b.cc\r\n\0 born 1980-02-03\n\nlast')
  assert.is(text, '\ufeff[EMAIL]\r\n\0 born [BIRTH_DATE]\n\nlast')
  assert.is(report.format, 'text')
  assert.is(report.rows, 3)
  assert.equal(
    report.kinds.map(({ kind, count }) => [kind, count]),
    [
      ['email', 1],
      ['birth-date', 1],
    ],
  )
})

test('JSON Lines: only strings change, to the letter', async () => {
  const lines = [
    '{"n": 1e400, "big": 12345678901234567890, "n": 2,  "t":"caf\\u00e9 \\ud83d\\ude00"}',
    '{"messages":[{"role":"user","content":"I am a@b.cc\\nborn 1980-02-03 \\"x\\""}]}',
    '{"password":"hunter22","dateOfBirth":"1980-02-03","shipped":"1980-02-03"}',
    '',
    '{"a@b.cc": 4111111111111111}',
  ]
  const { text, report } = await scrubbed('.jsonl', lines.join('\n'))
  assert.equal(text.split('\n'), [
    lines[0],
    '{"messages":[{"role":"user","content":"I am [EMAIL]\\nborn [BIRTH_DATE] \\"x\\""}]}',
    '{"password":"[PASSWORD]","dateOfBirth":"[BIRTH_DATE]","shipped":"1980-02-03"}',
    '',
    lines[4],
  ])
  assert.equal(report.left.map(({ kind }) => kind).sort(), ['card', 'email'])
  assert.is(report.malformed, 0)
})

test('JSON that is broken loses nothing and hides nothing', async () => {
  const lines = [
    '{"open": "write to a@b.cc',
    "{'single': 'a@b.cc'}",
    'a@b.cc is no JSON',
    '{"bad": "\\q a@b.cc"}',
    '{"good":"a@b.cc"}',
  ]
  const { text, report } = await scrubbed('.jsonl', lines.join('\n') + '\n')
  assert.is(text, lines.join('\n').replaceAll('a@b.cc', '[EMAIL]') + '\n')
  assert.is(report.findings, 5)
  assert.is(report.malformed, 4)
})

test('CSV: quotes, delimiters and line ends in fields stay', async () => {
  const csv =
    'id;password;note\r\n1;hunter22;"say ""hi"" to a@b.cc; or\r\nnot"\r\n' +
    '2;;"5"" pipe"\r\n3;s3cret!;plain a@b.cc\r\n;;\r\n'
  const { text, report } = await scrubbed('.csv', csv)
  assert.is(
    text,
    'id;password;note\r\n1;[PASSWORD];"say ""hi"" to [EMAIL]; or\r\nnot"\r\n' +
      '2;;"5"" pipe"\r\n3;[PASSWORD];plain [EMAIL]\r\n;;\r\n',
  )
  assert.is(report.rows, 5)
})

test('CSV without a row of names has its first row scrubbed too', async () => {
  const { text } = await scrubbed('.tsv', 'a@b.cc\t1\nc@d.ee\t2')
  assert.is(text, '[EMAIL]\t1\n[EMAIL]\t2')
})

test('rows are dropped whole', async () => {
  const operator = { card: 'drop' } as const
  const card = '4111 1111 1111 1111'
  const json = await scrubbed(
    '.jsonl',
    `{"a":"x"}\n{"a":"${card}"}\n{"a":"a@b.cc"}\n{"b":"${card}"}`,
    { operator },
  )
  assert.is(json.text, '{"a":"x"}\n{"a":"[EMAIL]"}\n')
  assert.is(json.report.dropped, 2)
  const csv = await scrubbed('.csv', `a,b\n1,"${card}\nx"\n2,y\n`, { operator })
  assert.is(csv.text, 'a,b\n2,y\n')
  const text = await scrubbed('.txt', `one\n${card}\nthree`, { operator })
  assert.is(text.text, 'one\nthree')
  assert.is(text.report.dropped, 1)
  const error = await failure(() => scrubbed('.json', '["x"]', { operator }))
  assert.match(error.message, /for format, received "json"/)
})

test('a string of many megabytes streams through every format', async () => {
  const unit = 'some words to read, a@b.cc, and é more. '
  const long = unit.repeat(100_000)
  const expected = long.replaceAll('a@b.cc', '[EMAIL]')
  const json = await scrubbed('.jsonl', `{"a":${JSON.stringify(long + '"\\\n')},"b":"a@b.cc"}\n`)
  assert.ok(json.text === `{"a":${JSON.stringify(expected + '"\\\n')},"b":"[EMAIL]"}\n`)
  const csv = await scrubbed('.csv', `n,t\n1,"${long}""x"""\n2,${long.replaceAll(',', '')}\n`)
  assert.ok(csv.text === `n,t\n1,"${expected}""x"""\n2,${expected.replaceAll(',', '')}\n`)
  const text = await scrubbed('.txt', long)
  assert.ok(text.text === expected)
})

test('gzip in and out, by what the file is', async () => {
  const input = fresh('.jsonl.gz')
  writeFileSync(input, gzipSync('{"a":"a@b.cc"}\n'))
  const output = fresh('.jsonl.gz')
  const report = await scrubFile(input, output)
  assert.is(report.format, 'jsonl')
  assert.is(gunzipSync(readFileSync(output)).toString(), '{"a":"[EMAIL]"}\n')
  // The name says nothing of it.
  assert.is((await scrubbed('.txt', gzipSync('a@b.cc'))).text, '[EMAIL]')
})

test('a bomb, a cut and a damaged gzip file are refused, and nothing is left behind', async () => {
  const bomb = gzipSync(Buffer.alloc(80 << 20, 'a'))
  const cases: [Buffer, RegExp][] = [
    [bomb, /unpacks to more than 100 times its size/],
    [gzipSync('a@b.cc '.repeat(1000)).subarray(0, 30), /is damaged: it cannot be unpacked/],
    [Buffer.from([0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9]), /is damaged: it cannot be unpacked/],
  ]
  for (const [bytes, message] of cases) {
    const [input, output] = [fresh('.txt.gz'), fresh('.txt')]
    writeFileSync(input, bytes)
    const error = await failure(() => scrubFile(input, output))
    assert.match(error.message, message)
    assert.is(error.code, 'ERR_FORMAT')
    assert.not.ok(existsSync(output))
  }
  assert.equal(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  )
})

test('what is not UTF-8 is refused with its place', async () => {
  const bytes = Buffer.concat([
    Buffer.from('one\ntwo é\n'.repeat(60_000)),
    Buffer.from([0xe9, 0x20]),
  ])
  const error = await failure(() => scrubbed('.txt', bytes))
  assert.match(error.message, /is not UTF-8 text: byte 0xE9 at offset 660000, line 120001\./)
  assert.is(error.code, 'ERR_DATA')
  assert.match(
    (await failure(() => scrubbed('.txt', Buffer.from([0xc3])))).message,
    /byte 0xC3 at offset 0, line 1/,
  )
  assert.match(
    (await failure(() => scrubbed('.txt', Buffer.from('\ufeffhi', 'utf16le')))).message,
    /is UTF-16 text/,
  )
})

test('the input is never overwritten, another file only when asked', async () => {
  const input = fresh('.txt')
  writeFileSync(input, 'a@b.cc')
  const [link, hard] = [fresh('.txt'), fresh('.txt')]
  symlinkSync(input, link)
  linkSync(input, hard)
  for (const output of [input, link, hard, join(folder, '.', input.slice(folder.length))]) {
    const error = await failure(() => scrubFile(input, output, { overwrite: true }))
    assert.match(error.message, /is the input itself/)
    assert.is(error.code, 'ERR_OUTPUT_EXISTS')
  }
  assert.is(readFileSync(input, 'utf8'), 'a@b.cc')
  const other = fresh('.txt')
  writeFileSync(other, 'there')
  assert.match((await failure(() => scrubFile(input, other))).message, /exists already/)
  assert.is(readFileSync(other, 'utf8'), 'there')
  await scrubFile(input, other, { overwrite: true })
  assert.is(readFileSync(other, 'utf8'), '[EMAIL]')
})

test('files that are not there, folders and empty files', async () => {
  assert.match(
    (await failure(() => scrubFile(join(folder, 'none.txt'), fresh('.txt')))).message,
    /there is no such file/,
  )
  const place = fresh('.dir')
  mkdirSync(place)
  assert.match((await failure(() => scrubFile(place, fresh('.txt')))).message, /it is a folder/)
  const input = fresh('.txt')
  writeFileSync(input, 'x')
  assert.match(
    (await failure(() => scrubFile(input, join(place, 'no', 'such.txt')))).message,
    /there is no such file/,
  )
  for (const extension of ['.txt', '.jsonl', '.json', '.csv']) {
    const { text, report } = await scrubbed(extension, '')
    assert.is(text, '')
    assert.is(report.findings, 0)
  }
})

test('a file comes back from its pseudonyms', async () => {
  const pseudonyms = new Pseudonyms()
  const options = { operator: 'pseudonym', pseudonyms } as const
  for (const [extension, contents] of [
    [
      '.jsonl',
      '{"a":"Anna Keller, anna.keller@acme.de \\"quoted\\""}\n{"b":["call +49 171 1234567"]}\n',
    ],
    ['.csv', 'name,mail\n"Keller, Anna",anna@acme.de\n'],
    ['.txt', 'Hi Anna,\nmail anna@acme.de or call +49 171 1234567. '.repeat(5000)],
  ] as const) {
    const [input, hidden, back] = [fresh(extension), fresh(extension), fresh(extension)]
    writeFileSync(input, contents)
    await scrubFile(input, hidden, options)
    assert.not.match(readFileSync(hidden, 'utf8'), /keller|acme|171/i)
    await reverseFile(hidden, back, pseudonyms)
    assert.ok(readFileSync(back, 'utf8') === contents, extension)
  }
})

// ---- splitters ---------------------------------------------------------------------------------

/** Puts the parts together again with every text changed. */
function rejoin(
  splitter: Splitter,
  pieces: readonly string[],
  change: (text: string) => string,
): string {
  let out = ''
  for (const [i, piece] of [...pieces, ''].entries()) {
    for (const part of splitter.push(piece, i === pieces.length)) {
      if (part.type === 'copy') out += part.text
      else if (part.type === 'value') {
        const text = change(part.text)
        out += text === part.text ? part.raw : part.encode(text)
      } else if (part.type === 'piece') out += part.encode(change(part.text))
    }
  }
  return out
}

function cut(text: string, size: number): string[] {
  return text.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
}

test('any JSON comes through as it was, and stays JSON when its strings change', () => {
  fc.assert(
    fc.property(
      fc.json(),
      fc.json({ maxDepth: 1 }),
      fc.integer({ min: 1, max: 9 }),
      (one, two, size) => {
        const text = `${one}\n${JSON.stringify(JSON.parse(two) as unknown, null, 1)}\n`
        assert.is(
          rejoin(new JsonSplitter(), cut(text, size), (text) => text),
          text,
        )
        const changed = rejoin(
          new JsonSplitter(),
          cut(`${one}\n`, size),
          (text) => `<"\\\n${text}>`,
        )
        const expected = new Scrubber().scrubRecord(JSON.parse(one) as unknown)
        assert.equal(shape(JSON.parse(changed)), shape(expected.record))
      },
    ),
    { numRuns: 500 },
  )
})

/** A value with every string but the names of fields left out. */
function shape(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'string' ? '' : inner))
}

test('any text comes through both splitters as it was', () => {
  const text = fc.array(
    fc.constantFrom(
      '"',
      '""',
      ',',
      ';',
      '\n',
      '\r\n',
      '\\',
      'a',
      '{',
      '}',
      ':',
      ' ',
      '1',
      '\0',
      'é',
      '\\u00',
    ),
    { maxLength: 60 },
  )
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 7 }), (list, size) => {
      const text = list.join('')
      for (const splitter of [new JsonSplitter(), new CsvSplitter(), new CsvSplitter(';')]) {
        assert.is(
          rejoin(splitter, cut(text, size), (text) => text),
          text,
        )
      }
    }),
    { numRuns: 1500 },
  )
})

test('every field of a CSV file is met once, whatever stands in it', () => {
  const field = fc.string({
    unit: fc.constantFrom('a', '"', ',', '\n', ' ', '\r', '1'),
    maxLength: 8,
  })
  const row = fc.array(field, { minLength: 2, maxLength: 4 })
  fc.assert(
    fc.property(
      fc.array(row, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 9 }),
      (rows, size) => {
        const text =
          rows
            .map((row) => row.map((text) => `"${text.replaceAll('"', '""')}"`).join(','))
            .join('\n') + '\n'
        const met: string[] = []
        rejoin(new CsvSplitter(','), cut(text, size), (text) => (met.push(text), text))
        assert.equal(met, rows.flat())
      },
    ),
    { numRuns: 500 },
  )
})

test("half a million brackets and a name of a field that is a prototype's", async () => {
  const deep = '['.repeat(500_000) + '"a@b.cc"' + ']'.repeat(500_000)
  const { text } = await scrubbed('.json', deep)
  assert.ok(text === deep.replace('a@b.cc', '[EMAIL]'))
  assert.is(
    (await scrubbed('.jsonl', '{"__proto__":"a@b.cc","constructor":"x"}')).text,
    '{"__proto__":"[EMAIL]","constructor":"x"}',
  )
})

test.run()
