import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  Tape,
  add,
  attention,
  cpu,
  crossEntropy,
  dropout,
  gelu,
  layerNorm,
  matmul,
  recompute,
} from '../../lib/tensor/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { failure } from './devices.js'

const device = cpu()

function parameter(values: number[], shape = [values.length]): Tensor {
  const x = device.tensor(values, shape)
  x.requiresGrad = true
  return x
}

/** The gradients of sum(body()). */
function backward(body: () => Tensor): void {
  using tape = new Tape()
  const out = tape.run(body)
  using dout = device.full(out.shape, 1)
  tape.backward(out, dout)
}

test('a tensor used in several places gets the sum of their gradients', async () => {
  const x = parameter([1, 2])
  backward(() => {
    const twice = add(x, x)
    return add(add(twice, x), add(twice, twice))
  })
  assert.equal(await x.grad!.data(), new Float32Array([9 - 2, 9 - 2])) // 2 + 1 + 2 + 2
})

test('the residual may be the input itself, or the same tensor as another argument', async () => {
  const x = parameter([1, 2, 3, 4], [2, 2])
  const one = device.tensor([1, 0, 0, 1], [2, 2])
  backward(() => matmul(x, one, { residual: x }))
  assert.equal(await x.grad!.data(), new Float32Array([2, 2, 2, 2]))
  const y = parameter([1, 2, 3, 4], [2, 2])
  backward(() => matmul(y, y)) // d/dy sum(y y) = 1 y^T + y^T 1
  assert.equal(await y.grad!.data(), new Float32Array([3 + 4, 7 + 4, 3 + 6, 7 + 6]))
})

test('gradients add up until they are disposed', async () => {
  const x = parameter([1])
  backward(() => add(x, x))
  backward(() => add(x, x))
  assert.is(await x.grad!.item(), 4)
  x.grad!.dispose()
  x.grad = null
  backward(() => add(x, x))
  assert.is(await x.grad!.item(), 2)
})

test('nothing is recorded outside of run(), nor without parameters', async () => {
  const x = parameter([1, 2])
  const constant = device.tensor([1, 2])
  const used = device.memory().used
  using tape = new Tape()
  const outside = gelu(x)
  const inside = tape.run(() => gelu(constant))
  for (const root of [outside, inside, x]) {
    assert.is((await failure(() => tape.backward(root, device.full([2], 1))))?.code, 'ERR_DISPOSED')
  }
  assert.is(x.grad, null)
  outside.dispose()
  tape.dispose()
  assert.ok(device.memory().used <= used + 3 * 64)
})

test('parameters that the root does not depend on get no gradient', () => {
  const [x, y] = [parameter([1]), parameter([2])]
  using tape = new Tape()
  const out = tape.run(() => {
    add(y, y)
    return add(x, x)
  })
  tape.backward(out)
  assert.ok(x.grad)
  assert.is(y.grad, null)
})

test('backward() needs one element, or a dout of the shape of the root', async () => {
  const x = parameter([1, 2])
  using tape = new Tape()
  const out = tape.run(() => add(x, x))
  const error = await failure(() => tape.backward(out))
  assert.instance(error, RangeError)
  assert.is(error!.message, 'Expected one element for backward() without dout, received "[2]"')
  assert.instance(await failure(() => tape.backward(out, device.zeros([3]))), RangeError)
  assert.instance(
    await failure(() => tape.backward(out, device.tensor(new Int32Array(2)))),
    RangeError,
  )
  assert.is(x.grad, null)
})

test("dout stays the caller's", async () => {
  const x = parameter([1, 2])
  const dout = device.tensor([3, 4])
  using tape = new Tape()
  tape.backward(
    tape.run(() => add(x, x)),
    dout,
  )
  assert.equal(await dout.data(), new Float32Array([3, 4]))
  assert.equal(await x.grad!.data(), new Float32Array([6, 8]))
})

