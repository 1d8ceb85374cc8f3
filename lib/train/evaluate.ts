import type { BatchSource } from '../data/index.js'
import { Bootstrap } from '../evaluate/bootstrap.js'
import type { GPT2 } from '../models/index.js'
import { keep, scope } from '../tensor/index.js'

export interface MeanLoss {
  loss: number
  /** Its 95 % interval, by the bootstrap over batches; undefined for fewer than two. */
  interval?: readonly [low: number, high: number]
}

/**
 * The mean loss, in nats a token, over a loader's range: on at most `limit` tokens, the same every time.
 * @param aborted asked between batches; true ends the evaluation early
 */
export async function meanLoss(
  model: GPT2,
  loader: BatchSource,
  limit: number,
  aborted: () => boolean = () => false,
): Promise<MeanLoss> {
  const batches: [sum: number, count: number][] = []
  for await (const { tokens, targets, starts, targetCount } of loader.windows(limit)) {
    if (aborted()) break
    using loss = scope(() => {
      const shape = [tokens.length / model.config.context, model.config.context]
      const input = model.device.tensor(tokens, shape)
      const documents = starts && model.device.tensor(starts, shape)
      return keep(model.loss(input, model.device.tensor(targets, shape), { starts: documents }))
    })
    batches.push([await loss.item(), targetCount])
  }
  let [sum, count] = [0, 0]
  for (const batch of batches) {
    sum += batch[0]
    count += batch[1]
  }
  const loss = sum / count
  if (batches.length < 2 || !Number.isFinite(loss)) return { loss }
  const measure = { rows: batches, better: 'lower', of: ratio } as const
  const { low, high } = new Bootstrap(1000, 0).estimate(measure)
  return { loss, interval: [low, high] }
}

function ratio([sum, count]: readonly number[]): number {
  return sum! / count!
}
