// The whole model against PyTorch: test/fixtures/gpt2-golden.safetensors was made by gpt2-golden.py
// beside it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fileURLToPath } from 'node:url'
import { openSafetensors } from '../../lib/formats/safetensors.js'
import { GPT2, checkConfig, parameterCount, resolveModel } from '../../lib/models/index.js'
import type { Preset } from '../../lib/models/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Tape, cpu, scope, keep } from '../../lib/tensor/index.js'
import type { Device } from '../../lib/tensor/index.js'
import { crossEntropy } from '../oracle.js'

const file = await openSafetensors(
  fileURLToPath(new URL('../fixtures/gpt2-golden.safetensors', import.meta.url)),
)
const golden = new Map<string, Float32Array | Int32Array>()
for (const name of file.tensors.keys()) golden.set(name, (await file.read(name)) as Float32Array)
await file.close()
const [B, T] = file.tensors.get('tokens')!.shape as [number, number]
const [V, C] = file.tensors.get('wte.weight')!.shape as [number, number]
const config = checkConfig({
  vocabulary: V,
  width: C,
  context: file.tensors.get('wpe.weight')!.shape[0]!,
  layers: 2,
  heads: 3,
  bias: true,
  tied: true,
  dropout: 0,
  epsilon: 1e-5,
  gelu: 'tanh',
})
const targets = golden.get('targets') as Int32Array
const count = targets.filter((target) => target >= 0).length

function build(device: Device): GPT2 {
  const model = new GPT2(config, device)
  model.loadState([...model.namedParameters()].map(([name]) => [name, golden.get(name)!]))
  return model
}

function lossOf(model: GPT2, options: { packed?: boolean; recompute?: boolean } = {}) {
  const { device } = model
  const upload = (name: string) => device.tensor(golden.get(name)!, [B, T])
  const starts = options.packed ? upload('starts') : null
  return model.loss(upload('tokens'), upload('targets'), { starts, recompute: options.recompute })
}

function close(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
  atol = 2e-6,
  rtol = 2e-4,
) {
  assert.is(actual.length, expected.length, what)
  for (let i = 0; i < expected.length; i++) {
    const bound = atol + rtol * Math.abs(expected[i]!)
    const error = Math.abs(actual[i]! - expected[i]!)
    if (!(error <= bound))
      assert.unreachable(`${what}[${i}]: ${actual[i]} is not ${expected[i]} within ${bound}`)
  }
}

for (const threads of [1, 2]) {
  for (const packed of [false, true]) {
    for (const recompute of [false, true]) {
      const rows = packed ? 'packed documents' : 'whole rows'
      const title = `${rows}, ${recompute ? 'recomputed, ' : ''}${threads} threads`
      test(`loss and every gradient equal PyTorch's: ${title}`, async () => {
        const model = build(cpu({ threads }))
        using tape = new Tape()
        const loss = tape.run(() => lossOf(model, { packed, recompute }))
        tape.backward(loss)
        const prefix = packed ? 'packed.' : ''
        close([(await loss.item()) / count], golden.get(`${prefix}loss`)!, 'loss')
        let seen = 0
        for (const [name, parameter] of model.namedParameters()) {
          const gradient = (await parameter.grad!.data()).map((g) => g / count)
          close(gradient, golden.get(`${prefix}grad.${name}`)!, name)
          seen++
        }
        assert.is(seen, [...golden.keys()].filter((name) => name.startsWith('grad.')).length)
        model.device.close()
      })
    }
  }
}

test('logits equal those of PyTorch, read whole and token by token through the cache', async () => {
  const model = build(cpu())
  const tokens = golden.get('tokens')!
  const whole = scope(() => keep(model.logits(model.forward(model.device.tensor(tokens, [B, T])))))
  close(await whole.data(), golden.get('logits')!, 'logits', 1e-5)
  const cache = model.cache(B)
  for (let t = 0; t < T; t += t < 5 ? 5 : 1) {
    const step = t < 5 ? 5 : 1
    const column = Int32Array.from(
      { length: B * step },
      (_, i) => tokens[Math.floor(i / step) * T + t + (i % step)]!,
    )
    const logits = scope(() =>
      keep(model.logits(model.continue(model.device.tensor(column, [B, step]), cache))),
    )
    const values = await logits.data()
    for (let b = 0; b < B; b++) {
      for (let s = 0; s < step; s++) {
        const expected = golden
          .get('logits')!
          .subarray((b * T + t + s) * V, (b * T + t + s + 1) * V)
        close(
          values.subarray((b * step + s) * V, (b * step + s + 1) * V),
          expected,
          `row ${b}, position ${t + s}`,
          1e-5,
        )
      }
    }
  }
  assert.is(cache.length, T)
})