test('the root stays until the tape goes; all else goes with the backward', async () => {
  const own = cpu({ threads: 1 })
  const x = own.normal([100, 100], { seed: 1 })
  x.requiresGrad = true
  const before = own.memory().used
  const tape = new Tape()
  let middle!: Tensor
  const root = tape.run(() => {
    middle = gelu(x)
    return crossEntropy(matmul(middle, x, { gelu: true }), own.tensor(new Int32Array(100), [100]))
  })
  tape.backward(root)
  assert.ok(middle.disposed)
  assert.not(root.disposed)
  assert.ok((await root.item()) > 0)
  const grad = x.grad!.size * 4
  assert.ok(own.memory().used - before <= grad + grad / 8 + 1024, 'only the gradient is left')
  tape.dispose()
  assert.ok(root.disposed)
  x.dispose()
})

test('a kept tensor outlives the tape', async () => {
  const x = parameter([1, 2])
  const tape = new Tape()
  let logits!: Tensor
  const root = tape.run(() => {
    logits = add(x, x)
    tape.release(logits)
    return crossEntropy(logits.view([1, 2]), device.tensor(new Int32Array([1])))
  })
  tape.dispose()
  assert.ok(root.disposed)
  assert.equal(await logits.data(), new Float32Array([2, 4]))
})

test('run() may be called several times, and tapes may be nested', async () => {
  const [x, y] = [parameter([1]), parameter([1])]
  using outer = new Tape()
  const first = outer.run(() => add(x, x))
  const second = outer.run(() => {
    backward(() => add(y, y))
    return add(first, x)
  })
  outer.backward(second)
  assert.is(await x.grad!.item(), 3)
  assert.is(await y.grad!.item(), 2)
})

test('an exception in run() leaves nothing recording', () => {
  const x = parameter([1])
  using tape = new Tape()
  assert.throws(
    () =>
      tape.run(() => {
        throw new Error('in the body')
      }),
    'in the body',
  )
  const out = add(x, x)
  assert.is(out.tape, null)
  assert.not(out.disposed)
})

test('a dropout of 0 and a recompute that returns its input pass gradients through', async () => {
  const qkv = parameter([1, 2, 3, 4, 5, 6], [1, 2, 3])
  const plain = device.tensor([1, 2, 3, 4, 5, 6], [1, 2, 3])
  plain.requiresGrad = true
  backward(() => gelu(attention(qkv, 1)))
  backward(() =>
    gelu(recompute((x) => dropout(x!, { p: 0, seed: 0, stream: 0 }), attention(plain, 1))),
  )
  assert.equal(await plain.grad!.data(), await qkv.grad!.data())
})

test('backward() of the same root twice is refused', async () => {
  const x = parameter([1])
  using tape = new Tape()
  const out = tape.run(() => add(x, x))
  tape.backward(out)
  assert.is((await failure(() => tape.backward(out)))?.code, 'ERR_DISPOSED')
  assert.is(await x.grad!.item(), 2)
})

test('the same step again needs no more memory', async () => {
  const own = cpu({ threads: 2 })
  const weight = own.normal([128, 128], { seed: 1 })
  const scale = own.full([128], 1)
  weight.requiresGrad = scale.requiresGrad = true
  const step = (seed: number) => {
    using x = own.normal([300, 128], { seed })
    using targets = own.tensor(new Int32Array(300), [300])
    using tape = new Tape()
    const loss = tape.run(() => {
      const hidden = recompute((x) => matmul(layerNorm(x!, scale), weight, { gelu: true }), x)
      const dropped = dropout(hidden, { p: 0.1, seed, stream: 1 })
      return crossEntropy(matmul(dropped, weight, { residual: x }), targets)
    })
    tape.backward(loss)
    const value = loss.item()
    for (const tensor of [weight, scale]) {
      tensor.grad!.dispose()
      tensor.grad = null
    }
    return value
  }
  await step(0)
  const { used, peak, reserved } = own.memory()
  for (let i = 0; i < 20; i++) assert.ok(Number.isFinite(await step(i)))
  for (let i = 0; i < 20; i++) void step(i) // without waiting, steps pile up in the queue and not in memory
  assert.equal(own.memory(), { used, peak, reserved })
  await own.idle()
  assert.equal(own.memory(), { used, peak, reserved })
})

test.run()
