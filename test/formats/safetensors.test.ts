import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GptloomError } from '../../lib/errors.js'
import { DTYPE_BYTES, halfToFloat } from '../../lib/formats/dtypes.js'
import { openSafetensors, writeSafetensors } from '../../lib/formats/safetensors.js'
import type { SafetensorsInput } from '../../lib/formats/safetensors.js'
import { Random } from '../../lib/random.js'

const GOLDEN = fileURLToPath(new URL('../fixtures/gpt2-golden.safetensors', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'gptloom-safetensors-'))
const path = join(folder, 'x.safetensors')
test.after(() => rmSync(folder, { recursive: true, force: true }))

function pack(header: unknown, data: Uint8Array = new Uint8Array(0), length?: bigint): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const start = Buffer.alloc(8)
  start.writeBigUInt64LE(length ?? BigInt(text.length))
  return Buffer.concat([start, text, data])
}

async function refusal(bytes: Uint8Array): Promise<string> {
  writeFileSync(path, bytes)
  const opened = openSafetensors(path)
  const error = await opened.then(
    (file) => file.close(),
    (reason: unknown) => reason,
  )
  assert.instance(error, GptloomError, `expected a refusal, received ${error}`)
  assert.is((error as GptloomError).code, 'ERR_FORMAT')
  assert.ok((error as GptloomError).message.includes(path))
  return (error as GptloomError).message
}

type Dtype = SafetensorsInput['dtype']
const input = (name: string, dtype: Dtype, shape: number[], data: ArrayBufferView) => ({
  name,
  dtype,
  shape,
  data: () => data,
})

test('reads a file that our writer did not make, bit for bit', async () => {
  const file = await openSafetensors(GOLDEN)
  const bytes = readFileSync(GOLDEN)
  const headerLength = Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  assert.is(file.tensors.size, Object.keys(header).length - 1)
  for (const [name, { dtype, shape }] of file.tensors) {
    const [begin, end] = header[name]!.data_offsets
    const data = await file.read(name)
    assert.is(data.constructor, dtype === 'F32' ? Float32Array : Int32Array)
    assert.equal(shape, header[name]!.shape)
    const raw = bytes.subarray(8 + headerLength + begin, 8 + headerLength + end)
    assert.ok(Buffer.from(data.buffer).equals(raw), name)
  }
  // As printed by gpt2-golden.py.
  assert.ok(Math.abs(Number((await file.read('loss'))[0]) - 5.020542216) < 1e-6)
  assert.equal(file.tensors.get('loss')!.shape, [])
  assert.is(file.metadata['heads'], '3')
  const missing = await file.read('nothing').catch((error: GptloomError) => error.message)
  assert.match(String(missing), /holds no tensor "nothing"/)
  await file.close()
})

