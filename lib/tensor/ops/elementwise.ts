import { checkInteger, checkNumber } from '../../errors.js'
import type { Tensor } from '../tensor.js'
import { copyOf, recording } from '../tape.js'
import { expectRows, expectTensor } from './check.js'

/**
 * The sum of two tensors of the same shape.
 * @throws TypeError, RangeError when shapes do not fit
 */
export function add(a: Tensor, b: Tensor): Tensor {
  expectRows('a', a, 'C')
  expectTensor('b', b, a.shape, a.dtype)
  const { device } = a
  const output = device.empty(a.shape, a.dtype)
  device.native.add(output.native, a.native, b.native)
  recording(a, b)?.record({
    op: 'add',
    output,
    backward(dout, gradients) {
      const da = gradients.of(a)
      if (da?.accumulate) device.native.add(da.tensor.native, da.tensor.native, dout.native)
      else if (da) device.native.copy(da.tensor.native, dout.native)
      gradients.give(b, dout)
    },
  })
  return output
}

/** factor x, for any finite factor. */
export function scale(x: Tensor, factor: number): Tensor {
  expectRows('x', x, 'C')
  checkNumber('factor', factor)
  const { device } = x
  const scaled = (from: Tensor) => {
    const out = copyOf(from)
    const factors = device.full([1], factor)
    device.native.scale(out.native, factors.native)
    factors.dispose()
    return out
  }
  const output = scaled(x)
  recording(x)?.record({
    op: 'scale',
    output,
    backward(dout, gradients) {
      gradients.give(x, scaled(dout))
    },
  })
  return output
}

/** What dropout() drops. */
export interface DropoutOptions {
  /** The probability of dropping an element, from 0 to below 1. At 0, x itself is returned. */
  p: number
  /** Names the mask: the same seed and stream drop the same elements. An integer from 0 to 2^53 - 1. */
  seed: number
  stream: number
}

/** Zeroes elements with probability p and scales the rest by 1 / (1 - p) (Srivastava et al. 2014). */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  const { p, seed, stream } = options
  expectRows('x', x, 'C')
  checkNumber('p', p, 0, 0.999)
  checkInteger('seed', seed, 0)
  checkInteger('stream', stream, 0)
  if (p === 0) return x
  const { device } = x
  const output = device.empty(x.shape, x.dtype)
  device.native.dropout(output.native, x.native, p, seed, stream, false)
  recording(x)?.record({
    op: 'dropout',
    output,
    backward(dout, gradients) {
      const dx = gradients.of(x)
      if (dx) device.native.dropout(dx.tensor.native, dout.native, p, seed, stream, dx.accumulate)
    },
  })
  return output
}
