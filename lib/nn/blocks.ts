import { attention } from '../tensor/index.js'
import type { AttentionOptions, Tensor } from '../tensor/index.js'
import { Linear } from './layers.js'
import type { Init } from './layers.js'
import { Module } from './module.js'

/** A module whose forward takes one tensor and gives one. */
export interface Layer extends Module {
  forward(x: Tensor): Tensor
}

/**
 * Causal multi-head self-attention (Vaswani et al. 2017): queries, keys and values from one
 * product, attention, and a projection.
 */
export class Attention extends Module {
  readonly qkv: Linear
  readonly projection: Linear

  /**
   * @param channels C, a multiple of heads
   * @param init takes two streams, `stream` and the next
   */
  constructor(
    channels: number,
    readonly heads: number,
    init: Init & { bias?: boolean },
  ) {
    super()
    this.qkv = new Linear(channels, 3 * channels, init)
    this.projection = new Linear(channels, channels, { ...init, stream: init.stream + 1 })
  }

  /**
   * @param x [B, T, C]
   * @param options.residual added to the output
   * @returns [B, T, C]
   */
  forward(x: Tensor, options: AttentionOptions & { residual?: Tensor } = {}): Tensor {
    const { residual, ...rest } = options
    return this.projection.forward(attention(this.qkv.forward(x), this.heads, rest), { residual })
  }
}

/** Two linear layers with GELU between them, as in a transformer's block. */
export class MLP extends Module {
  readonly up: Linear
  readonly down: Linear

  /**
   * @param hidden how wide the middle is; default 4 x channels
   * @param init takes two streams, `stream` and the next
   */
  constructor(channels: number, { hidden = 4 * channels, ...init }: Init & { hidden?: number }) {
    super()
    this.up = new Linear(channels, hidden, init)
    this.down = new Linear(hidden, channels, { ...init, stream: init.stream + 1 })
  }

  /**
   * @param x [..., C]
   * @param options.residual added to the output
   * @returns [..., C]
   */
  forward(x: Tensor, options: { residual?: Tensor } = {}): Tensor {
    return this.down.forward(this.up.forward(x, { gelu: true }), options)
  }
}

/** Layers one after the other. */
export class Sequential extends Module {
  readonly layers: readonly Layer[]

  constructor(...layers: Layer[]) {
    super()
    this.layers = layers
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((x, layer) => layer.forward(x), x)
  }
}
