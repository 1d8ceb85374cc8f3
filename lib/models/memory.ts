// What training takes of a device's memory, worked out from the sizes alone.
import type { Device, Dtype } from '../tensor/index.js'
import { parameterCount } from './config.js'
import type { GPT2Config } from './config.js'

/** An estimate of memory in bytes, by part. */
export interface MemoryEstimate {
  weights: number
  gradients: number
  /** AdamW's two moments, and the float32 weights behind those in bfloat16. */
  optimizer: number
  /** What a step keeps from the forward for the backward pass, and scratch. */
  activations: number
  total: number
}

/** The sizes that memory depends on. */
export interface TrainingShape {
  /** Sequences in a micro-batch. */
  batch: number
  /** Tokens in a sequence. Default: the model's context. */
  context?: number
  /** Whether activations are computed again in the backward pass. Default false. */
  recompute?: boolean
  /** Numbers of an adapter that is learned instead of the model. Default: none is. */
  adapter?: number
  /** Default 'cpu'. */
  device?: Device['kind']
  /** Of weights and activations. Default 'float32', which is the CPU's only one. */
  dtype?: Dtype
  /** Whether there are no exact weights behind those in bfloat16. Default false. */
  stochasticRounding?: boolean
}

/**
 * The memory that training takes: on the CPU from the system, on a GPU of what is on board, without
 * what the driver takes for itself. Within about a tenth, but for tiny models.
 */
export function trainingMemory(config: GPT2Config, shape: TrainingShape): MemoryEstimate {
  const { adapter, dtype = 'float32', stochasticRounding = false } = shape
  const size = dtype === 'bfloat16' ? 2 : 4
  const parameters = parameterCount(config)
  const learned = adapter ?? parameters
  const weights = size * (parameters + (adapter ?? 0))
  const gradients = 4 * learned
  const optimizer = (size === 2 && !stochasticRounding ? 12 : 8) * learned
  const scratch = shape.device === 'cuda' ? cudaScratch : cpuScratch
  const activations = keptActivations(config, shape, size) + scratch(config, shape, size)
  const total = weights + gradients + optimizer + activations
  return { weights, gradients, optimizer, activations, total }
}

/** What is there when the backward pass begins, and what it holds at a time besides. */
function keptActivations(config: GPT2Config, shape: TrainingShape, size: number): number {
  const { batch, context = config.context, recompute = false, adapter, device } = shape
  const { layers: L, heads: H, width: C, dropout } = config
  const tokens = batch * context
  // A block keeps, in units of C numbers a token: two norms (2), qkv (3), attention (1), its projection
  // onto the residual (1), GELU's input and output (8), the second projection (1); and the backward
  // holds at most about 11 more at a time, 7 on a GPU.
  // With an adapter the output of its side of each layer is kept too: 3 + 1 + 4 + 1.
  const beside = (dropout > 0 ? 4 * C : 0) + (adapter === undefined ? 0 : 9 * C)
  const block = tokens * (size * (16 * C + beside) + 4 * (H + 4))
  const kept = recompute ? L * size * tokens * C + block : L * block
  // Embedding, last norm and its gradient; with dropout one more.
  const around = device === 'cuda' ? (dropout > 0 ? 11 : 10) : 14
  return kept + size * tokens * around * C
}

// The most rows, and numbers of each, that native/cpu/matmul.cc packs at a time.
const PACKED_ROWS = 2048
const PACKED_DEPTH = 768

// Logits exist for a chunk of tokens at a time. Products pack an operand; what else an op needs for a while
// is about as much.
function cpuScratch({ vocabulary: V, context, width }: GPT2Config, shape: TrainingShape): number {
  const tokens = shape.batch * (shape.context ?? context)
  const longest = Math.max(tokens, V, 4 * width)
  const packed = 4 * Math.min(PACKED_ROWS, longest) * Math.min(PACKED_DEPTH, longest)
  return 4 * V * Math.min(tokens, Math.max(128, 2 ** 24 / V)) + 2 * packed
}

// The figures of native/cuda/crossentropy.cc and matmul.cc, for a GPU of about 100 multiprocessors.
const LOGITS = 2 ** 28
const PARTIAL_SUMS = 2 ** 26
const MULTIPROCESSORS = 108

/**
 * A chunk of logits with its rows of x and dx, and the partial sums of products that are too small to
 * fill the GPU: their depth is split, and each part has sums of its own.
 */
function cudaScratch(config: GPT2Config, shape: TrainingShape, size: number): number {
  const { vocabulary: V, width: C } = config
  const { batch, context = config.context } = shape
  const tokens = batch * context
  const limit = Math.min(8192, Math.max(128, Math.floor(LOGITS / (size * V))))
  const rows = Math.ceil(tokens / Math.ceil(tokens / limit))
  const layers: [number, number][] = [
    [C, 3 * C],
    [C, C],
    [C, 4 * C],
    [4 * C, C],
  ]
  const products: [M: number, N: number, K: number][] = [
    ...layers.flatMap(([inputs, outputs]): [number, number, number][] => [
      [tokens, outputs, inputs],
      [tokens, inputs, outputs],
      [inputs, outputs, tokens],
    ]),
    [rows, C, V],
    [V, C, rows],
  ]
  // Products whose sums are of one size take turns with them.
  const sums = new Set(products.map(([M, N, K]) => partialSums(M, N, K)))
  return size * rows * (V + 2 * C) + [...sums].reduce((a, b) => a + b, 0)
}

function partialSums(M: number, N: number, K: number): number {
  const tiles = Math.ceil(M / 128) * Math.ceil(N / 64)
  const most = Math.floor(PARTIAL_SUMS / (4 * M * N))
  const splits = Math.min(Math.floor(MULTIPROCESSORS / tiles), Math.floor(K / 256), 32, most)
  return splits > 1 ? 4 * splits * M * N : 0
}
