import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readJson } from '../../../lib/data/formats/json.js'
import { brief, collectText, notices, pieces } from './collect.js'
import fc from '../../properties.js'

async function elements(text: string, size: number, list?: string): Promise<unknown[]> {
  const found: unknown[] = []
  for await (const batch of readJson(pieces(Buffer.from(text), size), 1 << 20, list)) {
    for (const { line, record } of batch)
      found.push('value' in record ? record.value : `${line}:!${record.code}`)
  }
  return found
}

test('the elements of any list, cut anywhere, are those of JSON.parse', async () => {
  const list = fc.array(
    fc.oneof(fc.object({ maxDepth: 3 }), fc.string({ unit: 'binary' }), fc.integer()),
  )
  const property = fc.asyncProperty(
    list,
    fc.integer({ min: 1, max: 40 }),
    fc.nat(4),
    async (value, size, indent) => {
      const text = JSON.stringify(value, null, indent)
      // Names that stand twice and halves of characters are problems here: not part of this test.
      const oracle = JSON.parse(text) as unknown[]
      assert.equal(await elements(text, size), oracle)
      assert.equal(
        await elements(`{"count": 1, "rows": ${text}, "next": [1]}`, size, 'rows'),
        oracle,
      )
    },
  )
  await fc.assert(property, { numRuns: 300 })
})

test('objects one after another, laid out over lines', async () => {
  const rows = [{ text: 'a' }, { text: 'b' }]
  const text = rows.map((row) => JSON.stringify(row, null, 2)).join('\n')
  for (const size of [1, 5, 1000])
    assert.equal(brief(await collectText(text, {}, size)), ['1:a', '4:b'])
})

test('a broken element costs itself: brackets missing, quotes missing, junk', async () => {
  const broken = [
    '{"text": "b"',
    '{"text": "b}',
    '{"text": ["b"}',
    '{"text": "b"]',
    '{"text": "b" : }',
    '{"text": {"text": "b"}',
    '{"text": b}',
    '{"text": "b\\"}',
  ]
  for (const row of broken) {
    for (const size of [1, 7, 1000]) {
      const text = `[{"text": "a"},\n${row},\n{"text": "c"},\n{"text": "d"}]`
      const read = await elements(text, size)
      assert.equal(read[0], { text: 'a' }, row)
      assert.is(read[1], '2:!json', row)
      assert.equal(read.slice(-2), [{ text: 'c' }, { text: 'd' }], row)
      assert.ok(read.length <= 5, row)
    }
  }
})

test('lines of elements stay right behind a broken one', async () => {
  const text = '[\n{"text":\n"a"},\n{"text": "b"\n,\n{"text":\n"c"},\n{"text": "d"}\n]'
  assert.equal(brief(await collectText(text)), ['2:a', '4:!json', '6:c', '8:d'])
})

test('a list that is cut off, or has something behind it', async () => {
  assert.equal(await elements('[{"a":1},{"a":2}', 4), [{ a: 1 }, { a: 2 }, '1:!truncated'])
  assert.equal(await elements('[{"a":1},{"a"', 4), [{ a: 1 }, '1:!json', '1:!truncated'])
  assert.equal(await elements('[{"a":1}]\n\n{"a":2}', 4), [{ a: 1 }, '3:!json'])
  assert.equal(await elements('{"rows": 5}', 4, 'rows'), ['1:!truncated'])
  assert.equal(await elements('[]', 1), [])
  assert.equal(await elements('[{"a":1},,{"a":2},]', 1), [{ a: 1 }, { a: 2 }])
})

test('the list in an object is found by what its elements are', async () => {
  const turns = '[{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]'
  const row = `{"id": 1, "conversations": ${turns}}`
  assert.equal(brief(await collectText(row)), ['1:q>a'])
  assert.equal(brief(await collectText(`{"version": 1, "data": [${row}]}`)), ['1:q>a'])
  assert.equal(brief(await collectText(`{"conversations": [${row}]}`)), ['1:q>a'])
  const [notice] = await notices(pieces(Buffer.from(`{"version": 1, "data": [${row}]}`), 99))
  assert.is(notice!.list, 'data')
  assert.match(notice!.message, /the list "data"; conversations \(ShareGPT\)/)
})

test('an element over the limit costs itself', async () => {
  const long = JSON.stringify({ text: 'x'.repeat(5000) })
  for (const size of [100, 100_000]) {
    const rows = await collectText(
      `[{"text":"a"},${long},{"text":"b"}]`,
      { maxRowBytes: 1000 },
      size,
    )
    assert.equal(brief(rows), ['1:a', '1:!too-long', '1:b'])
  }
})

test.run()
