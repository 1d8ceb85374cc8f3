// device: cuda
// timeout: 600
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { train } from '../../lib/index.js'
import { GPT2, resolveModel, trainingMemory } from '../../lib/models/index.js'
import type { ModelOptions } from '../../lib/models/index.js'
import { Lora } from '../../lib/nn/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Tape, cuda } from '../../lib/tensor/index.js'
import type { Dtype } from '../../lib/tensor/index.js'
import { skipsCuda } from '../tensor/cuda.js'
import { failure, nano } from './nano.js'

interface Shape {
  model: ModelOptions
  batch: number
  recompute?: boolean
  dtype?: Dtype
  /** Of an adapter that is learned instead. */
  rank?: number
}

const block = { layers: 4, heads: 4, width: 128, context: 64, vocabulary: 512 }
const shapes: Shape[] = [
  { model: { ...block, vocabulary: 4096, layers: 2 }, batch: 4 },
  { model: { ...block, tied: false, dropout: 0.1 }, batch: 8 },
  { model: block, batch: 8, recompute: true },
  { model: { ...block, layers: 2 }, batch: 8, dtype: 'float32' },
  { model: { ...block, layers: 3 }, batch: 8, rank: 8 },
]

/** An adapter on every linear layer, learned alone. */
function adapt(model: GPT2, rank: number): Lora {
  for (const parameter of model.parameters()) parameter.requiresGrad = false
  const layers = Array.from(model.linears(), ([name, { weight }]) => {
    return { name, inputs: weight.shape[0]!, outputs: weight.shape[1]! }
  })
  const settings = { rank, alpha: rank, dropout: 0, rsLora: false }
  const lora = Lora.fresh(settings, layers, { device: model.device, dtype: model.dtype, seed: 1 })
  model.useAdapter(lora)
  return lora
}

async function measure({ model: options, batch, recompute, dtype, rank }: Shape) {
  const config = resolveModel(options)
  const device = cuda()
  const model = new GPT2(config, device, 0, dtype)
  const lora = rank ? adapt(model, rank) : undefined
  const learned = [...(lora ?? model).namedParameters()]
  const optimizer = new AdamW(learned)
  const count = batch * config.context
  const tokens = Int32Array.from({ length: count }, (_, i) => (i * 7) % config.vocabulary)
  using tape = new Tape()
  const upload = () => device.tensor(tokens, [batch, config.context])
  const dropout = { seed: 1, step: 0 }
  const loss = tape.run(() => model.loss(upload(), upload(), { dropout, recompute }))
  tape.backward(loss)
  optimizer.step().dispose()
  await device.idle()
  const memory = device.memory()
  device.close()
  const adapter = lora && learned.reduce((sum, [, { size }]) => sum + size, 0)
  const shape = { batch, recompute, adapter, dtype, device: 'cuda' as const }
  return { ...memory, estimate: trainingMemory(config, shape) }
}

if (skipsCuda()) {
  test('nothing without a GPU', () => {})
} else {
  for (const shape of shapes) {
    const asked = { dtype: 'bfloat16' as const, ...shape }
    test(`the estimate is what a step takes within 10 %: ${JSON.stringify(asked)}`, async () => {
      const { reserved, peak, estimate } = await measure(asked)
      const { total } = estimate
      const shown = [total, reserved, peak].map((bytes) => `${(bytes / 1e6).toFixed(1)} MB`)
      console.log(`\nestimate ${shown[0]}, held ${shown[1]}, in tensors ${shown[2]}`)
      assert.ok(total >= peak, 'never less than the tensors')
      assert.ok(Math.abs(total / reserved - 1) < 0.1, `${total} is not ${reserved}`)
    })
  }

  test('a model that the GPU has no room for is refused before it is made', async () => {
    const model = { layers: 60, heads: 80, width: 10240, context: 64 }
    const error = await failure(train(nano({ device: 'cuda', model })))
    assert.is(error.code, 'ERR_OUT_OF_MEMORY')
    assert.match(
      error.message,
      /takes about 1[34]\d\d\.\d GB, and .+ \(cuda:0\) has \d+\.\d GB; in the smallest parts it takes 1[34]\d\d/,
    )
  })
}

test.run()