test('written and read again: every type, empty and 0-d tensors, odd names', async () => {
  const f32 = Float32Array.of(1, -0, NaN, Infinity, 1e-45, -3.5, 2)
  const inputs = [
    input('bytes', 'U8', [3], Uint8Array.of(1, 2, 255)),
    input('floats', 'F32', [7, 1], f32),
    input('__proto__', 'I32', [], Int32Array.of(-7)),
    input('no "rows"\n', 'F32', [0, 5], new Float32Array(0)),
    input('long', 'I64', [2], BigInt64Array.of(-1n, 2n ** 62n)),
    input('größe/𝄞', 'BOOL', [1], Uint8Array.of(1)),
    input('', 'I8', [1, 1], Int8Array.of(-128)),
    input('double', 'F64', [2], Float64Array.of(1 / 3, 1e300)),
    input('half', 'F16', [3], Uint16Array.of(0x3c00, 0x3555, 0xfc00)),
    input('brain', 'BF16', [3], Uint16Array.of(0x3f80, 0xc2f7, 0x7fc1)),
    input('raw', 'F32', [1], new Uint8Array(Float32Array.of(9).buffer)),
    input('f8', 'F8_E4M3', [2], Uint8Array.of(0, 1)),
  ]
  await writeSafetensors(path, inputs, { who: 'me' })
  assert.is(readFileSync(path).readBigUInt64LE() % 8n, 0n, 'data is aligned')
  const file = await openSafetensors(path)
  assert.is(file.tensors.size, inputs.length)
  assert.equal({ ...file.metadata }, { who: 'me' })
  for (const { name, shape, dtype } of inputs) {
    const entry = file.tensors.get(name)!
    assert.equal(entry.shape, shape)
    assert.is(entry.offset % DTYPE_BYTES[dtype], 0, `${name} is aligned`)
  }
  assert.equal(await file.read('bytes'), Uint8Array.of(1, 2, 255))
  assert.equal(new Uint32Array((await file.read('floats')).buffer), new Uint32Array(f32.buffer))
  assert.equal(await file.read('__proto__'), Int32Array.of(-7))
  assert.equal(await file.read('no "rows"\n'), new Float32Array(0))
  assert.equal(await file.read('long'), BigInt64Array.of(-1n, 2n ** 62n))
  assert.equal(await file.read('größe/𝄞'), Uint8Array.of(1))
  assert.equal(await file.read(''), Int8Array.of(-128))
  assert.equal(await file.read('double'), Float32Array.of(1 / 3, Infinity))
  assert.equal(await file.read('half'), Float32Array.of(1, 0.333251953125, -Infinity))
  assert.is(String(await file.read('brain')), '1,-123.5,NaN')
  assert.equal(await file.read('raw'), Float32Array.of(9))
  const f8 = await file.read('f8').catch((error: GptloomError) => error.code)
  assert.is(f8, 'ERR_FORMAT')
  await file.close()
})

test('half floats: known values, and the order of all positive ones', () => {
  // IEEE 754-2008, binary16.
  const known = [
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0x3c01, 1 + 2 ** -10],
    [0xc000, -2],
    [0x7bff, 65504],
    [0x7c00, Infinity],
    [0x8000, -0],
  ] as const
  for (const [bits, value] of known) assert.ok(Object.is(halfToFloat(bits), value), String(value))
  assert.ok(Number.isNaN(halfToFloat(0x7c01)))
  for (let bits = 1; bits <= 0x7c00; bits++) assert.ok(halfToFloat(bits) > halfToFloat(bits - 1))
})

test('data is asked for one tensor at a time; mistakes leave nothing behind', async () => {
  const target = join(folder, 'one.safetensors')
  const order: string[] = []
  const lazy = (name: string) => ({
    name,
    dtype: 'F32' as const,
    shape: [2],
    data: async () => {
      order.push(name)
      return Float32Array.of(1, 2)
    },
  })
  await writeSafetensors(target, [lazy('b'), lazy('a')])
  assert.equal(order, ['b', 'a'])
  const before = readFileSync(target)
  const bad: [SafetensorsInput[], RegExp][] = [
    [[lazy('a'), lazy('a')], /Expected a name of its own for the tensor, received "a"/],
    [[lazy('__metadata__')], /a name of its own/],
    [
      [input('a', 'F32', [3], new Float32Array(2))],
      /Expected 12 bytes for the data of a, shape \[3\], received 8/,
    ],
    [
      [input('a', 'F32', [2], new Int32Array(2))],
      /Expected Float32Array or Uint8Array for the data of a/,
    ],
    [[input('a', 'F32', [-1], new Float32Array(0))], /shape of a/],
    [[input('a', 'F99' as 'F32', [1], new Float32Array(1))], /element type/],
    [[input('a', 'F32', [2 ** 40, 2 ** 40], new Float32Array(1))], /the size of the file/],
  ]
  for (const [inputs, pattern] of bad) {
    const error = await writeSafetensors(target, inputs).catch((reason: Error) => reason)
    assert.match(String(error), pattern)
  }
  assert.ok(readFileSync(target).equals(before))
  assert.equal(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [],
  )
})

