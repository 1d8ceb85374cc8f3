// Random numbers: ops of the device, on whatever tensor is given.
import type { Tensor } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import type { Input, Numbers, OpCase, Random, Tensors } from '../../lib/testing/index.js'

export interface RandomInstance {
  n: number
  seed: number
  stream: number
  /** Uniform numbers: so far from 0 that they are one apart, and half of the last round to `high`. */
  far?: boolean
  /** The tensor is not aligned. */
  shifted?: boolean
}

const mean = 0.5
const deviation = 2
const bounds = ({ far }: RandomInstance) => (far ? [1e7, 1e7 + 2] : [-1, 3]) as [number, number]

/** What both have in common: they write over x. */
const common = {
  forwardOnly: true,
  instances: [
    { n: 1, seed: 1, stream: 0 },
    { n: 31, seed: 7, stream: 3 },
    { n: 4127, seed: 2 ** 40 + 3, stream: 2 ** 35 + 1 },
    { n: 1041, seed: 9, stream: 4, shifted: true },
  ],
  inputs: ({ n, shifted }: RandomInstance, random: Random): Record<string, Input> => ({
    x: { ...random.normal([n]), shifted },
  }),
}

const wordsFor = ({ x }: Numbers, { seed, stream }: RandomInstance) =>
  oracle.words(x!.length + 1, seed, stream)

/** Box-Muller: of each pair of words the first gives the radius, the second the angle. */
export const normalCase: OpCase<RandomInstance> = {
  ...common,
  name: 'normal',
  run({ x }: Tensors, { seed, stream }): Tensor[] {
    x!.device.native.randomNormal(x!.native, mean, deviation, seed, stream)
    return [x!]
  },
  oracle(values, instance) {
    const words = wordsFor(values, instance)
    return [
      values.x!.map((_, i) => {
        const [first, second] = [words[i - (i % 2)]!, words[i - (i % 2) + 1]!]
        const angle = (2 * Math.PI * second) / 2 ** 32
        const radius = Math.sqrt(-2 * Math.log((first + 0.5) / 2 ** 32))
        return mean + deviation * radius * (i % 2 ? Math.sin(angle) : Math.cos(angle))
      }),
    ]
  },
  tolerance: () => ({ atol: 4e-6, rtol: 1e-6 }),
  cost: ({ n }) => ({ bytes: 4 * n, flops: 40 * n }),
}

export const uniformCase: OpCase<RandomInstance> = {
  ...common,
  name: 'uniform',
  instances: [...common.instances, { n: 333, seed: 3, stream: 0, far: true }],
  run({ x }: Tensors, instance): Tensor[] {
    const { seed, stream } = instance
    x!.device.native.randomUniform(x!.native, ...bounds(instance), seed, stream)
    return [x!]
  },
  oracle(values, instance) {
    const words = wordsFor(values, instance)
    const [low, high] = bounds(instance)
    const last = instance.far ? high - 1 : high
    return [
      values.x!.map((_, i) =>
        Math.min(last, Math.fround(low + ((high - low) * (words[i]! >>> 8)) / 2 ** 24)),
      ),
    ]
  },
  tolerance: () => ({ atol: 3e-7, rtol: 0 }),
  cost: ({ n }) => ({ bytes: 4 * n, flops: 20 * n }),
}
