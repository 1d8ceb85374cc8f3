// What a run takes where its options say nothing, and whether there is room for it.
import { GptloomError } from '../errors.js'

/** Sequences in a micro-batch of about 4096 tokens. */
export function defaultBatch(context: number): number {
  return Math.min(64, Math.max(1, Math.floor(4096 / context)))
}

/**
 * A learning rate that suits a model of that many parameters, after the rates that GPT-3's sizes
 * used (Brown et al. 2020).
 */
export function defaultLearningRate(parameters: number): number {
  if (parameters < 10e6) return 1e-3
  if (parameters < 200e6) return 6e-4
  return parameters < 600e6 ? 3e-4 : 2e-4
}

/** The batch of `most` sequences, or fewer where an epoch of so many tokens would have less than 20 steps. */
export function autoBatch(most: number, tokens: number, context: number): number {
  return Math.max(1, Math.min(most, Math.floor(tokens / (20 * context))))
}

/**
 * How often to go through the data, as a whole number. From random weights: until 20 tokens for each
 * parameter are seen (Hoffmann et al. 2022), but no more than 16 times, beyond which repeated text
 * teaches little (Muennighoff et al. 2023). A base knows the language already: 3 times, more where the
 * data are so few that this were less than 300000 tokens, at most 8.
 */
export function autoEpochs(tokens: number, parameters: number, tuned: boolean): number {
  const wanted = tuned ? Math.max(3, 3e5 / tokens) : (20 * parameters) / tokens
  return Math.max(1, Math.min(tuned ? 8 : 16, Math.round(wanted)))
}

/** How a step's sequences are run. */
export interface Split {
  /** Sequences in a micro-batch. */
  batch: number
  accumulate: number
  recompute: boolean
}

/**
 * The step as asked for where it fits, else with the same sequences in smaller micro-batches, the largest
 * that fit, and else with activations computed again besides.
 * @param need the bytes that it takes
 * @param where what has the memory: 'this machine', or a GPU's name
 * @throws GptloomError ERR_OUT_OF_MEMORY with the estimate and the remedy
 */
export function fitMemory(
  asked: Split,
  need: (split: Split) => number,
  available: number,
  { model, context, where }: { model: string; context: number; where: string },
): { split: Split; notice?: string } {
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`
  const shape = `batches of ${asked.batch} x ${context} tokens`
  const takes = (bytes: number) =>
    `${shape} takes about ${gigabytes(bytes)}, and ${where} has ${gigabytes(available)}`
  const parts = Array.from({ length: asked.batch }, (_, i) => i + 1)
  const whole = parts.filter((n) => asked.batch % n === 0)
  const splits = [...new Set([asked.recompute, true])].flatMap((recompute) =>
    whole.map((n) => ({ batch: asked.batch / n, accumulate: asked.accumulate * n, recompute })),
  )
  const split = splits.find((split) => need(split) <= available)
  if (!split) {
    throw new GptloomError(
      'ERR_OUT_OF_MEMORY',
      `Training ${model} in ${takes(need(asked))}; in the smallest parts it takes ` +
        `${gigabytes(need(splits.at(-1)!))}. Use a smaller model or a shorter context`,
    )
  }
  if (split === splits[0]) return { split }
  const n = asked.batch / split.batch
  const changes = [
    ...(n > 1 ? [`each is run as ${n} micro-batches of ${split.batch}, with the same sums`] : []),
    ...(split.recompute !== asked.recompute ? ['activations are computed again'] : []),
  ]
  return { split, notice: `Training in ${takes(need(asked))}: ${changes.join(', and ')}` }
}
