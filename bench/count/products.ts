// Matrix products as a GPT-2 124M has them.
import { gpt2 } from './make.js'
import type { CountedOp } from './make.js'

const { L, C, V, rows: ROWS } = gpt2

interface Product {
  M: number
  N: number
  K: number
  form: 'forward' | 'dx' | 'dweight'
  bias?: boolean
  gelu?: boolean
  residual?: boolean
}

/** [N, K] are the weights': forward x w^T, dx = dout w, dweight = dout^T x in float32. */
function product(
  name: string,
  counted: Product,
  step?: Omit<Product, 'form'> & { times: number },
): CountedOp {
  const least = ({ M, N, K, form, bias, gelu, residual }: Product) =>
    2 * (M * K + K * N + (bias ? N : 0)) +
    M * N * ((form === 'dweight' ? 4 : 2) + (gelu ? 2 : 0) + (residual ? 2 : 0))
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
    prepare(make) {
      const [tA, tB] = [form === 'dweight', form === 'forward']
      const a = make.full(tA ? [K, M] : [M, K])
      const b = make.full(tB ? [N, K] : [K, N])
      const out = make.full([M, N], form === 'dweight' ? 'float32' : 'bfloat16')
      const bias = counted.bias ? make.full([N]) : null
      const residual = counted.residual ? make.full([M, N]) : null
      const gelu = counted.gelu ? 1 : 0
      const pre = gelu ? make.full([M, N]) : null
      return () => make.device.native.matmul(out, pre, a, b, bias, residual, tA, tB, gelu, false)
    },
  }
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
    // Of all four: 768 x (2304 + 768 + 3072 + 3072).
    { M: ROWS, N: C, K: 12 * C, times: L },
  ),
  product(
    'matmul: dweight',
    { M: 3 * C, N: C, K: 1024, form: 'dweight' },
    { M: 12 * C, N: C, K: ROWS, times: L },
  ),
  product(
    'matmul: logits',
    { M: 1536, N: 2304, K: C, form: 'forward' },
    { M: ROWS, N: V, K: C, times: 1 },
  ),
  product(
    'matmul: dx of logits',
    { M: 4608, N: C, K: C, form: 'dx' },
    { M: ROWS, N: C, K: V, times: 1 },
  ),
  product(
    'matmul: dweight of logits',
    { M: 4608, N: C, K: C, form: 'dweight' },
    { M: V, N: C, K: ROWS, times: 1 },
  ),
  {
    ...product('matmul: one row', { M: 1, N: 3 * C, K: C, form: 'forward' }),
    target: { sectorEfficiency: 1, bytes: 1.05 },
  },
  exact(),
]

function exact(): CountedOp {
  return {
    ...product('matmul: in float32', { M: 512, N: C, K: C, form: 'forward', bias: true }),
    dtype: 'float32',
    least: 4 * (512 * C + C * C + C + 512 * C),
    target: { sectorEfficiency: 1, bankConflicts: 0 },
    prepare(make) {
      const [a, b, bias] = [make.full([512, C]), make.full([C, C]), make.full([C])]
      const out = make.full([512, C])
      const { native } = make.device
      return () => native.matmul(out, null, a, b, bias, null, false, true, 0, false)
    },
  }
}
