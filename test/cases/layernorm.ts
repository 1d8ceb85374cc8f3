import { layerNorm } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import { product } from '../../lib/testing/index.js'
import type { OpCase } from '../../lib/testing/index.js'

export interface LayerNormInstance {
  /** Leading dimensions of x. */
  rows: number[]
  C: number
  bias?: boolean
  epsilon?: number
  /** The mean of x: far from 0, a one-pass variance loses its digits. */
  mean?: number
  /** What no gradient is asked of. */
  frozen?: 'x' | 'parameters'
}

export const layerNormCase: OpCase<LayerNormInstance> = {
  name: 'layerNorm',
  instances: [
    { rows: [1], C: 1, bias: true },
    { rows: [31], C: 33, bias: true },
    { rows: [33], C: 31 },
    { rows: [1], C: 127, bias: true },
    { rows: [5, 127], C: 65, bias: true, epsilon: 1e-2 },
    { rows: [2, 3, 7], C: 768, bias: true },
    { rows: [300], C: 17, bias: true, mean: 100 },
    { rows: [37], C: 40, bias: true },
    { rows: [9], C: 776, bias: true },
    { rows: [19], C: 1288, bias: true },
    { rows: [19], C: 1288 },
    { rows: [11], C: 515, bias: true },
    { rows: [33_001], C: 8 }, // where a GPU is small, a warp has more than 32 rows
    { rows: [3], C: 7, bias: true, frozen: 'x' },
    { rows: [3], C: 7, bias: true, frozen: 'parameters' },
  ],
  inputs({ rows, C, bias, mean = 0, frozen }, random) {
    const constant = frozen === 'parameters'
    return {
      x: { ...random.normal([...rows, C], 1, mean), constant: frozen === 'x' },
      weight: { ...random.normal([C], 0.5, 1), constant },
      ...(bias ? { bias: { ...random.normal([C]), constant } } : {}),
    }
  },
  run: ({ x, weight, bias }, { epsilon }) => [layerNorm(x!, weight!, bias ?? null, epsilon)],
  oracle({ x, weight, bias }, { epsilon = 1e-5 }) {
    return [oracle.layerNorm(x!, weight!, bias ?? null, epsilon)]
  },
  // Away from 0 the mean itself is only known to 6e-8 of its size; one channel has no variance, so that
  // roundings in the gradient are multiplied by 1 / sqrt(epsilon).
  tolerance: ({ rows, C, mean = 0 }) => ({
    atol: 1e-6 * (4 + Math.sqrt(product(rows))) * (1 + mean / 10) * (C === 1 ? 100 : 1),
    rtol: 1e-5,
  }),
  cost({ rows, C }) {
    const n = product(rows) * C
    return { bytes: 8 * n, flops: 8 * n }
  },
}