test('AdamW with clipping goes where PyTorch goes', async () => {
  const model = build(cpu())
  const optimizer = new AdamW(model.namedParameters(), {
    learningRate: 1e-3,
    betas: [0.9, 0.99],
    epsilon: 1e-8,
    weightDecay: 0.1,
  })
  const losses: number[] = []
  const norms: number[] = []
  for (let step = 0; step < 5; step++) {
    using tape = new Tape()
    const loss = tape.run(() => lossOf(model))
    tape.backward(loss)
    norms.push((await optimizer.step({ gradientScale: 1 / count, maxNorm: 1 }).item()) / count)
    model.zeroGrad()
    losses.push((await loss.item()) / count)
  }
  losses.push((await scope(() => keep(lossOf(model))).item()) / count)
  close(losses, golden.get('adamw.losses')!, 'losses', 1e-5, 1e-5)
  close(norms, golden.get('adamw.norms')!, 'norms', 1e-5, 1e-4)
  for (const [name, parameter] of model.namedParameters()) {
    const [actual, expected] = [await parameter.data(), golden.get(`adamw.${name}`)!]
    // A bias of the keys moves all scores of a row alike, so that its true gradient is 0, and Adam
    // turns what rounding leaves of it into whole steps: nothing to compare.
    if (name.endsWith('c_attn.bias')) for (const x of [actual, expected]) x.fill(0, C, 2 * C)
    // Where a gradient is near zero, the same happens in part: hence the wider atol.
    close(actual, expected, name, 2e-4, 1e-4)
  }
})

test('the parameter count is that of the model, tied or not, with biases or without', () => {
  for (const bias of [true, false]) {
    for (const tied of [true, false]) {
      const variant = { ...config, bias, tied }
      assert.is(new GPT2(variant, cpu()).size, parameterCount(variant))
    }
  }
})

test('presets have the published sizes', () => {
  // Radford et al. 2019 as released: 124M, 355M, 774M, 1558M.
  const sizes = {
    gpt2: 124439808,
    'gpt2-medium': 354823168,
    'gpt2-large': 774030080,
    'gpt2-xl': 1557611200,
  }
  for (const [preset, size] of Object.entries(sizes)) {
    const config = resolveModel(preset as Preset, 50257)
    assert.is(parameterCount(config), size)
  }
})

test('label smoothing: the loss against the logits, in float64', async () => {
  const device = cpu()
  const model = build(device)
  const upload = (name: string) => device.tensor(golden.get(name)!, [B, T])
  const sum = async (smoothing: number) => {
    using loss = scope(() => keep(model.loss(upload('tokens'), upload('targets'), { smoothing })))
    return loss.item()
  }
  using logits = scope(() => keep(model.logits(model.forward(upload('tokens')))))
  const exact = Float64Array.from(await logits.data())
  for (const smoothing of [0, 0.1, 0.5]) {
    const expected = crossEntropy(exact, Float64Array.from(targets), smoothing)
    close([await sum(smoothing)], [expected], `smoothing ${smoothing}`, 1e-4, 1e-6)
  }
  model.dispose()
})

test('NEFTune: noise of its own for each step, within alpha / sqrt(T C), in training alone', async () => {
  const device = cpu()
  const model = build(device)
  const tokens = () => device.tensor(golden.get('tokens')!, [B, T])
  const hidden = async (noise: number, step?: number) => {
    const dropout = step === undefined ? undefined : { seed: 1, step }
    using x = scope(() => keep(model.forward(tokens(), { noise, dropout })))
    return (await x.data()) as Float32Array
  }
  const plain = await hidden(0)
  const furthest = (a: Float32Array, b: Float32Array) =>
    a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0)
  assert.is(furthest(await hidden(5), plain), 0, 'no step, no noise')
  const [first, again, second] = [await hidden(5, 0), await hidden(5, 0), await hidden(5, 1)]
  assert.is(furthest(first, again), 0)
  assert.ok(furthest(first, plain) > 1e-3 && furthest(first, second) > 1e-3)
  // So little noise goes through as a linear map: half as much moves half as far.
  const [little, half] = [await hidden(1e-2, 0), await hidden(5e-3, 0)]
  const ratio = furthest(little, plain) / furthest(half, plain)
  assert.ok(Math.abs(ratio - 2) < 0.05, String(ratio))
  model.dispose()
})

test.run()
