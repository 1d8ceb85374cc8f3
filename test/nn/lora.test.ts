// An adapter against the dense model that it stands for.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { Linear, Lora } from '../../lib/nn/index.js'
import { Random } from '../../lib/random.js'
import { Tape, cpu, keep, matmul, scope } from '../../lib/tensor/index.js'
import type { Tensor } from '../../lib/tensor/index.js'

const device = cpu()
const settings = { rank: 3, alpha: 5, dropout: 0, rsLora: false }
const init = { device, dtype: 'float32' as const, seed: 4 }
const config = resolveModel({ layers: 2, heads: 2, width: 16, context: 12 }, 31)

/** A small model with an adapter on all its layers that does something. */
function build(dropout = 0) {
  const model = new GPT2(config, device, 1)
  const layers = Array.from(model.linears(), ([name, { weight }]) => {
    return { name, inputs: weight.shape[0]!, outputs: weight.shape[1]! }
  })
  const lora = Lora.fresh({ ...settings, dropout }, layers, init)
  const random = new Random(5)
  for (const { b } of lora.layers.values())
    b.write(new Float32Array(b.size).map(() => random.uniform() - 0.5))
  for (const parameter of model.parameters()) parameter.requiresGrad = false
  model.useAdapter(lora)
  return { model, lora }
}
const ids = (seed: number) => {
  const random = new Random(seed)
  return device.tensor(
    new Int32Array(24).map(() => random.integer(31)),
    [2, 12],
  )
}
const [tokens, targets] = [ids(1), ids(2)]
const logits = async (model: GPT2) => {
  using out = scope(() => keep(model.logits(model.forward(tokens))))
  return out.data()
}
const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0)

test('a fresh adapter changes nothing, and A is spread as PEFT spreads it', async () => {
  const model = new GPT2(config, device, 1)
  const before = await logits(model)
  const lora = Lora.fresh(
    { ...settings, rank: 8 },
    [{ name: 'h.0.mlp.c_proj', inputs: 64, outputs: 16 }],
    init,
  )
  model.useAdapter(lora)
  assert.equal(await logits(model), before)
  const a = (await lora.layers.get('h.0.mlp.c_proj')!.a.data()) as Float32Array
  const most = a.reduce((m, x) => Math.max(m, Math.abs(x)), 0)
  assert.ok(most <= 1 / 8 && most > 0.12, String(most))
  assert.is(lora.size, 8 * (64 + 16))
})

test('gelu and residual stand around the product and the adapter together', async () => {
  const linear = new Linear(6, 9, { ...init, stream: 0, deviation: 1 })
  const lora = Lora.fresh(settings, [{ name: 'x', inputs: 6, outputs: 9 }], init)
  const layer = lora.layers.get('x')!
  layer.b.write(new Float32Array(27).map((_, i) => Math.cos(i)))
  linear.adapter = layer
  const x = device.uniform([5, 6], { seed: 1, low: -1 })
  const residual = device.uniform([5, 9], { seed: 2, low: -1 })
  // By the definition, in float64.
  const [w, bias, a, b] = await Promise.all(
    [linear.weight, linear.bias!, layer.a, layer.b].map((t) => t.data()),
  )
  const [xs, rs] = [await x.data(), await residual.data()]
  const expected = (curved: boolean, added: boolean) =>
    Array.from({ length: 45 }, (_, at) => {
      const [row, column] = [Math.floor(at / 9), at % 9]
      let sum = bias![column]!
      for (let i = 0; i < 6; i++) {
        let low = 0
        for (let r = 0; r < 3; r++) low += b![column * 3 + r]! * a![r * 6 + i]!
        sum += xs[row * 6 + i]! * (w![i * 9 + column]! + (5 / 3) * low)
      }
      const inner = Math.sqrt(2 / Math.PI) * (sum + 0.044715 * sum ** 3)
      const value = curved ? 0.5 * sum * (1 + Math.tanh(inner)) : sum
      return added ? value + rs[at]! : value
    })
  for (const curved of [false, true])
    for (const added of [false, true]) {
      const out = linear.forward(x, { gelu: curved, residual: added ? residual : null })
      assert.ok(distance(await out.data(), expected(curved, added)) < 1e-5, `${curved} ${added}`)
    }
})

