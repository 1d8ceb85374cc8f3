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
 * Copies what is wanted as it is now, and writes it while the run goes on. A failure comes out of the
 * saver.
 */
export async function save(job: Job, wanted: Wanted): Promise<void> {
  const { settings, learner, optimizer, progress, emit } = job
  const { output, keepCheckpoints: keep } = settings
  // The next steps change it.
  const now = structuredClone(progress)
  const tensors = [...checkpointTensors(learner.trainable, optimizer)]
  const copied = wanted.checkpoint ? tensors : tensors.slice(0, learner.trainable.length)
  await job.saver.start(
    () => new Snapshot(copied),
    async ({ read }) => {
      try {
        if (wanted.weights) await learner.save(read, now.best)
        if (!wanted.checkpoint) return
        const options = { keep, read }
        const folder = await saveCheckpoint(output, learner.kept, optimizer, now, options)
        emit({ type: 'checkpoint', step: now.step, folder })
      } catch (error) {
        throw await withRemedy(output, error)
      }
    },
  )
}

/** Says of a failure to write what is whole all the same. */
async function withRemedy(output: string, error: unknown): Promise<unknown> {
  if (!(error instanceof GptloomError)) return error
  const newest = await newestCheckpoint(output)
  const kept = newest ? `${newest} is whole: resume the run from there` : 'No checkpoint was saved'
  return new GptloomError(error.code, `${error.message} ${kept}`, { cause: error })
}
