import { GptloomError } from '../errors.js'
import { checkpointTensors, newestCheckpoint, saveCheckpoint } from './checkpoint.js'
import type { Job } from './job.js'
import { Snapshot } from './saver.js'

/** What is to be saved: the weights for the output folder, a checkpoint, or both from one copy. */
export interface Wanted {
  weights: boolean
  checkpoint: boolean
}

/**
 * Copies what is wanted as it is now, and writes it while the run goes on. What becomes of a failure is
 * for heedFailure() to say, or for the saver's idle(), which throws it.
 */
export async function save(job: Job, wanted: Wanted): Promise<void> {
  const { settings, learner, optimizer, progress, saver, emit } = job
  const { output, keepCheckpoints: keep } = settings
  await saver.ready()
  await heedFailure(job, wanted.weights)
  // The next steps change it.
  const seconds = (performance.now() - job.began) / 1000
  const now = { ...structuredClone(progress), seconds }
  const tensors = [...checkpointTensors(learner.trainable, optimizer)]
  const copied = wanted.checkpoint ? tensors : tensors.slice(0, learner.trainable.length)
  saver.start(new Snapshot(copied), async ({ read }) => {
    try {
      if (wanted.weights) await learner.save(read, now.best)
      if (wanted.checkpoint) {
        const options = { keep, read }
        const folder = await saveCheckpoint(output, learner.kept, optimizer, now, options)
        emit({ type: 'checkpoint', step: now.step, folder })
      }
      job.unsaved = false
    } catch (error) {
      const bytes = copied.reduce((sum, [, { size }]) => sum + 4 * size, 0)
      throw await withRemedy(output, bytes, error)
    }
  })
}

/**
 * A run goes on where something could not be written, for it may be possible by the next time: what was
 * saved before is whole, and counts as the best there is. Said once, until something is saved again.
 * @param replaced whether better weights are about to be saved
 * @throws what was no failure of the file system
 */
export async function heedFailure(job: Job, replaced = false): Promise<void> {
  const failure = job.saver.failure()
  if (!failure) return
  const { error } = failure
  if (!(error instanceof GptloomError && error.code === 'ERR_FILE')) throw error
  if (!replaced) job.progress.best = (await job.learner.saved()) ?? null
  if (!job.unsaved)
    job.emit({ type: 'notice', message: `${error.message}. The run goes on, and will try again` })
  job.unsaved = true
}

/** Says of a failure to write what is whole all the same. */
async function withRemedy(output: string, bytes: number, error: unknown): Promise<unknown> {
  if (!(error instanceof GptloomError)) return error
  const newest = await newestCheckpoint(output)
  const kept = newest ? `${newest} is whole: a run can go on from there` : 'No checkpoint was saved'
  const room = `What was to be saved takes ${Math.ceil(bytes / 1e6)} MB`
  return new GptloomError(error.code, `${error.message} ${room}. ${kept}`, { cause: error })
}
