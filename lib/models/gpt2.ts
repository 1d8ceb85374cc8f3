import {
  add,
  attention,
  attentionCached,
  cast,
  crossEntropy,
  dropout,
  linearCrossEntropy,
  recompute,
  scope,
} from '../tensor/index.js'
import type { CompactFormat, Device, Dtype, Gelu, Tensor, Values } from '../tensor/index.js'
import { GptloomError } from '../errors.js'
import { Embedding, LayerNorm, Linear, Module } from '../nn/index.js'
import type { Init, Lora } from '../nn/index.js'
import type { GPT2Config } from './config.js'

export interface ForwardOptions {
  /** int32 [B, T]: where each position's document starts in its row. Default: a row is one document. */
  starts?: Tensor | null
  /** Names this step's dropout masks and noise; without it there are none. */
  dropout?: { seed: number; step: number }
  /**
   * NEFTune (Jain et al. 2023): uniform noise within noise / sqrt(T C) is added to the embeddings.
   * Default 0.
   */
  noise?: number
  /** Of loss(): label smoothing, see crossEntropy(). Default 0. */
  smoothing?: number
  /** Keep only each block's input and compute the rest again in the backward pass. Default false. */
  recompute?: boolean
}

type Common = Pick<Init, 'device' | 'dtype'> & { bias: boolean }

/** How the weights of a model start: each matrix draws from a stream of its own. */
class Draw {
  #stream = 0

  constructor(
    readonly common: Common,
    private readonly seed: number,
    private readonly layers: number,
  ) {}

  /** @param options.residual for a projection onto the residual stream, of which a block has two */
  next({ residual = false } = {}): Init & Common {
    const deviation = residual ? 0.02 / Math.sqrt(2 * this.layers) : 0.02
    return { ...this.common, seed: this.seed, stream: this.#stream++, deviation }
  }
}

/** What a block needs to know of the step it runs in. */
interface Step {
  starts: Tensor | null
  /** Dropout for the k-th place in this block; undefined while not training. */
  drop?: (k: number) => { p: number; seed: number; stream: number }
  /** The name of the k-th adapter's dropout mask in this block; undefined while not training. */
  key?: (k: number) => { seed: number; stream: number }
}

// A step's streams of random numbers are named by their place in the model and by the step, which comes last:
// ops that run again belong to another step by moving on. Weights have the streams below all of them.
const STEPS = 2 ** 32
const DROPOUT = 2 ** 18
const ADAPTERS = 2 ** 19
const NOISE = 2 ** 20

// Logits that a loss with compact weights holds at once.
const MOST_LOGITS = 2 ** 24

// Parameters are named as in the Hugging Face checkpoints of GPT-2, so the names of the properties are those.

class Attention extends Module {
  readonly c_attn: Linear
  readonly c_proj: Linear

  constructor(
    readonly heads: number,
    width: number,
    /** Positions that a token sees at most; undefined for all. */
    readonly window: number | undefined,
    draw: Draw,
  ) {
    super()
    this.c_attn = new Linear(width, 3 * width, draw.next())
    this.c_proj = new Linear(width, width, draw.next({ residual: true }))
  }

  /** x + the projected attention over h. */
  forward(h: Tensor, x: Tensor, { starts, drop, key }: Step): Tensor {
    const qkv = this.c_attn.forward(h, { key: key?.(0) })
    const { heads, window } = this
    const mixed = attention(qkv, heads, { starts, window, dropout: drop?.(0) })
    if (!drop) return this.c_proj.forward(mixed, { residual: x, key: key?.(1) })
    return add(x, dropout(this.c_proj.forward(mixed, { key: key?.(1) }), drop(1)))
  }

  cached(h: Tensor, x: Tensor, [keys, values]: [Tensor, Tensor], past: number): Tensor {
    const { heads, window } = this
    const mixed = attentionCached(this.c_attn.forward(h), keys, values, heads, past, window)
    return this.c_proj.forward(mixed, { residual: x })
  }

