import { embedding } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import type { Input, OpCase } from '../../lib/testing/index.js'

export interface EmbeddingInstance {
  B: number
  T: number
  C: number
  V: number
  /** Rows of the table of positions. */
  P?: number
  starts?: boolean
  past?: number
}

export const embeddingCase: OpCase<EmbeddingInstance> = {
  name: 'embedding',
  instances: [
    { B: 1, T: 1, C: 1, V: 1 },
    { B: 3, T: 31, C: 33, V: 127 },
    { B: 2, T: 33, C: 31, V: 5, P: 40 }, // tokens and positions come again and again
    { B: 4, T: 31, C: 17, V: 33, P: 31, starts: true },
    { B: 2, T: 7, C: 127, V: 31, P: 31, past: 24 },
    { B: 3, T: 33, C: 40, V: 5, P: 35 },
    { B: 2, T: 36, C: 264, V: 3, P: 40, starts: true },
    { B: 33, T: 501, C: 1, V: 300 }, // tokens of two digits, runs of 64 rows
    { B: 8, T: 65, C: 70, V: 1, P: 65, starts: true }, // one token takes every gradient
  ],
  inputs({ B, T, C, V, P, starts }, random) {
    const inputs: Record<string, Input> = {
      tokens: random.integers([B, T], V),
      weight: random.normal([V, C]),
    }
    if (P) inputs.positions = random.normal([P, C])
    if (starts) inputs.starts = random.starts(B, T)
    return inputs
  },
  run({ tokens, weight, positions, starts }, { past }) {
    return [embedding(tokens!, weight!, { positions, starts, past })]
  },
  oracle({ tokens, weight, positions, starts }, { T, C, past }) {
    return [oracle.embedding(tokens!, weight!, { T, C, positions, starts, past })]
  },
  tolerance: ({ B, T }) => ({ atol: 1e-6 * (1 + Math.sqrt(B * T)), rtol: 1e-5 }),
  cost: ({ B, T, C, P }) => ({
    bytes: 4 * B * T * (1 + C * (P ? 3 : 2)),
    flops: P ? B * T * C : 0,
  }),
}
