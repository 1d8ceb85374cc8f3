// Graphs of several ops: gradients through all of them against finite differences of the oracle, and
// recompute().
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  Tape,
  add,
  attention,
  cpu,
  crossEntropy,
  dropout,
  embedding,
  gelu,
  layerNorm,
  linearCrossEntropy,
  matmul,
  recompute,
} from '../../lib/tensor/index.js'
import type { Device, Tensor, Values } from '../../lib/tensor/index.js'
import {
  Random,
  close,
  disposeAll,
  gradientsOf,
  sameBits,
  upload,
} from '../../lib/testing/index.js'
import type { Input, Numbers, Tensors } from '../../lib/testing/index.js'
import { devices } from './devices.js'
import * as oracle from '../oracle.js'

const [B, T, H, D, V] = [2, 9, 2, 5, 13]
const C = H * D

interface Graph {
  inputs(random: Random): Record<string, Input>
  loss(tensors: Tensors): Tensor
  oracle(numbers: Numbers): number
}

function linear(x: Float64Array, w: Float64Array, bias: Float64Array, more = {}): Float64Array {
  const [N, K] = [bias.length, w.length / bias.length]
  return oracle.matmul(x, w, { M: x.length / K, N, K, transposeB: true, bias, ...more })
}

const mlp: Graph = {
  inputs: (random) => ({
    x: random.normal([5, 7]),
    w1: random.normal([11, 7], 0.4),
    b1: random.normal([11], 0.1),
    w2: random.normal([3, 11], 0.4),
    b2: random.normal([3], 0.1),
    targets: random.integers([5], 3),
  }),
  loss({ x, w1, b1, w2, b2, targets }) {
    const hidden = gelu(matmul(x!, w1!, { transposeB: true, bias: b1 }))
    return crossEntropy(matmul(hidden, w2!, { transposeB: true, bias: b2 }), targets!)
  },
  oracle({ x, w1, b1, w2, b2, targets }) {
    return oracle.crossEntropy(linear(linear(x!, w1!, b1!, { gelu: true }), w2!, b2!), targets!)
  },
}

/** A transformer of one block, its table of tokens also its last layer, over rows of several documents. */
const transformer: Graph = {
  inputs: (random) => ({
    tokens: random.integers([B, T], V),
    targets: { ...random.integers([B, T], V, -1) },
    starts: random.starts(B, T),
    wte: random.normal([V, C], 0.5),
    wpe: random.normal([T, C], 0.5),
    n1: random.normal([C], 0.1, 1),
    m1: random.normal([C], 0.1),
    wqkv: random.normal([3 * C, C], 0.4),
    bqkv: random.normal([3 * C], 0.1),
    wo: random.normal([C, C], 0.4),
    bo: random.normal([C], 0.1),
    n2: random.normal([C], 0.1, 1),
    w1: random.normal([4 * C, C], 0.3),
    b1: random.normal([4 * C], 0.1),
    w2: random.normal([C, 4 * C], 0.3),
    b2: random.normal([C], 0.1),
    nf: random.normal([C], 0.1, 1),
  }),
  loss(w) {
    const x = embedding(w.tokens!, w.wte!, { positions: w.wpe, starts: w.starts })
    return linearCrossEntropy(layerNorm(block(w, x), w.nf!), w.wte!, w.targets!)
  },
  oracle(w) {
    const x = oracle.embedding(w.tokens!, w.wte!, { T, C, positions: w.wpe, starts: w.starts })
    const qkv = linear(oracle.layerNorm(x, w.n1!, w.m1!, 1e-5), w.wqkv!, w.bqkv!)
    const mixed = oracle.attention(qkv, { B, T, H, D }, w.starts)
    const middle = linear(mixed, w.wo!, w.bo!, { residual: x })
    const hidden = linear(oracle.layerNorm(middle, w.n2!, null, 1e-5), w.w1!, w.b1!, { gelu: true })
    const out = linear(hidden, w.w2!, w.b2!, { residual: middle })
    return oracle.linearCrossEntropy(oracle.layerNorm(out, w.nf!, null, 1e-5), w.wte!, w.targets!)
  },
}

function block(w: Tensors, x: Tensor): Tensor {
  const qkv = matmul(layerNorm(x, w.n1!, w.m1), w.wqkv!, { transposeB: true, bias: w.bqkv })
  const mixed = attention(qkv, H, { starts: w.starts })
  const middle = matmul(mixed, w.wo!, { transposeB: true, bias: w.bo, residual: x })
  const hidden = matmul(layerNorm(middle, w.n2!), w.w1!, {
    transposeB: true,
    bias: w.b1,
    gelu: true,
  })
  return matmul(hidden, w.w2!, { transposeB: true, bias: w.b2, residual: middle })
}

