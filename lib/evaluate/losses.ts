// What a model makes of the learned tokens of one row.
import type { LanguageModel } from '../generate/index.js'
import { keep, scope } from '../tensor/index.js'
import type { Rendered } from '../tokenizer/index.js'

/** Sums over the learned tokens of a row. */
export interface RowLoss {
  /** -log p, in nats. */
  nats: number
  tokens: number
  /** Tokens that the model finds the likeliest. */
  correct: number
  /** Bytes of text that they stand for; special tokens stand for none. */
  bytes: number
}

// Logits that are held at once, in numbers.
const MOST = 1 << 24

/** @param rendered at most the model's context + 1 tokens */
export async function rowLoss(
  { network, tokenizer }: LanguageModel,
  { tokens, learn }: Rendered,
): Promise<RowLoss> {
  const { vocabulary, width } = network.config
  const length = tokens.length - 1
  const special = new Set(tokenizer.special.values())
  const loss: RowLoss = { nats: 0, tokens: 0, correct: 0, bytes: 0 }
  using hidden = scope(() => {
    const input = network.device.tensor(tokens.slice(0, length), [1, length])
    return keep(network.forward(input))
  })
  const most = Math.max(1, Math.floor(MOST / vocabulary))
  // Logits are made only where something is learned.
  for (let from = 0, to; from < length; from = to) {
    for (to = from + 1; to < length && to - from < most && learn[to + 1] === learn[from + 1];) to++
    if (!learn[from + 1]) continue
    using logits = scope(() => keep(network.logits(hidden.view([length, width]).rows(from, to))))
    const values = await logits.data()
    for (let t = from; t < to; t++) {
      const target = tokens[t + 1]!
      const row = values.subarray((t - from) * vocabulary, (t - from + 1) * vocabulary)
      const { nats, best } = surprise(row, target)
      loss.nats += nats
      loss.correct += Number(best === target)
    }
    const learned = tokens.subarray(from + 1, to + 1)
    loss.tokens += learned.length
    loss.bytes += tokenizer.decodeBytes(learned.filter((id) => !special.has(id))).length
  }
  return loss
}

function surprise(logits: ArrayLike<number>, target: number): { nats: number; best: number } {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - logits[best]!)
  return { nats: logits[best]! + Math.log(sum) - logits[target]!, best }
}
