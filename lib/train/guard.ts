// What becomes of steps whose loss is not to be trusted.
import { GptloomError } from '../errors.js'
import { loadCheckpoint, newestCheckpoint } from './checkpoint.js'
import type { Job } from './job.js'
import { heedFailure } from './save.js'

// So many bad steps one after another are no accident.
const ROW = 10

/** Whether a loss is no number, or far above those of the last steps. */
export function isSpike(loss: number, recent: readonly number[]): boolean {
  if (!Number.isFinite(loss)) return true
  if (recent.length < 20) return false
  const mean = recent.reduce((a, b) => a + b, 0) / recent.length
  const variance = recent.reduce((sum, x) => sum + (x - mean) ** 2, 0) / recent.length
  return loss > mean + 6 * Math.sqrt(variance) && loss > 1.1 * mean
}

/**
 * Does what the settings say about a step that has moved nothing: it is counted, and what is done
 * follows from the run's state alone, so that a run that is resumed before it does the same.
 */
export async function onBadStep(job: Job, loss: number, gradientNorm: number): Promise<void> {
  const { progress, settings, emit } = job
  const { guard, step } = progress
  const { onSpike } = settings
  guard.row = guard.last === step - 1 ? guard.row + 1 : 1
  guard.last = step
  guard.skipped++
  const ends = onSpike === 'ignore' || onSpike === 'stop' || guard.row >= ROW
  if (ends)
    await diverged(job, `Step ${step} gave a loss of ${loss} (gradient norm ${gradientNorm})`)
  if (onSpike === 'restore') return restore(job, { loss, gradientNorm })
  if (onSpike === 'lower') guard.rate /= 2
  const action = onSpike === 'lower' ? onSpike : 'skip'
  emit({ type: 'spike', step, loss, gradientNorm, action, rate: guard.rate })
}

/**
 * Takes the weights and moments of the newest checkpoint, and goes on with the batches that come next:
 * with the old ones the same would happen again.
 */
export async function restore(
  job: Job,
  { loss, gradientNorm }: { loss: number; gradientNorm: number },
): Promise<void> {
  const { progress, settings, learner, optimizer, saver, emit } = job
  await saver.ready()
  await heedFailure(job)
  const folder = (await newestCheckpoint(settings.output))!
  const earlier = await loadCheckpoint(folder, learner.kept, optimizer)
  // The place in the data, and in the schedule, stays.
  optimizer.steps = progress.step
  progress.recent = earlier.recent
  progress.guard.restored++
  const { step, guard } = progress
  const of = earlier.step
  emit({ type: 'spike', step, loss, gradientNorm, action: 'restore', rate: guard.rate, from: of })
}

// The weights that led here are saved nowhere: from them the same step would fail again. What was saved
// before is good.
export async function diverged({ progress, settings, saver }: Job, what: string): Promise<never> {
  const { output } = settings
  await saver.ready()
  const newest = await newestCheckpoint(output)
  const of = progress.best ? ` (of step ${progress.best.step}, the best so far)` : ''
  const kept = `${output} keeps the weights that were saved before${of}`
  const again = newest ? `Resume (from ${newest})` : 'Start again'
  const remedy = 'with a lower learning rate, a longer warm-up or clipping'
  throw new GptloomError('ERR_DIVERGED', `${what}. ${kept}. ${again} ${remedy}`)
}
