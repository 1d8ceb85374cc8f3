import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Batch } from '../../lib/data/index.js'
import { GPT2, checkConfig, resolveModel } from '../../lib/models/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Tape, cpu } from '../../lib/tensor/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { Passes } from '../../lib/train/passes.js'

const device = cpu({ threads: 2 })
const [B, T, V] = [3, 8, 20]
const sizes = { layers: 2, heads: 2, width: 16, context: T }
const options = { seed: 7, batch: B, noise: 5, smoothing: 0.1 }

/** The i-th micro-batch of a run; every other one has rows of two documents. */
function batch(i: number): Batch {
  const tokens = Int32Array.from({ length: B * T }, (_, at) => (at * (i + 3)) % V)
  const targets = Int32Array.from({ length: B * T }, (_, at) =>
    at % 5 ? (at * (i + 4)) % V : -100,
  )
  const starts = i % 2 ? Int32Array.from(tokens, (_, at) => (at % T < 3 ? 0 : 3)) : null
  return { tokens, targets, starts, targetCount: targets.filter((target) => target >= 0).length }
}

/** Losses and weights after some steps of two micro-batches, each run by what `open` gives. */
async function learn(
  dropout: number,
  open: (model: GPT2) => {
    run(batch: Batch, index: number, first: boolean): Tensor
    zeroGrad(): void
    dispose(): void
  },
): Promise<{ losses: number[]; weights: Map<string, Float32Array> }> {
  const model = new GPT2(checkConfig({ ...resolveModel(sizes, V), dropout }), device, 1)
  const optimizer = new AdamW(model.namedParameters(), { learningRate: 0.01 })
  const passes = open(model)
  const losses: number[] = []
  for (let step = 0; step < 4; step++) {
    for (const micro of [0, 1]) {
      const index = 2 * step + micro
      losses.push(await passes.run(batch(index), index, micro === 0).item())
    }
    using _ = optimizer.step()
    passes.zeroGrad()
  }
  const weights = await model.state()
  for (const each of [passes, optimizer, model]) each.dispose()
  return { losses, weights }
}

for (const dropout of [0, 0.2]) {
  test(`ops that run again give what those give that are made anew, dropout ${dropout}`, async () => {
    const again = await learn(dropout, (model) => new Passes(model, model, options))
    const anew = await learn(dropout, (model) => ({
      run({ tokens, targets, starts }, index) {
        using tape = new Tape()
        const upload = (values: Int32Array) => device.tensor(values, [B, T])
        const loss = tape.run(() =>
          model.loss(upload(tokens), upload(targets), {
            ...options,
            starts: starts && upload(starts),
            dropout: { seed: options.seed, step: index },
          }),
        )
        tape.backward(loss)
        tape.release(loss)
        return loss
      },
      zeroGrad: () => model.zeroGrad(),
      dispose() {},
    }))
    assert.equal(again, anew)
    assert.is(new Set(again.losses).size, 8)
  })
}

test('what is recorded is made once, and its memory given back', async () => {
  const device = cpu({ threads: 2 }) // on which nothing waits to be collected
  const model = new GPT2(resolveModel(sizes, V), device, 1)
  const passes = new Passes(model, model, options)
  passes.run(batch(0), 0, true)
  const gradients = model.parameters().map(({ grad }) => grad)
  passes.zeroGrad()
  assert.is(model.wte.weight.grad, null)
  const { used } = device.memory()
  passes.run(batch(1), 1, true)
  assert.is(device.memory().used, used)
  assert.ok(model.parameters().every(({ grad }, i) => grad && grad === gradients[i]))
  await device.idle()
  passes.dispose()
  model.dispose()
  assert.is(device.memory().used, 0)
  device.close()
})

test.run()
