import { add, cast, dropout, gelu } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import { product } from '../../lib/testing/index.js'
import type { Input, OpCase, Random } from '../../lib/testing/index.js'

export interface ElementwiseInstance {
  shape: number[]
  /** Its inputs are not aligned. */
  shifted?: boolean
}

const shapes: ElementwiseInstance[] = [
  ...[[1], [31], [33, 1], [3, 127], [2, 31, 33], [5, 4099]].map((shape) => ({ shape })),
  { shape: [3, 347], shifted: true },
]

function normal(
  { shape, shifted }: ElementwiseInstance,
  random: Random,
  deviation?: number,
): Input {
  return { ...random.normal(shape, deviation), ...(shifted && { shifted }) }
}

export const addCase: OpCase<ElementwiseInstance> = {
  name: 'add',
  instances: shapes,
  inputs: (instance, random) => ({ a: normal(instance, random), b: normal(instance, random) }),
  run: ({ a, b }) => [add(a!, b!)],
  oracle: ({ a, b }) => [oracle.add(a!, b!)],
  tolerance: () => ({ atol: 1e-7, rtol: 1e-6 }),
  cost: ({ shape }) => ({ bytes: 12 * product(shape), flops: product(shape) }),
}

export const geluCase: OpCase<ElementwiseInstance & { form?: 'exact' }> = {
  name: 'gelu',
  instances: [...shapes, ...shapes.map((instance) => ({ ...instance, form: 'exact' as const }))],
  inputs: (instance, random) => ({ x: normal(instance, random, 3) }), // out to where tanh is flat
  run: ({ x }, { form }) => [gelu(x!, form)],
  oracle: ({ x }, { form }) => [Float64Array.from(x!, oracle.geluOf(form ?? 'tanh'))],
  tolerance: () => ({ atol: 2e-6, rtol: 2e-6 }),
  cost: ({ shape }) => ({ bytes: 8 * product(shape), flops: 10 * product(shape) }),
}

/** From the dtype of weights and activations to the other one, and there back. */
export const castCase: OpCase<ElementwiseInstance> = {
  name: 'cast',
  forwardOnly: true,
  instances: shapes,
  inputs: (instance, random) => ({ x: normal(instance, random) }),
  run({ x }) {
    using other = cast(x!, x!.dtype === 'float32' ? 'bfloat16' : 'float32')
    return [cast(other, x!.dtype)]
  },
  oracle: ({ x }) => [x!],
  tolerance: () => ({ atol: 0, rtol: 2 ** -8 }),
  cost: ({ shape }) => ({ bytes: 12 * product(shape), flops: 0 }),
}

/** What fills x, and scales y by a number on the device. */
export const fillCase: OpCase<ElementwiseInstance> = {
  name: 'fill',
  forwardOnly: true,
  instances: shapes,
  inputs: (instance, random) => ({
    x: normal(instance, random),
    y: normal(instance, random),
    factor: { ...random.normal([1]), dtype: 'float32' },
  }),
  float32: (input) => input === 'factor',
  run({ x, y, factor }) {
    const { native } = x!.device
    native.fill(x!.native, 0.75)
    native.scale(y!.native, factor!.native)
    return [x!, y!]
  },
  oracle: ({ x, y, factor }) => [x!.map(() => 0.75), y!.map((value) => value * factor![0]!)],
  tolerance: () => ({ atol: 1e-7, rtol: 1e-6 }),
  cost: ({ shape }) => ({ bytes: 12 * product(shape), flops: product(shape) }),
}

export interface DropoutInstance extends ElementwiseInstance {
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
    { shape: [3, 347], shifted: true, p: 0.3, seed: 2, stream: 1 },
  ],
  inputs: (instance, random) => ({ x: normal(instance, random) }),
  run: ({ x }, { p, seed, stream }) => [dropout(x!, { p, seed, stream })],
  oracle({ x }, { p, seed, stream }) {
    const mask = oracle.dropoutMask(x!.length, p, seed, stream)
    return [x!.map((value, i) => value * mask[i]!)]
  },
  tolerance: () => ({ atol: 1e-7, rtol: 1e-6 }),
  cost: ({ shape }) => ({ bytes: 8 * product(shape), flops: 20 * product(shape) }),
}
