import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readTable, tableRows } from '../../../lib/data/formats/csv.js'
import { brief, collectText, notices, pieces, problemOf } from './collect.js'
import fc from '../../properties.js'

const LIMIT = 1 << 20

async function table(text: string, size: number, delimiter = ','): Promise<unknown[]> {
  const found: unknown[] = []
  for await (const batch of tableRows(pieces(Buffer.from(text), size), {
    delimiter,
    limit: LIMIT,
  })) {
    found.push(
      ...batch.map(({ line, fields }) =>
        Array.isArray(fields) ? fields : `${line}:!${fields.code}`,
      ),
    )
  }
  return found
}

test('any table that is written by the rules of RFC 4180 is read back, cut anywhere', async () => {
  const field = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', 'ü', '"', ',', '\n', '\r\n', ' ', '😀') }),
    fc.constantFrom('', '""', '"', 'x"y'),
  )
  const width = fc.integer({ min: 1, max: 4 })
  const rows = width.chain((n) =>
    fc.array(fc.array(field, { minLength: n, maxLength: n }), { minLength: 1 }),
  )
  const property = fc.asyncProperty(
    rows,
    fc.integer({ min: 1, max: 30 }),
    fc.constantFrom('\n', '\r\n'),
    fc.boolean(),
    async (value, size, end, atEnd) => {
      const write = (text: string) =>
        /[",\r\n ]/.test(text) || text === '' ? `"${text.replaceAll('"', '""')}"` : text
      const text = value.map((row) => row.map(write).join(',')).join(end) + (atEnd ? end : '')
      assert.equal(await table(text, size), value)
    },
  )
  await fc.assert(property, { numRuns: 400 })
})

test('line numbers count the line ends inside of quotes', async () => {
  const text = 'prompt,completion\r\n"a\nb\n\nc",d\r\n\r\ne,f\n"g\r\nh","i"\nj,k'
  for (const size of [1, 4, 1000]) {
    const rows = await collectText(text, { format: 'csv' }, size)
    assert.equal(brief(rows), ['2:a\nb\n\nc>d', '7:e>f', '8:g\r\nh>i', '10:j>k'])
  }
})

test('broken rows cost themselves', async () => {
  const lines = [
    'prompt,completion',
    'a,b',
    '"x" y,c',
    'd',
    'e,f,g',
    'h,i,,',
    '1" pipe,ok',
    '"never,j',
    'k,l',
  ]
  for (const size of [1, 9, 1000]) {
    assert.equal(brief(await collectText(lines.join('\n'), { format: 'csv' }, size)), [
      '2:a>b',
      '3:!quote',
      '4:!fields',
      '5:!fields',
      '6:h>i',
      '7:1" pipe>ok',
      '8:!quote',
      '9:k>l',
    ])
  }
})

test('a quote that is never closed says where it was opened', async () => {
  const problem = await problemOf('prompt,completion\nok,"never\nclosed', { format: 'csv' })
  assert.is(problem.code, 'quote')
  assert.is(problem.column, 4)
  assert.is(problem.text, 'ok,"never')
  assert.match(problem.message, /never closed/)
})

test('columns that go missing halfway', async () => {
  const rows = [
    'prompt,completion,day',
    ...Array.from({ length: 3 }, (_, i) => `q${i},a${i},1`),
    'q,a',
    'r,b,1',
  ]
  const read = await collectText(rows.join('\n'), { format: 'csv' })
  assert.equal(brief(read), ['2:q0>a0', '3:q1>a1', '4:q2>a2', '5:!fields', '6:r>b'])
  const [, , , row] = read
  assert.ok(
    row && 'problem' in row && /Expected 3 fields, found 2 fields/.test(row.problem.message),
  )
})

test('NUL bytes, wrong encodings and long rows cost their row', async () => {
  const bytes = Buffer.concat([
    Buffer.from('prompt,completion\na,b\nn\0,c\n'),
    Buffer.from('caf\xe9,d\n', 'latin1'),
    Buffer.from(`${'x'.repeat(500)},e\n"${'y\n'.repeat(60)}",z\nf,g\n`),
  ])
  const rows = brief(await collectText(bytes, { format: 'csv', maxRowBytes: 100 }))
  assert.equal(rows.slice(0, 5), ['2:a>b', '3:!nul', '4:!encoding', '5:!too-long', '6:!quote'])
  assert.is(rows[rows.length - 1], '67:f>g')
})

test('the delimiter and the columns are guessed, and shown', async () => {
  const german = 'Frage;Answer;Question\n"a;b";c;d\n'
  const [notice] = await notices(pieces(Buffer.from(german), 5), { format: 'csv' })
  assert.is(notice!.delimiter, ';')
  assert.equal(notice!.columns, { prompt: 'Question', completion: 'Answer' })
  assert.ok(notice!.guessed)
  assert.match(
    notice!.message,
    /CSV; delimiter ;; .*prompt = Question, completion = Answer \(guessed\)/,
  )
  assert.equal(
    brief(await collectText('a\tb\n1\t2\n', { format: 'tsv', columns: { text: 'b' } })),
    ['2:2'],
  )
})

test('columns as the user says, by name or number; a wrong name is told with the nearest', async () => {
  const text = 'one,two,when\na,b,2026-01-02\n'
  const columns = { prompt: 'two', completion: 'one', time: 'when' }
  const [row] = await collectText(text, { columns })
  assert.ok(row && 'example' in row)
  if ('example' in row!) {
    assert.equal(row.example, {
      kind: 'completion',
      prompt: 'b',
      completion: 'a',
      time: Date.UTC(2026, 0, 2),
    })
  }
  assert.equal(brief(await collectText('a,b\nc,d\n', { columns: { prompt: 2, completion: 1 } })), [
    '1:b>a',
    '2:d>c',
  ])
  const problem = await problemOf(text, { columns: { text: 'tow' } })
  assert.is(problem.code, 'columns')
  assert.match(problem.message, /Did you mean "two"/)
})

test('a header that names a column twice is refused, names of the prototype are not', async () => {
  assert.is((await problemOf('text,a,a\n1,2,3', { format: 'csv' })).code, 'columns')
  const rows = await collectText('text,__proto__,constructor\nhello,1,2\n', { format: 'csv' })
  assert.equal(brief(rows), ['2:hello'])
})

test('records have no prototype', async () => {
  for await (const batch of readTable(pieces(Buffer.from('a,__proto__\n1,2\n'), 3), {
    delimiter: ',',
    limit: 99,
  })) {
    const [{ record }] = batch as [(typeof batch)[0]]
    assert.ok('value' in record && Object.getPrototypeOf(record.value) === null)
    assert.ok('value' in record && Object.keys(record.value as object).length === 2)
  }
})

test.run()
