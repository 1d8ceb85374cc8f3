import { checkInteger, checkNumber, outOfRange } from '../../errors.js'
import type { Tensor } from '../tensor.js'
import { recording } from '../tape.js'
import { expectTensor, nativeOf } from './check.js'

/** What attention() takes beside queries, keys and values. */
export interface AttentionOptions {
  /**
   * int32 [B, T]: position t attends to s in [starts[b, t], t], so that packed documents never see
   * each other.
   */
  starts?: Tensor | null
  /**
   * A position attends to that many at most, itself included: local attention (Child et al. 2019).
   * Default: all before it.
   */
  window?: number
  /** Drops attention weights. p from 0 to below 1; seed and stream name the mask. Default: none. */
  dropout?: { p: number; seed: number; stream: number }
}

/**
 * Causal multi-head attention: softmax(q k^T / sqrt(D)) v for each head (Vaswani et al. 2017), without
 * a T x T matrix in memory (Dao et al. 2022).
 * @param qkv [B, T, 3 C]: queries, keys and values side by side, each C = heads x D
 * @returns [B, T, C]
 */
export function attention(qkv: Tensor, heads: number, options: AttentionOptions = {}): Tensor {
  const { starts = null, window, dropout = { p: 0, seed: 0, stream: 0 } } = options
  const [B, T, C] = checkPacked(qkv, heads)
  if (starts) expectTensor('starts', starts, [B, T], 'int32')
  const size = checkWindow(window)
  checkNumber('dropout.p', dropout.p, 0, 0.999)
  const { p, seed, stream } = dropout
  const { device } = qkv
  const tape = recording(qkv)
  const output = device.empty([B, T, C], qkv.dtype)
  const lse = tape && device.empty([B, heads, T])
  device.native.attentionForward(
    output.native,
    nativeOf(lse),
    qkv.native,
    nativeOf(starts),
    heads,
    size,
    p,
    seed,
    stream,
  )
  tape?.record({
    op: 'attention',
    output,
    saved: [lse],
    backward(dout, gradients) {
      const dqkv = gradients.of(qkv)
      if (!dqkv) return
      device.native.attentionBackward(
        dqkv.tensor.native,
        dout.native,
        qkv.native,
        output.native,
        lse!.native,
        nativeOf(starts),
        heads,
        size,
        p,
        seed,
        stream,
        dqkv.accumulate,
      )
    },
  })
  return output
}

/**
 * Attention in a generation: T new positions follow `past` ones, whose keys and values stand in the
 * caches; the new ones are appended there. Has no backward.
 * @param qkv [B, T, 3 C]
 * @param keys [B, heads, capacity, D]
 * @param values of the same shape
 * @param window as in attention()
 * @returns [B, T, C]
 */
export function attentionCached(
  qkv: Tensor,
  keys: Tensor,
  values: Tensor,
  heads: number,
  past: number,
  window?: number,
): Tensor {
  const [B, T, C] = checkPacked(qkv, heads)
  expectTensor('keys', keys, [B, heads, 'capacity', C / heads], qkv.dtype)
  expectTensor('values', values, keys.shape, qkv.dtype)
  if (past + T > keys.shape[2]!) {
    throw outOfRange(`at most ${keys.shape[2]} positions in the cache`, 'past', past + T)
  }
  const output = qkv.device.empty([B, T, C], qkv.dtype)
  qkv.device.native.attentionCached(
    output.native,
    keys.native,
    values.native,
    qkv.native,
    heads,
    checkWindow(window),
    past,
  )
  return output
}

/** As the device takes it: 0 for none. */
function checkWindow(window: number | undefined): number {
  return window === undefined ? 0 : checkInteger('window', window)
}

function checkPacked(qkv: Tensor, heads: number): [number, number, number] {
  checkInteger('heads', heads)
  expectTensor('qkv', qkv, ['B', 'T', '3 C'])
  const [B, T, packed] = qkv.shape as [number, number, number]
  if (packed % (3 * heads) !== 0) {
    throw outOfRange(`3 x ${heads} heads x D channels`, 'qkv', packed)
  }
  return [B, T, packed / 3]
}