  /** cached() for rows of one token, each with a cache of its own. */
  cachedEach(h: Tensor, x: Tensor, caches: readonly [Tensor, Tensor][], pasts: number[]): Tensor {
    const { heads, window } = this
    const qkv = this.c_attn.forward(h)
    const mixed = h.device.empty(h.shape, h.dtype)
    for (const [i, [keys, values]] of caches.entries()) {
      const row = qkv.rows(i, i + 1)
      const own = attentionCached(row, keys, values, heads, pasts[i]!, window)
      h.device.native.copy(mixed.rows(i, i + 1).native, own.native)
    }
    return this.c_proj.forward(mixed, { residual: x })
  }
}

class MLP extends Module {
  readonly c_fc: Linear
  readonly c_proj: Linear

  constructor(
    width: number,
    readonly gelu: Gelu,
    draw: Draw,
  ) {
    super()
    this.c_fc = new Linear(width, 4 * width, draw.next())
    this.c_proj = new Linear(4 * width, width, draw.next({ residual: true }))
  }

  /** x + the network's output for h. */
  forward(h: Tensor, x: Tensor, { drop, key }: Pick<Step, 'drop' | 'key'> = {}): Tensor {
    const hidden = this.c_fc.forward(h, { gelu: this.gelu, key: key?.(2) })
    if (!drop) return this.c_proj.forward(hidden, { residual: x, key: key?.(3) })
    return add(x, dropout(this.c_proj.forward(hidden, { key: key?.(3) }), drop(2)))
  }
}

class Block extends Module {
  readonly ln_1: LayerNorm
  readonly attn: Attention
  readonly ln_2: LayerNorm
  readonly mlp: MLP

  constructor({ heads, width, epsilon, windows, gelu }: GPT2Config, layer: number, draw: Draw) {
    super()
    this.ln_1 = new LayerNorm(width, { ...draw.common, epsilon })
    this.attn = new Attention(heads, width, windows?.[layer] ?? undefined, draw)
    this.ln_2 = new LayerNorm(width, { ...draw.common, epsilon })
    this.mlp = new MLP(width, gelu, draw)
  }

  forward(x: Tensor, step: Step): Tensor {
    x = this.attn.forward(this.ln_1.forward(x), x, step)
    return this.mlp.forward(this.ln_2.forward(x), x, step)
  }

  cached(x: Tensor, cache: [Tensor, Tensor], past: number): Tensor {
    x = this.attn.cached(this.ln_1.forward(x), x, cache, past)
    return this.mlp.forward(this.ln_2.forward(x), x)
  }

  cachedEach(x: Tensor, caches: readonly [Tensor, Tensor][], pasts: number[]): Tensor {
    x = this.attn.cachedEach(this.ln_1.forward(x), x, caches, pasts)
    return this.mlp.forward(this.ln_2.forward(x), x)
  }
}

/** Keys and values of what a generation has read so far, for each block. */
export class KeyValueCache {
  /** Positions filled. */
  length = 0

  /** @internal */
  constructor(
    readonly blocks: [keys: Tensor, values: Tensor][],
    readonly capacity: number,
  ) {}

  dispose(): void {
    for (const [keys, values] of this.blocks) {
      keys.dispose()
      values.dispose()
    }
  }
}

/**
 * GPT-2 (Radford et al. 2019): learned positions, blocks of attention and MLP with layer norm before
 * each and the residual stream around both, a last layer norm, and logits from the token embedding.
 */
export class GPT2 extends Module {
  readonly wte: Embedding
  readonly wpe: Embedding
  readonly h: Block[]
  readonly ln_f: LayerNorm
  readonly lm_head: Embedding | null
  #changes = 0

