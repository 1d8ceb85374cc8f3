import { GptloomError, outOfRange, show, wrongType } from '../errors.js'
import type { NativeTensor } from './binding.js'
import type { Device } from './device.js'
import { own } from './scope.js'
import type { Tape } from './tape.js'

/** @internal In the order of the native enum. */
export const dtypes = ['float32', 'int32', 'bfloat16'] as const
/** The type of a tensor's elements. */
export type Dtype = (typeof dtypes)[number]
/** A tensor's values in JavaScript. */
export type Values = Float32Array | Int32Array

/**
 * A dense row-major array on a device: a handle on a share of its memory. `dispose()` or `using` gives
 * the share back at once, a scope() or a tape does so for everything made inside it, and the garbage
 * collector for what was forgotten.
 */
export class Tensor {
  /** Whether backward() fills `grad`: set it on parameters. */
  requiresGrad = false
  /** The gradient that backward() has summed up so far, of this tensor's shape. */
  grad: Tensor | null = null
  /** @internal The tape that made this tensor, while gradients may flow through it. */
  tape: Tape | null = null
  #native: NativeTensor | null
  #shared: Values | null = null

  /** @internal Tensors come from a Device or from an op. */
  constructor(
    readonly device: Device,
    readonly dtype: Dtype,
    readonly shape: readonly number[],
    native: NativeTensor,
  ) {
    this.#native = native
    own(this)
  }

  /** The number of elements. */
  get size(): number {
    return sizeOf(this.shape)
  }

  get disposed(): boolean {
    return this.#native === null
  }

  /** @internal */
  get native(): NativeTensor {
    if (this.#native) return this.#native
    throw new GptloomError(
      'ERR_DISPOSED',
      `A tensor of ${show(this.shape)} was used after dispose()`,
    )
  }

  /**
   * A copy of the values, row-major: a Float32Array, also for bfloat16, or an Int32Array. The queue fills
   * it directly. See share() for none at all.
   * @throws GptloomError when an op enqueued before this has failed
   */
  async data(): Promise<Values> {
    const values = this.dtype === 'int32' ? new Int32Array(this.size) : new Float32Array(this.size)
    await this.device.native.download(this.native, values)
    return values
  }

  /** The one value of a tensor of one element. */
  async item(): Promise<number> {
    if (this.size !== 1) throw outOfRange('one element', 'item()', `shape ${show(this.shape)}`)
    return (await this.data())[0]!
  }

  /** Overwrites the values with a copy of `values`, of the same count and the type that data() gives. */
  write(values: Values): this {
    const wanted = this.dtype === 'int32' ? Int32Array : Float32Array
    if (!(values instanceof wanted)) throw wrongType(`a ${wanted.name}`, 'values', values)
    if (values.length !== this.size) {
      throw outOfRange(`${this.size} values for shape ${show(this.shape)}`, 'values', values.length)
    }
    this.device.native.upload(this.native, values)
    return this
  }

  /**
   * The values themselves and no copy, of a tensor in the CPU's memory: ops see what is written to the array,
   * and the array shows what ops compute. Since ops run later than they are called, await `device.idle()`
   * before reading what they compute, and before writing over what they still read. The array keeps
   * the memory when the tensor is disposed.
   * @throws RangeError for a tensor on a GPU or in bfloat16
   * @throws GptloomError ERR_DEVICE in a runtime that forbids it, as Electron does
   */
  share(): Values {
    if (this.device.kind !== 'cpu' || this.dtype === 'bfloat16') {
      const received = `${this.dtype} on ${this.device.kind}`
      throw outOfRange('float32 or int32 on the CPU', 'share()', received)
    }
    const { native } = this
    const Kind = this.dtype === 'int32' ? Int32Array : Float32Array
    return this.size === 0
      ? new Kind(0)
      : (this.#shared ??= new Kind(this.device.native.share(native)))
  }

  /**
   * Another handle on the same values, with another shape of the same count. Gradients do not flow
   * through.
   */
  view(shape: readonly number[]): Tensor {
    checkShape(shape)
    if (sizeOf(shape) !== this.size) {
      throw outOfRange(`a shape of ${this.size} elements`, 'view()', show(shape))
    }
    return this.#view(shape, 0)
  }

  /** A view of rows [begin, end) along the first dimension. Gradients do not flow through. */
  rows(begin: number, end: number): Tensor {
    const [count = 0, ...rest] = this.shape
    if (!(
      Number.isInteger(begin) &&
      Number.isInteger(end) &&
      begin >= 0 &&
      begin <= end &&
      end <= count
    )) {
      throw outOfRange(`rows within [0, ${count})`, 'rows()', `[${begin}, ${end})`)
    }
    const shape = [end - begin, ...rest]
    return this.#view(shape, begin * sizeOf(rest))
  }

  #view(shape: readonly number[], offset: number): Tensor {
    const { device, dtype, native } = this
    return new Tensor(device, dtype, shape, device.native.view(native, shape, offset))
  }

  dispose(): void {
    if (this.#native) this.device.native.dispose(this.#native)
    this.#native = null
    this.#shared = null
    this.grad?.dispose()
    this.grad = null
    this.tape = null
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/** @internal Throws unless shape is one that a device can hold. */
export function checkShape(shape: readonly number[]): void {
  if (!Array.isArray(shape) || shape.length > 6 || !shape.every(isSize)) {
    throw wrongType('a list of up to 6 whole numbers', 'shape', shape)
  }
  if (sizeOf(shape) > 2 ** 46) throw outOfRange('at most 2^46 elements', 'shape', show(shape))
}

function isSize(n: unknown): boolean {
  return Number.isSafeInteger(n) && (n as number) >= 0
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1)
}
