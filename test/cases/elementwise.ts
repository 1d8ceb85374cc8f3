import { add, dropout, gelu } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import { product } from '../../lib/testing/index.js'
import type { OpCase } from '../../lib/testing/index.js'

export interface ElementwiseInstance {
  shape: number[]
}

const shapes = [[1], [31], [33, 1], [3, 127], [2, 31, 33], [5, 4099]].map((shape) => ({ shape }))

export const addCase: OpCase<ElementwiseInstance> = {
  name: 'add',
  instances: shapes,
  inputs: ({ shape }, random) => ({ a: random.normal(shape), b: random.normal(shape) }),
  run: ({ a, b }) => [add(a!, b!)],
  oracle: ({ a, b }) => [oracle.add(a!, b!)],
  tolerance: () => ({ atol: 1e-7, rtol: 1e-6 }),
  cost: ({ shape }) => ({ bytes: 12 * product(shape), flops: product(shape) }),
}

export const geluCase: OpCase<ElementwiseInstance> = {
  name: 'gelu',
  instances: shapes,
  inputs: ({ shape }, random) => ({ x: random.normal(shape, 3) }), // out to where tanh is flat
  run: ({ x }) => [gelu(x!)],
  oracle: ({ x }) => [Float64Array.from(x!, oracle.gelu)],
  tolerance: () => ({ atol: 2e-6, rtol: 2e-6 }),
  cost: ({ shape }) => ({ bytes: 8 * product(shape), flops: 10 * product(shape) }),
}

export interface DropoutInstance {
  shape: number[]
  p: number
  seed: number
  stream: number
}

export const dropoutCase: OpCase<DropoutInstance> = {
  name: 'dropout',
  instances: [
    { shape: [1], p: 0.5, seed: 1, stream: 0 },
    { shape: [31, 33], p: 0.1, seed: 1337, stream: 7 },
    { shape: [127], p: 0.9, seed: Number.MAX_SAFE_INTEGER, stream: Number.MAX_SAFE_INTEGER },
    { shape: [3, 7001], p: 0.2, seed: 2 ** 32, stream: 2 ** 33 + 1 }, // several pieces
  ],
  inputs: ({ shape }, random) => ({ x: random.normal(shape) }),
  run: ({ x }, options) => [dropout(x!, options)],
  oracle({ x }, { p, seed, stream }) {
    const mask = oracle.dropoutMask(x!.length, p, seed, stream)
    return [x!.map((value, i) => value * mask[i]!)]
  },
  tolerance: () => ({ atol: 1e-7, rtol: 1e-6 }),
  cost: ({ shape }) => ({ bytes: 8 * product(shape), flops: 20 * product(shape) }),
}