  /**
   * A model with fresh weights: normal with deviation 0.02, 0.02 / sqrt(2 L) for the projections onto
   * the residual stream; biases zero.
   * @param seed the same seed gives the same weights
   * @param dtype of weights and activations: one of the device's dtypes
   */
  constructor(
    readonly config: GPT2Config,
    readonly device: Device,
    seed = 0,
    readonly dtype: Dtype = 'float32',
  ) {
    super()
    const { vocabulary, context, layers, width, bias, tied, epsilon } = config
    const draw = new Draw({ device, dtype, bias }, seed, layers)
    this.wte = new Embedding(vocabulary, width, draw.next())
    this.wpe = new Embedding(context, width, draw.next())
    this.h = Array.from({ length: layers }, (_, i) => new Block(config, i, draw))
    this.ln_f = new LayerNorm(width, { ...draw.common, epsilon })
    this.lm_head = tied ? null : new Embedding(vocabulary, width, draw.next())
  }

  /**
   * The last hidden states.
   * @param tokens int32 [B, T], T at most config.context
   * @returns [B, T, C]
   */
  forward(
    tokens: Tensor,
    { starts = null, dropout: key, noise = 0, recompute: again = false }: ForwardOptions = {},
  ): Tensor {
    const p = this.config.dropout
    const { layers } = this.config
    // Each mask has a stream of its own: 3 a block and 1 for the embedding.
    const name = (place: number) => ({ seed: key!.seed, stream: place * STEPS + key!.step })
    const drop = (place: number) => ({ p, ...name(DROPOUT + place) })
    const dropping = p > 0 && key !== undefined
    let x = this.wte.forward(tokens, { positions: this.wpe.weight, starts })
    if (noise > 0 && key) x = this.#noisy(x, noise, key)
    if (dropping) x = dropout(x, drop(3 * layers))
    for (const [i, block] of this.h.entries()) {
      const step: Step = {
        starts,
        drop: dropping ? (k) => drop(3 * i + k) : undefined,
        key: key && ((k) => name(ADAPTERS + 4 * i + k)),
      }
      x = again ? recompute((input) => block.forward(input, step), x) : block.forward(x, step)
    }
    return this.ln_f.forward(x)
  }

