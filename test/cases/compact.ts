// Weights in fewer bytes. The oracle computes with what the weights become, worked out here.
import { compact, compactEmbedding, compactMatmul, keep, scope } from '../../lib/tensor/index.js'
import type { CompactFormat } from '../../lib/tensor/index.js'
import { toBfloat16 } from '../../lib/testing/check.js'
import type { OpCase } from '../../lib/testing/index.js'
import * as oracle from '../oracle.js'
import type { EmbeddingInstance } from './embedding.js'
import { embeddingCase } from './embedding.js'
import type { MatmulInstance } from './matmul.js'
import { matmulCase } from './matmul.js'

type Compact<I> = I & { format: CompactFormat }

/**
 * What columns of K numbers become.
 * @param at where number k of column j stands
 */
export function stored(
  values: ArrayLike<number>,
  [K, N]: [number, number],
  format: CompactFormat,
  at: (k: number, j: number) => number,
): Float64Array {
  if (format === 'bfloat16') return Float64Array.from(toBfloat16(Float32Array.from(values)))
  const out = new Float64Array(values.length)
  for (let j = 0; j < N; j++) {
    for (let from = 0; from < K; from += 32) {
      const places = Array.from({ length: Math.min(32, K - from) }, (_, i) => at(from + i, j))
      const most = Math.max(...places.map((place) => Math.abs(values[place]!)))
      const scale = Math.fround(most / 127)
      for (const place of places) {
        const whole = scale === 0 ? 0 : even(Math.fround(values[place]! / scale))
        out[place] = Math.fround(whole * scale)
      }
    }
  }
  return out
}

/** To the nearest whole number, ties to even. */
function even(x: number): number {
  const down = Math.floor(x)
  return x - down === 0.5 ? down + (down % 2 === 0 ? 0 : 1) : Math.round(x)
}

const count = (rows: number[]) => rows.reduce((a, b) => a * b, 1)
const both = <I>(instances: I[]): Compact<I>[] =>
  (['bfloat16', 'int8'] as const).flatMap((format) =>
    instances.map((each) => ({ ...each, format })),
  )

export const compactMatmulCase: OpCase<Compact<MatmulInstance>> = {
  ...matmulCase,
  name: 'compactMatmul',
  forwardOnly: true,
  instances: both([
    { rows: [1], N: 1, K: 1 },
    { rows: [1], N: 127, K: 33, transposeB: true },
    { rows: [7], N: 31, K: 127, bias: true, gelu: true },
    { rows: [2, 4], N: 97, K: 1000, residual: true },
    { rows: [9], N: 33, K: 31, bias: true, gelu: true, residual: true },
    { rows: [3, 11], N: 130, K: 67, transposeB: true, bias: true },
    { rows: [65], N: 300, K: 769, residual: true },
  ]),
  run({ a, b, bias, residual }, { format, transposeB, gelu }) {
    return scope(() => {
      const weight = compact(b!, format, { transpose: transposeB })
      return [keep(compactMatmul(a!, weight, { bias, gelu, residual }))]
    })
  },
  oracle({ a, b, bias, residual }, { rows, N, K, format, gelu, transposeB }) {
    const at = (k: number, j: number) => (transposeB ? j * K + k : k * N + j)
    const weight = stored(b!, [K, N], format, at)
    const M = count(rows)
    return [oracle.matmul(a!, weight, { M, N, K, transposeB, gelu, bias, residual })]
  },
  cost({ rows, N, K, format, ...rest }) {
    const exact = matmulCase.cost({ rows, N, K, ...rest })
    return { ...exact, bytes: exact.bytes - K * N * (format === 'int8' ? 4 - 36 / 32 : 2) }
  },
}

export const compactEmbeddingCase: OpCase<Compact<EmbeddingInstance>> = {
  ...embeddingCase,
  name: 'compactEmbedding',
  forwardOnly: true,
  instances: both([
    { B: 1, T: 1, C: 1, V: 1 },
    { B: 3, T: 31, C: 33, V: 127 },
    { B: 4, T: 31, C: 17, V: 33, P: 31, starts: true },
    { B: 2, T: 7, C: 127, V: 31, P: 31, past: 24 },
  ]),
  run({ tokens, weight, positions, starts }, { format, past }) {
    return scope(() => {
      const table = compact(weight!, format, { transpose: true })
      return [keep(compactEmbedding(tokens!, table, { positions, starts, past }))]
    })
  },
  oracle({ tokens, weight, positions, starts }, { T, C, V, format, past }) {
    const table = stored(weight!, [C, V], format, (k, j) => j * C + k)
    return [oracle.embedding(tokens!, table, { T, C, positions, starts, past })]
  },
}
