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

/**
 * Throws unless the memory that a run will take is there.
 * @param where what has it: 'this machine', or a GPU's name
 * @throws GptloomError ERR_OUT_OF_MEMORY with the estimate and the remedy
 */
export function checkMemory(needed: number, available: number, what: string, where: string): void {
  if (needed <= available) return
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`
  throw new GptloomError(
    'ERR_OUT_OF_MEMORY',
    `Training ${what} takes about ${gigabytes(needed)}, and ${where} has ${gigabytes(available)}. ` +
      'Use a smaller model, a smaller batch with `accumulate`, a shorter context, or `recompute: true`',
  )
}
