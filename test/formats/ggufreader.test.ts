// GGUF files that lie. What a good one is: gguf.test.ts.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GptloomError } from '../../lib/errors.js'
import { openGguf } from '../../lib/formats/gguf.js'
import { writeGgufFile } from '../../lib/formats/ggufwriter.js'
import type { GgufField, GgufInput } from '../../lib/formats/ggufwriter.js'
import fc from '../properties.js'

const root = mkdtempSync(join(tmpdir(), 'gptloom-ggufreader-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const path = join(root, 'x.gguf')

const u32 = (n: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(n)
  return bytes
}
const u64 = (n: number | bigint) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(n))
  return bytes
}
const text = (s: string) => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)])
const value = (key: string, type: number, ...rest: Buffer[]) =>
  Buffer.concat([text(key), u32(type), ...rest])
const info = (name: string, sizes: (number | bigint)[], type: number, offset: number | bigint) =>
  Buffer.concat([
    text(name),
    u32(sizes.length),
    ...sizes.map((n) => u64(n)),
    u32(type),
    u64(offset),
  ])

/** A file of these parts, its counts as given or true. */
function pack(
  values: Buffer[],
  infos: Buffer[],
  data = 0,
  counts: (number | bigint)[] = [],
): Buffer {
  const head = [u32(0x46554747), u32(3), u64(counts[0] ?? infos.length)]
  const start = Buffer.concat([...head, u64(counts[1] ?? values.length), ...values, ...infos])
  return Buffer.concat([start, Buffer.alloc((32 - (start.length % 32)) % 32), Buffer.alloc(data)])
}

async function refusal(bytes: Uint8Array): Promise<string> {
  writeFileSync(path, bytes)
  const before = process.memoryUsage().rss
  const error = await openGguf(path).then(
    (file) => file.close(),
    (reason: unknown) => reason,
  )
  assert.instance(error, GptloomError, `expected a refusal, received ${error}`)
  assert.is((error as GptloomError).code, 'ERR_FORMAT')
  assert.ok(process.memoryUsage().rss - before < 100e6, 'little memory is taken')
  return (error as Error).message
}

test('damaged files are refused with what is wrong', async () => {
  const f32 = (name: string, n: number | bigint, offset: number | bigint = 0) =>
    info(name, [n], 0, offset)
  const nested = (depth: number): Buffer => {
    return depth === 0
      ? Buffer.concat([u32(0), u64(0)])
      : Buffer.concat([u32(9), u64(1), nested(depth - 1)])
  }
  const cases: [Buffer, RegExp][] = [
    [Buffer.alloc(0), /does not begin with GGUF/],
    [Buffer.from('GGUF'), /does not begin with GGUF/],
    [Buffer.from('GGML' + '\0'.repeat(40)), /does not begin with GGUF/],
    [Buffer.concat([Buffer.from('GGUF'), u32(1), u64(0), u64(0)]), /version 2 or 3.*received 1/],
    [Buffer.concat([Buffer.from('GGUF'), u32(0x3000000), u64(0), u64(0)]), /received 50331648/],
    [pack([], [], 0, [1e9, 0]), /claims 1000000000 tensors and 0 values/],
    [pack([], [], 0, [0, 2n ** 63n]), /claims 9223372036854775808 values/],
    [pack([], [], 0, [0, 1]), /cut off within its header/],
    [pack([], [], 0, [1, 0]), /cut off within its header/],
    [pack([value('a', 13)], []), /unknown type 13/],
    [pack([Buffer.concat([u64(1e12), Buffer.alloc(40)])], []), /cut off within its header/],
    [pack([value('a', 8, u64(2n ** 62n))], []), /claims 4611686018427387904 characters/],
    [pack([value('a', 9, u32(0), u64(2n ** 40n))], [], 100), /cut off within its header/],
    [pack([value('a', 9, nested(5))], []), /nested too deeply/],
    [pack([value('a', 9, u32(7), u64(5e6), Buffer.alloc(5e6))], []), /lists over 4194304 values/],
    [pack([value('a', 0, Buffer.of(1)), value('a', 0, Buffer.of(1))], []), /"a" stands twice/],
    [pack([value('general.alignment', 4, u32(0))], []), /alignment is 0/],
    [pack([value('general.alignment', 4, u32(33))], []), /alignment is 33/],
    [pack([value('general.alignment', 8, text('32'))], []), /alignment is "32"/],
    [pack([], [f32('a', 8), f32('a', 8, 32)], 64), /"a" stands twice/],
    [pack([], [f32('a', 9)], 32), /"a" ends at byte \d+ but the file at/],
    [pack([], [f32('a', 8, 32)], 32), /"a" ends at byte/],
    [pack([], [f32('a', 8, 4)], 64), /begins at 4, expected whole 32s/],
    [pack([], [f32('a', 16), f32('b', 8, 32)], 96), /"b" overlaps the one before it/],
    [pack([], [f32('a', 2n ** 60n)], 32), /claims 1152921504606846976 elements/],
    [pack([], [info('a', [2 ** 50, 2 ** 50, 2 ** 50, 2 ** 50], 0, 0)], 32), /ends at byte/],
    [pack([], [f32('a', 8, 2n ** 63n)], 32), /claims 9223372036854775808 bytes/],
    [pack([], [info('a', [1, 1, 1, 1, 1], 0, 0)], 32), /has 5 dimensions/],
    [pack([], [info('a', [2 ** 31], 0, 0)], 32), /ends at byte/],
    [pack([], [info('a', [32], 12, 0)], 512), /its type 12 cannot be read: expected F32/],
    [pack([], [info('a', [33], 8, 0)], 512), /33 elements are not whole blocks of 32/],
  ]
  for (const [bytes, pattern] of cases) assert.match(await refusal(bytes), pattern)
})

