import {
  add,
  cast,
  compact,
  compactEmbedding,
  compactMatmul,
  embedding,
  gelu,
  layerNorm,
  matmul,
} from '../tensor/index.js'
import type {
  CompactFormat,
  CompactWeight,
  Device,
  DropoutOptions,
  Dtype,
  EmbeddingOptions,
  MatmulOptions,
  Tensor,
} from '../tensor/index.js'
import type { LoraLayer } from './lora.js'
import { Module } from './module.js'

/** How a layer's parameters start: normal with mean 0. */
export interface Init {
  device: Device
  /** 'float32' (the default) or, where the device computes in it, 'bfloat16'. */
  dtype?: Dtype
  /** An integer; with `stream` it names the numbers drawn. */
  seed: number
  stream: number
  /** The standard deviation. Default 0.02, as in GPT-2. */
  deviation?: number
}

function parameter(tensor: Tensor): Tensor {
  tensor.requiresGrad = true
  return tensor
}

function drawn(shape: number[], init: Init): Tensor {
  const { device, dtype = 'float32', seed, stream, deviation = 0.02 } = init
  const exact = device.normal(shape, { deviation, seed, stream })
  const rounded = cast(exact, dtype)
  if (rounded !== exact) exact.dispose()
  return parameter(rounded)
}

/** What goes with a Linear's product. */
export interface LinearOptions extends Pick<MatmulOptions, 'gelu' | 'residual'> {
  /** Names the mask of the adapter's dropout; without it there is none. */
  key?: Omit<DropoutOptions, 'p'>
}

/** out = x weight + bias, with weight [inputs, outputs] as GPT-2 stores it. */
export class Linear extends Module {
  readonly weight: Tensor
  readonly bias: Tensor | null
  /** What stands for the weight, once compact() has freed that. */
  packed: CompactWeight | null = null
  // Private, since its matrices are parameters of the adapter and not of the model.
  #adapter: LoraLayer | null = null

  constructor(inputs: number, outputs: number, options: Init & { bias?: boolean }) {
    super()
    this.weight = drawn([inputs, outputs], options)
    this.bias =
      options.bias === false ? null : parameter(options.device.full([outputs], 0, options.dtype))
  }

  /** Whose output is added to the product, before GELU; null for none. It belongs to somebody else. */
  get adapter(): LoraLayer | null {
    return this.#adapter
  }

  set adapter(adapter: LoraLayer | null) {
    this.#adapter = adapter
  }

  forward(x: Tensor, { gelu: curved, residual, key }: LinearOptions = {}): Tensor {
    const { adapter } = this
    if (!adapter) return this.#product(x, { gelu: curved, residual })
    const added = adapter.forward(x, { residual: curved ? null : residual, key })
    const sum = this.#product(x, { residual: added })
    if (!curved) return sum
    const out = gelu(sum, curved === true ? 'tanh' : curved)
    return residual ? add(out, residual) : out
  }

  /** Keeps the weight in fewer bytes from here on, for inference on the CPU. */
  compact(format: CompactFormat): void {
    this.packed = compact(this.weight, format)
    this.weight.dispose()
  }

  override dispose(): void {
    super.dispose()
    this.packed?.dispose()
  }

  #product(x: Tensor, options: Pick<MatmulOptions, 'gelu' | 'residual'>): Tensor {
    const { weight, bias, packed } = this
    return packed
      ? compactMatmul(x, packed, { bias, ...options })
      : matmul(x, weight, { bias, ...options })
  }
}

/** Layer normalisation over the last dimension, starting as weight 1 and bias 0. */
export class LayerNorm extends Module {
  readonly weight: Tensor
  readonly bias: Tensor | null

  constructor(
    channels: number,
    readonly options: Pick<Init, 'device' | 'dtype'> & { bias?: boolean; epsilon?: number },
  ) {
    super()
    const { device, dtype, bias = true } = options
    this.weight = parameter(device.full([channels], 1, dtype))
    this.bias = bias ? parameter(device.full([channels], 0, dtype)) : null
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, this.options.epsilon)
  }
}

/** A table of vectors, looked up by token. */
export class Embedding extends Module {
  readonly weight: Tensor
  /** What stands for the weight, once compact() has freed that. */
  packed: CompactWeight | null = null

  constructor(count: number, channels: number, init: Init) {
    super()
    this.weight = drawn([count, channels], init)
  }

  forward(tokens: Tensor, options: EmbeddingOptions = {}): Tensor {
    const { weight, packed } = this
    return packed ? compactEmbedding(tokens, packed, options) : embedding(tokens, weight, options)
  }

  /** Logits [..., V] from x [..., C]: the product with the table's transpose. */
  logits(x: Tensor): Tensor {
    const { weight, packed } = this
    return packed ? compactMatmul(x, packed) : matmul(x, weight, { transposeB: true })
  }

  /** Keeps the table in fewer bytes from here on, for inference on the CPU. */
  compact(format: CompactFormat): void {
    this.packed = compact(this.weight, format, { transpose: true })
    this.weight.dispose()
  }

  override dispose(): void {
    super.dispose()
    this.packed?.dispose()
  }
}
