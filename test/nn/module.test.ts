import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GPT2, checkConfig } from '../../lib/models/index.js'
import { Embedding, LayerNorm, Linear, Module } from '../../lib/nn/index.js'
import { Tape, cpu } from '../../lib/tensor/index.js'
import { layerNorm, matmul } from '../oracle.js'

const device = cpu()
const init = { device, seed: 1, stream: 0 }

class Tied extends Module {
  readonly first = new Embedding(5, 4, init)
  readonly list = [new Linear(4, 3, init), new Linear(4, 3, { ...init, bias: false })]
  readonly again = this.first
  readonly tensor = this.first.weight
  readonly nothing = null
  readonly options = { weight: device.zeros([2]) } // not a module: no parameter
}

const names = (module: Module) => Array.from(module.namedParameters(), ([name]) => name)

test('parameters are found in order, a shared one once', () => {
  const module = new Tied()
  assert.equal(names(module), ['first.weight', 'list.0.weight', 'list.0.bias', 'list.1.weight'])
  assert.is(module.size, 20 + 12 + 3 + 12)
  assert.is(module.parameters().length, 4)
  assert.is([...module.namedParameters('model')][0]![0], 'model.first.weight')
})

test('a GPT-2 has the names of the Hugging Face checkpoints', () => {
  const config = checkConfig({
    vocabulary: 7,
    context: 4,
    layers: 1,
    heads: 2,
    width: 8,
    bias: true,
    tied: false,
    dropout: 0,
    epsilon: 1e-5,
    gelu: 'tanh',
  })
  const block = [
    'ln_1.weight',
    'ln_1.bias',
    'attn.c_attn.weight',
    'attn.c_attn.bias',
    'attn.c_proj.weight',
    'attn.c_proj.bias',
    'ln_2.weight',
    'ln_2.bias',
    'mlp.c_fc.weight',
    'mlp.c_fc.bias',
    'mlp.c_proj.weight',
    'mlp.c_proj.bias',
  ].map((name) => `h.0.${name}`)
  const head = ['ln_f.weight', 'ln_f.bias', 'lm_head.weight']
  assert.equal(names(new GPT2(config, device)), ['wte.weight', 'wpe.weight', ...block, ...head])
  const bare = names(new GPT2({ ...config, bias: false, tied: true }, device))
  assert.equal(
    bare,
    ['wte.weight', 'wpe.weight', ...block, ...head].filter((name) => {
      return !name.endsWith('bias') && !name.startsWith('lm_head')
    }),
  )
})

test('weights start as GPT-2 does: normal, projections smaller by sqrt(2 L), biases 0, norms 1', async () => {
  const config = checkConfig({
    vocabulary: 300,
    context: 64,
    layers: 8,
    heads: 2,
    width: 64,
    bias: true,
    tied: true,
    dropout: 0,
    epsilon: 1e-5,
    gelu: 'tanh',
  })
  const model = new GPT2(config, device, 5)
  for (const [name, values] of await model.state()) {
    if (name.endsWith('.bias'))
      assert.ok(
        values.every((x) => x === 0),
        name,
      )
    else if (/ln_/.test(name))
      assert.ok(
        values.every((x) => x === 1),
        name,
      )
    else {
      const deviation = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length)
      const expected = name.endsWith('c_proj.weight') ? 0.02 / 4 : 0.02
      assert.ok(Math.abs(deviation / expected - 1) < 0.06, `${name}: ${deviation}`)
    }
  }
  const [same, other] = [new GPT2(config, device, 5), new GPT2(config, device, 6)]
  assert.equal(await same.state(), await model.state())
  assert.not.equal((await other.state()).get('wte.weight'), (await model.state()).get('wte.weight'))
  const state = await model.state()
  assert.not.equal(state.get('h.0.mlp.c_fc.weight'), state.get('h.1.mlp.c_fc.weight'))
})

test('layers compute what they say', async () => {
  const x = Float32Array.from({ length: 6 }, (_, i) => Math.sin(i))
  const linear = new Linear(3, 5, init)
  linear.bias!.write(Float32Array.of(1, 2, 3, 4, 5))
  const [weight, bias] = [await linear.weight.data(), await linear.bias!.data()]
  const expected = matmul(x, weight, { M: 2, N: 5, K: 3, bias })
  const actual = await linear.forward(device.tensor(x, [2, 3])).data()
  actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]!) < 1e-6))

  const norm = new LayerNorm(3, { device, epsilon: 0.5 })
  const normed = await norm.forward(device.tensor(x, [2, 3])).data()
  const reference = layerNorm(x, [1, 1, 1], [0, 0, 0], 0.5)
  normed.forEach((value, i) => assert.ok(Math.abs(value - reference[i]!) < 1e-6))

  const embedding = new Embedding(4, 3, init)
  const table = await embedding.weight.data()
  const rows = await embedding.forward(device.tensor(Int32Array.of(3, 0), [1, 2])).data()
  assert.equal([...rows], [...table.slice(9, 12), ...table.slice(0, 3)])
})

test('state() and loadState() are a round trip', async () => {
  const [from, to] = [new Linear(3, 2, init), new Linear(3, 2, { ...init, seed: 2 })]
  const state = await from.state()
  to.loadState(state)
  assert.equal(await to.state(), state)
  state.get('weight')!.fill(0)
  assert.not.equal((await from.state()).get('weight'), state.get('weight'), 'a copy')
})

test('loadState() names what is missing or of another size', async () => {
  const linear = new Linear(3, 2, init)
  const fails = (state: [string, Float32Array][], pattern: RegExp) => {
    assert.throws(
      () => linear.loadState(state),
      (error: Error & { code?: string }) => {
        assert.is(error.code, 'ERR_FORMAT')
        assert.match(error.message, pattern)
        return true
      },
    )
  }
  fails([['weight', new Float32Array(6)]], /2 values \[2\] for bias, received none/)
  fails([['weight', new Float32Array(5)]], /6 values \[3, 2\] for weight, received 5 values/)
})

test('zeroGrad() frees the gradients and the next backward starts anew', async () => {
  const linear = new Linear(3, 1, init)
  const once = async () => {
    using tape = new Tape()
    const loss = tape.run(() => linear.forward(device.tensor([1, 2, 3], [1, 3])))
    tape.backward(loss)
    return [...(await linear.weight.grad!.data())]
  }
  assert.equal(await once(), [1, 2, 3])
  assert.equal(await once(), [2, 4, 6])
  const { used } = device.memory()
  linear.zeroGrad()
  assert.is(linear.weight.grad, null)
  assert.is(linear.bias!.grad, null)
  assert.ok(device.memory().used < used)
  assert.equal(await once(), [1, 2, 3])
})

test('dispose() gives all memory back, once', () => {
  const { used } = device.memory()
  const module = new Linear(100, 100, init)
  assert.ok(device.memory().used > used)
  module.dispose()
  module.dispose()
  assert.is(device.memory().used, used)
  assert.throws(() => module.weight.native, /disposed?\(\)/)
})

test.run()
