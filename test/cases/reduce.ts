// Sums and norms: ops of the device without a wrapper in lib/tensor.
import * as oracle from '../oracle.js'
import type { OpCase } from '../../lib/testing/index.js'

export interface ReduceInstance {
  sizes: number[]
  /** The tensors are not aligned. */
  shifted?: boolean
}

const total = (sizes: number[]) => sizes.reduce((a, b) => a + b, 0)

export const sumCase: OpCase<{ n: number; shifted?: boolean }> = {
  name: 'sum',
  forwardOnly: true,
  float32: () => false,
  instances: [
    ...[1, 31, 33, 127, 200_003].map((n) => ({ n })),
    ...[99, 17_003].map((n) => ({ n, shifted: true })),
  ],
  inputs: ({ n, shifted }, random) => ({ x: { ...random.normal([n], 1, 1), shifted } }),
  run({ x }) {
    const out = x!.device.empty([1])
    x!.device.native.sum(out.native, x!.native)
    return [out]
  },
  oracle: ({ x }) => [[oracle.sum(x!)]],
  tolerance: () => ({ atol: 1e-7, rtol: 1e-6 }),
  cost: ({ n }) => ({ bytes: 4 * n, flops: n }),
}

export const normCase: OpCase<ReduceInstance> = {
  name: 'norm',
  forwardOnly: true,
  float32: () => false,
  instances: [
    { sizes: [1] },
    { sizes: [31, 33, 127] },
    { sizes: [5, 200_003, 1] },
    { sizes: [99, 17_003], shifted: true },
  ],
  inputs: ({ sizes, shifted }, random) =>
    Object.fromEntries(sizes.map((n, i) => [`x${i}`, { ...random.normal([n]), shifted }])),
  run(tensors) {
    const list = Object.values(tensors)
    const { device } = list[0]!
    const out = device.empty([1])
    device.native.norm(
      out.native,
      list.map((tensor) => tensor.native),
    )
    return [out]
  },
  oracle: (values) => [[oracle.norm(Object.values(values))]],
  tolerance: () => ({ atol: 1e-7, rtol: 1e-6 }),
  cost: ({ sizes }) => ({ bytes: 4 * total(sizes), flops: 2 * total(sizes) }),
}
