// Ops that users write: in TypeScript over other ops.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  Tape,
  add,
  cpu,
  customOp,
  gelu,
  matmul,
  nativeKernel,
  scale,
} from '../../lib/tensor/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { Random, checkGradients, gradientsOf } from '../../lib/testing/index.js'
import { failure } from './devices.js'

const device = cpu()
const random = new Random('custom')

// f(x, y) = gelu(x) + 3 y, by other means than the ops' own backward.
const sum = customOp<{ factor: number }>({
  name: 'gelu plus factor y',
  forward([x, y], { factor }) {
    const scaled = scale(y!, factor)
    return { output: add(gelu(x!), scaled), saved: [scaled] }
  },
  backward(dout, { inputs: [x], saved, options: { factor } }) {
    assert.is(saved.length, 1)
    using tape = new Tape()
    const again = x!.view(x!.shape)
    again.requiresGrad = true
    tape.backward(
      tape.run(() => gelu(again)),
      dout,
    )
    const dx = again.grad!
    again.grad = null
    return [dx, scale(dout, factor)]
  },
})

test('its gradients are those of the formula', async () => {
  const inputs = { x: random.normal([5, 7]), y: random.normal([5, 7]) }
  await checkGradients(({ x, y }) => sum([x!, y!], { factor: 3 }), inputs)
})

test('it works among other ops, and on a tensor that is used twice', async () => {
  const inputs = { x: random.normal([3, 4]), w: random.normal([4, 4]) }
  const body = ({ x, w }: Record<string, Tensor>) => {
    const h = matmul(x!, w!)
    return sum([h, sum([x!, h], { factor: 0.5 })], { factor: 2 })
  }
  await checkGradients(body, inputs)
})

test('a wrong backward is found', async () => {
  const wrong = customOp({
    name: 'wrong',
    forward: ([x]) => scale(x!, 2),
    backward: (dout) => [scale(dout, 2.2)],
  })
  const error = await failure(() =>
    checkGradients(({ x }) => wrong([x!]), { x: random.normal([9]) }),
  )
  assert.match(error?.message ?? '', /^dx: 9 of 9 elements are off/)
})

test('dout may be the gradient of several inputs, and an input the output', async () => {
  const both = customOp({
    name: 'first of two',
    forward: ([x]) => x!,
    backward: (dout) => [dout, dout],
  })
  const [x, y] = [device.full([3], 1), device.full([3], 2)]
  x.requiresGrad = y.requiresGrad = true
  const tape = new Tape()
  const out = tape.run(() => both([x, y]))
  using dout = device.full([3], 5)
  tape.backward(out, dout)
  tape.dispose()
  const { dx, dy } = await gradientsOf({ dx: x, dy: y })
  assert.equal([...dx!, ...dy!], [5, 5, 5, 5, 5, 5])
  assert.equal([...(await x.data())], [1, 1, 1])
})

test('what it makes on the way is freed, with and without a tape', async () => {
  const used = () => device.native.memory().used
  const [x, y] = [device.zeros([64, 64]), device.zeros([64, 64])]
  x.requiresGrad = true
  await device.idle()
  const before = used()
  sum([x, y], { factor: 1 }).dispose()
  assert.is(used(), before)
  const tape = new Tape()
  const out = tape.run(() => sum([x, y], { factor: 1 }))
  using dout = device.zeros([64, 64])
  tape.backward(out, dout)
  tape.dispose()
  dout.dispose()
  x.grad!.dispose()
  assert.is(used(), before)
})

test('without a backward, gradients stop there', () => {
  const stop = customOp({ name: 'stop', forward: ([x]) => scale(x!, 1) })
  const x = device.full([2], 1)
  x.requiresGrad = true
  const tape = new Tape()
  const out = tape.run(() => add(stop([x]), scale(x, 2)))
  using dout = device.full([2], 1)
  tape.backward(out, dout)
  return x.grad!.data().then((values) => assert.equal([...values], [2, 2]))
})

test('mistakes are told', async () => {
  const x = device.full([2, 3], 1)
  x.requiresGrad = true
  const backwards = async (backward: (dout: Tensor) => unknown) => {
    const op = customOp({
      name: 'mine',
      forward: ([x]) => scale(x!, 1),
      backward: backward as never,
    })
    const tape = new Tape()
    const out = tape.run(() => op([x]))
    using dout = device.full([2, 3], 1)
    const error = await failure(() => tape.backward(out, dout))
    tape.dispose()
    return error?.message
  }
  assert.is(await backwards(() => []), 'Expected 1 gradients for the backward of mine, received 0')
  assert.is(
    await backwards(() => [device.zeros([3, 2])]),
    'Expected a float32 tensor [2, 3] for gradient 0 of mine, received "float32 [3, 2]"',
  )
  assert.match((await backwards(() => 5)) ?? '', /^Expected 1 gradients for the backward of mine/)
  for (const body of [
    () => customOp({ name: '', forward: ([x]: readonly Tensor[]) => x! }),
    () => customOp({ name: 'a' } as never),
    () => customOp({ name: 'a', forward: () => 3 as never })([x]),
    () => customOp({ name: 'a', forward: ([x]) => x! })(x as never),
    () => nativeKernel({}),
    () => nativeKernel(null),
    () => nativeKernel(device.native),
  ]) {
    assert.instance(await failure(body), TypeError, String(body))
  }
})

test.run()