test('gradients of A and B by finite differences; frozen weights have none', async () => {
  for (const recompute of [false, true]) {
    const { model, lora } = build()
    using tape = new Tape()
    const loss = tape.run(() => model.loss(tokens, targets, { recompute }))
    tape.backward(loss)
    assert.ok(model.parameters().every(({ grad }) => grad === null))
    const random = new Random(8)
    for (const [name, parameter] of lora.namedParameters()) {
      const gradient = await parameter.grad!.data()
      const values = (await parameter.data()) as Float32Array
      // Along a random direction, where rounding matters less than in a single weight.
      const direction = values.map(() => random.uniform() - 0.5)
      const slope = direction.reduce((sum, d, i) => sum + d * gradient[i]!, 0)
      const at = async (step: number) => {
        parameter.write(values.map((x, i) => x + step * direction[i]!))
        using out = scope(() => keep(model.loss(tokens, targets)))
        return out.item()
      }
      const step = 1e-2
      const difference = ((await at(step)) - (await at(-step))) / (2 * step)
      parameter.write(values)
      const near = Math.abs(difference - slope) < 2e-2 * (Math.abs(slope) + 0.05)
      assert.ok(near, `${name}: ${difference} and ${slope}`)
    }
  }
})

test('gradients of A and B follow from those of the merged weight', async () => {
  const { model, lora } = build()
  const name = 'h.1.attn.c_proj'
  const layer = lora.layers.get(name)!
  {
    using tape = new Tape()
    tape.backward(tape.run(() => model.loss(tokens, targets)))
  }
  const dense = new GPT2(config, device, 1)
  for (const [at, linear] of dense.linears()) {
    const merged = lora.layers.get(at)!.merged(linear.weight)
    linear.weight.write((await merged.data()) as Float32Array)
  }
  using tape = new Tape()
  tape.backward(tape.run(() => dense.loss(tokens, targets)))
  const dweight = dense.linears().get(name)!.weight.grad!
  // W' = W + s (B A)^T: dB = s dW^T A^T, dA = s B^T dW^T.
  const scaled = async (t: Tensor) => (await t.data()).map((x) => (x * 5) / 3)
  const db = await scaled(matmul(dweight, layer.a, { transposeA: true, transposeB: true }))
  const da = await scaled(matmul(layer.b, dweight, { transposeA: true, transposeB: true }))
  assert.ok(distance(await layer.b.grad!.data(), db) < 1e-4)
  assert.ok(distance(await layer.a.grad!.data(), da) < 1e-4)
})

test('merged equals unmerged within rounding, switched off it is the base', async () => {
  const { model, lora } = build()
  const adapted = await logits(model)
  model.useAdapter(null)
  const base = await logits(model)
  assert.ok(distance(adapted, base) > 0.05)
  for (const [name, linear] of model.linears()) {
    const merged = lora.layers.get(name)!.merged(linear.weight)
    linear.weight.write((await merged.data()) as Float32Array)
  }
  assert.ok(distance(await logits(model), adapted) < 1e-5)
})

test('dropout of the adapter: named by the step, and only while training', async () => {
  const { model } = build(0.5)
  const loss = async (step?: number) => {
    const options = step === undefined ? {} : { dropout: { seed: 3, step } }
    using out = scope(() => keep(model.loss(tokens, targets, options)))
    return out.item()
  }
  const plain = await loss()
  assert.is(await loss(), plain)
  assert.is(await loss(1), await loss(1))
  assert.is.not(await loss(1), await loss(2))
  assert.is.not(await loss(1), plain)
  model.useAdapter(null)
  assert.is(await loss(1), await loss())
})

test('NEFTune: noise of the size that it says, only while training', async () => {
  const { model } = build()
  const states = async (noise: number, step?: number) => {
    const dropout = step === undefined ? undefined : { seed: 3, step }
    using out = scope(() => keep(model.forward(tokens, { noise, dropout })))
    return out.data()
  }
  const plain = await states(0, 1)
  assert.equal(await states(5), plain)
  assert.equal(await states(5, 1), await states(5, 1))
  assert.ok(distance(await states(5, 1), await states(5, 2)) > 1e-3)
  assert.ok(distance(await states(5, 1), plain) > distance(await states(0.5, 1), plain))
})

test.run()
