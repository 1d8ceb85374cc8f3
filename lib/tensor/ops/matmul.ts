import { outOfRange, show } from '../../errors.js'
import type { Tensor } from '../tensor.js'
import { recording } from '../tape.js'
import type { Gradients } from '../tape.js'
import { expectRows, expectTensor, nativeOf } from './check.js'

export interface MatmulOptions {
  /** a is stored [K, M]. Default false. */
  transposeA?: boolean
  /** b is stored [N, K]. Default false. */
  transposeB?: boolean
  /** [N], added to every row. */
  bias?: Tensor | null
  /**
   * Applies GELU to the product and bias: 0.5 z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3)))
   * (Hendrycks & Gimpel 2016).
   */
  gelu?: boolean
  /** [..., N], added last: out = act(a b + bias) + residual. */
  residual?: Tensor | null
}

/**
 * The matrix product a b, with bias, GELU and residual fused. Leading dimensions of a fold into rows:
 * [B, T, K] times [K, N] gives [B, T, N].
 * @param a [..., K], or [K, M] with transposeA
 * @param b [K, N], or [N, K] with transposeB
 * @returns [..., N]
 * @throws TypeError, RangeError when shapes do not fit
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const {
    transposeA = false,
    transposeB = false,
    bias = null,
    gelu = false,
    residual = null,
  } = options
  expectRows('a', a, 'K')
  if (transposeA) expectTensor('a', a, ['K', 'M'])
  expectTensor('b', b, transposeB ? ['N', 'K'] : ['K', 'N'], a.dtype)
  const K = transposeA ? a.shape[0]! : a.shape.at(-1)!
  const [N, bK] = transposeB ? [b.shape[0]!, b.shape[1]!] : [b.shape[1]!, b.shape[0]!]
  if (bK !== K) {
    throw outOfRange(`K = ${K} in b, as in a ${show(a.shape)}`, 'matmul()', `b ${show(b.shape)}`)
  }
  const rows = transposeA ? [a.shape[1]!] : a.shape.slice(0, -1)
  if (bias) expectTensor('bias', bias, [N], a.dtype)
  if (residual) expectTensor('residual', residual, [...rows, N], a.dtype)

  const { device } = a
  const tape = recording(a, b, bias, residual)
  const output = device.empty([...rows, N], a.dtype)
  const pre = tape && gelu ? device.empty(output.shape, a.dtype) : null
  device.native.matmul(
    output.native,
    nativeOf(pre),
    a.native,
    b.native,
    nativeOf(bias),
    nativeOf(residual),
    transposeA,
    transposeB,
    gelu,
    false,
  )
  tape?.record({
    op: 'matmul',
    output,
    saved: [pre],
    backward(dout, gradients) {
      if (!pre) {
        backward(dout, gradients)
      } else {
        const dpre = device.empty(dout.shape, dout.dtype)
        device.native.geluBackward(dpre.native, dout.native, pre.native, false)
        backward(dpre, gradients)
        dpre.dispose()
      }
      if (residual) gradients.give(residual, dout)
    },
  })

  function backward(dproduct: Tensor, gradients: Gradients): void {
    // In the order in which they are written: a and b may be the same tensor.
    const db = gradients.of(b, 'kept')
    const dbias = gradients.of(bias, 'float32')
    const da = gradients.of(a, 'kept')
    const { native } = device
    const [d, x, w] = [dproduct.native, a.native, b.native]
    if (db) {
      const [out, add] = [db.tensor.native, db.accumulate]
      // [K, N] = a^T d, or its transpose [N, K] = d^T a
      if (transposeB) native.matmul(out, null, d, x, null, null, true, transposeA, false, add)
      else native.matmul(out, null, x, d, null, null, !transposeA, false, false, add)
    }
    if (dbias) native.biasBackward(dbias.tensor.native, d, dbias.accumulate)
    if (da) {
      const [out, add] = [da.tensor.native, da.accumulate]
      // [M, K] = d b^T, or its transpose [K, M] = b d^T
      if (transposeA) native.matmul(out, null, w, d, null, null, transposeB, true, false, add)
      else native.matmul(out, null, d, w, null, null, false, !transposeB, false, add)
    }
  }
  return output
}
