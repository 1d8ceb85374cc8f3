import { outOfRange, show, wrongType } from '../../errors.js'
import type { NativeTensor } from '../binding.js'
import { Tensor } from '../tensor.js'
import type { Dtype } from '../tensor.js'
import type { Slot } from '../tape.js'

/**
 * Throws unless x is a live tensor of that type and shape.
 * @param shape sizes by dimension; a string stands for any size and names it in the message: ['B', 'T', 64]
 */
export function expectTensor(
  name: string,
  x: unknown,
  shape: readonly (number | string)[],
  dtype: Dtype = 'float32',
): asserts x is Tensor {
  const what = `a ${dtype} tensor [${shape.join(', ')}]`
  if (!(x instanceof Tensor)) throw wrongType(what, name, x)
  const fits =
    x.shape.length === shape.length &&
    shape.every((size, i) => typeof size === 'string' || size === x.shape[i])
  if (x.dtype !== dtype || !fits) throw outOfRange(what, name, `${x.dtype} ${show(x.shape)}`)
}

/** Like expectTensor for a float32 tensor of any rank whose last dimension is `columns`. */
export function expectRows(
  name: string,
  x: unknown,
  columns: number | string,
): asserts x is Tensor {
  const what = `a float32 tensor [..., ${columns}]`
  if (!(x instanceof Tensor)) throw wrongType(what, name, x)
  const last = x.shape.at(-1)
  if (
    x.dtype !== 'float32' ||
    last === undefined ||
    (typeof columns === 'number' && last !== columns)
  ) {
    throw outOfRange(what, name, `${x.dtype} ${show(x.shape)}`)
  }
}

/** The native half of an optional tensor or slot. */
export function nativeOf(x: Tensor | Slot | null | undefined): NativeTensor | null {
  if (!x) return null
  return x instanceof Tensor ? x.native : x.tensor.native
}
