import { outOfRange, show } from '../../errors.js'
import type { Tensor } from '../tensor.js'
import { recording } from '../tape.js'
import type { Gradients } from '../tape.js'
import { expectRows, expectTensor, nativeOf } from './check.js'
import { geluArgument, geluCode, recordGelu } from './gelu.js'
import type { Gelu } from './gelu.js'

/** What goes with a product, in the same pass over memory. */
export interface MatmulOptions {
  /** a is stored [K, M]. Default false. */
  transposeA?: boolean
  /** b is stored [N, K]. Default false. */
  transposeB?: boolean
  /** [N], added to every row. */
  bias?: Tensor | null
  /** Applies GELU to the product and bias, see gelu(); true is 'tanh'. Default: none. */
  gelu?: Gelu | boolean
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
  const { transposeA = false, transposeB = false, bias = null, gelu, residual = null } = options
  const code = geluCode(gelu)
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
  const tape = recording(a, b, bias)
  const output = device.empty([...rows, N], a.dtype)
  const pre = tape && code ? device.empty(output.shape, a.dtype) : null
  device.native.matmul(
    output.native,
    nativeOf(pre),
    a.native,
    b.native,
    nativeOf(bias),
    nativeOf(residual),
    transposeA,
    transposeB,
    code,
    false,
  )
  if (tape && pre) {
    tape.record({ op: 'matmul', output: pre, backward })
    recordGelu(tape, output, { z: pre, code }, residual)
  } else {
    recording(a, b, bias, residual)?.record({
      op: 'matmul',
      output,
      backward(dout, gradients) {
        backward(dout, gradients)
        if (residual) gradients.give(residual, dout)
      },
    })
  }

  function backward(dproduct: Tensor, gradients: Gradients): void {
    // In the order in which they are written: a and b may be the same tensor.
    const db = gradients.of(b, 'kept')
    const dbias = gradients.of(bias, 'float32')
    // Where a is the output of a GELU, the gradient of what that was applied to is made at once.
    const curved = geluArgument(a)
    const da = gradients.of(curved ? curved.z : a, 'kept')
    const { native } = device
    const [d, x, w] = [dproduct.native, a.native, b.native]
    // db is [K, N] = a^T d, or its transpose [N, K] = d^T a. A product that reads all of d by rows of
    // its own sums them.
    const summed = db && dbias && !transposeB
    if (summed) {
      const [out, sums] = [db.tensor.native, dbias.tensor.native]
      native.matmulBiasBackward(out, sums, x, d, !transposeA, db.accumulate, dbias.accumulate)
    } else if (db) {
      const [out, add] = [db.tensor.native, db.accumulate]
      if (transposeB) native.matmul(out, null, d, x, null, null, true, transposeA, 0, add)
      else native.matmul(out, null, x, d, null, null, !transposeA, false, 0, add)
    }
    if (dbias && !summed) native.biasBackward(dbias.tensor.native, d, dbias.accumulate)
    if (da) {
      const [out, add] = [da.tensor.native, da.accumulate]
      // [M, K] = d b^T, or its transpose [K, M] = b d^T
      const [left, right] = transposeA ? [w, d] : [d, w]
      const [tA, tB] = transposeA ? [transposeB, true] : [false, !transposeB]
      if (curved) {
        const { z, code } = curved
        native.matmulGeluBackward(out, left, right, z.native, tA, tB, code, add)
      } else native.matmul(out, null, left, right, null, null, tA, tB, 0, add)
    }
  }
  return output
}