  /**
   * The sum of the losses of all targets, in nats: forward() and the cross-entropy of the next token.
   * @param targets int32 [B, T]; a negative one is ignored
   * @returns [1]
   */
  loss(tokens: Tensor, targets: Tensor, options: ForwardOptions = {}): Tensor {
    const hidden = this.forward(tokens, options)
    if (this.#head.packed) return this.#compactLoss(hidden, targets, options)
    return linearCrossEntropy(hidden, this.#head.weight, targets, options)
  }

  /** Logits [..., V] from hidden states [..., C]. */
  logits(hidden: Tensor): Tensor {
    return this.#head.logits(hidden)
  }

  /** An empty cache for B sequences of up to `capacity` tokens. */
  cache(B = 1, capacity = this.config.context): KeyValueCache {
    const { heads, width, layers } = this.config
    const empty = () => this.device.empty([B, heads, capacity, width / heads], this.dtype)
    return new KeyValueCache(
      Array.from({ length: layers }, () => [empty(), empty()]),
      capacity,
    )
  }

  /**
   * Reads further tokens into a cache.
   * @param tokens int32 [B, T]; cache.length + T at most config.context
   * @returns the last hidden states of these tokens, [B, T, C]
   */
  continue(tokens: Tensor, cache: KeyValueCache): Tensor {
    const past = cache.length
    let x = this.wte.forward(tokens, { positions: this.wpe.weight, past })
    for (const [i, block] of this.h.entries()) x = block.cached(x, cache.blocks[i]!, past)
    cache.length += tokens.shape[1]!
    return this.ln_f.forward(x)
  }

  /**
   * Reads one further token into each of several caches of one sequence, which may differ in length.
   * @param tokens int32 [B, 1]
   * @returns their last hidden states, [B, 1, C]
   */
  continueEach(tokens: Tensor, caches: readonly KeyValueCache[]): Tensor {
    const pasts = caches.map(({ length }) => length)
    const past = Math.max(...pasts)
    const { device } = this
    const starts = device.tensor(
      Int32Array.from(pasts, (own) => past - own),
      tokens.shape,
    )
    let x = this.wte.forward(tokens, { positions: this.wpe.weight, past, starts })
    for (const [i, block] of this.h.entries()) {
      const own = caches.map(({ blocks }) => blocks[i]!)
      x = block.cachedEach(x, own, pasts)
    }
    for (const cache of caches) cache.length++
    return this.ln_f.forward(x)
  }

  /** How the matrices of weights are kept; activations are of `dtype`. */
  get weights(): Dtype | CompactFormat {
    return this.wte.packed?.format ?? this.dtype
  }

  /**
   * Keeps the matrices of weights in fewer bytes from here on, for inference on the CPU: those of
   * linear layers, and the embedding of tokens. The exact ones are gone, so that such a model is not
   * trained, merged with an adapter or saved; it may go with one.
   * @throws RangeError for another format or device
   */
  compact(format: CompactFormat): void {
    this.expectExact('compact()')
    this.#changes++
    for (const layer of this.linears().values()) layer.compact(format)
    this.wte.compact(format)
    this.lm_head?.compact(format)
  }

  /**
   * Throws where the weights were compacted.
   * @param what cannot be done then
   */
  expectExact(what: string): void {
    if (!this.wte.packed) return
    throw new GptloomError(
      'ERR_COMPACT',
      `Expected a model with its exact weights for ${what}, received one with ${this.weights} ` +
        'weights, which is for inference: load it without `weights`',
    )
  }

  override state(): Promise<Map<string, Float32Array>> {
    this.expectExact('state()')
    return super.state()
  }

  override loadState(state: Iterable<readonly [string, Values]>): void {
    this.expectExact('loadState()')
    super.loadState(state)
  }

  override dispose(): void {
    this.#changes++
    super.dispose()
    for (const layer of [...this.linears().values(), this.wte, this.lm_head]) layer?.dispose()
  }

  /** The linear layers of the blocks by name: 'h.0.attn.c_attn', those that an adapter may go with. */
  linears(): Map<string, Linear> {
    const layers = this.h.flatMap(({ attn, mlp }, i): [string, Linear][] => [
      [`h.${i}.attn.c_attn`, attn.c_attn],
      [`h.${i}.attn.c_proj`, attn.c_proj],
      [`h.${i}.mlp.c_fc`, mlp.c_fc],
      [`h.${i}.mlp.c_proj`, mlp.c_proj],
    ])
    return new Map(layers)
  }

  /** Counts the changes of adapter and of weights: what was computed before one is of another model. */
  get changes(): number {
    return this.#changes
  }

  /** Adds an adapter's output to that of the layers; null for none. It stays the caller's. */
  useAdapter(lora: Lora | null): void {
    for (const [name, linear] of this.linears()) linear.adapter = lora?.layers.get(name) ?? null
    this.#changes++
  }

  #noisy(x: Tensor, noise: number, key: { seed: number; step: number }): Tensor {
    const [, T, C] = x.shape
    const high = noise / Math.sqrt(T! * C!)
    const stream = NOISE * STEPS + key.step
    const values = this.device.uniform(x.shape, { seed: key.seed, stream, low: -high, high })
    return add(x, cast(values, x.dtype))
  }

  get #head(): Embedding {
    return this.lm_head ?? this.wte
  }

  /** Logits exist for some rows at a time, as in linearCrossEntropy(). */
  #compactLoss(hidden: Tensor, targets: Tensor, options: ForwardOptions): Tensor {
    const { width, vocabulary } = this.config
    const rows = hidden.view([targets.size, width])
    const flat = targets.view([targets.size])
    const most = Math.max(1, Math.floor(MOST_LOGITS / vocabulary))
    let sum = this.device.zeros([1])
    for (let from = 0; from < targets.size; from += most) {
      const to = Math.min(from + most, targets.size)
      const part = (total: Tensor) => {
        const logits = this.logits(rows.rows(from, to))
        return add(total, crossEntropy(logits, flat.rows(from, to), options))
      }
      sum = scope(() => part(sum))
    }
    return sum
  }
}
