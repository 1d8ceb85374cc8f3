// Hostile checkpoints: pickles that want to run something, archives and pickles that lie.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GptloomError } from '../../lib/errors.js'
import { PickleError, PickleGlobal, readPickle } from '../../lib/formats/pickle.js'
import type { PickleOptions } from '../../lib/formats/pickle.js'
import { openPytorch, readPickleFile } from '../../lib/formats/pytorch.js'
import { zip } from './zip.js'
import fc from '../properties.js'

const fixtures = fileURLToPath(new URL('../fixtures/checkpoints', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'gptloom-pytorch-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const path = join(root, 'x.bin')

const options: PickleOptions = {
  find: (name) => (name === 'a.f' ? (...args) => args.length : undefined),
  persistent: (id) => ['stored', id],
}
const pickle = (bytes: string) => readPickle(Buffer.from(bytes, 'latin1'), options)

async function refusal(bytes: Uint8Array): Promise<string> {
  writeFileSync(path, bytes)
  const error = await openPytorch(path).then(
    (file) => file.close(),
    (reason: unknown) => reason,
  )
  assert.instance(error, GptloomError, `expected a refusal, received ${error}`)
  assert.is((error as GptloomError).code, 'ERR_FORMAT')
  assert.ok((error as Error).message.includes(path))
  return (error as Error).message
}

test('values as Python writes them in every protocol', () => {
  // pickle.dumps(value, 2) and (value, 4) of CPython 3.11, where value is
  // {'a': [1, -2, 300, 70000, 2**40, -2**70], 'b': (None, True, 1.5, 'é')}, and in the second also
  // 'c': {1, 2}, 'd': b'xy'.
  const list = [1, -2, 300, 70000, 2 ** 40, -(2n ** 70n)]
  const second =
    '80027d71002858010000006171015d7102284b014afeffffff4d2c014a701101008a060000000000018a0900' +
    '00000000000000c0655801000000627103284e88473ff80000000000005802000000c3a97104747105752e'
  const two = map(Buffer.from(second, 'hex'))
  assert.equal(
    [...two],
    [
      ['a', list],
      ['b', [null, true, 1.5, 'é']],
    ],
  )
  const fourth =
    '8004955b000000000000007d94288c0161945d94284b014afeffffff4d2c014a701101008a060000000000018a' +
    '090000000000000000c0658c016294284e88473ff80000000000008c02c3a99474948c0163948f94284b014b02' +
    '908c0164944302787994752e'
  const four = map(Buffer.from(fourth, 'hex'))
  assert.equal(four.get('a'), list)
  assert.equal(four.get('b'), [null, true, 1.5, 'é'])
  assert.equal([...(four.get('c') as Set<number>)], [1, 2])
  assert.is(Buffer.from(four.get('d') as Buffer).toString(), 'xy')
  // Protocol 0, by hand from the documentation of its opcodes.
  const zero = map(Buffer.from('(dp0\nI1\nI01\nsI2\n(lp1\nL12L\nas.'))
  assert.equal(
    [...zero],
    [
      [1, true],
      [2, [12]],
    ],
  )
})

function map(bytes: Buffer): Map<unknown, unknown> {
  return readPickle(bytes, options).value as Map<unknown, unknown>
}

test('functions are only those of the table, and only called', () => {
  assert.is(pickle('ca\nf\n(I1\nI2\ntR.').value, 2)
  assert.instance(pickle('ca\nf\n.').value, PickleGlobal)
  assert.equal(pickle('I7\nQ.').value, ['stored', 7])
  for (const [bytes, pattern] of [
    ['cposix\nsystem\n(X\x02\x00\x00\x00idtR.', /asks for posix\.system, which tensors do not/],
    ['cbuiltins\neval\n.', /builtins\.eval/],
    ['c__main__\nconstructor\n.', /__main__\.constructor/],
    ['cObject\n__proto__\n.', /Object\.__proto__/],
    ['\x8c\x02os\x8c\x06system\x93.', /os\.system/],
    ['I1\nI2\n\x93.', /names a function by something that is no text/],
    ['I1\n)R.', /no sound pickle/],
    ['ca\nf\nI1\nR.', /no sound pickle/],
    ['(i', /opcode 105 is not known/],
    ['\x82\x01.', /opcode 130 is not known/],
    ['\x98.', /opcode 152 is not known/],
    ['ca\nf\n)R}b.', /no sound pickle/],
  ] as const) {
    try {
      pickle(bytes)
      assert.unreachable(bytes)
    } catch (error) {
      assert.instance(error, PickleError)
      assert.match((error as Error).message, pattern)
    }
  }
})

test('pickles that lie about themselves are refused, in little memory', () => {
  const many = (text: string, count: number) => text.repeat(count)
  for (const [bytes, pattern] of [
    ['', /cut off/],
    ['.', /no sound pickle/],
    ['X\xff\xff\xff\xffa.', /cut off/],
    ['\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.', /cut off/],
    ['\x8b\xff\xff\xff\x7f.', /cut off/],
    ['\x8b\x00\x10\x00\x00' + many('a', 4096) + '.', /an integer is too long/],
    ['I1e5\n.', /an integer is not one/],
    ['I9999999999999999\n.', /an integer is not one/],
    ['h\x05.', /no sound pickle/],
    ['t.', /no sound pickle/],
    ['(.', /no sound pickle/],
    ['(q\x01.', /no sound pickle/],
    ['(0.', /no sound pickle/],
    ['I1\nI2\ns.', /no sound pickle/],
    ['}(I1\nu.', /no sound pickle/],
    ['I1\na.', /no sound pickle/],
    ['ca\nf\n(' + many('N', 65) + 'tR.', /no sound pickle/],
    [many('}', 600_000) + '.', /more than 524288 objects/],
    [many('N0', 2_200_000) + '.', /more than 4194304 instructions/],
  ] as const) {
    const before = process.memoryUsage().rss
    try {
      pickle(bytes)
      assert.unreachable(bytes.slice(0, 20))
    } catch (error) {
      assert.instance(error, PickleError)
      assert.match((error as Error).message, pattern)
    }
    assert.ok(process.memoryUsage().rss - before < 400e6)
  }
})

test('random opcodes are values or refusals', () => {
  const opcode = fc.constantFrom(
    ...[...'().012BCGIJKLMNQRTUXabcdeghjlpqrstu}]'].map((letter) => letter.charCodeAt(0)),
    ...[0x80, 0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x8d, 0x8f, 0x90, 0x93, 0x94, 0x95],
  )
  const bytes = fc.array(fc.oneof({ weight: 5, arbitrary: opcode }, fc.nat(255)), {
    maxLength: 60,
  })
  let values = 0
  fc.assert(
    fc.property(bytes, (list) => {
      try {
        readPickle(Uint8Array.from([...list, 0x2e]), options)
        values++
      } catch (error) {
        assert.instance(error, PickleError, String(error))
      }
    }),
    { numRuns: 20_000, seed: 7 },
  )
  assert.ok(values > 100, `${values} were values`)
})

// torch.save's pickle of {'w': a tensor of two float32} with the parts that matter left open.
function state({ type = 'FloatStorage', numel = 2, offset = 0, size = [2], stride = [1] } = {}) {
  const int = (n: number) => `J${String.fromCharCode(...[0, 8, 16, 24].map((s) => (n >> s) & 255))}`
  const tuple = (list: number[]) => `(${list.map(int).join('')}t`
  const text = (s: string) => `X${String.fromCharCode(s.length)}\0\0\0${s}`
  return Buffer.from(
    `\x80\x02}${text('w')}ctorch._utils\n_rebuild_tensor_v2\n(` +
      `(${text('storage')}ctorch\n${type}\n${text('0')}${text('cpu')}${int(numel)}tQ` +
      `${int(offset)}${tuple(size)}${tuple(stride)}\x89ccollections\nOrderedDict\n)RtRs.`,
    'latin1',
  )
}
const floats = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer)
const archive = (change: Parameters<typeof state>[0] = {}, data = floats.subarray(0, 8)) =>
  zip({ 'a/data.pkl': state(change), 'a/data/0': data, 'a/version': '3\n' })

test('tensors by strides, and what they may not reach', async () => {
  const read = async (change: Parameters<typeof state>[0], data = floats) => {
    writeFileSync(path, archive({ numel: data.length / 4, ...change }, data))
    const file = await openPytorch(path)
    try {
      return [...((await file.read('w')) as Float32Array)]
    } finally {
      await file.close()
    }
  }
  assert.equal(await read({}), [1, 2])
  assert.equal(await read({ offset: 4 }), [5, 6])
  assert.equal(await read({ size: [2, 3], stride: [3, 1] }), [1, 2, 3, 4, 5, 6])
  assert.equal(await read({ size: [3, 2], stride: [1, 3] }), [1, 4, 2, 5, 3, 6])
  assert.equal(await read({ size: [2, 2], stride: [3, 2], offset: 0 }), [1, 3, 4, 6])
  assert.equal(await read({ size: [1, 6], stride: [99, 1] }), [1, 2, 3, 4, 5, 6])
  assert.equal(await read({ size: [0, 7], stride: [7, 1] }), [])
  assert.equal(await read({ size: [], stride: [] }), [1])
  for (const change of [
    { offset: 1 },
    { size: [3] },
    { size: [2, 2], stride: [1, 2] },
    { size: [2], stride: [2] },
    { size: [1 << 30, 1 << 30, 1 << 30], stride: [0, 0, 0] },
    { size: [1 << 30], stride: [0] },
  ]) {
    assert.match(await refusal(archive(change)), /tensor "w": shape .* reaches beyond its storage/)
  }
  assert.match(await refusal(archive({ offset: -1 })), /its shape is damaged/)
  assert.match(await refusal(archive({ size: [-1] })), /its shape is damaged/)
  assert.match(await refusal(archive({ size: [2, 1] })), /its shape is damaged/)
  assert.match(await refusal(archive({ stride: [-1] })), /its shape is damaged/)
  assert.match(await refusal(archive({ numel: -2 })), /refers to something that is no storage/)
  assert.match(await refusal(archive({ numel: 3 })), /"0" has 8 bytes, expected 12/)
  assert.match(await refusal(archive({ type: 'DoubleStorage' })), /has 8 bytes, expected 16/)
  assert.match(await refusal(archive({ type: 'Size' })), /"0" is of an unknown type/)
  assert.match(await refusal(archive({ type: 'load' })), /asks for torch\.load/)
})

test('archives that lie are refused', async () => {
  const good = archive()
  const end = good.length - 22
  const directory = good.readUInt32LE(end + 16)
  const edit = (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(good)
    change(bytes)
    return bytes
  }
  const cases: [Buffer, RegExp][] = [
    [good.subarray(0, -1), /no directory/],
    [good.subarray(0, 100), /no directory/],
    [edit((b) => b.writeUInt32LE(0xfffffff0, end + 16)), /points beyond the end/],
    [edit((b) => b.writeUInt32LE(0xfffffff0, end + 12)), /directory claims|beyond the end/],
    [edit((b) => b.writeUInt16LE(9, end + 10)), /claims 9 files and lists 3/],
    [edit((b) => b.writeUInt32LE(0, directory)), /directory is damaged/],
    [edit((b) => b.writeUInt16LE(8, directory + 10)), /"a\/data\.pkl" is compressed/],
    [edit((b) => b.writeUInt32LE(7, directory + 20)), /claims two sizes/],
    [edit((b) => b.writeUInt32LE(5, directory + 42)), /is not where the directory says/],
    [edit((b) => b.writeUInt32LE(0xffffffff, directory + 24)), /no zip64 size/],
    [edit((b) => b.writeUInt16LE(60000, directory + 28)), /directory is damaged/],
    [
      edit((b) => {
        b.writeUInt32LE(1e6, directory + 20)
        b.writeUInt32LE(1e6, directory + 24)
      }),
      /is cut off/,
    ],
    [zip({ 'a/data.pkl': state() }), /the storage "0" is missing/],
    [zip({ 'a/other': 'x' }), /holds no data\.pkl/],
    [zip({ 'a/code/__torch__.py': 'x' }), /a TorchScript program/],
    [zip({ 'a/data.pkl': 'N.' }), /no dict of tensors/],
    [zip({ 'a/data.pkl': '}.' }), /no dict of tensors/],
    [
      zip({ 'a/data.pkl': state(), 'a/data/0': floats.subarray(0, 8), 'a/byteorder': 'big' }),
      /"big"/,
    ],
  ]
  for (const [bytes, pattern] of cases) assert.match(await refusal(bytes), pattern)
  // Two entries over the same bytes.
  const twice = edit((b) => {
    const second = directory + 46 + 'a/data.pkl'.length
    b.writeUInt32LE(b.readUInt32LE(directory + 42), second + 42)
  })
  assert.match(await refusal(twice), /overlaps|stands twice|cut off/)
})

test('nothing that a file asks for is run', async () => {
  const mark = join(root, 'ran')
  const evil = Buffer.from(
    `cos\nsystem\n(X${String.fromCharCode(mark.length + 6)}\0\0\0touch ${mark}tR.`,
  )
  assert.match(await refusal(zip({ 'a/data.pkl': evil })), /asks for os\.system/)
  assert.match(await refusal(Buffer.concat([Buffer.from([0x80, 2]), evil])), /os\.system/)
  writeFileSync(path, evil)
  const error = await readPickleFile(path).catch((reason: unknown) => reason)
  assert.match((error as Error).message, /os\.system/)
  assert.not.ok(existsSync(mark))
})

test('the older layout, cut and changed', async () => {
  const good = readFileSync(join(fixtures, 'gpt2-legacy/pytorch_model.bin'))
  assert.match(await refusal(good.subarray(0, -1)), /is cut off/)
  assert.match(await refusal(good.subarray(0, 500)), /cut off/)
  const other = Buffer.from(good)
  other[8]! ^= 1
  assert.match(await refusal(other), /not one of torch\.save/)
})

for (const name of [
  'gpt2-legacy/pytorch_model.bin',
  'gpt2-variant/pytorch_model.bin',
  'nanogpt/ckpt.pt',
]) {
  test(`random damage to ${name} is refused or harmless`, async () => {
    const good = readFileSync(join(fixtures, name))
    const zipped = good.readUInt32LE() === 0x04034b50
    const soft = zipped ? [0, 3000, good.length - 4000, good.length] : [0, 4000]
    const place = fc.nat(soft.at(-1)! - soft.at(-2)! + soft[1]!).map((at) => {
      return at < soft[1]! ? at : soft.at(-2)! + at - soft[1]!
    })
    const edit = fc.record({
      at: place,
      kind: fc.constantFrom('set', 'flip', 'cut', 'drop'),
      value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 255, 0x2e, 0x52, 0x7d, 0x28)),
    })
    let opened = 0
    const damaged = fc.asyncProperty(
      fc.array(edit, { minLength: 1, maxLength: 3 }),
      async (edits) => {
        let bytes = Buffer.from(good)
        for (const { at, kind, value } of edits) {
          if (at >= bytes.length) continue
          if (kind === 'set') bytes[at] = value
          else if (kind === 'flip') bytes[at]! ^= 1 << (value & 7)
          else if (kind === 'cut' && value < 20) bytes = bytes.subarray(0, at)
          else if (kind === 'drop' && value < 60) {
            bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
          }
        }
        writeFileSync(path, bytes)
        try {
          const file = await openPytorch(path)
          opened++
          for (const [tensor, { shape }] of file.tensors) {
            const data = await file.read(tensor)
            assert.is(
              data.length,
              shape.reduce((a, b) => a * b, 1),
            )
          }
          await file.close()
        } catch (error) {
          if (!(error instanceof GptloomError) || error.code !== 'ERR_FORMAT') throw error
        }
      },
    )
    await fc.assert(damaged, { numRuns: 250, seed: 3 })
    assert.ok(opened > 10 && opened < 245, `${opened} of 250 opened`)
  })
}

test.run()
