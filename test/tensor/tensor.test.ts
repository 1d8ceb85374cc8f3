import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { show } from '../../lib/errors.js'
import {
  add,
  attention,
  attentionCached,
  cpu,
  crossEntropy,
  dropout,
  embedding,
  gelu,
  layerNorm,
  linearCrossEntropy,
  matmul,
} from '../../lib/tensor/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { sameBits } from '../../lib/testing/index.js'
import { failure } from './devices.js'

const device = cpu()
const floats = (...shape: number[]) => device.zeros(shape)
const integers = (...shape: number[]) =>
  device.tensor(new Int32Array(shape.reduce((a, b) => a * b, 1)), shape)

test('holds a copy of the values it was made from', async () => {
  const source = new Float32Array([1, 2, 3, 4, 5, 6])
  const x = device.tensor(source, [2, 3])
  source.fill(0)
  assert.equal(x.shape, [2, 3])
  assert.is(x.size, 6)
  assert.is(x.dtype, 'float32')
  assert.is(x.device, device)
  assert.equal(await x.data(), new Float32Array([1, 2, 3, 4, 5, 6]))
  assert.equal(await device.tensor([1, 2.5]).data(), new Float32Array([1, 2.5]))
})

test('keeps every bit of float32, and reads parts of a buffer', async () => {
  const odd = new Float32Array([NaN, Infinity, -Infinity, -0, 1e-45, 3.4028234663852886e38])
  sameBits(await device.tensor(odd).data(), odd, 'odd values')
  const part = new Float32Array([9, 1, 2, 9]).subarray(1, 3)
  assert.equal(await device.tensor(part).data(), new Float32Array([1, 2]))
})

test('int32 comes back as int32', async () => {
  const values = new Int32Array([0, -1, 2 ** 31 - 1, -(2 ** 31)])
  const x = device.tensor(values, [2, 2])
  assert.is(x.dtype, 'int32')
  assert.equal(await x.data(), values)
  const written = device.empty([3], 'int32').write(new Int32Array([3, 2, 1]))
  assert.equal(await written.data(), new Int32Array([3, 2, 1]))
})

test('scalars and empty tensors', async () => {
  assert.is(await device.tensor([7], []).item(), 7)
  assert.is(await device.full([1, 1], 3).item(), 3)
  assert.equal(await floats(0, 5).data(), new Float32Array(0))
  const error = await failure(() => floats(2).item())
  assert.is(error!.message, 'Expected one element for item(), received "shape [2]"')
})

test('write() replaces the values, after the ops before it', async () => {
  const x = device.full([2], 1)
  const sum = add(x, x)
  const values = new Float32Array([5, 6])
  x.write(values)
  values.fill(0)
  const later = add(x, x)
  assert.equal(await sum.data(), new Float32Array([2, 2]))
  assert.equal(await later.data(), new Float32Array([10, 12]))
})

test('write() wants the type and count of the tensor', async () => {
  const error = await failure(() => floats(2, 3).write(new Float32Array(5)))
  assert.instance(error, RangeError)
  assert.is(error!.message, 'Expected 6 values for shape [2, 3] for values, received 5')
  assert.instance(await failure(() => floats(2).write(new Int32Array(2))), TypeError)
  assert.instance(await failure(() => integers(2).write(new Float32Array(2))), TypeError)
  assert.instance(
    await failure(() => floats(2).write([1, 2] as unknown as Float32Array)),
    TypeError,
  )
  assert.instance(await failure(() => device.tensor([1, 2, 3], [2])), RangeError)
  assert.instance(await failure(() => device.tensor(new Float64Array(2) as never)), TypeError)
})

test('share() is the memory of the tensor: no copy in, none out', async () => {
  const x = floats(3, 4)
  await device.idle()
  const values = x.share()
  assert.instance(values, Float32Array)
  assert.is(values.length, 12)
  assert.is(x.share(), values)
  values.set([...values.keys()])
  assert.equal(await add(x, x).data(), new Float32Array([...values.keys()].map((i) => 2 * i)))
  x.write(new Float32Array(12).fill(7))
  await device.idle()
  assert.equal(values, new Float32Array(12).fill(7))
  // A part of the same memory.
  const row = x.rows(1, 2).share()
  row.fill(1)
  assert.equal([...values], [7, 7, 7, 7, 1, 1, 1, 1, 7, 7, 7, 7])
  const whole = integers(2).share()
  assert.instance(whole, Int32Array)
  assert.is(floats(0, 3).share().length, 0)
})

