// The optimizer's step is an op of the device without a wrapper in lib/tensor: lib/optim calls it.
import { cast } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import type { OpCase } from '../../lib/testing/index.js'

export interface AdamwInstance {
  /** Sizes of the parameters. */
  sizes: number[]
  step: number
  weightDecay: number
  gradientScale?: number
  /** Above 0, the norm of all gradients is bounded by it. */
  maxNorm?: number
  /** The gradients' norm is not a number: nothing may change. */
  diverged?: boolean
  /** The tensors are not aligned. */
  shifted?: boolean
  /** The norm is there, and no bound. */
  normed?: boolean
  /** bfloat16 parameters have no float32 masters: they are rounded at random. One is not a number. */
  alone?: boolean
}

const rates = { learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8 }
const parts = ['param', 'gradient', 'm', 'v'] as const

export const adamwCase: OpCase<AdamwInstance> = {
  name: 'adamw',
  forwardOnly: true,
  float32: (input) => !input.startsWith('param'),
  instances: [
    { sizes: [1], step: 1, weightDecay: 0 },
    { sizes: [31, 33, 127], step: 1, weightDecay: 0.1 },
    { sizes: [40000, 3], step: 1000, weightDecay: 0.1, gradientScale: 0.25 },
    { sizes: [127, 1, 65], step: 3, weightDecay: 0, gradientScale: 0.5, maxNorm: 1 }, // clipped
    { sizes: [127, 65], step: 3, weightDecay: 0.1, maxNorm: 1000 }, // not clipped
    { sizes: [127, 65], step: 3, weightDecay: 0.1, maxNorm: 1, diverged: true },
    { sizes: [127, 65], step: 3, weightDecay: 0.1, normed: true },
    { sizes: [1027, 66], step: 5, weightDecay: 0.1, shifted: true },
    { sizes: [1027, 66], step: 5, weightDecay: 0.1, alone: true },
    { sizes: [33], step: 6, weightDecay: 0.1, alone: true, shifted: true },
    { sizes: Array.from({ length: 150 }, (_, i) => 1 + (i % 7)), step: 2, weightDecay: 0.1 },
  ],
  inputs({ sizes, diverged, shifted, alone }, random) {
    return Object.fromEntries(
      sizes.flatMap((n, i) =>
        parts.map((part) => {
          const input = { ...random.normal([n], part === 'm' ? 0.1 : 1), shifted }
          if (part === 'v')
            input.values = input.values.map((x) => 0.01 + 0.1 * x * x) as Float32Array
          if (part === 'gradient' && diverged) input.values[n - 1] = NaN
          if (part === 'param' && alone) input.values[n - 1] = NaN
          return [`${part}${i}`, input]
        }),
      ),
    )
  },
  run(tensors, { sizes, step, weightDecay, gradientScale = 1, maxNorm = 0, alone, normed }) {
    const [params, gradients, m, v] = parts.map((part) =>
      sizes.map((_, i) => tensors[`${part}${i}`]!),
    )
    const { device } = params![0]!
    const natives = [params!, gradients!, m!, v!].map((list) => list.map((tensor) => tensor.native))
    const norm = maxNorm > 0 || normed ? device.empty([1]) : null
    if (norm) device.native.norm(norm.native, natives[1]!)
    device.native.adamw(
      natives[0]!,
      natives[1]!,
      natives[2]!,
      natives[3]!,
      params!.map((param) =>
        param.dtype === 'bfloat16' && !alone ? cast(param, 'float32').native : null,
      ),
      sizes.map(() => weightDecay),
      norm?.native ?? null,
      rates.learningRate,
      rates.beta1,
      rates.beta2,
      rates.epsilon,
      gradientScale,
      maxNorm,
      step,
      0,
    )
    return sizes.flatMap((_, i) => [params![i]!, m![i]!, v![i]!])
  },
  oracle(values, { sizes, step, weightDecay, gradientScale = 1, maxNorm = 0, diverged }) {
    const norm = oracle.norm(sizes.map((_, i) => values[`gradient${i}`]!)) * gradientScale
    const gradientFactor = gradientScale * (maxNorm > 0 ? Math.min(1, maxNorm / norm) : 1)
    return sizes.flatMap((_, i) => {
      const [param, gradient, m, v] = parts.map((part) => values[`${part}${i}`]!)
      if (diverged) return [param!, m!, v!]
      return oracle.adamw(param!, gradient!, m!, v!, {
        ...rates,
        weightDecay,
        gradientFactor,
        step,
      })
    })
  },
  tolerance: () => ({ atol: 1e-7, rtol: 5e-6 }),
  cost({ sizes }) {
    const n = sizes.reduce((a, b) => a + b, 0)
    return { bytes: 28 * n, flops: 15 * n }
  },
}
