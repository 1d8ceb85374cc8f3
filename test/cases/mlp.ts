// What only the backward pass has: the slope of a GELU within the product that makes its output's
// gradient, and the gradient of a bias within that of the weight.
import { matmul } from '../../lib/tensor/index.js'
import { geluCode } from '../../lib/tensor/ops/gelu.js'
import * as oracle from '../oracle.js'
import type { OpCase } from '../../lib/testing/index.js'

export interface MlpInstance {
  rows: number[]
  /** Channels in, within and out. */
  K: number
  H: number
  N: number
  gelu: 'tanh' | 'exact'
  /** The second weight is stored [N, H]. */
  transposeB?: boolean
}

const count = (rows: number[]) => rows.reduce((a, b) => a * b, 1)

/** Two layers with a GELU between them, weights [inputs, outputs] as a GPT-2 has them. */
export const mlpCase: OpCase<MlpInstance> = {
  name: 'mlp',
  instances: [
    { rows: [1], K: 1, H: 1, N: 1, gelu: 'tanh' },
    { rows: [3, 11], K: 31, H: 65, N: 33, gelu: 'tanh' },
    { rows: [2, 16], K: 32, H: 72, N: 24, gelu: 'exact' },
    { rows: [67], K: 5, H: 33, N: 127, gelu: 'exact', transposeB: true },
  ],
  inputs: ({ rows, K, H, N, transposeB }, random) => ({
    x: random.normal([...rows, K]),
    up: random.normal([K, H], 1 / Math.sqrt(K)),
    b1: random.normal([H]),
    down: random.normal(transposeB ? [N, H] : [H, N], 1 / Math.sqrt(H)),
    b2: random.normal([N]),
  }),
  run({ x, up, b1, down, b2 }, { gelu, transposeB }) {
    const hidden = matmul(x!, up!, { bias: b1, gelu })
    return [matmul(hidden, down!, { bias: b2, transposeB })]
  },
  oracle({ x, up, b1, down, b2 }, { rows, K, H, N, gelu, transposeB }) {
    const M = count(rows)
    const hidden = oracle.matmul(x!, up!, { M, N: H, K, bias: b1, gelu })
    return [oracle.matmul(hidden, down!, { M, N, K: H, bias: b2, transposeB })]
  },
  tolerance: ({ rows, K, H, N }) => ({
    atol: 2e-6 * (4 + Math.sqrt(Math.max(count(rows), K, H, N))),
    rtol: 2e-5,
  }),
  terms: () => 3,
  cost({ rows, K, H, N }) {
    const M = count(rows)
    return { bytes: 4 * (M * (K + H + N) + H * (K + N)), flops: 2 * M * H * (K + N) }
  },
}

export interface ProductsInstance {
  M: number
  N: number
  K: number
  gelu: 'tanh' | 'exact'
}

/**
 * Both products on their own, added to what is there, at sizes that the largest tiles and sums split over
 * K take: a [K, M], b [K, N], out += (a^T b) gelu'(z) and dweight += a^T b, dbias += sums of b's columns.
 */
export const backwardProductsCase: OpCase<ProductsInstance> = {
  name: 'backward products',
  forwardOnly: true,
  float32: (input) => input.startsWith('d'),
  instances: [
    { M: 1, N: 33, K: 31, gelu: 'tanh' },
    { M: 31, N: 33, K: 127, gelu: 'exact' },
    { M: 72, N: 136, K: 0, gelu: 'tanh' },
    { M: 104, N: 1224, K: 1024, gelu: 'tanh' },
    { M: 673, N: 3520, K: 33, gelu: 'exact' },
  ],
  inputs: ({ M, N, K }, random) => ({
    a: random.normal([K, M], 1 / Math.sqrt(Math.max(K, 1))),
    b: random.normal([K, N]),
    z: random.normal([M, N]),
    out: random.normal([M, N]),
    dweight: random.normal([M, N]),
    dbias: random.normal([N]),
  }),
  run({ a, b, z, out, dweight, dbias }, { gelu }) {
    const { native } = a!.device
    const copies = [out!, dweight!, dbias!].map((x) => {
      const copy = x.device.empty(x.shape, x.dtype)
      native.copy(copy.native, x.native)
      return copy
    })
    const [product, weight, sums] = copies.map((copy) => copy.native)
    const [left, right] = [a!.native, b!.native]
    native.matmulGeluBackward(product!, left, right, z!.native, true, false, geluCode(gelu), true)
    native.matmulBiasBackward(weight!, sums!, left, right, true, true, true)
    return copies
  },
  oracle({ a, b, z, out, dweight, dbias }, { M, N, K, gelu }) {
    const product = oracle.matmul(a!, b!, { M, N, K, transposeA: true })
    const sums = Float64Array.from(dbias!)
    for (let i = 0; i < b!.length; i++) sums[i % N]! += b![i]!
    return [
      product.map((x, i) => out![i]! + x * oracle.geluSlope(gelu, z![i]!)),
      product.map((x, i) => dweight![i]! + x),
      sums,
    ]
  },
  tolerance: ({ K }) => ({ atol: 2e-6 * (4 + Math.sqrt(K)), rtol: 1e-5 }),
  terms: () => 2,
  cost: ({ M, N, K }) => ({ bytes: 4 * (K * (M + N) + 3 * M * N), flops: 2 * M * N * K }),
}
