import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  Tape,
  add,
  cast,
  cpu,
  crossEntropy,
  embedding,
  linearCrossEntropy,
  matmul,
  openDevice,
} from '../../lib/tensor/index.js'
import type { Device } from '../../lib/tensor/index.js'
import { addon } from '../../lib/tensor/binding.js'
import * as oracle from '../oracle.js'
import { close, sameBits } from '../../lib/testing/index.js'
import { failure } from './devices.js'

const device = cpu()

test('cpu() is one device, cpu({ threads }) a new one', () => {
  assert.is(cpu(), device)
  const own = cpu({ threads: 3 })
  assert.is.not(own, device)
  assert.match(own.name, /^CPU \((portable|avx2|avx512|neon), 3 threads\)$/)
  assert.match(cpu({ threads: 1 }).name, /, 1 thread\)$/)
  assert.is(own.kind, 'cpu')
})

test('the addon says what it runs on', () => {
  const { isa, threads, runnable } = addon().cpu()
  assert.ok(runnable.includes(isa))
  assert.is(runnable.at(-1), 'portable')
  assert.ok(Number.isInteger(threads) && threads >= 1)
})

test('threads are counted from 1 to 1024', async () => {
  for (const threads of [0, -1, 1.5, NaN, 1025]) {
    assert.instance(await failure(() => cpu({ threads })), RangeError, String(threads))
  }
  assert.instance(await failure(() => cpu({ threads: '2' as never })), TypeError)
})

test('openDevice() knows cpu, cuda and auto, and says why there is no cuda', async () => {
  assert.is(openDevice('cpu'), device)
  const { version, reason } = addon().cuda()
  if (version === null) {
    assert.is(openDevice(), device)
    for (const name of ['cuda', 'cuda:1']) {
      const error = await failure(() => openDevice(name))
      assert.is(error?.code, 'ERR_NO_DRIVER')
      assert.ok(error!.message.includes(reason), error!.message)
    }
  }
  const error = await failure(() => openDevice('gpu'))
  assert.is(
    error!.message,
    "Expected 'auto', 'cpu', 'cuda' or 'cuda:1' for device, received \"gpu\"",
  )
})

test('bfloat16 on the CPU: held and cast, and refused by every other op', async () => {
  const x = device.tensor([1, 2 ** -9 + 1, -3.14159], [3], 'bfloat16')
  assert.equal([...(await x.data())], [1, 1, -3.140625])
  assert.equal([...(await cast(x, 'float32').data())], [1, 1, -3.140625])
  assert.is(cast(x, 'bfloat16'), x)
  assert.equal(device.dtypes, ['float32'])
  const error = await failure(() => add(x, x))
  assert.instance(error, RangeError)
  assert.match(
    error!.message,
    /^Expected a float32 tensor \[\.\.\., C\] for a, received "bfloat16 \[3\] on CPU/,
  )
  const mixed = await failure(() => add(device.tensor([1, 2, 3]), x))
  assert.match(mixed!.message, /^Expected a float32 tensor \[3\] for b, received "bfloat16 \[3\]"/)
  assert.instance(await failure(() => device.full([3], 1, 'bfloat16')), RangeError)
  assert.instance(
    await failure(() => cast(device.tensor(new Int32Array(3)), 'float32')),
    RangeError,
  )
})

test('gradients flow through bfloat16 on the CPU, and are summed in float32', async () => {
  const x = device.tensor([1, 2, 3])
  x.requiresGrad = true
  using tape = new Tape()
  const y = tape.run(() => {
    const narrow = cast(x, 'bfloat16')
    const wide = add(cast(narrow, 'float32'), cast(narrow, 'float32'))
    return cast(wide, 'bfloat16')
  })
  using dout = device.tensor([1, 2, -3], [3], 'bfloat16')
  tape.backward(y, dout)
  assert.equal([...(await x.grad!.data())], [2, 4, -6])
})

test('the gradient of a bfloat16 parameter is float32', async () => {
  const x = device.tensor([1, 2, 3], [3], 'bfloat16')
  x.requiresGrad = true
  for (let step = 1; step <= 2; step++) {
    using tape = new Tape()
    const y = tape.run(() => add(cast(x, 'float32'), cast(x, 'float32')))
    using dout = device.tensor([1.001, 2, 4])
    tape.backward(y, dout)
    assert.is(x.grad!.dtype, 'float32')
    const expected = [1.001, 2, 4].map((d) => Math.fround(2 * step * Math.fround(d)))
    assert.equal([...(await x.grad!.data())], expected)
  }
})

