import type { Batch, BatchSource } from '../data/index.js'
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
  const batches: Sums[] = []
  for await (const batch of loader.windows(limit)) {
    if (aborted()) break
    batches.push([await lossOf(model, batch), batch.targetCount])
  }
  const loss = ratio([0, 1].map((k) => batches.reduce((sum, batch) => sum + batch[k]!, 0)))
  const interval = intervalOf(batches)
  return { loss, ...(interval && { interval }) }
}

/**
 * The 95 % interval of the mean loss by the bootstrap over windows, for data of which there are so few
 * that meanLoss() has read them in one batch; undefined for fewer than two.
 */
export async function windowInterval(
  model: GPT2,
  loader: BatchSource,
  limit: number,
): Promise<MeanLoss['interval']> {
  const { context } = model.config
  const windows: Sums[] = []
  for await (const { tokens, targets, starts } of loader.windows(limit))
    for (let from = 0; from < tokens.length; from += context) {
      const part = (values: Int32Array) => values.subarray(from, from + context)
      const targetCount = part(targets).filter((target) => target >= 0).length
      if (targetCount === 0) continue
      const one = {
        tokens: part(tokens),
        targets: part(targets),
        starts: starts && part(starts),
      }
      windows.push([await lossOf(model, one), targetCount])
    }
  return intervalOf(windows)
}

/** Losses in nats, and the tokens that they are of. */
type Sums = [sum: number, count: number]

async function lossOf(
  model: GPT2,
  { tokens, targets, starts }: Pick<Batch, 'tokens' | 'targets' | 'starts'>,
): Promise<number> {
  using loss = scope(() => {
    const shape = [tokens.length / model.config.context, model.config.context]
    const input = model.device.tensor(tokens, shape)
    const documents = starts && model.device.tensor(starts, shape)
    return keep(model.loss(input, model.device.tensor(targets, shape), { starts: documents }))
  })
  return loss.item()
}

function intervalOf(rows: readonly Sums[]): MeanLoss['interval'] {
  if (rows.length < 2 || !rows.every(([sum]) => Number.isFinite(sum))) return undefined
  const { low, high } = new Bootstrap(1000, 0).estimate({ rows, better: 'lower', of: ratio })
  return [low, high]
}

function ratio([sum, count]: readonly number[]): number {
  return sum! / count!
}
