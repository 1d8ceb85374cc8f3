// Views: tensors whose elements do not stand one after another.
import type { SafetensorsData } from './dtypes.js'
import { elementCount } from './elements.js'

/** The distance of the last element from the first. */
export function reach(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 0)
}

/** Whether the elements stand one after another, the last dimension first. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let step = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return elementCount(shape) === 0
    step *= shape[i]!
  }
  return true
}

/** The elements of a view in row-major order. */
export function gather(
  data: SafetensorsData,
  shape: readonly number[],
  strides: readonly number[],
  count: number,
): SafetensorsData {
  const result = new (data.constructor as new (length: number) => SafetensorsData)(count)
  const index = shape.map(() => 0)
  for (let i = 0, from = 0; i < count; i++) {
    result[i] = data[from]!
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!
      if (++index[axis]! < shape[axis]!) break
      from -= strides[axis]! * shape[axis]!
      index[axis] = 0
    }
  }
  return result
}
