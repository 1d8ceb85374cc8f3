import { cast, dropout, matmul } from '../tensor/index.js'
import type { Device, DropoutOptions, Dtype, Tensor } from '../tensor/index.js'
import { Module } from './module.js'

/** What an adapter has in common over its layers. */
export interface LoraSettings {
  /** Columns of A and B (r). */
  rank: number
  /** The adapter's output is scaled by alpha / rank, or by alpha / sqrt(rank) for rsLoRA. */
  alpha: number
  /** The probability of dropout of the adapter's input while training. */
  dropout: number
  /** Scale by alpha / sqrt(rank), which keeps high ranks learning (Kalajdzievski 2023). */
  rsLora: boolean
}

/** A layer that an adapter goes with. */
export interface AdaptedLayer {
  name: string
  inputs: number
  outputs: number
}

/** Two matrices beside a Linear's: its output grows by scale (x A^T) B^T. */
export class LoraLayer {
  /** scale I: a product with it scales what has `rank` columns, its gradient too. */
  readonly #scaling: Tensor

  constructor(
    /** A, [rank, inputs]. */
    readonly a: Tensor,
    /** B, [outputs, rank]. */
    readonly b: Tensor,
    readonly scale: number,
    readonly dropout: number,
  ) {
    const { device, dtype } = a
    const rank = a.shape[0]!
    const values = new Float32Array(rank * rank)
    for (let i = 0; i < rank; i++) values[i * (rank + 1)] = scale
    this.#scaling = device.tensor(values, [rank, rank], dtype)
  }

  /**
   * The adapter's output for x, and `residual` with it.
   * @param key names the dropout's mask; without it there is no dropout
   */
  forward(
    x: Tensor,
    { residual, key }: { residual?: Tensor | null; key?: Omit<DropoutOptions, 'p'> },
  ): Tensor {
    const input = key && this.dropout > 0 ? dropout(x, { p: this.dropout, ...key }) : x
    const low = matmul(input, this.a, { transposeB: true })
    return matmul(matmul(low, this.#scaling), this.b, { transposeB: true, residual })
  }

  /** weight + scale (B A)^T: what the layer's weight becomes when the adapter is merged into it. */
  merged(weight: Tensor): Tensor {
    const scaled = matmul(this.b, this.#scaling)
    return matmul(this.a, scaled, { transposeA: true, transposeB: true, residual: weight })
  }

  dispose(): void {
    this.#scaling.dispose()
  }
}

/**
 * A LoRA adapter (Hu et al. 2021): two thin matrices beside each of some linear layers. Trained alone,
 * they need neither gradients nor optimizer state of the model that they go with. As parameters they
 * are called 'h.0.attn.c_attn.lora_A' and lora_B.
 */
export class Lora extends Module {
  constructor(
    readonly settings: LoraSettings,
    /** By the names of the layers that they go with. */
    readonly layers: ReadonlyMap<string, LoraLayer>,
  ) {
    super()
  }

  /**
   * An adapter that changes nothing yet: A uniform within 1 / sqrt(inputs), B zero.
   * @param seed the same seed gives the same weights
   */
  static fresh(
    settings: LoraSettings,
    layers: readonly AdaptedLayer[],
    init: { device: Device; dtype: Dtype; seed: number },
  ): Lora {
    const { rank, dropout } = settings
    const { device, dtype, seed } = init
    const made = layers.map(({ name, inputs, outputs }, i): [string, LoraLayer] => {
      const high = 1 / Math.sqrt(inputs)
      const a = device.uniform([rank, inputs], { seed, stream: STREAM + i, low: -high, high })
      const b = device.full([outputs, rank], 0, dtype)
      return [name, new LoraLayer(rounded(a, dtype), b, scaleOf(settings), dropout)]
    })
    return new Lora(settings, new Map(made)).trainable()
  }

  override *namedParameters(prefix = ''): Iterable<[name: string, parameter: Tensor]> {
    for (const [name, { a, b }] of this.layers) {
      yield [`${prefix}${name}.lora_A`, a]
      yield [`${prefix}${name}.lora_B`, b]
    }
  }

  override dispose(): void {
    super.dispose()
    for (const layer of this.layers.values()) layer.dispose()
  }

  /** Marks its parameters as what is learned. */
  trainable(): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = true
    return this
  }
}

// Keeps the random numbers of A apart from those of a model's own weights.
const STREAM = 2 ** 32

/** What an adapter's output is multiplied by. */
export function scaleOf({ rank, alpha, rsLora }: LoraSettings): number {
  return alpha / (rsLora ? Math.sqrt(rank) : rank)
}

function rounded(exact: Tensor, dtype: Dtype): Tensor {
  const result = cast(exact, dtype)
  if (result !== exact) exact.dispose()
  return result
}
