import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { TokenFile, TokenWriter } from '../../lib/data/tokens.js'
import { GptloomError } from '../../lib/errors.js'
import { Random } from '../../lib/random.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-tokens-'))
const path = join(folder, 'x.tokens')
test.after(() => rmSync(folder, { recursive: true, force: true }))

async function write(tokens: Int32Array, size: number, pieces: number[] = []): Promise<void> {
  const writer = await TokenWriter.create(path, size)
  let at = 0
  for (const length of pieces) await writer.write(tokens.subarray(at, (at += length)))
  await writer.write(tokens.subarray(at))
  assert.is(writer.count, tokens.length)
  await writer.finish(tokens.length * 3)
}

for (const [size, width] of [
  [50257, 2],
  [65536, 2],
  [65537, 4],
  [2 ** 31, 4],
] as const) {
  test(`a vocabulary of ${size}: ${width} bytes a token, any part of it`, async () => {
    const random = new Random(1)
    const tokens = Int32Array.from({ length: 1_200_001 }, () => random.integer(size))
    tokens.set([0, size - 1, size - 2])
    await write(tokens, size, [0, 1, 524_287, 3])
    const bytes = readFileSync(path)
    assert.is(bytes.length, 64 + tokens.length * width)
    assert.is(width === 2 ? bytes.readUInt16LE(66) : bytes.readInt32LE(68), size - 1)
    const file = await TokenFile.open(path)
    assert.equal([file.count, file.bytes, file.size], [tokens.length, tokens.length * 3, size])
    const into = new Int32Array(tokens.length + 1)
    await file.read(0, tokens.length, into)
    assert.equal(into.subarray(0, -1), tokens)
    const end = tokens.length
    for (const [offset, length] of [
      [0, 0],
      [1, 31],
      [end - 33, 33],
      [end, 0],
    ] as const) {
      const part = new Int32Array(33).fill(-1)
      await file.read(offset, length, part)
      assert.equal(part.subarray(0, length), tokens.subarray(offset, offset + length))
      assert.ok(part.subarray(length).every((token) => token === -1))
    }
    const mistakes = [
      [-1, 1],
      [0, -1],
      [tokens.length, 1],
      [0, 40],
      [0.5, 1],
    ] as const
    for (const [offset, length] of mistakes) {
      const read = file.read(offset, length, new Int32Array(33))
      const error = await read.catch((reason: unknown) => reason)
      assert.instance(error, RangeError)
    }
    await file.close()
  })
}

test('tokens outside the vocabulary are refused and leave nothing', async () => {
  rmSync(path, { force: true })
  for (const token of [-1, 7]) {
    const writer = await TokenWriter.create(path, 7)
    const error = await writer.write(Int32Array.of(0, token)).catch((reason: unknown) => reason)
    const expected = `RangeError: Expected an integer from 0 to 6 for a token, received ${token}`
    assert.match(String(error), expected)
    await writer.abort()
  }
  assert.equal(readdirSync(folder), [])
})

test('damaged files are refused', async () => {
  await write(Int32Array.of(1, 2, 3), 7)
  const valid = readFileSync(path)
  const changed = (change: (bytes: Buffer) => unknown) => {
    const bytes = Buffer.from(valid)
    change(bytes)
    return bytes
  }
  const cases: [Uint8Array, RegExp][] = [
    [Buffer.alloc(0), /64-byte header/],
    [valid.subarray(0, 63), /64-byte header/],
    [changed((b) => b.write('x')), /64-byte header/],
    [changed((b) => b.writeUInt32LE(2, 8)), /version is 2, expected 1/],
    [changed((b) => b.writeUInt32LE(3, 12)), /vocabulary of 7 does not go with 3 bytes/],
    [changed((b) => b.writeUInt32LE(0, 32)), /vocabulary of 0/],
    [changed((b) => b.writeUInt32LE(70_000, 32)), /vocabulary of 70000/],
    [changed((b) => b.writeBigUInt64LE(2n ** 64n - 1n, 16)), /70 bytes long, expected/],
    [changed((b) => b.writeBigUInt64LE(2n ** 63n, 24)), /bytes long/],
    [valid.subarray(0, -1), /69 bytes long, expected 70 for 3 tokens/],
    [Buffer.concat([valid, Buffer.alloc(2)]), /72 bytes long/],
  ]
  for (const [bytes, pattern] of cases) {
    writeFileSync(path, bytes)
    const error = (await TokenFile.open(path).catch((reason: unknown) => reason)) as GptloomError
    assert.is(error.code, 'ERR_FORMAT')
    assert.match(error.message, pattern)
  }
  writeFileSync(
    path,
    changed((b) => b.writeUInt16LE(7, 66)),
  )
  const file = await TokenFile.open(path)
  const read = file.read(1, 2, new Int32Array(2))
  const error = (await read.catch((reason: unknown) => reason)) as GptloomError
  assert.match(error.message, /token 1 is 7, expected 0 to 6/)
  await file.close()
  const none = TokenFile.open(join(folder, 'none'))
  const missing = (await none.catch((reason: unknown) => reason)) as GptloomError
  assert.is(missing.code, 'ERR_FILE')
})

test.run()
