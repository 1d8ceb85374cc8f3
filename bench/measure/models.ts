// Training steps and generation of whole models.
import { Reader } from '../../lib/generate/reader.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { trainingFlops } from '../../lib/models/config.js'
import type { ModelOptions } from '../../lib/models/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Passes } from '../../lib/train/passes.js'
import type { CompactFormat, Device, Dtype } from '../../lib/tensor/index.js'
import { Random } from '../../lib/testing/index.js'
import type { Opener, WorkCase } from './kernels.js'

/** A case of many tokens a run. */
export type TokenCase = WorkCase & { tokens: number; sizes?: Sizes }

export interface Sizes {
  context: number
  width: number
}

/** A model and the batch that it is trained on. */
export interface Shape {
  name: string
  model: ModelOptions
  vocabulary: number
  batch: number
  context: number
}

export const gpt2 = (batch: number, context: number): Shape => ({
  name: `GPT-2 124M, B ${batch}, T ${context}`,
  model: { preset: 'gpt2' },
  vocabulary: 50257,
  batch,
  context,
})

/** One token for each character of a text, about. */
export const small = (
  layers: number,
  width: number,
  { heads, batch, context }: { heads: number; batch: number; context: number },
): Shape => ({
  name: `${layers} layers of ${width}, B ${batch}, T ${context}`,
  model: { layers, heads, width, context },
  vocabulary: 65,
  batch,
  context,
})

export const four = small(4, 128, { heads: 4, batch: 12, context: 64 })
export const six = small(6, 384, { heads: 6, batch: 16, context: 256 })
export const tinyShape = {
  ...small(1, 16, { heads: 2, batch: 2, context: 16 }),
  name: 'a tiny model',
}

function shapes(device: Device, tiny: boolean): Shape[] {
  if (tiny) return [tinyShape]
  return [four, six, device.kind === 'cuda' ? gpt2(8, 1024) : gpt2(4, 64)]
}

/** Whole steps: forward, backward, clipping and AdamW, the loss read as the trainer reads it. */
export function trainCases(device: Device, tiny: boolean): Opener<TokenCase>[] {
  return device.dtypes.flatMap((dtype) =>
    shapes(device, tiny).map((shape) => {
      const name = `train ${shape.name} (${dtype})`
      return { name, dtype, open: () => training(device, dtype, name, shape) }
    }),
  )
}

/** Steps of small models, whose context and width grow. */
export function scaleCases(device: Device, tiny: boolean): Opener<TokenCase>[] {
  const contexts = tiny ? [8, 16] : [64, 128, 256, 512, 1024]
  const widths = tiny ? [16, 32] : [128, 256, 512, 768]
  return device.dtypes.flatMap((dtype) =>
    widths.flatMap((width) =>
      contexts.map((context): Opener<TokenCase> => {
        const shape = small(2, width, { heads: width >= 128 ? width / 64 : 2, batch: 1, context })
        const name = `step ${shape.name} (${dtype})`
        const sizes = { context, width }
        return { name, dtype, open: () => ({ ...training(device, dtype, name, shape), sizes }) }
      }),
    ),
  )
}

export function training(device: Device, dtype: Dtype, name: string, shape: Shape): TokenCase {
  const { batch, context, vocabulary } = shape
  const config = { ...resolveModel(shape.model, vocabulary), context }
  const model = new GPT2(config, device, 1, dtype)
  const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-4 })
  const tokens = batch * context
  const values = Int32Array.from(new Random(1).integers([tokens], vocabulary).values)
  const targets = values.map((_, i) => values[(i + 1) % tokens]!)
  const input = { tokens: values, targets, starts: null, targetCount: tokens }
  const passes = new Passes(model, model, { seed: 1, batch })
  let step = 0
  return {
    name,
    dtype,
    tokens,
    flops: tokens * trainingFlops(config, context),
    bytes: 0,
    async run() {
      const loss = passes.run(input, step++, true)
      using norm = optimizer.norm()
      const read = Promise.all([loss.item(), norm.item()])
      optimizer.step({ gradientScale: 1 / tokens, maxNorm: 1, norm })
      passes.zeroGrad()
      const [value] = await read
      if (!Number.isFinite(value)) throw new Error(`${shape.name}: the loss is ${value}`)
    },
    dispose() {
      for (const each of [passes, model, optimizer]) each.dispose()
    },
  }
}

/** A prompt that is read at once, and tokens that follow one by one, as text is written. */
export function generateCases(device: Device, tiny: boolean): Opener<TokenCase>[] {
  // On the CPU activations are float32, and weights may be kept in fewer bytes.
  const kept: [Dtype, Weights][] =
    device.kind === 'cpu'
      ? (['float32', 'bfloat16', 'int8'] as const).map((weights) => ['float32', weights])
      : device.dtypes.map((dtype) => [dtype, dtype as Weights])
  return kept.flatMap(([dtype, weights]) =>
    (['prompt', 'token by token'] as const).map((part) => {
      const name = `generate ${tiny ? 'a tiny model' : 'GPT-2 124M'}, ${part} (${weights})`
      const how = { name, dtype, weights, reading: part === 'prompt', tiny }
      return { name, dtype, open: () => generating(device, how) }
    }),
  )
}

export type Weights = 'float32' | CompactFormat
const bytesOf: Record<Weights, number> = { float32: 4, bfloat16: 2, int8: 36 / 32 }

interface Generating {
  name: string
  dtype: Dtype
  weights: Weights
  /** A prompt, not token by token. */
  reading: boolean
  tiny: boolean
}

export function generating(
  device: Device,
  { name, dtype, weights: kept, reading, tiny }: Generating,
): TokenCase {
  const sizes = tiny ? { layers: 1, heads: 2, width: 16, context: 32 } : { preset: 'gpt2' as const }
  const config = resolveModel(sizes, tiny ? 65 : 50257)
  const model = new GPT2(config, device, 1, dtype)
  if (kept !== 'float32' && kept !== dtype) model.compact(kept)
  const [prompt, count] = tiny ? [8, 2] : [512, 8]
  const text = [...new Random(1).integers([prompt], config.vocabulary).values]
  const { layers: L, width: C, vocabulary: V } = config
  const weights = 12 * L * C * C
  let reader = new Reader(model, config.vocabulary)
  const tokens = reading ? prompt : count
  return {
    name,
    dtype,
    tokens,
    flops: reading ? prompt * (2 * weights + 2 * L * C * prompt) + 2 * V * C : 0,
    // Every weight is read for each token, and what was kept of those before.
    bytes: reading ? 0 : count * (bytesOf[kept] * (weights + V * C) + 8 * L * C * prompt),
    async run() {
      if (reading) {
        reader.dispose()
        reader = new Reader(model, config.vocabulary)
        await reader.read([text])
      } else {
        // What was read before is known, but for the tokens of the last run.
        for (let i = 0; i < count; i++) await reader.read([[...text, ...text.slice(0, i + 1)]])
      }
    },
    dispose() {
      reader.dispose()
      model.dispose()
    },
  }
}
