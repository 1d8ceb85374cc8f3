import { outOfRange, wrongType } from '../../errors.js'
import { recording } from '../tape.js'
import { Tensor } from '../tensor.js'
import type { Dtype } from '../tensor.js'

const floats: readonly Dtype[] = ['float32', 'bfloat16']

/**
 * The same values in another precision, on any device. To bfloat16 they are rounded to nearest even.
 * @param dtype 'float32' or 'bfloat16'
 * @returns of x's shape; x itself when it is of that dtype
 */
export function cast(x: Tensor, dtype: Dtype): Tensor {
  if (!(x instanceof Tensor)) throw wrongType('a tensor', 'x', x)
  for (const [name, value] of [
    ['x', x.dtype],
    ['dtype', dtype],
  ] as const) {
    if (!floats.includes(value)) throw outOfRange("'float32' or 'bfloat16'", name, value)
  }
  if (x.dtype === dtype) return x
  const { device } = x
  const output = device.empty(x.shape, dtype)
  device.native.cast(output.native, x.native)
  recording(x)?.record({
    op: 'cast',
    output,
    backward: (dout, gradients) => gradients.give(x, dout),
  })
  return output
}