test('unusual and valid: no tensors, every type of value, a header over a megabyte', async () => {
  const numbers: [number, Buffer, unknown][] = [
    [0, Buffer.of(200), 200],
    [1, Buffer.of(200), -56],
    [2, Buffer.of(1, 200), 51201],
    [3, Buffer.of(1, 200), -14335],
    [4, u32(4e9), 4e9],
    [5, u32(4e9), 4e9 - 2 ** 32],
    [6, Buffer.from(Float32Array.of(1.5).buffer), 1.5],
    [7, Buffer.of(1), true],
    [8, text('é'), 'é'],
    [9, Buffer.concat([u32(9), u64(2), u32(0), u64(1), Buffer.of(7), u32(8), u64(0)]), [[7], []]],
    [10, u64(2n ** 60n + 1n), 2n ** 60n + 1n],
    [11, u64(2n ** 64n - 5n), -5],
    [12, Buffer.from(Float64Array.of(-0.1).buffer), -0.1],
  ]
  const many = Buffer.concat(Array.from({ length: 200_000 }, () => text('token')))
  const long = value('long', 9, u32(8), u64(200_000), many)
  const values = numbers.map(([type, bytes], i) => value(`k${i}`, type, bytes))
  writeFileSync(path, pack([...values, long], []))
  const file = await openGguf(path)
  for (const [i, [, , wanted]] of numbers.entries()) {
    assert.equal(file.metadata.get(`k${i}`), wanted, `k${i}`)
  }
  assert.is((file.metadata.get('long') as string[]).length, 200_000)
  assert.is(file.tensors.size, 0)
  const missing = await file.read('a').catch((error: Error) => error.message)
  assert.match(String(missing), /holds no tensor "a"/)
  await file.close()
})

test('random damage is refused or harmless', async () => {
  const metadata = new Map<string, GgufField>([
    ['general.architecture', { type: 'string', value: 'gpt2' }],
    ['tokens', { type: 'string[]', value: ['a', 'bc', ''] }],
    ['types', { type: 'i32[]', value: [1, 2, 3] }],
    ['n', { type: 'u32', value: 5 }],
  ])
  const types = ['f32', 'f16', 'bf16', 'q8_0'] as const
  const inputs = types.map((type, i): GgufInput => ({
    ...{ name: `t${i}`, type, shape: [2, 32] },
    data: () => new Float32Array(64).fill(i),
  }))
  await writeGgufFile(path, metadata, inputs)
  const good = readFileSync(path)
  const target = join(root, 'damaged.gguf')
  let opened = 0
  const edit = fc.record({
    at: fc.nat(good.length - 1),
    kind: fc.constantFrom('set', 'flip', 'flip', 'cut', 'drop'),
    value: fc.nat(255),
  })
  const damaged = fc.asyncProperty(
    fc.array(edit, { minLength: 1, maxLength: 3 }),
    async (edits) => {
      let bytes = Buffer.from(good)
      for (const { at, kind, value } of edits) {
        if (at >= bytes.length) continue
        if (kind === 'set') bytes[at] = value
        else if (kind === 'flip') bytes[at]! ^= 1 << (value & 7)
        else if (kind === 'cut' && value < 50) bytes = bytes.subarray(0, at)
        else if (kind === 'drop' && value < 99) {
          bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
        }
      }
      writeFileSync(target, bytes)
      try {
        const file = await openGguf(target)
        opened++
        for (const [name, { shape, offset, length }] of file.tensors) {
          assert.ok(offset + length <= bytes.length)
          assert.is(
            (await file.read(name)).length,
            shape.reduce((a, b) => a * b, 1),
          )
        }
        await file.close()
      } catch (error) {
        if (!(error instanceof GptloomError) || error.code !== 'ERR_FORMAT') throw error
      }
    },
  )
  await fc.assert(damaged, { numRuns: 800, seed: 5 })
  assert.ok(opened > 80 && opened < 790, `${opened} of 800 opened`)
})

test.run()
