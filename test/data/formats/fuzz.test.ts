// Any bytes to any reader: it ends, throws nothing but GptloomError, and numbers rows in order.
import { gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FORMATS } from '../../../lib/data/formats/detect.js'
import type { Format } from '../../../lib/data/read.js'
import { GptloomError } from '../../../lib/errors.js'
import { collect, pieces } from './collect.js'
import fc from '../../properties.js'

/** Words that the readers look for, so that random texts reach their insides. */
const WORDS = [
  '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}',
  '{"conversations":[{"from":"human","value":"q"}]}',
  '{"text":"',
  '{"tickets":[{"subject":"s","comments":[{"body":"b","author_id":1}]}',
  '{"conversation_parts":{"conversation_parts":[{"body":"<p>b"}]}}',
  'prompt,completion\n',
  'text;label\r\n',
  '"a ""b"',
  'From ana@x.example Mon Nov  3 09:12:00 2025\n',
  'Content-Type: multipart/mixed; boundary=b\n',
  'Content-Transfer-Encoding: quoted-printable\n',
  'Content-Transfer-Encoding: base64\n',
  'Subject: Re: =?utf-8?Q?=C3?=\n',
  '\n--b\n',
  '[03.02.26, 10:00:00] Ana: hi\n',
  '12/31/25, 9:41 PM - Shop: hello\n',
  '99/99/99, 9:41 PM - Shop: hello\n',
  '<blockquote><p>&#55;&amp;',
  '\\ud800',
  '__proto__',
  '"constructor":',
  'PAR1',
  '\ufeff',
  '\0',
]
const PIECES = [...'{}[]",:;\t\n\r\\<>&=-1 ', '"a"', 'null', '{"', '"}', '],', '\n\n', 'é', '😀']

const bytes = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...PIECES).map((text) => Buffer.from(text)) },
      { weight: 2, arbitrary: fc.constantFrom(...WORDS).map((text) => Buffer.from(text)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }).map((some) => Buffer.from(some)) },
    ),
    { maxLength: 60 },
  )
  .map((parts) => Buffer.concat(parts))

async function survive(
  data: Uint8Array,
  size: number,
  format: Format | undefined,
  maxRowBytes: number,
  plain = data,
): Promise<void> {
  try {
    const rows = await collect(pieces(data, size), { ...(format && { format }), maxRowBytes })
    let line = 0
    for (const { origin } of rows) {
      assert.ok(Number.isInteger(origin.line) && origin.line >= 0)
      line = Math.max(line, origin.line)
    }
    assert.ok(line <= 1 + plain.filter((byte) => byte === 10).length, 'no line is behind the end')
  } catch (error) {
    if (!(error instanceof GptloomError)) throw error
  }
}

for (const format of [undefined, ...FORMATS]) {
  test(`any bytes as ${format ?? 'whatever they look like'}`, async () => {
    const property = fc.asyncProperty(
      bytes,
      fc.integer({ min: 1, max: 50 }),
      fc.constantFrom(100, 300, 1 << 20),
      (data, size, limit) => survive(data, size, format, limit),
    )
    await fc.assert(property, { numRuns: format === undefined ? 600 : 150 })
  })
}

test('any bytes packed with gzip, with some of them damaged', async () => {
  const property = fc.asyncProperty(
    bytes,
    fc.nat(),
    fc.constantFrom(0, 255),
    fc.integer({ min: 1, max: 9 }),
    async (data, at, value, size) => {
      const packed = gzipSync(data)
      packed[at % packed.length] = value
      await survive(packed, size, undefined, 1000, data)
    },
  )
  await fc.assert(property, { numRuns: 200 })
})

test('any values as records', async () => {
  const property = fc.asyncProperty(
    fc.array(fc.oneof(fc.anything(), fc.object()), { minLength: 1 }),
    async (values) => {
      const records = values.filter((value) => !(value instanceof Uint8Array))
      await collect(
        (function* () {
          yield { text: 'a' }
          yield* records
        })(),
      )
    },
  )
  await fc.assert(property, { numRuns: 300 })
})

test('the same rows however the bytes are cut', async () => {
  const property = fc.asyncProperty(
    bytes,
    fc.integer({ min: 1, max: 50 }),
    fc.constantFrom(...FORMATS),
    async (data, size, format) => {
      if (format === 'parquet' || format === 'slack') return
      const outcome = async (cut: number) => {
        const rows = await collect(pieces(data, cut), { format }).catch(
          (error: GptloomError) => error.message,
        )
        // What is shown of a broken row may end with the piece.
        return JSON.stringify(rows, (key, value) =>
          key === 'text' && typeof value === 'string' ? '' : value,
        )
      }
      assert.is(await outcome(size), await outcome(1 << 20))
    },
  )
  await fc.assert(property, { numRuns: 500 })
})

test.run()