test('shapes are lists of up to 6 whole numbers', async () => {
  const lists = [[1.5], [-1], [NaN], [1, 2, 3, 4, 5, 6, 7], [2 ** 60], ['3']]
  for (const shape of ['x', null, { length: 1, 0: 3 }, ...lists]) {
    const error = await failure(() => device.empty(shape as never))
    assert.instance(error, TypeError, String(shape))
    assert.match(error!.message, /^Expected a list of up to 6 whole numbers for shape, received /)
  }
  assert.instance(await failure(() => device.empty([2 ** 40, 2 ** 10])), RangeError)
  assert.ok((await failure(() => device.empty([3], 'float64' as never))) instanceof Error, 'dtype')
})

test('no memory is an error that says so, and what is held stays usable', async () => {
  const x = device.full([3], 1)
  const error = await failure(() => device.empty([2 ** 44]))
  assert.is(error?.code, 'ERR_OUT_OF_MEMORY')
  assert.match(error!.message, /MB left; this device holds \d+ MB in tensors/)
  assert.equal(await x.data(), new Float32Array([1, 1, 1]))
})

test('random numbers have the mean and deviation asked for, on every device the same', async () => {
  const n = 100_001
  const options = { mean: 3, deviation: 2, seed: 5, stream: 6 }
  const normal = await device.normal([n], options).data()
  const moments = (x: ArrayLike<number>) => {
    const mean = oracle.sum(x) / x.length
    const variance = oracle.sum(Array.from(x, (value) => (value - mean) ** 2)) / x.length
    return { mean, deviation: Math.sqrt(variance) }
  }
  const { mean, deviation } = moments(normal)
  assert.ok(Math.abs(mean - 3) < (4 * 2) / Math.sqrt(n), `mean ${mean}`)
  assert.ok(Math.abs(deviation - 2) < (4 * 2) / Math.sqrt(2 * n), `deviation ${deviation}`)
  const uniform = await device.uniform([n], { low: -1, high: 1, seed: 5 }).data()
  assert.ok(uniform.every((value) => value >= -1 && value < 1))
  assert.ok(Math.abs(moments(uniform).deviation - 1 / Math.sqrt(3)) < 0.01)
  for (const threads of [1, 3]) {
    sameBits(
      await cpu({ threads }).normal([n], options).data(),
      normal,
      `normal on ${threads} threads`,
    )
  }
})

test('normal numbers are Box-Muller on Philox words', async () => {
  const n = 1001
  const [seed, stream] = [2 ** 40 + 3, 2 ** 35 + 1]
  const words = oracle.words(n + 1, seed, stream)
  const expected = Array.from({ length: n }, (_, i) => {
    const [first, second] = [words[i - (i % 2)]!, words[i - (i % 2) + 1]!]
    const angle = (2 * Math.PI * second) / 2 ** 32
    return (
      Math.sqrt(-2 * Math.log((first + 0.5) / 2 ** 32)) *
      (i % 2 ? Math.sin(angle) : Math.cos(angle))
    )
  })
  close(
    await device.normal([n], { seed, stream }).data(),
    expected,
    { atol: 2e-6, rtol: 1e-6 },
    'normal',
  )
  const uniform = words.slice(0, n).map((word) => (word >>> 8) / 2 ** 24)
  close(
    await device.uniform([n], { seed, stream }).data(),
    uniform,
    { atol: 1e-7, rtol: 0 },
    'uniform',
  )
})

test('options of random numbers are checked', async () => {
  for (const seed of [undefined, -1, 0.5, NaN, 2 ** 53, '1']) {
    assert.ok(
      (await failure(() => device.normal([3], { seed } as never))) instanceof Error,
      `seed ${seed}`,
    )
    assert.ok(
      (await failure(() => device.uniform([3], { seed } as never))) instanceof Error,
      `seed ${seed}`,
    )
  }
  assert.ok(
    (await failure(() => device.normal([3], { seed: 1, stream: -1 }))) instanceof Error,
    'stream',
  )
  assert.instance(await failure(() => device.normal([3], { seed: 1, deviation: NaN })), RangeError)
})

// ---- failures while an op runs ------------------------------------------------------------------

const fresh = () => cpu({ threads: 2 })
const tokens = (on: Device, ...values: number[]) =>
  on.tensor(new Int32Array(values), [1, values.length])

test('a bad token is reported at the await, with op, place, shapes and device', async () => {
  const on = fresh()
  const out = embedding(tokens(on, 0, 7, 1), on.zeros([7, 2]))
  const error = await failure(() => out.data())
  assert.is(error?.name, 'GptloomError')
  assert.is(error?.code, 'ERR_INDEX')
  assert.match(error!.message, /token.* \[0, 7\).*\[0, 1\].*received 7, in embedding of /)
  assert.match(error!.message, /embedding of .*\[1, 3\].*\[7, 2\] on CPU \(.*2 threads\)/)
  assert.instance(error, Error)
})

