// Everything between the options and the first step: the output folder, the tokenizer, the data, the model.
import os from 'node:os'
import { join } from 'node:path'
import { AbortError, outOfRange } from '../errors.js'
import { exists } from '../files.js'
import { Loader, openPrepared, prepareText } from '../data/index.js'
import type { Prepared, TokenFile, TokenRange } from '../data/index.js'
import { writeDescription } from '../formats/huggingface.js'
import { GPT2, parameterCount, resolveModel, trainingMemory } from '../models/index.js'
import { AdamW, schedule } from '../optim/index.js'
import type { Schedule } from '../optim/index.js'
import { openDevice } from '../tensor/index.js'
import { loadTokenizer } from '../tokenizer/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { loadCheckpoint } from './checkpoint.js'
import type { Progress } from './checkpoint.js'
import type { TrainEvent } from './events.js'
import { checkMemory, defaultBatch, defaultLearningRate } from './options.js'
import type { Settings } from './options.js'
import { dataFiles, openOutput, writeRun } from './output.js'
import type { Output } from './output.js'
import { chooseTokenizer } from './vocabulary.js'

/** What the loop works on. */
export interface Job {
  settings: Settings
  /** Sequences in a micro-batch. */
  batch: number
  seed: number
  emit: (event: TrainEvent) => void
  model: GPT2
  optimizer: AdamW
  tokenizer: Tokenizer
  data: Prepared
  train: Loader
  validation: Loader
  rate: Schedule
  progress: Progress
  /** Lets other runs write to the output folder. Never throws. */
  release: () => Promise<void>
}

/** @throws GptloomError, AbortError; a new output folder is then as it was before */
export async function openJob(settings: Settings, emit: (event: TrainEvent) => void): Promise<Job> {
  const device = openDevice(settings.device, settings)
  const output = await openOutput(settings)
  let file: TokenFile | undefined
  try {
    const planned = await plan(settings, output, emit)
    const { tokenizer, config, memory, parameters, batch, seed } = planned
    const share = output.earlier?.validation ?? settings.validation ?? 0.1
    const data = await prepare(
      { ...settings, validation: share },
      tokenizer,
      config.context,
      output.earlier !== undefined,
      emit,
    )
    file = data.file
    const peak = settings.learningRate ?? defaultLearningRate(parameters)
    const { steps, warmup, accumulate, betas, weightDecay } = settings
    const minimum = settings.minLearningRate ?? peak / 10
    const rate = schedule({ kind: settings.schedule, peak, minimum, warmup, steps })
    const common = { batch, context: config.context, seed, endOfText: tokenizer.endOfText }
    const train = new Loader(file, data.train, { ...common, micros: accumulate })
    const validation = new Loader(file, data.validation, common)

    const model = new GPT2(config, device, seed)
    const optimizer = new AdamW(model.namedParameters(), { learningRate: peak, betas, weightDecay })
    const progress: Progress = output.earlier
      ? await loadCheckpoint(output.earlier.checkpoint, model, optimizer)
      : { step: 0, tokens: 0, firstLoss: null, last: null, best: null, recent: [] }
    await device.idle()
    if (!output.earlier) {
      const files = await dataFiles(settings.data)
      await writeRun(settings.output, { model: config, seed, validation: share, data: files })
      await writeDescription(settings.output, config, tokenizer)
    }
    const size = ({ start, end }: TokenRange) => end - start
    emit({
      type: 'start',
      device: device.name,
      model: config,
      parameters,
      memory,
      tokenizer: { kind: tokenizer.kind, size: tokenizer.size },
      data: {
        train: size(data.train),
        validation: size(data.validation),
        documents: data.documents,
      },
      step: progress.step,
      steps,
      batch: batch * accumulate,
      accumulate,
      learningRate: peak,
      tokensPerStep: batch * accumulate * config.context,
      epochs: train.epoch(steps),
      seed,
    })
    return {
      settings,
      batch,
      seed,
      emit,
      model,
      optimizer,
      tokenizer,
      data,
      train,
      validation,
      rate,
      progress,
      release: output.release,
    }
  } catch (error) {
    await file?.close()
    await output.undo()
    await output.release()
    throw error
  }
}

/** What the run will be of, and whether it fits: nothing large is read or written yet. */
async function plan(settings: Settings, { earlier }: Output, emit: (event: TrainEvent) => void) {
  const tokenizer = earlier
    ? sameTokenizer(await loadTokenizer(settings.output), settings)
    : await chooseTokenizer(settings, emit)
  const config = earlier?.model ?? resolveModel(settings.model, tokenizer.size)
  if (config.vocabulary < tokenizer.size) {
    throw outOfRange(
      `at least the tokenizer's ${tokenizer.size}`,
      'model.vocabulary',
      config.vocabulary,
    )
  }
  const { batch = defaultBatch(config.context), seed = earlier?.seed ?? 0, recompute } = settings
  const memory = trainingMemory(config, { batch, recompute })
  const parameters = parameterCount(config)
  const millions = (parameters / 1e6).toFixed(1)
  const what = `a model of ${millions} million parameters in batches of ${batch} x ${config.context} tokens`
  checkMemory(memory.total, availableMemory(), what)
  return { tokenizer, config, memory, parameters, batch, seed }
}

/** The tokenizer of the run that is resumed, unless the settings ask for another. */
function sameTokenizer(had: Tokenizer, { tokenizer: wanted, output }: Settings): Tokenizer {
  const isOther =
    typeof wanted === 'string'
      ? wanted !== 'auto' && wanted !== had.kind
      : 'encode' in wanted
        ? JSON.stringify(wanted.files()) !== JSON.stringify(had.files())
        : had.kind !== wanted.kind || had.size !== wanted.size
  if (!isOther) return had
  const what = `the tokenizer of the run that ${output} holds (${had.kind}, ${had.size} tokens)`
  throw outOfRange(what, 'tokenizer', wanted)
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
    if (error instanceof AbortError)
      throw new AbortError('Stopped while the text was encoded', undefined, { cause: error.cause })
    throw error
  }
}

/** What this process may hold: the machine's memory, or its container's limit. */
function availableMemory(): number {
  const limit = process.constrainedMemory?.() ?? 0
  return limit > 0 ? Math.min(os.totalmem(), limit) : os.totalmem()
}
