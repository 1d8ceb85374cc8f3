import { crossEntropy, linearCrossEntropy } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import { product } from '../../lib/testing/index.js'
import type { Input, OpCase, Random } from '../../lib/testing/index.js'

export interface CrossEntropyInstance {
  /** Leading dimensions of the logits. */
  rows: number[]
  V: number
  /** The part of targets that is ignored. */
  ignored?: number
  /** Deviation of the logits. */
  deviation?: number
  smoothing?: number
  /** The logits are not aligned. */
  shifted?: boolean
}

function targetsOf(rows: number[], V: number, ignored: number, random: Random): Input {
  const targets = random.integers(rows, V)
  const values = targets.values.map((target) =>
    random.next() < ignored ? -1 : target,
  ) as Int32Array
  return { ...targets, values }
}

export const crossEntropyCase: OpCase<CrossEntropyInstance> = {
  name: 'crossEntropy',
  instances: [
    { rows: [1], V: 1 },
    { rows: [31], V: 33 },
    { rows: [3, 11], V: 127, ignored: 0.3 },
    { rows: [33], V: 31, deviation: 60 },
    { rows: [5], V: 7, ignored: 1 },
    { rows: [2, 4], V: 5003 },
    { rows: [31], V: 33, ignored: 0.2, smoothing: 0.1 },
    { rows: [3], V: 1, smoothing: 0.3 },
    { rows: [2], V: 2003, deviation: 20, smoothing: 0.5 },
    { rows: [3], V: 9001, ignored: 0.4 },
    { rows: [3], V: 77, shifted: true },
    { rows: [2], V: 60_001 }, // more than a block's registers and shared memory hold
  ],
  inputs: ({ rows, V, ignored = 0, deviation, shifted }, random) => ({
    logits: { ...random.normal([...rows, V], deviation), shifted },
    targets: targetsOf(rows, V, ignored, random),
  }),
  run: ({ logits, targets }, options) => [crossEntropy(logits!, targets!, options)],
  oracle: ({ logits, targets }, { smoothing }) => [
    [oracle.crossEntropy(logits!, targets!, smoothing)],
  ],
  tolerance: ({ rows }) => ({ atol: 2e-6 * Math.sqrt(product(rows)), rtol: 1e-5 }),
  cost({ rows, V }) {
    return { bytes: 4 * product(rows) * V, flops: 4 * product(rows) * V }
  },
}

export interface LinearCrossEntropyInstance {
  /** Leading dimensions of x. */
  rows: number[]
  C: number
  V: number
  ignored?: number
  smoothing?: number
}

export const linearCrossEntropyCase: OpCase<LinearCrossEntropyInstance> = {
  name: 'linearCrossEntropy',
  instances: [
    { rows: [1], C: 1, V: 1 },
    { rows: [31], C: 33, V: 127 },
    { rows: [3, 11], C: 17, V: 31, ignored: 0.4 },
    { rows: [5], C: 3, V: 7, ignored: 1 },
    { rows: [300], C: 5, V: 33 }, // several groups of rows
    { rows: [1100], C: 3, V: 5, ignored: 0.5 },
    { rows: [3], C: 1037, V: 5 },
    { rows: [2, 3], C: 8, V: 2003 },
    { rows: [11], C: 3, V: 7 },
    { rows: [3], C: 5, V: 1031 }, // rows of whole packets in products split over V
    { rows: [3, 11], C: 17, V: 127, ignored: 0.4, smoothing: 0.1 },
  ],
  inputs: ({ rows, C, V, ignored = 0 }, random) => ({
    x: random.normal([...rows, C]),
    weight: random.normal([V, C], 2 / Math.sqrt(C)),
    targets: targetsOf(rows, V, ignored, random),
  }),
  run: ({ x, weight, targets }, options) => [linearCrossEntropy(x!, weight!, targets!, options)],
  oracle: ({ x, weight, targets }, { smoothing }) => [
    [oracle.linearCrossEntropy(x!, weight!, targets!, smoothing)],
  ],
  tolerance: ({ rows, C, V }) => ({
    atol: 1e-6 * (4 + Math.sqrt(Math.max(product(rows), C, V))),
    rtol: 1e-5,
  }),
  cost({ rows, C, V }) {
    const N = product(rows)
    return { bytes: 4 * (N * C + V * C + N), flops: 2 * N * C * V + 4 * N * V }
  },
}
