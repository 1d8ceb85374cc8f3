import { outOfRange, show, wrongType } from '../../errors.js'
import type { NativeTensor } from '../binding.js'
import { Tensor } from '../tensor.js'
import type { Dtype } from '../tensor.js'
import type { Slot } from '../tape.js'

/** 'float': what the tensor's device computes with, float32 or bfloat16. */
type Wanted = Dtype | 'float'

/**
 * Throws unless x is a live tensor of that type and shape.
 * @param shape sizes by dimension; a string stands for any size and names it in the message: ['B', 'T', 64]
 */
export function expectTensor(
  name: string,
  x: unknown,
  shape: readonly (number | string)[],
  dtype: Wanted = 'float',
): asserts x is Tensor {
  expectDtype(name, x, dtype, shape)
  const fits =
    x.shape.length === shape.length &&
    shape.every((size, i) => typeof size === 'string' || size === x.shape[i])
  if (!fits) throw outOfRange(`a ${x.dtype} ${tensorOf(shape)}`, name, received(x))
}

/** Like expectTensor for a tensor of floats, of any rank, whose last dimension is `columns`. */
export function expectRows(
  name: string,
  x: unknown,
  columns: number | string,
): asserts x is Tensor {
  const shape = ['...', columns]
  expectDtype(name, x, 'float', shape)
  const last = x.shape.at(-1)
  if (last === undefined || (typeof columns === 'number' && last !== columns))
    throw outOfRange(`a ${x.dtype} ${tensorOf(shape)}`, name, received(x))
}

function expectDtype(
  name: string,
  x: unknown,
  dtype: Wanted,
  shape: readonly (number | string)[],
): asserts x is Tensor {
  if (!(x instanceof Tensor))
    throw wrongType(`a ${dtype === 'float' ? 'float32' : dtype} ${tensorOf(shape)}`, name, x)
  const dtypes = dtype === 'float' ? x.device.dtypes : [dtype]
  if (!dtypes.includes(x.dtype)) {
    const where = dtype === 'float' && x.dtype === 'bfloat16' ? ` on ${x.device.name}` : ''
    throw outOfRange(`a ${dtypes.join(' or ')} ${tensorOf(shape)}`, name, received(x) + where)
  }
}

// Messages are put together only for somebody to read: ops check their tensors thousands of times a second.
function tensorOf(shape: readonly (number | string)[]): string {
  return `tensor [${shape.join(', ')}]`
}

function received(x: Tensor): string {
  return `${x.dtype} ${show(x.shape)}`
}

/** The native half of an optional tensor or slot. */
export function nativeOf(x: Tensor | Slot | null | undefined): NativeTensor | null {
  if (!x) return null
  return x instanceof Tensor ? x.native : x.tensor.native
}
