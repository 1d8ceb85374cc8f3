import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { brief, collect, collectText, problemOf } from './collect.js'

const text = (value: string) => JSON.stringify({ text: value })

test('lines: LF, CRLF, a byte order mark, blank lines, no line end at the end', async () => {
  const file = `\ufeff${text('a')}\r\n\n  \n${text('b ü 😀')}\n${text('c')}`
  for (const size of [1, 2, 3, 7, 1000]) {
    assert.equal(brief(await collectText(file, {}, size)), ['1:a', '4:b ü 😀', '5:c'])
  }
})

test('a broken row costs that row only, and says where it breaks', async () => {
  const rows = [text('a'), '{"text": "b" "c"}', text('d'), '{"text": ', text('e')]
  const read = await collectText(rows.join('\n'))
  assert.equal(brief(read), ['1:a', '2:!json', '3:d', '4:!json', '5:e'])
  const problem = await problemOf('{"text": "b" "c"}', { format: 'text' })
  assert.is(problem.column, 14)
  assert.match(problem.message, /expected a comma or the end/)
  assert.match(problem.text!, /^"c"/)
})

const mistakes: [line: string, hint: RegExp][] = [
  [`{'text': 'a'}`, /single ones/],
  ['{"text": None}', /json\.dumps/],
  ['{"text": NaN}', /null/],
  ['{“text”: "a"}', /straight/],
  ['{"text": "a",}', /comma too many/],
  ['{"text": "a"},', /without a comma/],
  ['{"text": "a', /cut off|quote/],
  ['{"text": "a\tb"}', /\\t/],
  ['{text: "a"}', /double quotes/],
]
for (const [line, hint] of mistakes) {
  test(`the hint for ${JSON.stringify(line)}`, async () => {
    const problem = await problemOf(line, { format: 'jsonl', columns: { text: 'text' } })
    assert.is(problem.code, 'json')
    assert.match(problem.hint!, hint)
  })
}

test('rows that are JSON and still wrong', async () => {
  const cases: [line: string | Buffer, code: string][] = [
    ['[1]', 'row'],
    ['5', 'row'],
    ['null', 'row'],
    ['{"text": "a", "text": "b"}', 'duplicate-key'],
    ['{"text": "a", "meta": {"x": 1, "x": 2}}', 'duplicate-key'],
    ['{"text": "cut \\ud83d off"}', 'encoding'],
    ['{"text": 5}', 'content'],
    ['{"text": ""}', 'content'],
    ['{"text": null}', 'content'],
    ['{"body": "a"}', 'missing-key'],
    ['{"__proto__": {"text": "a"}}', 'missing-key'],
    [`{"text": "a", "deep": ${'['.repeat(101)}${']'.repeat(101)}}`, 'depth'],
    [Buffer.from('{"text": "caf\xe9"}', 'latin1'), 'encoding'],
    ['{"text": "a\0b"}', 'json'],
  ]
  for (const [line, code] of cases) {
    const before = Buffer.from(`${text('a')}\n`)
    const separate = Buffer.concat([before, Buffer.from(line as string), Buffer.from('\n'), before])
    assert.equal(brief(await collectText(separate)), ['1:a', `2:!${code}`, '3:a'], String(line))
  }
})

test('names of the prototype are names like others', async () => {
  const row = '{"constructor": 1, "toString": 2, "__proto__": {"text": "no"}, "text": "yes"}'
  assert.equal(brief(await collectText(row)), ['1:yes'])
  assert.is(({} as { text?: string }).text, undefined)
})

test('not UTF-8: the byte, its column and how to convert', async () => {
  const bytes = Buffer.from('{"text": "ok"}\n{"text": "grün caf\xe9"}', 'latin1')
  const [, row] = await collectText(bytes)
  assert.ok(row && 'problem' in row)
  if (!('problem' in row)) return
  assert.match(row.problem.message, /0xFC/)
  assert.is(row.problem.column, 13)
  assert.match(row.problem.hint!, /iconv/)
})

test('a line of many megabytes is one problem in little memory', async () => {
  const chunk = Buffer.alloc(1 << 20, 'x')
  const parts = async function* () {
    yield Buffer.from(`${text('a')}\n{"text":"`)
    for (let i = 0; i < 300; i++) yield chunk
    yield Buffer.from(`"}\n${text('b')}\n`)
  }
  const before = process.memoryUsage().arrayBuffers
  const rows = await collect(parts(), { maxRowBytes: 1 << 20 })
  assert.equal(brief(rows), ['1:a', '2:!too-long', '3:b'])
  assert.ok(process.memoryUsage().arrayBuffers - before < 64 << 20)
})

test('rows at the limit are read, those above are not', async () => {
  const row = text('x'.repeat(200))
  const options = { maxRowBytes: row.length }
  assert.equal(brief(await collectText(`${row}\n${text('a')}`, options)).length, 2)
  assert.equal(brief(await collectText(`${row} \n${text('a')}`, options))[0], '1:!too-long')
})

test.run()
