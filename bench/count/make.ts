// What an op that is counted is, and how its inputs are made.
import { cast } from '../../lib/tensor/index.js'
import type { Device, Dtype, Tensor } from '../../lib/tensor/index.js'
import type { NativeTensor } from '../../lib/tensor/binding.js'
import type { Target } from './figures.js'

export interface CountedOp {
  name: string
  dtype: Dtype
  /** The sizes, for people. */
  shape: string
  /** Bytes that every way to do it must move. */
  least: number
  target?: Target
  /** It reads tiles again, which a cache holds: its different bytes are counted too, which takes longer. */
  cached?: boolean
  /** The device may round operands of float32 products to tf32. */
  tf32?: boolean
  /** Which of the launches are meant. Default: all. */
  kernels?: RegExp
  /** Makes inputs; what is returned enqueues the op. */
  prepare(make: Make): () => void
  /** In a training step: how many times the work counted here, and the least bytes of all of it. */
  step?: { work: number; least: number }
}

/** GPT-2 124M, and the tokens of a training step. */
export const gpt2 = { L: 12, C: 768, H: 12, V: 50257, rows: 8192, parameters: 124_439_808 }

export const bytesOf = (dtype: Dtype) => (dtype === 'bfloat16' ? 2 : 4)

/** Makes tensors of one dtype for an op; dispose() frees them all. */
export class Make {
  readonly #made: Tensor[] = []

  constructor(
    readonly device: Device,
    readonly dtype: Dtype,
  ) {}

  /** A tensor that holds something. */
  full(shape: number[], dtype: Dtype = this.dtype): NativeTensor {
    return this.#keep(this.device.full(shape, 0.5, dtype))
  }

  normal(shape: number[]): NativeTensor {
    const drawn = this.device.normal(shape, { seed: 1 })
    const made = cast(drawn, this.dtype)
    if (made !== drawn) drawn.dispose()
    return this.#keep(made)
  }

  integers(shape: number[], below: number): NativeTensor {
    const count = shape.reduce((a, b) => a * b, 1)
    return this.#keep(this.device.tensor(spread(count, below), shape))
  }

  dispose(): void {
    for (const tensor of this.#made) tensor.dispose()
  }

  #keep(tensor: Tensor): NativeTensor {
    this.#made.push(tensor)
    return tensor.native
  }
}

/** Integers in [0, below) without order, the same every time: Knuth's multiplicative hash. */
export function spread(count: number, below: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) =>
    Math.floor(((Math.imul(i + 1, 2654435761) >>> 0) / 2 ** 32) * below),
  )
}
