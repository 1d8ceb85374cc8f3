// Weights in fewer bytes, for inference on the CPU: what one token costs is reading them.
import { GptloomError, outOfRange, wrongType } from '../../errors.js'
import type { Tensor } from '../tensor.js'
import { recording } from '../tape.js'
import { expectRows, expectTensor, nativeOf } from './check.js'
import { geluCode } from './gelu.js'
import { checkEmbedding } from './embedding.js'
import type { EmbeddingOptions } from './embedding.js'
import type { MatmulOptions } from './matmul.js'

/**
 * 'bfloat16': the upper half of a float32, rounded to nearest even. 'int8': blocks of 32 numbers
 * along K, each with a float32 scale of max |w| / 127; GGUF's Q8_0 is the same with a float16 scale.
 */
export type CompactFormat = 'bfloat16' | 'int8'

const LANES = 32
const BLOCK = 32

/** A matrix [K, N] in fewer bytes, in a layout of its own: see native/cpu/compact.h. */
export class CompactWeight {
  /** @internal Made by compact(). */
  constructor(
    readonly format: CompactFormat,
    readonly K: number,
    readonly N: number,
    /** @internal Opaque. */
    readonly packed: Tensor,
  ) {}

  /** Bytes of memory. */
  get bytes(): number {
    return 4 * this.packed.size
  }

  dispose(): void {
    this.packed.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

/**
 * Packs a matrix for compactMatmul() and compactEmbedding(). The weight itself is left as it is.
 * @param weight float32 [K, N], or [N, K] with transpose, on the CPU; neither may be 0
 * @throws RangeError for another format or device
 */
export function compact(
  weight: Tensor,
  format: CompactFormat,
  { transpose = false } = {},
): CompactWeight {
  expectTensor('weight', weight, transpose ? ['N', 'K'] : ['K', 'N'])
  checkFormat(format)
  const { device } = weight
  if (device.kind !== 'cpu')
    throw outOfRange('a tensor of the CPU', 'weight', `one of ${device.name}`)
  if (weight.size === 0)
    throw outOfRange('a weight of some rows and columns', 'weight', weight.shape)
  const [K, N] = (transpose ? weight.shape.toReversed() : weight.shape) as [number, number]
  const panel = format === 'int8' ? 4 * LANES * Math.ceil(K / BLOCK) + K * LANES : 2 * K * LANES
  const packed = device.empty([(Math.ceil(N / LANES) * panel) / 4], 'int32')
  device.native.compactPack(packed.native, weight.native, transpose, format === 'int8')
  return new CompactWeight(format, K, N, packed)
}

function checkFormat(format: unknown): void {
  if (format !== 'bfloat16' && format !== 'int8')
    throw outOfRange("'bfloat16' or 'int8'", 'format', format)
}

/**
 * matmul(a, weight), to the bit what the same weights give as float32. It has no backward.
 * @param a float32 [..., K]
 * @returns [..., N]
 * @throws TypeError, RangeError when shapes do not fit; GptloomError ERR_COMPACT while a tape records
 */
export function compactMatmul(
  a: Tensor,
  weight: CompactWeight,
  options: Pick<MatmulOptions, 'bias' | 'gelu' | 'residual'> = {},
): Tensor {
  expectCompact(weight)
  const { K, N, format, packed } = weight
  const { bias = null, gelu, residual = null } = options
  const code = geluCode(gelu)
  expectRows('a', a, K)
  const shape = [...a.shape.slice(0, -1), N]
  if (bias) expectTensor('bias', bias, [N])
  if (residual) expectTensor('residual', residual, shape)
  refuseTape('compactMatmul()', a, bias, residual)
  const output = a.device.empty(shape)
  a.device.native.compactMatmul(
    output.native,
    a.native,
    packed.native,
    nativeOf(bias),
    nativeOf(residual),
    code,
    format === 'int8',
  )
  return output
}

/**
 * embedding(tokens, table) of a table [N, K] that was packed with transpose. It has no backward.
 * @param tokens int32 [B, T]
 * @returns [B, T, K]
 * @throws TypeError, RangeError when shapes do not fit; GptloomError ERR_COMPACT while a tape records;
 *   at the next await, GptloomError ERR_INDEX when a token is not below N
 */
export function compactEmbedding(
  tokens: Tensor,
  weight: CompactWeight,
  options: EmbeddingOptions = {},
): Tensor {
  expectCompact(weight)
  const { K, N, format, packed } = weight
  const { positions, starts, past } = checkEmbedding(tokens, K, 'float32', options)
  refuseTape('compactEmbedding()', positions)
  const { device } = packed
  const output = device.empty([...tokens.shape, K])
  device.native.compactEmbedding(
    output.native,
    tokens.native,
    nativeOf(starts),
    packed.native,
    nativeOf(positions),
    past,
    N,
    format === 'int8',
  )
  return output
}

function expectCompact(weight: unknown): asserts weight is CompactWeight {
  if (!(weight instanceof CompactWeight)) throw wrongType('a CompactWeight', 'weight', weight)
}

// Silence here would be a gradient that is missing.
function refuseTape(op: string, ...inputs: (Tensor | null)[]): void {
  if (!recording(...inputs)) return
  throw new GptloomError(
    'ERR_COMPACT',
    `${op} has no backward: weights in fewer bytes are for inference. Train with float32 weights`,
  )
}
