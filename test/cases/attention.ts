import { attention, attentionCached } from '../../lib/tensor/index.js'
import * as oracle from '../oracle.js'
import type { OpCase } from '../../lib/testing/index.js'

export interface AttentionInstance {
  B: number
  T: number
  H: number
  D: number
  starts?: boolean
  window?: number
  dropout?: { p: number; seed: number; stream: number }
  /** Deviation of queries and keys: large, the softmax is nearly one-hot. */
  deviation?: number
  /** A query like this one's key before it, and all others small: its scores alone rise on the way. */
  steep?: number
}

export const attentionCase: OpCase<AttentionInstance> = {
  name: 'attention',
  instances: [
    { B: 1, T: 1, H: 1, D: 1 },
    { B: 2, T: 31, H: 3, D: 5 },
    { B: 1, T: 33, H: 2, D: 31, starts: true },
    { B: 1, T: 127, H: 2, D: 33 },
    { B: 2, T: 65, H: 2, D: 64, starts: true },
    { B: 1, T: 200, H: 1, D: 16, starts: true },
    { B: 1, T: 40, H: 2, D: 7, deviation: 6 },
    { B: 2, T: 33, H: 3, D: 8, dropout: { p: 0.2, seed: 42, stream: 3 } },
    { B: 1, T: 67, H: 2, D: 16, starts: true, dropout: { p: 0.5, seed: 2 ** 40 + 1, stream: 5 } },
    { B: 1, T: 68, H: 2, D: 32, dropout: { p: 0.1, seed: 7, stream: 1 } },
    { B: 1, T: 140, H: 1, D: 128, starts: true, dropout: { p: 0.1, seed: 8, stream: 2 } },
    { B: 1, T: 260, H: 1, D: 96, starts: true },
    { B: 1, T: 33, H: 1, D: 160, starts: true },
    { B: 1, T: 9, H: 1, D: 4, window: 1 },
    { B: 2, T: 65, H: 2, D: 5, window: 17, starts: true },
    { B: 1, T: 300, H: 1, D: 64, window: 31 },
    { B: 1, T: 200, H: 1, D: 32, window: 64, starts: true },
    { B: 1, T: 67, H: 1, D: 161, window: 33, dropout: { p: 0.2, seed: 3, stream: 4 } },
    { B: 1, T: 31, H: 1, D: 8, window: 1000 },
    { B: 1, T: 3, H: 1, D: 256 },
    { B: 1, T: 42, H: 1, D: 65, steep: 41 },
  ],
  inputs({ B, T, H, D, starts, deviation, steep }, random) {
    const qkv = random.normal([B, T, 3 * H * D], deviation)
    if (steep) {
      // Of one batch and head.
      const row = (t: number) => qkv.values.subarray(t * 3 * D, (t + 1) * 3 * D)
      for (let t = 0; t < T; t++)
        row(t).set(
          row(t)
            .subarray(0, D)
            .map((q) => q / 10),
        )
      const query = row(steep).subarray(0, D)
      query.forEach((q, d) => (query[d] = 40 * q))
      row(steep - 1).set(query, D)
    }
    return { qkv, ...(starts ? { starts: random.starts(B, T) } : {}) }
  },
  run: ({ qkv, starts }, { H, window, dropout }) => [
    attention(qkv!, H, { starts, window, dropout }),
  ],
  oracle({ qkv, starts }, { B, T, H, D, window, dropout }) {
    const mask = dropout && maskOf(B * H * T * T, dropout)
    return [oracle.attention(qkv!, { B, T, H, D }, starts, mask, window)]
  },
  tolerance: ({ T, deviation = 1 }) => ({
    atol: 1e-6 * (5 + Math.sqrt(T)) * deviation ** 2,
    rtol: 2e-5,
  }),
  // Scores, weights and their gradients are rounded on the way; a one-hot softmax cancels large terms, and
  // so does the first query, which sees one key: its gradient is the difference of two roundings.
  terms: ({ deviation = 1, dropout }) => (dropout ? 6 : 2) * deviation,
  cost: ({ B, T, H, D }) => ({ bytes: 16 * B * T * H * D, flops: 2 * B * H * D * T * (T + 1) }),
}

// Finite differences ask for the same mask again and again.
let kept: { key: string; mask: Float64Array } | undefined

function maskOf(
  n: number,
  { p, seed, stream }: { p: number; seed: number; stream: number },
): Float64Array {
  const key = [n, p, seed, stream].join()
  if (kept?.key !== key) kept = { key, mask: oracle.dropoutMask(n, p, seed, stream) }
  return kept.mask
}

export interface CachedAttentionInstance {
  B: number
  T: number
  H: number
  D: number
  past: number
  capacity: number
  window?: number
  /** Of queries and keys, as above. */
  deviation?: number
}

export const attentionCachedCase: OpCase<CachedAttentionInstance> = {
  name: 'attentionCached',
  forwardOnly: true,
  instances: [
    { B: 1, T: 1, H: 1, D: 1, past: 0, capacity: 1 },
    { B: 2, T: 1, H: 3, D: 31, past: 126, capacity: 127 },
    { B: 1, T: 33, H: 2, D: 33, past: 0, capacity: 65 },
    { B: 2, T: 5, H: 2, D: 17, past: 31, capacity: 64 },
    { B: 1, T: 1, H: 2, D: 64, past: 300, capacity: 512 },
    { B: 1, T: 1, H: 2, D: 64, past: 300, capacity: 512, window: 130 },
    { B: 2, T: 1, H: 1, D: 33, past: 40, capacity: 41, window: 7 },
    { B: 1, T: 40, H: 2, D: 16, past: 150, capacity: 200, window: 33 },
    { B: 1, T: 1, H: 2, D: 4, past: 7, capacity: 9 },
    { B: 1, T: 1, H: 1, D: 12, past: 3, capacity: 4 },
    { B: 1, T: 1, H: 1, D: 136, past: 5, capacity: 8 },
    { B: 2, T: 1, H: 3, D: 16, past: 60, capacity: 64, deviation: 20 },
  ],
  inputs: ({ B, T, H, D, capacity, deviation }, random) => ({
    qkv: random.normal([B, T, 3 * H * D], deviation),
    keys: random.normal([B, H, capacity, D], deviation),
    values: random.normal([B, H, capacity, D]),
  }),
  run({ qkv, keys, values }, { H, past, window }) {
    return [attentionCached(qkv!, keys!, values!, H, past, window), keys!, values!]
  },
  oracle: ({ qkv, keys, values }, instance) =>
    oracle.attentionCached(qkv!, keys!, values!, instance),
  tolerance: ({ deviation = 1 }) => ({ atol: 1e-5 * deviation ** 2, rtol: 1e-5 }),
  cost: ({ B, T, H, D, past }) => ({
    bytes: 4 * B * H * D * (4 * T + 2 * (past + T)),
    flops: 4 * B * H * D * (T * past + (T * (T + 1)) / 2),
  }),
}
