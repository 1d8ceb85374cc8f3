// Matrix products as a GPT-2 124M has them.
import { gpt2 } from './make.js'
import type { CountedOp, Make } from './make.js'

const { L, C, V, rows: ROWS } = gpt2

interface Product {
  M: number
  N: number
  K: number
  form: 'forward' | 'dx' | 'dweight'
  bias?: boolean
  gelu?: boolean
  residual?: boolean
  /** The weight is a table [outputs, inputs]; layers have [inputs, outputs]. */
  table?: boolean
}

const least = ({ M, N, K, form, bias, gelu, residual }: Product, size = 2) =>
  size * (M * K + K * N) +
  (bias ? N * (form === 'dweight' ? 4 : size) : 0) +
  M * N * ((form === 'dweight' ? 4 : size) + (gelu ? size : 0) + (residual ? size : 0))

/**
 * Forward x w, dx = dout w^T, with `gelu` times its slope, and dweight = x^T dout in float32, with `bias`
 * that of the bias too; of a table x w^T, dout w and dout^T x.
 */
function product(
  name: string,
  counted: Product,
  step?: Omit<Product, 'form'> & { times: number },
): CountedOp {
  const { M, N, K, form } = counted
  return {
    name,
    dtype: 'bfloat16',
    shape: `M ${M}, N ${N}, K ${K}`,
    least: least(counted),
    target: { sectorEfficiency: 1, tensorShare: 0.99, bankConflicts: 0 },
    step: step && {
      work: (step.times * step.M * step.N * step.K) / (M * N * K),
      least: step.times * least({ ...step, form }),
    },
    prepare: (make) => prepare(make, counted),
  }
}

function prepare(make: Make, { M, N, K, form, bias, gelu, residual, table }: Product): () => void {
  const tA = form === 'dweight'
  const tB = form === (table ? 'forward' : 'dx')
  const a = make.full(tA ? [K, M] : [M, K])
  const b = make.full(tB ? [N, K] : [K, N])
  const out = form === 'dweight' ? make.full([M, N], 'float32') : make.full([M, N])
  const z = gelu ? make.full([M, N]) : null
  const { native } = make.device
  if (form === 'dx' && z) return () => native.matmulGeluBackward(out, a, b, z, tA, tB, 1, false)
  if (form === 'dweight' && bias) {
    const sums = make.full([N], 'float32')
    return () => native.matmulBiasBackward(out, sums, a, b, tA, false, false)
  }
  const [row, x] = [bias ? make.full([N]) : null, residual ? make.full([M, N]) : null]
  return () => native.matmul(out, z, a, b, row, x, tA, tB, gelu ? 1 : 0, false)
}

export const products: CountedOp[] = [
  product(
    'matmul: queries, keys, values',
    { M: 1536, N: 3 * C, K: C, form: 'forward', bias: true },
    { M: ROWS, N: 3 * C, K: C, bias: true, times: L },
  ),
  product(
    'matmul: up, with GELU',
    { M: 1024, N: 4 * C, K: C, form: 'forward', bias: true, gelu: true },
    { M: ROWS, N: 4 * C, K: C, bias: true, gelu: true, times: L },
  ),
  product(
    'matmul: projection and down, with residual',
    { M: 4608, N: C, K: C, form: 'forward', bias: true, residual: true },
    // K of 768 and of 3072, counted as one of their sum.
    { M: ROWS, N: C, K: 5 * C, bias: true, residual: true, times: L },
  ),
  product(
    'matmul: dx',
    { M: 4608, N: C, K: C, form: 'dx' },
    // Of three: 768 x (2304 + 768 + 3072).
    { M: ROWS, N: C, K: 8 * C, times: L },
  ),
  product(
    'matmul: dx of down, with the slope of GELU',
    { M: 1024, N: 4 * C, K: C, form: 'dx', gelu: true },
    { M: ROWS, N: 4 * C, K: C, gelu: true, times: L },
  ),
  product(
    'matmul: dweight, with the bias',
    { M: C, N: 3 * C, K: 1024, form: 'dweight', bias: true },
    { M: C, N: 12 * C, K: ROWS, bias: true, times: L },
  ),
  product(
    'matmul: logits',
    { M: 1536, N: 2304, K: C, form: 'forward', table: true },
    { M: ROWS, N: V, K: C, times: 1 },
  ),
  product(
    'matmul: dx of logits',
    { M: 4608, N: C, K: C, form: 'dx', table: true },
    { M: ROWS, N: C, K: V, times: 1 },
  ),
  product(
    'matmul: dweight of logits',
    { M: 4608, N: C, K: C, form: 'dweight', table: true },
    { M: V, N: C, K: ROWS, times: 1 },
  ),
  {
    ...product('matmul: one row', { M: 1, N: 3 * C, K: C, form: 'forward', table: true }),
    // The row comes again for each 16 columns, from the cache.
    target: { sectorEfficiency: 1, distinct: 1.05 },
    cached: true,
  },
  float32('matmul: in float32', false),
  float32('matmul: in tf32', true),
]

function float32(name: string, tf32: boolean): CountedOp {
  const counted: Product = { M: 512, N: C, K: C, form: 'forward', bias: true }
  return {
    ...product(name, counted),
    dtype: 'float32',
    least: least(counted, 4),
    target: { sectorEfficiency: 1, bankConflicts: 0, ...(tf32 && { tensorShare: 0.99 }) },
    tf32,
    prepare: (make) => prepare(make, counted),
  }
}
