import type { Tensor } from '../tensor.js'
import { recording } from '../tape.js'
import { expectRows, expectTensor, nativeOf } from './check.js'

/**
 * Layer normalisation over the last dimension: (x - mean) / sqrt(variance + epsilon) * weight + bias
 * (Ba, Kiros & Hinton 2016).
 * @param x [..., C]
 * @param weight [C]
 * @param bias [C], or null for none
 * @param epsilon default 1e-5
 * @returns of x's shape
 */
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  epsilon = 1e-5,
): Tensor {
  expectRows('x', x, 'C')
  const C = x.shape.at(-1)!
  expectTensor('weight', weight, [C], x.dtype)
  if (bias) expectTensor('bias', bias, [C], x.dtype)
  const { device } = x
  const tape = recording(x, weight, bias)
  const output = device.empty(x.shape, x.dtype)
  const mean = tape && device.empty(x.shape.slice(0, -1))
  const rstd = tape && device.empty(x.shape.slice(0, -1))
  device.native.layernormForward(
    output.native,
    nativeOf(mean),
    nativeOf(rstd),
    x.native,
    weight.native,
    nativeOf(bias),
    epsilon,
  )
  tape?.record({
    op: 'layernorm',
    output,
    saved: [mean, rstd],
    backward(dout, gradients) {
      const dx = gradients.of(x)
      const dweight = gradients.of(weight, 'float32')
      const dbias = gradients.of(bias, 'float32')
      device.native.layernormBackward(
        nativeOf(dx),
        nativeOf(dweight),
        nativeOf(dbias),
        dout.native,
        x.native,
        weight.native,
        mean!.native,
        rstd!.native,
        dx?.accumulate ?? false,
        dweight?.accumulate ?? false,
        dbias?.accumulate ?? false,
      )
    },
  })
  return output
}
