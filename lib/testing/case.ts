import type { Dtype, Tensor } from '../tensor/index.js'

/** An input of an op case. */
export interface Input {
  shape: number[]
  values: Float32Array | Int32Array
  /** Of the tensor, when it is not what the values say. */
  dtype?: Dtype
  /** Its address is no multiple of 16: as that of a view can be. */
  shifted?: boolean
  /** Gradients flow to every input of floats that is not constant. */
  constant?: boolean
}

/** The inputs of an op case, on a device. */
export type Tensors = Record<string, Tensor>
/** The inputs of an op case, in float64. */
export type Numbers = Record<string, Float64Array>

/** How far values may be off: |actual - expected| <= atol + rtol |expected|. */
export interface Tolerance {
  atol: number
  rtol: number
}

/**
 * How an op is tested: checkCase() holds its outputs on every device against a reference in float64, and
 * its gradients against finite differences of that. I is what sets one instance apart from another.
 */
export interface OpCase<I> {
  /** The op's name in lib/tensor. */
  name: string
  /** Sizes and options, as plain data: the bench has its own list. */
  instances: I[]
  /** Optional inputs are left out where the instance has none. */
  inputs(instance: I, random: Random): Record<string, Input>
  /** One tensor for each output. */
  run(tensors: Tensors, instance: I): Tensor[]
  /** The same outputs, from inputs as float64. */
  oracle(values: Numbers, instance: I): ArrayLike<number>[]
  /** |actual - expected| <= atol + rtol |expected|, for outputs and gradients. */
  tolerance(instance: I): Tolerance
  /**
   * In bfloat16, how many times a typical value the terms are that values and gradients are sums of,
   * since it is those that are rounded. Default 1.
   */
  terms?(instance: I): number
  /** What one forward must at least read and write, and compute. */
  cost(instance: I): { bytes: number; flops: number }
  /** The op has no backward. */
  forwardOnly?: boolean
  /** Inputs that are float32 even where weights and activations are bfloat16. Default: none. */
  float32?(input: string): boolean
}

/** Numbers for inputs: mulberry32 (Ettinger 2017) and Box-Muller, the same for the same seed. */
export class Random {
  #state: number

  constructor(seed: number | string) {
    // FNV-1a, so that a case's name is its seed.
    const mix = (hash: number, c: string) => Math.imul(hash ^ c.charCodeAt(0), 16777619)
    this.#state = [...String(seed)].reduce(mix, 2166136261)
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** An integer in [low, high). */
  below(high: number, low = 0): number {
    return low + Math.floor(this.next() * (high - low))
  }

  normals(n: number, deviation = 1, mean = 0): Float32Array {
    return Float32Array.from({ length: n }, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - this.next()))
      return mean + deviation * radius * Math.cos(2 * Math.PI * this.next())
    })
  }

  /** A float32 input of normally distributed numbers. */
  normal(shape: number[], deviation = 1, mean = 0): Input {
    return { shape, values: this.normals(product(shape), deviation, mean) }
  }

  /** An int32 input of integers in [low, high). */
  integers(shape: number[], high: number, low = 0): Input {
    return {
      shape,
      values: Int32Array.from({ length: product(shape) }, () => this.below(high, low)),
    }
  }

  /** int32 [B, T]: where each position's document starts, with documents of all lengths. */
  starts(B: number, T: number): Input {
    const values = new Int32Array(B * T)
    for (let b = 0; b < B; b++) {
      let start = 0
      for (let t = 0; t < T; t++) {
        if (t > 0 && this.next() < 0.15) start = t
        values[b * T + t] = start
      }
    }
    return { shape: [B, T], values }
  }
}

/** The number of elements of a shape. */
export function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1)
}