test('what share() gave keeps its memory, whatever becomes of the tensor', async () => {
  const own = cpu({ threads: 1 })
  const kept = (() => {
    const x = own.full([1000], 3)
    const values = x.share()
    x.dispose()
    return values
  })()
  assert.ok(own.memory().used >= 4000)
  for (let i = 0; i < 10; i++) own.full([1000], NaN).dispose()
  await own.idle()
  own.close()
  assert.ok(kept.every((value) => value === 3))
  const other = cpu({ threads: 1 })
  void (() => other.zeros([1000]).share())()
  for (let i = 0; i < 5; i++) {
    ;(globalThis as unknown as { gc: () => void }).gc()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  assert.is(other.memory().used, 0)
})

test('share() says of what it cannot be had', () => {
  const message = /^Expected float32 or int32 on the CPU for share\(\), received "bfloat16 on cpu"/
  assert.throws(() => device.empty([2], 'bfloat16').share(), message)
  const x = floats(2)
  x.dispose()
  assert.throws(() => x.share(), /after dispose/)
})

test('view() and rows() share the values', async () => {
  const x = device.tensor([1, 2, 3, 4, 5, 6], [3, 2])
  const view = x.view([6])
  const rows = x.rows(1, 3)
  assert.equal(rows.shape, [2, 2])
  assert.equal(await rows.data(), new Float32Array([3, 4, 5, 6]))
  rows.write(new Float32Array([30, 40, 50, 60]))
  assert.equal(await view.data(), new Float32Array([1, 2, 30, 40, 50, 60]))
  x.dispose()
  assert.equal(await view.data(), new Float32Array([1, 2, 30, 40, 50, 60]))
  assert.equal(await rows.view([4]).rows(1, 2).data(), new Float32Array([40]))
  assert.equal(await view.rows(2, 2).data(), new Float32Array(0))
})

test('view() and rows() stay within the tensor', async () => {
  const x = floats(3, 2)
  const error = await failure(() => x.view([7]))
  assert.is(error!.message, 'Expected a shape of 6 elements for view(), received "[7]"')
  for (const [begin, end] of [
    [-1, 2],
    [2, 1],
    [0, 4],
    [0.5, 1],
    [NaN, 1],
    [0, Infinity],
  ]) {
    assert.instance(
      await failure(() => x.rows(begin!, end!)),
      RangeError,
      `rows ${begin} to ${end}`,
    )
  }
  for (const shape of [
    [-2, -3],
    [0.5, 12],
    [1, 1, 1, 1, 1, 1, 6],
  ]) {
    assert.ok((await failure(() => x.view(shape))) instanceof Error, `view of ${shape}`)
  }
})

test('a disposed tensor says so', async () => {
  const x = floats(2, 3)
  const other = floats(2, 3)
  x.dispose()
  x.dispose()
  assert.ok(x.disposed)
  const uses = [
    () => x.data(),
    () => x.write(new Float32Array(6)),
    () => x.view([6]),
    () => add(x, other),
    () => add(other, x),
  ]
  for (const use of uses) {
    const error = await failure(use)
    assert.is(error?.code, 'ERR_DISPOSED')
    assert.is(error!.message, 'A tensor of [2, 3] was used after dispose()')
    assert.is(error!.name, 'GptloomError')
  }
})

test('dispose() waits for no queued op and spoils none', async () => {
  const x = device.normal([1000, 1000], { seed: 1 })
  const product = matmul(x, x)
  const copy = add(product, product)
  const expected = await copy.data()
  const again = matmul(x, x)
  const doubled = add(again, again)
  const values = doubled.data()
  again.dispose()
  x.dispose()
  doubled.dispose()
  for (let i = 0; i < 4; i++) device.full([1000, 1000], NaN) // would take the blocks that were given back
  sameBits(await values, expected, 'values read while disposing')
})

test('using disposes, and the gradient goes with its tensor', () => {
  const outer = floats(1)
  {
    using x = floats(2)
    x.requiresGrad = true
    x.grad = outer
    assert.not(x.disposed)
  }
  assert.ok(outer.disposed)
})

test('ops refuse shapes that do not fit, before anything runs', async () => {
  const calls: [() => unknown, string][] = [
    [
      () => add(floats(2, 3), floats(3, 2)),
      'Expected a float32 tensor [2, 3] for b, received "float32 [3, 2]"',
    ],
    [
      () => add(integers(2), integers(2)),
      'Expected a float32 tensor [..., C] for a, received "int32 [2]"',
    ],
    [
      () => gelu(device.tensor([1], [])),
      'Expected a float32 tensor [..., C] for x, received "float32 []"',
    ],
    [
      () => matmul(floats(2, 3), floats(4, 5)),
      'Expected K = 3 in b, as in a [2, 3] for matmul(), received "b [4, 5]"',
    ],
    [
      () => matmul(floats(1, 2, 3), floats(3, 2), { transposeA: true }),
      'Expected a float32 tensor [K, M] for a, received "float32 [1, 2, 3]"',
    ],
    [
      () => matmul(floats(2, 3), floats(3, 4), { bias: floats(3) }),
      'Expected a float32 tensor [4] for bias, received "float32 [3]"',
    ],
    [
      () => matmul(floats(2, 3), floats(3, 4), { residual: floats(4, 2) }),
      'Expected a float32 tensor [2, 4] for residual, received "float32 [4, 2]"',
    ],
    [
      () => layerNorm(floats(2, 3), floats(2)),
      'Expected a float32 tensor [3] for weight, received "float32 [2]"',
    ],
    [
      () => layerNorm(floats(2, 3), floats(3), floats(1)),
      'Expected a float32 tensor [3] for bias, received "float32 [1]"',
    ],
    [
      () => embedding(floats(2, 3), floats(5, 4)),
      'Expected a int32 tensor [B, T] for tokens, received "float32 [2, 3]"',
    ],
    [
      () => embedding(integers(2, 3), floats(5, 4), { positions: floats(2, 4) }),
      'Expected at most 2 positions for embedding(), received 3',
    ],
    [
      () => embedding(integers(2, 3), floats(5, 4), { starts: integers(2, 2) }),
      'Expected a int32 tensor [2, 3] for starts, received "int32 [2, 2]"',
    ],
    [
      () => embedding(integers(2, 3), floats(5, 4), { past: -1 }),
      'Expected an integer of at least 0 for past, received -1',
    ],
    [
      () => attention(floats(1, 2, 10), 1),
      'Expected 3 x 1 heads x D channels for qkv, received 10',
    ],
    [
      () => attention(floats(1, 2, 12), 0),
      'Expected an integer of at least 1 for heads, received 0',
    ],
    [
      () => attention(floats(1, 2, 12), 2, { dropout: { p: 1, seed: 0, stream: 0 } }),
      'Expected a number from 0 to 0.999 for dropout.p, received 1',
    ],
    [
      () => attentionCached(floats(1, 2, 6), floats(1, 2, 4, 1), floats(1, 2, 4, 1), 2, 3),
      'Expected at most 4 positions in the cache for past, received 5',
    ],
    [
      () => crossEntropy(floats(2, 3), integers(3)),
      'Expected a int32 tensor [2] for targets, received "int32 [3]"',
    ],
    [
      () => linearCrossEntropy(floats(2, 3), floats(5, 4), integers(2)),
      'Expected a float32 tensor [V, 3] for weight, received "float32 [5, 4]"',
    ],
    [
      () => dropout(floats(2), { p: -0.1, seed: 0, stream: 0 }),
      'Expected a number from 0 to 0.999 for p, received -0.1',
    ],
    [
      () => dropout(floats(2), { p: 0.1, seed: 0.5, stream: 0 }),
      'Expected an integer of at least 0 for seed, received 0.5',
    ],
  ]
  for (const [call, message] of calls) {
    const error = await failure(call)
    assert.instance(error, RangeError, message)
    assert.is(error!.message.replace('Expected an int32', 'Expected a int32'), message)
  }
})

test('what is no tensor is refused, and crashes nothing', async () => {
  const x = floats(2, 2)
  const alike = { native: x.native, shape: [2, 2], dtype: 'float32' }
  const foreign = [undefined, null, 1, 'x', [], {}, { native: {} }, alike]
  for (const value of foreign) {
    const error = await failure(() => add(x, value as unknown as Tensor))
    assert.instance(error, TypeError, String(value))
    assert.match(error!.message, /^Expected a float32 tensor \[2, 2\] for b, received /)
  }
  const forged = Object.create(Object.getPrototypeOf(x)) as Tensor
  assert.ok((await failure(() => add(x, forged))) instanceof Error)
})

test('the native half refuses what is not its own', async () => {
  const x = floats(2)
  const { native } = device
  for (const value of [{}, [], 1, 'x', () => 0, native, Object.create(x.native)] as never[]) {
    const failed = await failure(() => native.add(x.native, x.native, value))
    assert.instance(failed, Error, show(value))
  }
  const method = Object.getPrototypeOf(native) as {
    add: (...args: unknown[]) => void
    name: () => string
  }
  for (const self of [{}, 1, undefined]) {
    assert.instance(await failure(() => method.add.call(self, x.native, x.native, x.native)), Error)
    assert.instance(await failure(() => method.name.call(self as never)), Error)
  }
  assert.ok((await failure(() => native.fill(x.native, 'x' as never))) instanceof Error)
  assert.ok((await failure(() => native.norm(x.native, 5 as never))) instanceof Error)
  assert.ok((await failure(() => native.tensor(0, 7 as never))) instanceof Error)
  assert.ok((await failure(() => native.tensor(0, ['x'] as never))) instanceof Error)
  assert.ok((await failure(() => native.upload(x.native, {} as never))) instanceof Error)
  assert.equal(await x.data(), new Float32Array(2))
})

test('tensors of another device are refused', async () => {
  const other = cpu({ threads: 1 })
  const error = await failure(() => add(floats(2), other.zeros([2])))
  assert.instance(error, Error)
})

test.run()
