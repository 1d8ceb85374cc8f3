// Where a run can be taken up again: <output>/checkpoints/step-N/ holds the weights, AdamW's moments
// and a few integers. Everything else follows from the seed. A checkpoint appears under its name only
// when it is complete.
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { GptloomError } from '../errors.js'
import { exists, guarded, readJson, removeStale, syncFolder, writeFileAtomic } from '../files.js'
import { writeTensors } from '../formats/huggingface.js'
import type { ReadTensor } from '../formats/huggingface.js'
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
  /** Seconds that the run has taken, in all of its processes. */
  seconds: number
  /** Validation loss before the first step; null before it was measured. */
  firstLoss: number | null
  /** The newest validation loss, and the step that it was measured after. */
  last: { loss: number; step: number } | null
  /** The lowest validation loss after a step, and which: the output folder holds those weights. */
  best: Best | null
  /** Training losses of the last steps, at most 50. */
  recent: number[]
  /** What the guard against spikes has done. */
  guard: Guard
}

export type Best = { step: number } & MeanLoss

export interface Guard {
  /** Steps whose gradients were thrown away, for whatever reason. */
  skipped: number
  /** How often the weights went back to a checkpoint. */
  restored: number
  /** What all rates are multiplied by, after the rate was lowered. */
  rate: number
  /** The last step that was skipped, and how many were so right before it, itself included. */
  last: number
  row: number
}

export function freshProgress(): Progress {
  const guard = { skipped: 0, restored: 0, rate: 1, last: -1, row: 0 }
  return {
    step: 0,
    tokens: 0,
    seconds: 0,
    firstLoss: null,
    last: null,
    best: null,
    recent: [],
    guard,
  }
}

const NAME = /^step-(\d+)$/
const STATE = 'state.json'
// Raised when older readers would misread what is written.
const FORMAT = 2

function root(output: string): string {
  return join(output, 'checkpoints')
}

/** Where saveCheckpoint puts a step's. */
function folderOf(output: string, step: number): string {
  return join(root(output), `step-${String(step).padStart(8, '0')}`)
}

/** The tensors of a checkpoint, and the ones with their exact values: those behind bfloat16 weights. */
export function* checkpointTensors(
  trainable: Iterable<readonly [string, Tensor]>,
  optimizer: AdamW,
): Iterable<readonly [Tensor, Tensor]> {
  for (const [name, tensor] of trainable) yield [tensor, optimizer.master(name) ?? tensor]
  for (const [, tensor] of optimizer.tensors()) yield [tensor, tensor]
}

/**
 * Writes a checkpoint, then removes older ones but for the `keep` newest and the one of the best step.
 * Where there is one of that step, only integers can be new.
 * @param read gives the values of the tensors
 */
export async function saveCheckpoint(
  output: string,
  model: Module,
  optimizer: AdamW,
  progress: Progress,
  { keep, read }: { keep: number; read: ReadTensor },
): Promise<string> {
  const folder = folderOf(output, progress.step)
  const state = JSON.stringify({ format: FORMAT, ...progress }) + '\n'
  const { best } = progress
  if (await exists(folder)) {
    await writeFileAtomic(join(folder, STATE), state)
  } else {
    const temporary = `${folder}.tmp`
    await guarded(root(output), 'create', mkdir(root(output), { recursive: true }))
    await rm(temporary, { recursive: true, force: true })
    await guarded(temporary, 'create', mkdir(temporary))
    try {
      await writeTensors(join(temporary, 'model.safetensors'), model.namedParameters(), read)
      await writeTensors(join(temporary, 'optimizer.safetensors'), optimizer.tensors(), read)
      await writeFileAtomic(join(temporary, STATE), state)
      await guarded(folder, 'rename', rename(temporary, folder))
      await syncFolder(root(output))
    } catch (error) {
      await rm(temporary, { recursive: true, force: true })
      throw error
    }
  }
  await removeOlder(output, keep, best?.step)
  return folder
}

/** Removes what a killed run left behind: checkpoints that are not complete. */
export async function removeUnfinished(output: string): Promise<void> {
  for (const name of await readdir(root(output)).catch(() => [] as string[])) {
    if (name.endsWith('.tmp')) await rm(join(root(output), name), { recursive: true, force: true })
    else if (NAME.test(name)) await removeStale(join(root(output), name))
  }
}

async function removeOlder(output: string, keep: number, best: number | undefined): Promise<void> {
  const newestFirst = (await steps(output)).sort((a, b) => b.number - a.number)
  for (const { folder, number } of newestFirst.slice(keep)) {
    // Gone at once or not at all: a kill in the middle must not leave half of one under its name.
    if (number === best) continue
    await rename(folder, `${folder}.tmp`)
    await rm(`${folder}.tmp`, { recursive: true, force: true })
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
  const progress = await readState(folder)
  const weights = join(folder, 'model.safetensors')
  await readTensors(weights, model.namedParameters(), (name) => optimizer.master(name))
  await readTensors(join(folder, 'optimizer.safetensors'), optimizer.tensors())
  optimizer.steps = progress.step
  return progress
}

async function readState(folder: string): Promise<Progress> {
  const path = join(folder, STATE)
  const found = ((await readJson(path)) ?? {}) as Partial<Progress> & { format?: number }
  const fail = (what: string) => new GptloomError('ERR_FORMAT', `${path} ${what}`)
  const { format = 1, ...state } = found
  if (format > FORMAT)
    throw fail(`has format ${format}, and this version reads up to ${FORMAT}: use a newer gptloom`)
  const progress = { ...freshProgress(), ...state }
  const { guard } = progress
  const counts = [state.step, state.tokens, guard?.skipped, guard?.restored, guard?.row]
  const sound =
    counts.every(Number.isSafeInteger) &&
    Array.isArray(progress.recent) &&
    progress.recent.every(Number.isFinite) &&
    Number.isFinite(guard.rate) &&
    Number.isFinite(progress.seconds)
  if (!sound) throw fail('is not the state of a training run')
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
