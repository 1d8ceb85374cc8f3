// device: cuda
// The whole model with a window in every other layer, as GPT-Neo's: what it learns and what it says from
// a cache on the GPU is what the CPU says, which test/formats/base.test.ts compares with Transformers.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GPT2, checkConfig } from '../../lib/models/index.js'
import type { GPT2Config } from '../../lib/models/index.js'
import { Tape, cpu } from '../../lib/tensor/index.js'
import type { Device, Dtype } from '../../lib/tensor/index.js'
import { openCuda, skipsCuda } from '../tensor/cuda.js'

const [B, T, V] = [2, 70, 29]
const config = checkConfig({
  vocabulary: V,
  width: 64,
  context: T,
  layers: 2,
  heads: 2,
  bias: true,
  tied: true,
  dropout: 0,
  epsilon: 1e-5,
  gelu: 'tanh',
  windows: [null, 9],
})
const tokens = Int32Array.from({ length: B * T }, (_, i) => (i * i + 3 * i) % V)
const targets = tokens.map((token) => (token * 7 + 1) % V)

// Eight times fresh weights, so that attention is far from a mean and every gradient counts.
const fresh = new GPT2(config, cpu(), 4)
const state: [string, Float32Array][] = []
for (const [name, weight] of fresh.namedParameters()) {
  const scale = name.includes('ln_') ? 1 : 8
  state.push([name, ((await weight.data()) as Float32Array).map((x) => x * scale)])
}
fresh.dispose()

function build(device: Device, made: GPT2Config = config, dtype: Dtype = 'float32'): GPT2 {
  const model = new GPT2(made, device, 0, dtype)
  model.loadState(state)
  return model
}

async function learned(model: GPT2): Promise<Map<string, Float32Array>> {
  using tape = new Tape()
  const upload = (values: Int32Array) => model.device.tensor(values, [B, T])
  const loss = tape.run(() => model.loss(upload(tokens), upload(targets)))
  tape.backward(loss)
  const found = new Map([['loss', Float32Array.of((await loss.item()) / (B * T))]])
  for (const [name, parameter] of model.namedParameters()) {
    const gradient = (await parameter.grad!.data()) as Float32Array
    found.set(
      name,
      gradient.map((x) => x / (B * T)),
    )
  }
  return found
}

async function whole(model: GPT2): Promise<Float32Array> {
  const hidden = model.forward(model.device.tensor(tokens, [B, T]))
  return (await model.logits(hidden).data()) as Float32Array
}

const far = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0)

if (skipsCuda()) {
  test('nothing without a GPU', () => {})
} else {
  const device = openCuda()
  const [here, there] = [build(cpu()), build(device)]
  const wanted = await whole(here)

  test('loss and every gradient are the CPU’s', async () => {
    const [cpus, gpus] = [await learned(here), await learned(there)]
    for (const [name, values] of cpus) {
      const most = far(values, new Float32Array(values.length))
      assert.ok(most > 1e-4, `${name} is 0`)
      const apart = far(gpus.get(name)!, values)
      assert.ok(apart < 1e-6 + 1e-4 * most, `${name}: ${apart} apart, of ${most}`)
    }
  })

  test('logits, whole and from a cache, in float32 and bfloat16; without the window others', async () => {
    assert.ok(far(await whole(there), wanted) < 1e-4)
    const unbounded = build(device, { ...config, windows: undefined })
    assert.ok(far(await whole(unbounded), wanted) > 0.05)
    const rounded = far(await whole(build(device, config, 'bfloat16')), wanted)
    const most = far(wanted, new Float32Array(wanted.length))
    assert.ok(rounded < 0.05 * most, `${rounded} apart, of ${most}`)

    const cache = there.cache(B)
    for (const [from, to] of [
      [0, 5],
      [5, 40],
      [40, 41],
    ] as const) {
      const rows = [0, 1].flatMap((b) => [...tokens.subarray(b * T + from, b * T + to)])
      const part = device.tensor(Int32Array.from(rows), [B, to - from])
      const values = (await there.logits(there.continue(part, cache)).data()) as Float32Array
      const expected = [0, 1].flatMap((b) => [
        ...wanted.subarray((b * T + from) * V, (b * T + to) * V),
      ])
      assert.ok(far(values, Float32Array.from(expected)) < 1e-4, `from ${from}`)
    }
  })
}

test.run()