async function gradients(
  device: Device,
  inputs: Record<string, Input>,
  loss: (tensors: Tensors) => Tensor,
) {
  const tensors = upload(device, inputs)
  using tape = new Tape()
  const root = tape.run(() => loss(tensors))
  tape.backward(root)
  const out = { loss: await root.data(), ...(await gradientsOf(tensors)) }
  disposeAll(tensors)
  return out as Record<string, Values>
}

for (const [name, graph] of Object.entries({ mlp, transformer })) {
  test(`${name}: loss and gradients`, async () => {
    const inputs = graph.inputs(new Random(name))
    const numbers = Object.fromEntries(
      Object.entries(inputs).map(([name, { values }]) => [name, Float64Array.from(values)]),
    )
    const actual = await gradients(devices[0]!, inputs, graph.loss)
    close(actual.loss!, [graph.oracle(numbers)], { atol: 1e-5, rtol: 1e-5 }, 'loss')
    for (const [parameter, values] of Object.entries(actual)) {
      if (parameter === 'loss') continue
      const x = numbers[parameter]!
      const expected = Array.from(x, (value, i) => {
        x[i] = value + 1e-5
        const above = graph.oracle(numbers)
        x[i] = value - 1e-5
        const below = graph.oracle(numbers)
        x[i] = value
        return (above - below) / 2e-5
      })
      close(values, expected, { atol: 2e-5, rtol: 2e-5 }, `d${parameter}`)
    }
    for (const device of devices.slice(1)) {
      const other = await gradients(device, inputs, graph.loss)
      for (const name of Object.keys(other))
        sameBits(other[name]!, actual[name]!, `${name}, ${device.name}`)
    }
  })
}

test('recompute() changes no bit of any gradient', async () => {
  const inputs = transformer.inputs(new Random('recompute'))
  const wrapped = (wrap: (body: (x: Tensor) => Tensor, x: Tensor) => Tensor) => (w: Tensors) => {
    const options = { p: 0.2, seed: 1, stream: 2 }
    let x = embedding(w.tokens!, w.wte!, { positions: w.wpe, starts: w.starts })
    for (let layer = 0; layer < 3; layer++) x = wrap((x) => dropout(block(w, x), options), x)
    return linearCrossEntropy(x, w.wte!, w.targets!)
  }
  const plain = await gradients(
    devices[0]!,
    inputs,
    wrapped((body, x) => body(x)),
  )
  const again = await gradients(
    devices[0]!,
    inputs,
    wrapped((body, x) => recompute(body, x)),
  )
  const nested = await gradients(
    devices[0]!,
    inputs,
    wrapped((body, x) => recompute((x) => add(x, recompute(body, x)), x)),
  )
  assert.equal(Object.keys(again), Object.keys(plain))
  for (const [name, values] of Object.entries(again)) sameBits(values, plain[name]!, name)
  const nestedPlain = await gradients(
    devices[0]!,
    inputs,
    wrapped((body, x) => add(x, body(x))),
  )
  for (const [name, values] of Object.entries(nested))
    sameBits(values, nestedPlain[name]!, `${name}, nested`)
})

test('recompute() of several inputs, and as the root', async () => {
  const device = cpu()
  const inputs = mlp.inputs(new Random('several'))
  const plain = await gradients(device, inputs, mlp.loss)
  const whole = await gradients(device, inputs, (w) =>
    recompute((x, w1) => mlp.loss({ ...w, x: x!, w1: w1! }), w.x!, w.w1!),
  )
  for (const [name, values] of Object.entries(plain)) sameBits(whole[name]!, values, name)
})

test('recompute() holds less memory until the backward', () => {
  const device = cpu({ threads: 1 })
  const inputs = transformer.inputs(new Random('memory'))
  const held = (wrap: typeof recompute) => {
    const w = upload(device, inputs)
    const tape = new Tape()
    const before = device.memory().used
    tape.run(() => {
      const x = embedding(w.tokens!, w.wte!)
      return linearCrossEntropy(
        wrap((x) => block(w, x!), x),
        w.wte!,
        w.targets!,
      )
    })
    const used = device.memory().used - before
    tape.dispose()
    disposeAll(w)
    return used
  }
  const [plain, again] = [held((body, ...inputs) => body(...inputs)), held(recompute)]
  assert.ok(again < plain / 3, `${again} bytes where ${plain} are held without recompute()`)
})

test.run()