test('hostile headers are refused by name', async () => {
  const f32 = (shape: unknown, range: unknown) => ({ dtype: 'F32', shape, data_offsets: range })
  const data = new Uint8Array(8)
  const cases: [Uint8Array, RegExp][] = [
    [Buffer.alloc(0), /it is 0 bytes long/],
    [Buffer.alloc(7), /it is 7 bytes long/],
    [Buffer.alloc(8), /header claims 0 bytes/],
    [pack('{}', data, 2n ** 63n), /header claims 9223372036854775808 bytes/],
    [pack('{}', data, 2n ** 64n - 1n), /header claims/],
    [pack('{}', undefined, 3n), /header claims 3 bytes, expected 2 to 2/],
    [pack('[]'), /must begin with \{/],
    [pack(' {}'), /must begin with \{/],
    [pack('{"a":}'), /header of .* is not valid JSON: line 1, column 6/],
    [pack('{"a\u0000":1}'), /not valid JSON/],
    [pack(Buffer.from([0x7b, 0xff, 0x7d]).toString('latin1')), /not valid JSON/],
    [pack({ a: null }), /tensor "a": expected an object/],
    [pack({ a: [] }), /tensor "a": expected an object/],
    [pack({ __metadata__: { a: 1 } }), /__metadata__": expected an object of strings/],
    [
      pack({ a: { ...f32([2], [0, 8]), dtype: 'F31' } }, data),
      /"a": expected one of .* for dtype, received "F31"/,
    ],
    [pack({ a: { ...f32([2], [0, 8]), dtype: 'toString' } }, data), /for dtype/],
    [pack({ a: f32([-2], [0, 8]) }, data), /"a": expected a list of integers of at least 0/],
    [pack({ a: f32([1.5], [0, 8]) }, data), /for shape/],
    [pack({ a: f32('2', [0, 8]) }, data), /for shape/],
    [pack('{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,8]}}', data), /for shape/],
    [pack({ a: f32([2 ** 32, 2 ** 32, 2], [0, 8]) }, data), /"a": expected 1475\d{17} bytes/],
    [pack({ a: f32([2], [0, 8, 8]) }, data), /two integers/],
    [pack({ a: f32([2], [-8, 0]) }, data), /two integers/],
    [pack({ a: f32([2], [8, 0]) }, data), /in order and inside the data \(8 bytes\)/],
    [pack({ a: f32([3], [0, 12]) }, data), /inside the data/],
    [pack({ a: f32([3], [0, 8]) }, data), /expected 12 bytes for F32 of shape \[3\], received 8/],
    [pack({ a: f32([1], [0, 4]) }, data), /tensors end at byte \d+ but the file at \d+/],
    [pack({ a: f32([1], [4, 8]) }, data), /"a": it begins at 4 and leaves a gap .* expected 0/],
    [pack({ a: f32([2], [0, 8]), b: f32([1], [4, 8]) }, data), /"b": it begins at 4 and overlaps/],
    [pack({ a: f32([2], [0, 8]), b: f32([2], [0, 8]) }, data), /overlaps/],
    [
      pack(
        '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},' +
          '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      ),
      /the name "a" stands twice/,
    ],
    [Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\n'), /Git LFS pointer/],
    [Buffer.from('PK\x03\x04abcdefghijkl'), /PyTorch archive/],
    [readFileSync(GOLDEN).subarray(0, -1), /inside the data/],
    [Buffer.concat([readFileSync(GOLDEN), Buffer.alloc(1)]), /but the file at/],
  ]
  for (const [bytes, pattern] of cases) assert.match(await refusal(bytes), pattern)
})

test('unusual and valid: no tensors, padding, unaligned data, the name __proto__', async () => {
  const header =
    '{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
    '"e":{"dtype":"F32","shape":[0,9007199254740991,9],"data_offsets":[0,0],"more":1}}     '
  writeFileSync(path, pack(header, new Uint8Array(Float32Array.of(2.5).buffer)))
  const file = await openSafetensors(path)
  assert.equal([...file.tensors.keys()], ['__proto__', 'e'])
  assert.equal(await file.read('__proto__'), Float32Array.of(2.5))
  assert.is((await file.read('e')).length, 0)
  await file.close()
  writeFileSync(path, pack('{}'))
  const empty = await openSafetensors(path)
  assert.is(empty.tensors.size, 0)
  await empty.close()
})

test('missing files and folders', async () => {
  const cases = [
    [join(folder, 'no'), /no such file/],
    [folder, /not a regular/],
  ] as const
  for (const [place, pattern] of cases) {
    const error = (await openSafetensors(place).catch((reason: unknown) => reason)) as GptloomError
    assert.is(error.code, 'ERR_FILE')
    assert.match(error.message, pattern)
  }
})

test('a file that shrinks while it is open', async () => {
  await writeSafetensors(path, [input('a', 'F32', [100], new Float32Array(100))])
  const file = await openSafetensors(path)
  writeFileSync(path, readFileSync(path).subarray(0, 200))
  const error = (await file.read('a').catch((reason: GptloomError) => reason)) as GptloomError
  assert.match(error.message, /"a": the file became shorter meanwhile/)
  await file.close()
})

test('beyond 4 GB, on a sparse file', async () => {
  const large = join(folder, 'large.safetensors')
  const hole = 4.5 * 2 ** 30 + 3
  const header = Buffer.from(
    JSON.stringify({
      hole: { dtype: 'U8', shape: [hole], data_offsets: [0, hole] },
      last: { dtype: 'BF16', shape: [3], data_offsets: [hole, hole + 6] },
    }),
  )
  const file = openSync(large, 'w')
  writeSync(file, pack(header.toString()))
  writeSync(file, Uint8Array.of(0x80, 0x3f, 0, 0x40, 0x40, 0x40), 0, 6, 8 + header.length + hole)
  ftruncateSync(file, 8 + header.length + hole + 6)
  closeSync(file)
  const opened = await openSafetensors(large)
  assert.equal(await opened.read('last'), Float32Array.of(1, 2, 3))
  await opened.close()
  rmSync(large)
})

test('random damage is refused or harmless', async () => {
  const random = new Random(11)
  const inputs = [
    input('w', 'F32', [5, 3], new Float32Array(15)),
    input('i', 'I64', [3], new BigInt64Array(3)),
    input('h', 'BF16', [7], new Uint16Array(7)),
    input('e', 'F16', [0], new Uint16Array(0)),
  ]
  await writeSafetensors(path, inputs, { format: 'pt' })
  const valid = readFileSync(path)
  const headerEnd = 8 + Number(valid.readBigUInt64LE())
  const marks = '0123456789-[]{}",:eE. '
  const target = join(folder, 'fuzz.safetensors')
  let opened = 0
  for (let round = 0; round < 3000; round++) {
    let bytes = Buffer.from(valid)
    for (let edits = 1 + random.integer(3); edits > 0; edits--) {
      const at = random.integer(random.integer(4) ? headerEnd : bytes.length)
      const kind = random.integer(5)
      if (kind === 0) bytes[at % bytes.length] = random.integer(256)
      else if (kind === 1) bytes[at % bytes.length]! ^= 1 << random.integer(8)
      else if (kind === 4 && random.integer(4) === 0) bytes = bytes.subarray(0, at)
      else if (bytes.length > 8) {
        // Mostly digit for digit: still JSON, with other shapes and ranges.
        let place = 8 + random.integer(Math.min(headerEnd, bytes.length) - 8)
        const digits = random.integer(4) > 0
        while (digits && place > 8 && !/\d/.test(String.fromCharCode(bytes[place]!))) place--
        bytes[place] = marks.charCodeAt(random.integer(digits ? 10 : marks.length))
      }
      if (bytes.length === 0) break
    }
    writeFileSync(target, bytes)
    try {
      const file = await openSafetensors(target)
      opened++
      for (const [name, { offset, length, shape, dtype }] of file.tensors) {
        assert.ok(offset >= headerEnd - 8 && length >= 0 && offset + length <= bytes.length)
        const elements = shape.reduce((a, b) => a * b, 1)
        assert.is(elements * DTYPE_BYTES[dtype], length)
        const data = dtype.startsWith('F8') ? null : await file.read(name)
        if (data) assert.is(data.length, elements)
      }
      await file.close()
    } catch (error) {
      if (!(error instanceof GptloomError) || error.code !== 'ERR_FORMAT') throw error
    }
  }
  assert.ok(opened > 50 && opened < 2900, `${opened} of 3000 opened`)
})

test.run()
