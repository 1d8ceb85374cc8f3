import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readParquet } from '../../../lib/data/formats/parquet.js'
import { FileProblem } from '../../../lib/data/formats/problem.js'
import { scanRows } from '../../../lib/data/formats/scan.js'
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

test('files that are cut off or damaged anywhere fail with a problem, or give rows', async () => {
  const path = join(folder, 'x.parquet')
  const random = new Random(5)
  for (const name of ['chats.parquet', 'pairs.parquet']) {
    const whole = readFileSync(fixture(name))
    for (let i = 0; i < 150; i++) {
      const isCut = i % 3 === 0
      const bytes = Buffer.from(isCut ? whole.subarray(0, random.integer(whole.length)) : whole)
      const flips = isCut ? 0 : 1 + random.integer(4)
      for (let flip = 0; flip < flips; flip++) {
        bytes[random.integer(bytes.length)] = random.integer(256)
      }
      writeFileSync(path, bytes)
      let failure: unknown
      try {
        for await (const rows of scanRows(path)) assert.ok(rows.length <= 100)
      } catch (error) {
        failure = error
      }
      if (failure !== undefined) assert.instance(failure, FileProblem)
      else assert.not.ok(isCut)
    }
  }
})

test('a file that keeps the reader busy for ever is given up', async () => {
  // Found by damaging bytes at random: this one never ends in hyparquet 1.31.5.
  const bytes = readFileSync(fixture('pairs.parquet'))
  bytes[2179] = 98
  bytes[5489] = 255
  const path = join(folder, 'endless.parquet')
  writeFileSync(path, bytes)
  let failure: unknown
  try {
    for await (const rows of readParquet(path, undefined, 1)) assert.ok(rows.length > 0)
  } catch (error) {
    failure = error
  }
  assert.instance(failure, FileProblem)
  assert.match((failure as FileProblem).problem.message, /nothing was read in 1 s/)
})

test('a footer that asks for more than there is', async () => {
  const bytes = Buffer.from(readFileSync(fixture('pairs.parquet')))
  bytes.writeUInt32LE(0xfffffff0, bytes.length - 8)
  const path = join(folder, 'footer.parquet')
  writeFileSync(path, bytes)
  assert.equal(brief(await collect(path)), ['0:!format'])
  writeFileSync(path, 'no Parquet')
  assert.equal(brief(await collect(path)), ['0:!format'])
})

test.run()
