import { matmul } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import type { Input, OpCase } from '../../lib/testing/index.js'

export interface MatmulInstance {
  /** Leading dimensions of a; their product is M. */
  rows: number[]
  N: number
  K: number
  transposeA?: boolean
  transposeB?: boolean
  bias?: boolean
  gelu?: 'exact' | boolean
  residual?: boolean
  /** An input that begins at no multiple of 16 bytes. */
  shifted?: 'a' | 'b' | 'bias'
}

const count = (rows: number[]) => rows.reduce((a, b) => a * b, 1)
const layer = { transposeB: true, bias: true }

export const matmulCase: OpCase<MatmulInstance> = {
  name: 'matmul',
  instances: [
    { rows: [1], N: 1, K: 1 },
    { rows: [33], N: 31, K: 127 },
    { rows: [1], N: 127, K: 33, transposeB: true },
    { rows: [127], N: 1, K: 31, transposeA: true },
    { rows: [31], N: 33, K: 1, transposeA: true, transposeB: true },
    { rows: [31], N: 127, K: 33, transposeA: true, transposeB: true },
    { rows: [33], N: 33, K: 31, transposeA: true, bias: true, gelu: true, residual: true },
    { rows: [3, 11], N: 31, K: 33, residual: true },
    { rows: [2, 3, 5], N: 65, K: 17, transposeB: true, gelu: true },
    { rows: [31], N: 127, K: 33, ...layer },
    { rows: [5, 13], N: 33, K: 127, ...layer, gelu: true },
    { rows: [2, 16], N: 64, K: 48, ...layer, residual: true },
    { rows: [1, 33], N: 31, K: 31, ...layer, gelu: true, residual: true },
    { rows: [2100], N: 8, K: 1, ...layer }, // the bias's gradient takes several rows a warp
    { rows: [7], N: 33, K: 31, bias: true, gelu: 'exact', residual: true },
    { rows: [5, 13], N: 33, K: 127, ...layer, gelu: 'exact' },
    { rows: [65], N: 97, K: 67, ...layer, gelu: true, residual: true },
    { rows: [3], N: 5, K: 8, transposeB: true, shifted: 'a' },
    { rows: [3], N: 5, K: 8, transposeB: true, shifted: 'b' },
    { rows: [11], N: 5, K: 31, transposeB: true },
    { rows: [3], N: 5, K: 1100, transposeB: true },
    // Sums split over K, in the forward, or over the rows in the backward.
    { rows: [24], N: 8, K: 1024, bias: true, gelu: 'exact' },
    { rows: [24], N: 8, K: 1024, bias: true, gelu: true, shifted: 'bias' },
    { rows: [1040], N: 9, K: 5, bias: true },
    { rows: [2100], N: 8, K: 4, bias: true },
  ],
  inputs({ rows, N, K, shifted, ...options }, random) {
    const M = count(rows)
    const inputs: Record<string, Input> = {
      a: random.normal(options.transposeA ? [K, M] : [...rows, K]),
      b: random.normal(options.transposeB ? [N, K] : [K, N], 1 / Math.sqrt(K)),
    }
    if (options.bias) inputs.bias = random.normal([N])
    if (options.residual) inputs.residual = random.normal([...rows, N])
    if (shifted) inputs[shifted]!.shifted = true
    return inputs
  },
  run({ a, b, bias, residual }, { transposeA, transposeB, gelu }) {
    return [matmul(a!, b!, { transposeA, transposeB, gelu, bias, residual })]
  },
  oracle({ a, b, bias, residual }, { rows, bias: _, residual: __, ...rest }) {
    return [oracle.matmul(a!, b!, { ...rest, M: count(rows), bias, residual })]
  },
  // Gradients of weights are sums over M, those of a over N.
  tolerance: ({ rows, N, K }) => ({
    atol: 1e-6 * (4 + Math.sqrt(Math.max(count(rows), N, K))),
    rtol: 1e-5,
  }),
  cost({ rows, N, K, bias, gelu, residual }) {
    const M = count(rows)
    const elements = M * K + K * N + M * N * (residual ? 2 : 1) + (bias ? N : 0)
    return { bytes: 4 * elements, flops: 2 * M * N * K + (gelu ? 10 * M * N : 0) }
  },
}

/** Products large enough for the largest tiles and for sums split over K; gradients are the same op. */
export const largeMatmulCase: OpCase<MatmulInstance> = {
  ...matmulCase,
  forwardOnly: true,
  instances: [
    { rows: [351], N: 3519, K: 33, ...layer, gelu: true },
    { rows: [673], N: 3519, K: 33 },
    { rows: [673], N: 3519, K: 33, transposeA: true },
    { rows: [97], N: 1217, K: 1024, transposeA: true, residual: true },
    { rows: [16], N: 1217, K: 256, ...layer },
  ],
}
