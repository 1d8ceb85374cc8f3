import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkData, readRows } from '../../lib/index.js'
import type { LedgerEntry } from '../../lib/index.js'

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

test.run()
