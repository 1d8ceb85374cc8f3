import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Random } from '../../../lib/random.js'
import { brief, collect, notices } from './collect.js'

// Made by fixtures/make.py with another implementation of Parquet; what it wrote is expected here.
const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

let folder = ''
test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'gptloom-parquet-'))
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

test('lists of messages, with rows that cannot be used', async () => {
  const rows = await collect(fixture('chats.parquet'))
  assert.equal(brief(rows), [
    '0:Is the shop open on Sunday?>No, we open on Monday at 9.',
    '0:!content',
    '0:!content',
  ])
})

test('pairs over several row groups, packed with gzip', async () => {
  const [notice] = await notices(fixture('pairs.parquet'))
  assert.equal(notice!.columns, { prompt: 'Question', completion: 'Answer', group: 'customer_id' })
  const rows = await collect(fixture('pairs.parquet'))
  const expected = Array.from(
    { length: 100 },
    (_, i) => `0:How much is item ${i}?>Item ${i} is ${i * 3} euros.`,
  )
  assert.equal(brief(rows), expected)
  assert.equal(
    rows.map((row) => 'example' in row && row.example.group),
    Array.from({ length: 100 }, (_, i) => String(i % 7)),
  )
})

test('files that are none, cut off or damaged anywhere end in one problem', async () => {
  const path = join(folder, 'x.parquet')
  const random = new Random(5)
  for (const name of ['chats.parquet', 'pairs.parquet']) {
    const whole = readFileSync(fixture(name))
    for (let i = 0; i < 150; i++) {
      const bytes = Buffer.from(
        i % 3 === 0 ? whole.subarray(0, random.integer(whole.length)) : whole,
      )
      const flips = i % 3 === 0 ? 0 : 1 + random.integer(4)
      for (let flip = 0; flip < flips; flip++)
        bytes[random.integer(bytes.length)] = random.integer(256)
      writeFileSync(path, bytes)
      const rows = await collect(path)
      const last = rows[rows.length - 1]
      assert.ok(bytes.length === whole.length || (last && 'problem' in last))
    }
  }
})

test('a footer that asks for more than there is', async () => {
  const bytes = Buffer.from(readFileSync(fixture('pairs.parquet')))
  bytes.writeUInt32LE(0xfffffff0, bytes.length - 8)
  const path = join(folder, 'footer.parquet')
  writeFileSync(path, bytes)
  assert.equal(brief(await collect(path)), ['0:!format'])
})

test.run()
