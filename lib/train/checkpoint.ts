// Where a run can be taken up again: <output>/checkpoints/step-N/ holds the weights, AdamW's moments
// and a few integers. Everything else follows from the seed. A checkpoint appears under its name only
// when it is complete.
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { GptloomError } from '../errors.js'
import { exists, guarded, readJson, removeStale, syncFolder, writeFileAtomic } from '../files.js'
import { writeTensors } from '../formats/huggingface.js'
import { openSafetensors } from '../formats/safetensors.js'
import type { Module } from '../nn/index.js'
import type { AdamW } from '../optim/index.js'
import type { Tensor, Values } from '../tensor/index.js'
import type { MeanLoss } from './evaluate.js'

/** What a checkpoint remembers beside tensors. */
export interface Progress {
  /** Steps done. */
  step: number
  /** Tokens seen. */
  tokens: number
  /** Validation loss before the first step; null before it was measured. */
  firstLoss: number | null
  /** The newest validation loss, and the step that it was measured after. */
  last: { loss: number; step: number } | null
  /** The lowest validation loss after a step, and which: the output folder holds those weights. */
  best: ({ step: number } & MeanLoss) | null
  /** Training losses of the last steps, at most 50. */
  recent: number[]
}

const NAME = /^step-(\d+)$/
const STATE = 'state.json'

function root(output: string): string {
  return join(output, 'checkpoints')
}

/**
 * Writes a checkpoint, then removes the older ones. Where there is one of that step, only integers
 * can be new.
 */
export async function saveCheckpoint(
  output: string,
  model: Module,
  optimizer: AdamW,
  progress: Progress,
): Promise<string> {
  const folder = join(root(output), `step-${String(progress.step).padStart(8, '0')}`)
  const state = JSON.stringify(progress) + '\n'
  if (await exists(folder)) {
    await writeFileAtomic(join(folder, STATE), state)
    return folder
  }
  const temporary = `${folder}.tmp`
  await guarded(root(output), 'create', mkdir(root(output), { recursive: true }))
  await rm(temporary, { recursive: true, force: true })
  await guarded(temporary, 'create', mkdir(temporary))
  try {
    // Of bfloat16 weights the exact ones, so that a run may go on in another precision.
    const exact = [...model.namedParameters()].map(
      ([name, parameter]) => [name, optimizer.master(name) ?? parameter] as const,
    )
    await writeTensors(join(temporary, 'model.safetensors'), exact)
    await writeTensors(join(temporary, 'optimizer.safetensors'), optimizer.tensors())
    await writeFileAtomic(join(temporary, STATE), state)
    await guarded(folder, 'rename', rename(temporary, folder))
    await syncFolder(root(output))
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
  await removeOlder(output)
  return folder
}

/**
 * Removes what a killed run left behind: checkpoints that are not complete, and those older than
 * the newest.
 */
export async function removeUnfinished(output: string): Promise<void> {
  for (const name of await readdir(root(output)).catch(() => [] as string[])) {
    if (name.endsWith('.tmp')) await rm(join(root(output), name), { recursive: true, force: true })
  }
  await removeOlder(output)
  const newest = await newestCheckpoint(output)
  if (newest) await removeStale(newest)
}

async function removeOlder(output: string): Promise<void> {
  const newest = await newestCheckpoint(output)
  for (const { folder } of await steps(output)) {
    if (folder !== newest) await rm(folder, { recursive: true, force: true })
  }
}

/** The newest checkpoint's folder, or undefined when there is none. */
export async function newestCheckpoint(output: string): Promise<string | undefined> {
  return (await steps(output)).sort((a, b) => b.number - a.number)[0]?.folder
}

/**
 * Takes a checkpoint's weights and moments.
 * @throws GptloomError ERR_FORMAT, ERR_FILE naming the file
 */
export async function loadCheckpoint(
  folder: string,
  model: Module,
  optimizer: AdamW,
): Promise<Progress> {
  const progress = (await readJson(join(folder, STATE))) as Progress
  if (
    !Number.isSafeInteger(progress?.step) ||
    !Number.isSafeInteger(progress.tokens) ||
    !Array.isArray(progress.recent)
  ) {
    throw new GptloomError(
      'ERR_FORMAT',
      `${join(folder, STATE)} is not the state of a training run`,
    )
  }
  const weights = join(folder, 'model.safetensors')
  await readTensors(weights, model.namedParameters(), (name) => optimizer.master(name))
  await readTensors(join(folder, 'optimizer.safetensors'), optimizer.tensors())
  optimizer.steps = progress.step
  return progress
}

async function readTensors(
  path: string,
  tensors: Iterable<readonly [string, Tensor]>,
  also: (name: string) => Tensor | null = () => null,
): Promise<void> {
  const file = await openSafetensors(path)
  try {
    for (const [name, tensor] of tensors) {
      const values = (await file.read(name)) as Values
      if (values.length !== tensor.size) {
        throw new GptloomError(
          'ERR_FORMAT',
          `${path}: ${name} does not have the size that config.json says`,
        )
      }
      tensor.write(values)
      also(name)?.write(values)
      await tensor.device.idle()
    }
  } finally {
    await file.close()
  }
}

async function steps(output: string): Promise<{ number: number; folder: string }[]> {
  const names = await readdir(root(output)).catch(() => [] as string[])
  return names.flatMap((name) => {
    const number = NAME.exec(name)?.[1]
    return number === undefined
      ? []
      : [{ number: Number(number), folder: join(root(output), name) }]
  })
}
