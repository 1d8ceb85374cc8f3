// The folder of a run: what may be in it before, and what it says of the run that it holds.
import { access, constants, readdir, rm, rmdir, stat } from 'node:fs/promises'
import { basename, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { findSources } from '../data/index.js'
import { GptloomError, checkInteger, checkNumber, outOfRange, wrongType } from '../errors.js'
import { guarded, makeFolder, readJson, removeStale, writeFileAtomic } from '../files.js'
import { checkConfig, presets } from '../models/index.js'
import type { GPT2Config } from '../models/index.js'
import { newestCheckpoint, removeUnfinished } from './checkpoint.js'
import { LOCK, lockFolder } from './lock.js'
import { pathsOf } from './check.js'
import type { Settings } from './options.js'

/** What a resumed run must have in common with the one that it goes on with. */
export interface RunRecord {
  model: GPT2Config
  seed: number
  /** The share of the text kept for validation. */
  validation: number
  /** The files that were read, by name and size in bytes. */
  data: DataFile[]
  /** The options that shaped the data, but for those that were left to their defaults. */
  shape: Record<string, unknown>
  /** What is learned of the model; undefined for all of it. */
  tuning?: Pick<Settings, 'lora' | 'freeze'>
}

/** A file that was read, by its name. */
export interface DataFile {
  name: string
  bytes: number
}

/** An output folder that a run may write to. */
export interface Output {
  /** The checkpoint to go on from, with its run; undefined for a run from the start. */
  earlier?: RunRecord & { checkpoint: string }
  /** Leaves the folder as it was found, for a run that fails before its first step. Never throws. */
  undo(): Promise<void>
  /** Lets other runs write to the folder. Never throws. */
  release(): Promise<void>
}

// Written before anything else but data/: the mark of a folder that is ours.
const RUN = 'training.json'

// A file of ours that was being written when its process was killed.
const TEMPORARY = /^\..+\.\d+\.\d+\.tmp$/

// All that a run writes before its first step.
const WRITTEN = [
  RUN,
  'data',
  'checkpoints',
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'adapter',
  'adapter_config.json',
  'adapter_model.safetensors',
  'vocab.json',
  'merges.txt',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
]

/**
 * Makes the output folder or checks the one that is there.
 * @throws GptloomError ERR_OUTPUT_EXISTS, ERR_OUTPUT_IN_USE, ERR_FILE, ERR_FORMAT; RangeError for
 *   sizes, a seed or data that are not those of the run there
 */
export async function openOutput(settings: Settings): Promise<Output> {
  const { output } = settings
  await refuseInsideData(settings)
  const made = !(await isFolder(output))
  if (made) await guarded(output, 'create', makeFolder(resolve(output)))
  await guarded(output, 'write', access(output, constants.W_OK))
  const release = await lockFolder(output)
  try {
    return { ...(await inspect(settings, made, release)), release }
  } catch (error) {
    await release()
    throw error
  }
}

async function inspect(
  settings: Settings,
  made: boolean,
  release: () => Promise<void>,
): Promise<Omit<Output, 'release'>> {
  const { output, resume } = settings
  const held = (await guarded(output, 'read', readdir(output))).filter(
    (name) => !TEMPORARY.test(name) && !name.startsWith(LOCK),
  )
  const checkpoint = await newestCheckpoint(output)
  // A run that was killed before its first checkpoint starts again; a folder of something else is refused.
  const ours =
    checkpoint !== undefined || held.includes(RUN) || held.every((name) => name === 'data')
  if (held.length > 0 && !(resume && ours)) {
    const remedy = ours
      ? 'go on with it (resume: true, --resume), or choose another folder'
      : 'choose another folder, or empty this one'
    throw new GptloomError(
      'ERR_OUTPUT_EXISTS',
      `The output folder ${output} is not empty: ${remedy}`,
    )
  }
  await removeStale(output)
  await removeStale(join(output, 'data'))
  await removeUnfinished(output)
  // Data of a run that never came to a checkpoint: perhaps of other files, by other options.
  if (checkpoint === undefined && held.length > 0)
    await guarded(output, 'write', rm(join(output, 'data'), { recursive: true, force: true }))
  const earlier =
    checkpoint === undefined ? undefined : { ...(await readRun(settings)), checkpoint }
  return {
    earlier,
    undo: held.length > 0 ? async () => {} : () => empty(output, release, made),
  }
}

// Its merges.txt would be text to learn from the next time.
async function refuseInsideData({ data, output, cache }: Settings): Promise<void> {
  for (const path of pathsOf(data) ?? []) {
    if (!(await isFolder(path))) continue
    for (const [name, folder] of Object.entries({ output, cache })) {
      if (folder === undefined) continue
      const way = relative(resolve(path), resolve(folder))
      const inside = !isAbsolute(way) && way !== '..' && !way.startsWith(`..${sep}`)
      if (inside) throw outOfRange(`a folder outside of the data ${path}`, name, folder)
    }
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}

// Only what a run writes: whatever else came into the folder meanwhile is somebody's.
async function empty(output: string, release: () => Promise<void>, remove: boolean): Promise<void> {
  try {
    for (const name of WRITTEN) await rm(join(output, name), { recursive: true, force: true })
    await removeStale(output)
    await release()
    if (remove) await rmdir(output)
  } catch {
    // What made the run fail is what the user needs to hear of.
  }
}

export async function writeRun(output: string, run: RunRecord): Promise<void> {
  await writeFileAtomic(join(output, RUN), JSON.stringify(run, null, 2) + '\n')
}

const SHAPE = {
  format: undefined,
  columns: undefined,
  agents: undefined,
  template: 'chatml',
  learn: 'answers',
  long: 'auto',
  duplicates: 'drop',
  split: 'random',
  privacy: undefined,
  weights: undefined,
} as const

/** The options that shape the data and are not at their defaults, as JSON can hold them. */
export function shapeOf(settings: Settings): Record<string, unknown> {
  const plain = (value: unknown) =>
    JSON.parse(
      JSON.stringify(value, (_, inner: unknown) =>
        inner instanceof RegExp || typeof inner === 'function' ? String(inner) : inner,
      ),
    ) as unknown
  return Object.fromEntries(
    Object.entries(SHAPE).flatMap(([name, usual]) => {
      const value = settings[name as keyof Settings]
      return value === undefined || value === usual ? [] : [[name, plain(value)]]
    }),
  )
}

/** The files of a run's data, as its record names them. */
export async function dataFiles(data: Settings['data']): Promise<DataFile[]> {
  const paths = pathsOf(data) ?? []
  const sources = await findSources(paths.filter((path) => path !== '-'))
  return sources.map(({ path, bytes }) => ({ name: basename(path), bytes }))
}

async function readRun(settings: Settings): Promise<RunRecord> {
  const { output, model, seed, validation } = settings
  const path = join(output, RUN)
  const run = (await readJson(path)) as RunRecord
  try {
    checkConfig(run.model)
    checkInteger('seed', run.seed, 0)
    checkNumber('validation', run.validation, 0, 1)
    if (!Array.isArray(run.data)) throw wrongType('a list of files', 'data', run.data)
  } catch (error) {
    throw new GptloomError('ERR_FORMAT', `${path}: ${(error as Error).message}`, { cause: error })
  }
  const { preset, ...sizes } = typeof model === 'string' ? { preset: model } : (model ?? {})
  const wanted: Record<string, unknown> = { ...(preset && presets[preset]), ...sizes }
  const differs = (had: unknown, value: unknown) => value !== undefined && value !== had
  const as = (had: unknown) => `${String(had)}, as in the run that ${output} holds,`
  for (const [name, value] of Object.entries(wanted)) {
    const had = run.model[name as keyof GPT2Config]
    if (differs(had, value)) throw outOfRange(as(had), `model.${name}`, value)
  }
  if (differs(run.seed, seed)) throw outOfRange(as(run.seed), 'seed', seed)
  if (differs(run.validation, validation))
    throw outOfRange(as(run.validation), 'validation', validation)
  const { lora, freeze } = settings
  const tuning = lora || freeze.length > 0 ? { lora, freeze } : undefined
  if (JSON.stringify(run.tuning) !== JSON.stringify(tuning))
    throw outOfRange(
      as(JSON.stringify(run.tuning)),
      lora ? 'lora' : 'freeze',
      JSON.stringify(tuning),
    )
  for (const [name, value] of Object.entries(shapeOf(settings))) {
    const had = run.shape?.[name]
    if (JSON.stringify(had) !== JSON.stringify(value))
      throw outOfRange(as(had === undefined ? 'the default' : JSON.stringify(had)), name, value)
  }
  await compareData(settings, run, as)
  return run
}

// A run goes on with the tokens that it keeps, so the files themselves may be gone by now; but other
// ones would never be read.
async function compareData(
  { data }: Settings,
  run: RunRecord,
  as: (had: unknown) => string,
): Promise<void> {
  const files = await dataFiles(data).catch(() => undefined)
  if (!files?.length || JSON.stringify(files) === JSON.stringify(run.data)) return
  const text = (list: DataFile[]) => {
    const shown = list.slice(0, 3).map(({ name, bytes }) => `${name} of ${bytes} bytes`)
    return shown.join(', ') + (list.length > 3 ? ` and ${list.length - 3} more` : '')
  }
  throw outOfRange(as(text(run.data)), 'data', text(files))
}
