import type { BatchSource } from '../data/index.js'
import type { GPT2 } from '../models/index.js'
import { keep, scope } from '../tensor/index.js'

/**
 * The mean loss, in nats a token, over a loader's range: on at most `limit` tokens, the same every time.
 * @param aborted asked between batches; true ends the evaluation early
 */
export async function meanLoss(
  model: GPT2,
  loader: BatchSource,
  limit: number,
  aborted: () => boolean = () => false,
): Promise<number> {
  let sum = 0
  let count = 0
  for await (const { tokens, targets, starts, targetCount } of loader.windows(limit)) {
    if (aborted()) break
    using loss = scope(() => {
      const shape = [tokens.length / model.config.context, model.config.context]
      const input = model.device.tensor(tokens, shape)
      const documents = starts && model.device.tensor(starts, shape)
      return keep(model.loss(input, model.device.tensor(targets, shape), { starts: documents }))
    })
    sum += await loss.item()
    count += targetCount
  }
  return sum / count
}