test('so are a negative token, a position beyond the table and a target beyond the vocabulary', async () => {
  const on = fresh()
  const failing: [() => unknown, RegExp][] = [
    [() => embedding(tokens(on, -1), on.zeros([7, 2])), /received -1, in embedding of/],
    [
      () =>
        embedding(tokens(on, 1), on.zeros([7, 2]), {
          positions: on.zeros([5, 2]),
          starts: tokens(on, 3),
        }),
      /position.*received -3, in embedding of/,
    ],
    [
      () => crossEntropy(on.zeros([2, 3]), on.tensor(new Int32Array([0, 3]))),
      /target 3 .*, in crossentropy of \[2, 3\], \[2\] on CPU/,
    ],
    [
      () =>
        linearCrossEntropy(on.zeros([2, 3]), on.zeros([5, 3]), on.tensor(new Int32Array([5, 0]))),
      /target 5 .*, in linear crossentropy of \[2, 3\], \[5, 3\], \[2\] on CPU/,
    ],
  ]
  for (const [op, message] of failing) {
    op()
    const error = await failure(() => on.idle())
    assert.is(error?.code, 'ERR_INDEX', String(message))
    assert.match(error!.message, message)
    await on.idle()
  }
})

test('the first failure is reported once, what follows it is skipped, then all works again', async () => {
  const on = fresh()
  const x = on.full([2], 1)
  await on.idle()
  embedding(tokens(on, 9), on.zeros([3, 1]))
  x.write(new Float32Array([5, 5])) // skipped
  embedding(tokens(on, 8), on.zeros([2, 1])) // skipped: not the first
  const reads = [on.idle(), x.data(), on.idle()]
  const [first, second, third] = await Promise.allSettled(reads)
  assert.is(first!.status, 'rejected')
  assert.match((first as PromiseRejectedResult).reason.message, 'received 9')
  assert.equal((second as PromiseFulfilledResult<unknown>).value, new Float32Array([1, 1]))
  assert.is(third!.status, 'fulfilled')
  assert.equal(await add(x, x).data(), new Float32Array([2, 2]))
})

test('one device fails alone', async () => {
  const [bad, good] = [fresh(), fresh()]
  embedding(tokens(bad, 9), bad.zeros([3, 1]))
  await good.idle()
  assert.is((await failure(() => bad.idle()))?.code, 'ERR_INDEX')
})

// ---- the event loop -----------------------------------------------------------------------------

test('idle() comes after all that was enqueued, and reads come in order', async () => {
  const on = fresh()
  const x = on.normal([600, 600], { seed: 1 })
  const order: string[] = []
  const product = matmul(x, x)
  await Promise.all([
    product.data().then(() => order.push('data')),
    on.idle().then(() => order.push('idle')),
    x.data().then(() => order.push('x')),
  ])
  assert.equal(order, ['data', 'idle', 'x'])
})

test('a long queue does not block the event loop', async () => {
  const on = cpu({ threads: 1 })
  const x = on.normal([512, 512], { seed: 1 })
  using out = on.empty([512, 512])
  await on.idle()
  const started = performance.now()
  for (let i = 0; i < 200; i++) {
    on.native.matmul(out.native, null, x.native, x.native, null, null, false, false, 0, false)
  }
  const enqueued = performance.now() - started
  let [done, turns, worst, last] = [false, 0, 0, performance.now()]
  const finished = on.idle().then(() => (done = true))
  while (!done) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    const now = performance.now()
    worst = Math.max(worst, now - last)
    last = now
    turns++
  }
  await finished
  const total = performance.now() - started
  assert.ok(total > 5 * enqueued, `200 products took ${total} ms, of which ${enqueued} to enqueue`)
  assert.ok(turns >= 10, `${turns} turns of the loop in ${total} ms`)
  assert.ok(worst < total / 2, `the loop stood still for ${worst} of ${total} ms`)
})

test('memory() counts what is live, and gives back what is not', async () => {
  const on = cpu({ threads: 1 })
  assert.equal(on.memory(), { used: 0, peak: 0, reserved: 0 })
  const x = on.zeros([1024, 1024])
  const view = x.view([1024 * 1024])
  assert.is(on.memory().used, 4 << 20)
  x.dispose()
  assert.is(on.memory().used, 4 << 20)
  view.dispose()
  assert.is(on.memory().used, 0)
  assert.is(on.memory().peak, 4 << 20)
  const reserved = on.memory().reserved
  on.zeros([1024, 1024]).dispose()
  assert.is(on.memory().reserved, reserved)
  await on.idle()
})

test.run()
