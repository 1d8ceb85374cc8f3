import { checkInteger, outOfRange } from '../../errors.js'
import type { Dtype, Tensor } from '../tensor.js'
import { recording } from '../tape.js'
import type { Slot } from '../tape.js'
import { expectTensor, nativeOf } from './check.js'

/** What embedding() takes beside tokens and table. */
export interface EmbeddingOptions {
  /** Learned positions, [P, C]. Default: none are added. */
  positions?: Tensor | null
  /**
   * int32 [B, T]: where, within its row, the document of each position starts. Positions count from
   * there. Default: every row is one document.
   */
  starts?: Tensor | null
  /** Positions that came before these in a generation. Default 0. */
  past?: number
}

/**
 * Looks tokens up: out[b, t] = weight[tokens[b, t]] + positions[past + t - starts[b, t]].
 * @param tokens int32 [B, T]
 * @param weight [V, C]
 * @returns [B, T, C]
 * @throws at the next await, GptloomError ERR_INDEX when a token is not below V
 */
export function embedding(tokens: Tensor, weight: Tensor, options: EmbeddingOptions = {}): Tensor {
  expectTensor('weight', weight, ['V', 'C'])
  const C = weight.shape[1]!
  const { positions, starts, past } = checkEmbedding(tokens, C, weight.dtype, options)
  const { device } = weight
  const output = device.empty([...tokens.shape, C], weight.dtype)
  device.native.embeddingForward(
    output.native,
    tokens.native,
    nativeOf(starts),
    weight.native,
    nativeOf(positions),
    past,
  )
  recording(weight, positions)?.record({
    op: 'embedding',
    output,
    backward(dout, gradients) {
      const dweight = zeroed(gradients.of(weight, 'float32'))
      const dpositions = zeroed(gradients.of(positions, 'float32'))
      // The kernel counts positions from 0 on.
      const dcounted = dpositions && dpositions.tensor.rows(past, dpositions.tensor.shape[0]!)
      device.native.embeddingBackward(
        nativeOf(dweight),
        nativeOf(dcounted),
        dout.native,
        tokens.native,
        nativeOf(starts),
      )
      dcounted?.dispose()
    },
  })
  return output
}

/** @internal Throws unless tokens and options fit a table of C columns; the options with defaults. */
export function checkEmbedding(
  tokens: Tensor,
  C: number,
  dtype: Dtype,
  { positions = null, starts = null, past = 0 }: EmbeddingOptions,
) {
  expectTensor('tokens', tokens, ['B', 'T'], 'int32')
  const [B, T] = tokens.shape as [number, number]
  checkInteger('past', past, 0)
  if (starts) expectTensor('starts', starts, [B, T], 'int32')
  if (positions) {
    expectTensor('positions', positions, ['P', C], dtype)
    if (past + T > positions.shape[0]!) {
      throw outOfRange(`at most ${positions.shape[0]} positions`, 'embedding()', past + T)
    }
  }
  return { positions, starts, past }
}

// Most rows get no gradient: the kernel only ever adds.
function zeroed(slot: Slot | null): Slot | null {
  if (slot && !slot.accumulate) slot.tensor.device.native.fill(slot.tensor.native, 0)
  return slot
}
