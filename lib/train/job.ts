// Everything between the options and the first step: the output folder, the tokenizer, the data, the model.
import { mkdir, readdir } from 'node:fs/promises'
import os from 'node:os'
import { join } from 'node:path'
import { AbortError, GptloomError, outOfRange } from '../errors.js'
import { exists, guarded, readJson, removeStale, writeFileAtomic } from '../files.js'
import { Loader, openPrepared, prepareText } from '../data/index.js'
import type { Prepared } from '../data/index.js'
import { writeDescription } from '../formats/huggingface.js'
import { GPT2, checkConfig, parameterCount, resolveModel, trainingMemory } from '../models/index.js'
import type { GPT2Config } from '../models/index.js'
import { AdamW, schedule } from '../optim/index.js'
import type { Schedule } from '../optim/index.js'
import { openDevice } from '../tensor/index.js'
import { loadTokenizer } from '../tokenizer/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { loadCheckpoint, newestCheckpoint } from './checkpoint.js'
import type { Progress } from './checkpoint.js'
import type { TrainEvent } from './events.js'
import { checkMemory, defaultLearningRate } from './options.js'
import type { Settings } from './options.js'
import { chooseTokenizer } from './vocabulary.js'

/** What the loop works on. */
export interface Job {
  settings: Settings
  emit: (event: TrainEvent) => void
  model: GPT2
  optimizer: AdamW
  tokenizer: Tokenizer
  data: Prepared
  train: Loader
  validation: Loader
  rate: Schedule
  progress: Progress
}

const RUN = 'training.json'

/** @throws GptloomError, AbortError; nothing is left half-written in the output folder */
export async function openJob(settings: Settings, emit: (event: TrainEvent) => void): Promise<Job> {
  const device = openDevice(settings.device, settings)
  const checkpoint = await openOutput(settings)
  const earlier = checkpoint === undefined ? undefined : await readRun(settings)
  const tokenizer = earlier ? await loadTokenizer(settings.output) : await chooseTokenizer(settings, emit)
  const config = earlier?.model ?? resolveModel(settings.model, tokenizer.size)
  if (config.vocabulary < tokenizer.size) {
    throw outOfRange(`at least the tokenizer's ${tokenizer.size}`, 'model.vocabulary', config.vocabulary)
  }
  const shape = { batch: settings.batch, recompute: settings.recompute }
  const memory = trainingMemory(config, shape)
  const parameters = parameterCount(config)
  const what = `a model of ${(parameters / 1e6).toFixed(1)} million parameters in batches of ${settings.batch} x ${config.context} tokens`
  checkMemory(memory.total, availableMemory(), what)

  const data = await prepare(settings, tokenizer, config.context, earlier !== undefined, emit)
  const peak = settings.learningRate ?? defaultLearningRate(parameters)
  const { steps, warmup, seed, batch, accumulate } = settings
  const rate = schedule({ kind: settings.schedule, peak, minimum: settings.minLearningRate ?? peak / 10, warmup, steps })
  const common = { batch, context: config.context, seed, endOfText: tokenizer.endOfText }
  const train = new Loader(data.file, data.train, { ...common, micros: accumulate })
  const validation = new Loader(data.file, data.validation, common)

  const model = new GPT2(config, device, seed)
  const { betas, weightDecay } = settings
  const optimizer = new AdamW(model.namedParameters(), { learningRate: peak, betas, weightDecay })
  const progress: Progress = checkpoint
    ? await loadCheckpoint(checkpoint, model, optimizer)
    : { step: 0, tokens: 0, firstLoss: null, lastLoss: null, best: null, recent: [] }
  await device.idle()
  if (!earlier) {
    await writeDescription(settings.output, config, tokenizer)
    await writeFileAtomic(join(settings.output, RUN), JSON.stringify({ model: config, seed }, null, 2) + '\n')
  }
  const tokensPerStep = batch * accumulate * config.context
  emit({
    type: 'start',
    device: device.name,
    model: config,
    parameters,
    memory,
    tokenizer: { kind: tokenizer.kind, size: tokenizer.size },
    data: {
      train: data.train.end - data.train.start,
      validation: data.validation.end - data.validation.start,
      documents: data.documents,
    },
    step: progress.step,
    steps,
    batch: batch * accumulate,
    accumulate,
    learningRate: peak,
    tokensPerStep,
    epochs: train.epoch(steps),
    seed,
  })
  return { settings, emit, model, optimizer, tokenizer, data, train, validation, rate, progress }
}

/** Makes or checks the output folder; returns the checkpoint to go on from, if any. */
async function openOutput({ output, resume }: Settings): Promise<string | undefined> {
  await guarded(output, 'create', mkdir(output, { recursive: true }))
  const held = (await guarded(output, 'read', readdir(output))).filter((name) => !name.endsWith('.tmp'))
  const checkpoint = await newestCheckpoint(output)
  if (resume) {
    await removeStale(output)
    // A run that was killed before its first checkpoint starts again; a folder of something else is refused.
    if (checkpoint || held.every((name) => name === 'data') || held.includes(RUN)) return checkpoint
  } else if (held.length === 0) {
    return undefined
  }
  const remedy = checkpoint
    ? 'go on with it (resume: true, --resume), or choose another folder'
    : 'choose another folder, or empty this one'
  throw new GptloomError('ERR_OUTPUT_EXISTS', `The output folder ${output} is not empty: ${remedy}`)
}

/** What an earlier run in this folder was of; its sizes must not be contradicted. */
async function readRun({ output, model }: Settings): Promise<{ model: GPT2Config }> {
  const path = join(output, RUN)
  const run = (await readJson(path)) as { model: GPT2Config }
  try {
    checkConfig(run.model)
  } catch (error) {
    throw new GptloomError('ERR_FORMAT', `${path}: ${(error as Error).message}`, { cause: error })
  }
  const wanted = typeof model === 'string' ? {} : model
  for (const [name, value] of Object.entries(wanted)) {
    const had = run.model[name as keyof GPT2Config]
    if (name !== 'preset' && value !== undefined && value !== had) {
      throw outOfRange(`${had}, as in the run that ${output} holds,`, `model.${name}`, value)
    }
  }
  return run
}

async function prepare(
  settings: Settings,
  tokenizer: Tokenizer,
  context: number,
  resumed: boolean,
  emit: (event: TrainEvent) => void,
): Promise<Prepared> {
  const folder = join(settings.output, 'data')
  if (resumed && (await exists(join(folder, 'text.json')))) return openPrepared(folder)
  const { data, validation, signal } = settings
  const onProgress = ({ bytes, totalBytes }: { bytes: number; totalBytes: number }) => {
    emit({ type: 'prepare', phase: 'encode', progress: totalBytes ? bytes / totalBytes : 1 })
  }
  try {
    return await prepareText({ data, tokenizer, folder, validation, context, signal, onProgress })
  } catch (error) {
    if (error instanceof AbortError) throw new AbortError('Stopped while the text was encoded', undefined, { cause: error.cause })
    throw error
  }
}

/** What this process may hold: the machine's memory, or its container's limit. */
function availableMemory(): number {
  const limit = process.constrainedMemory?.() ?? 0
  return limit > 0 ? Math.min(os.totalmem(), limit) : os.totalmem()
}
