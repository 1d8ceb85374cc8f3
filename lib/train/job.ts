// Everything between the options and the first step: the output folder, the tokenizer, the data, the model.
import os from 'node:os'
import { join } from 'node:path'
import { outOfRange } from '../errors.js'
import type { GptloomError } from '../errors.js'
import { exists } from '../files.js'
import { RECORD, detectFormat, findSources } from '../data/index.js'
import { readBase, readChatTemplate } from '../formats/base.js'
import type { Base } from '../formats/base.js'
import { writeDescription } from '../formats/huggingface.js'
import { resolveModelPath } from '../hub/index.js'
import { GPT2, checkConfig, parameterCount, resolveModel, trainingMemory } from '../models/index.js'
import type { GPT2Config } from '../models/index.js'
import { AdamW, schedule } from '../optim/index.js'
import type { Schedule } from '../optim/index.js'
import { openDevice } from '../tensor/index.js'
import type { Device, Dtype } from '../tensor/index.js'
import { loadTokenizer } from '../tokenizer/index.js'
import type { ChatTemplate, Tokenizer } from '../tokenizer/index.js'
import { loraSize, openLearner } from './adapt.js'
import type { Learner } from './adapt.js'
import { freshProgress, loadCheckpoint } from './checkpoint.js'
import type { Progress } from './checkpoint.js'
import { TextSource } from './corpus.js'
import type { Corpus, Emit, Source } from './corpus.js'
import { autoBatch, autoEpochs, defaultBatch, defaultLearningRate, fitMemory } from './defaults.js'
import type { Split } from './defaults.js'
import type { StartEvent, TrainEvent } from './events.js'
import { ExampleSource } from './examples.js'
import { pathsOf } from './check.js'
import type { Settings } from './options.js'
import { Saver } from './saver.js'
import { dataFiles, openOutput, shapeOf, writeRun } from './output.js'
import type { Output } from './output.js'

/** What the loop works on. */
export interface Job {
  settings: Settings
  /** Sequences in a micro-batch. */
  batch: number
  seed: number
  emit: (event: TrainEvent) => void
  model: GPT2
  /** What of the model is learned. */
  learner: Learner
  optimizer: AdamW
  tokenizer: Tokenizer
  /** How conversations are written; undefined for plain text. */
  template: ChatTemplate | undefined
  corpus: Corpus
  /** The corpus in figures. */
  data: StartEvent['data']
  rate: Schedule
  /** The highest rate. */
  peak: number
  progress: Progress
  /** When the run would have begun if it had been one process, as performance.now() tells it. */
  began: number
  /** When the run ends, as performance.now() tells it. */
  deadline: number
  /** The bound that ended the run before its last step. */
  stopped?: 'tokens' | 'time' | 'patience'
  /** Writes what is to be kept. */
  saver: Saver
  /** Whether the last thing that was to be saved could not be, and that was said. */
  unsaved?: boolean
  /** Lets other runs write to the output folder. Never throws. */
  release: () => Promise<void>
}

/** @throws GptloomError, AbortError; a new output folder is then as it was before */
export async function openJob(asked: Settings, emit: Emit): Promise<Job> {
  const started = performance.now()
  const deadline = started + 1000 * asked.maxTime
  const { threads, precision } = asked
  const device = openDevice(asked.device, { threads, tf32: precision === 'tf32' })
  const output = await openOutput(asked)
  const cleanUp = [output.release, output.undo]
  try {
    const base = await openBase(asked, output, emit)
    if (base) cleanUp.push(() => base.close())
    const opened = await withEarlier(asked, output, base, emit)
    const folder = join(opened.output, 'data')
    const source = await openSource(opened, folder, output.earlier !== undefined, emit)
    cleanUp.push(() => source.dispose())
    const planned = await plan(opened, output, source, device, base?.config)
    const { tokenizer, config, memory, parameters, split, seed, notice } = planned
    if (notice) emit({ type: 'notice', message: notice })
    const validation = output.earlier?.validation ?? opened.validation ?? 0.1
    const { accumulate, recompute } = split
    const batchFor = (tokens: number) =>
      opened.batch === 'auto' && !notice
        ? autoBatch(split.batch, tokens, config.context)
        : split.batch
    const cut = { batch: batchFor, accumulate, seed, validation }
    const corpus = await source.corpus(tokenizer, config, cut)
    cleanUp.push(() => corpus.close())
    const { batch } = corpus
    const settings = { ...paced(opened, corpus, parameters), accumulate, recompute }
    const whole = settings.base !== undefined && !settings.lora
    const usual = defaultLearningRate(parameters) / (whole ? 10 : 1)
    const peak = settings.learningRate ?? usual
    const { steps, warmup, betas, weightDecay } = settings
    const minimum = settings.minLearningRate ?? peak / 10
    const rate = schedule({ kind: settings.schedule, peak, minimum, warmup, steps })

    const model = new GPT2(config, device, seed, precisionOf(settings, device))
    await base?.load(model)
    await base?.close()
    const learner = await openLearner(model, settings, seed)
    const { stochasticRounding } = settings
    const hyper = { learningRate: peak, betas, weightDecay, stochasticRounding, seed }
    const optimizer = new AdamW(learner.trainable, hyper)
    const progress: Progress = output.earlier
      ? await loadCheckpoint(output.earlier.checkpoint, learner.kept, optimizer)
      : freshProgress()
    // Weights that were saved after that checkpoint, before the process was killed.
    progress.best = (output.earlier && (await learner.saved())) ?? progress.best
    await device.idle()
    const template = source.template(tokenizer)
    const files = output.earlier?.data ?? (await dataFiles(settings.data))
    if (!output.earlier) {
      const { lora, freeze } = settings
      const tuning = lora || freeze.length > 0 ? { lora, freeze } : undefined
      const shape = shapeOf(asked)
      const run = { model: config, seed, validation, data: files, shape, tuning }
      await writeRun(settings.output, run)
      const chatTemplate = template?.source
      // An adapter is no model: what describes one comes with the weights.
      await writeDescription(settings.output, lora ? null : config, tokenizer, { chatTemplate })
    }
    const { train, documents, ledger, padding } = corpus
    const sources = corpus.sources?.map((source) => {
      return { ...source, epochs: source.weight * train.epoch(steps) }
    })
    const data: Job['data'] = {
      train: train.tokens,
      validation: corpus.validation.tokens,
      documents,
      files,
      ...(ledger && { ledger, padding }),
      ...(sources && { sources }),
    }
    emit({
      type: 'start',
      device: device.name,
      model: config,
      parameters,
      memory,
      tokenizer: { kind: tokenizer.kind, size: tokenizer.size },
      data,
      step: progress.step,
      steps,
      batch: batch * accumulate,
      accumulate,
      learningRate: peak,
      tokensPerStep: batch * accumulate * config.context,
      epochs: train.epoch(steps),
      seed,
      chosen: chosen(opened, { parameters, peak, whole, batch, steps, corpus }),
    })
    const made = {
      settings,
      batch,
      seed,
      emit,
      model,
      learner,
      optimizer,
      tokenizer,
      template,
      data,
    }
    const began = started - 1000 * progress.seconds
    const state = { peak, progress, began, deadline, saver: new Saver() }
    return { ...made, corpus, rate, ...state, release: output.release }
  } catch (error) {
    // What was opened last is closed first.
    for (const close of cleanUp.reverse()) await close()
    throw error
  }
}

/** The base, where its weights are needed: a run that is resumed has those that it learned. */
async function openBase(settings: Settings, output: Output, emit: Emit): Promise<Base | undefined> {
  const { base, lora, download, signal } = settings
  if (base === undefined || (output.earlier && !lora)) return undefined
  const onProgress = (progress: {
    received: number
    size: number
    index: number
    files: number
  }) => {
    const { received, size, index, files } = progress
    const share = (index - 1 + (size > 0 ? received / size : 1)) / files
    emit({ type: 'prepare', phase: 'download', progress: share })
  }
  return readBase(await resolveModelPath(base, { download, signal, onProgress }))
}

/** Settings with the steps that the epochs come to. */
function paced(settings: Settings, { train }: Corpus, parameters: number): Settings {
  const { epochs: asked, base } = settings
  if (asked === undefined) return settings
  const epochs = asked === 'auto' ? autoEpochs(train.tokens, parameters, base !== undefined) : asked
  return { ...settings, ...settings.pace(Math.max(1, Math.ceil(epochs / train.epoch(1)))) }
}

/** What was left to be chosen, and why it is what it is, in one line; empty where nothing was. */
function chosen(
  { learningRate, batch: asked, epochs, base, lora }: Settings,
  made: {
    parameters: number
    peak: number
    whole: boolean
    batch: number
    steps: number
    corpus: Corpus
  },
): string {
  const { parameters, peak, whole, batch, steps, corpus } = made
  const size = `${(parameters / 1e6).toFixed(1)} million parameters`
  const tuning = whole ? ', a tenth since all of a base is tuned' : lora ? ' and an adapter' : ''
  const tokens = `${(corpus.train.tokens / 1e6).toFixed(2)} million tokens to learn`
  const small = asked === 'auto' ? ', at least 20 steps an epoch' : ''
  const times = Math.round(corpus.train.epoch(steps))
  const why = base === undefined ? `, towards 20 for each of ${size}` : ' to tune a base with'
  return [
    ...(learningRate === undefined ? [`learning rate ${peak} for ${size}${tuning}`] : []),
    ...(typeof asked === 'number' ? [] : [`batch ${batch} for about 4096 tokens${small}`]),
    ...(epochs === 'auto' ? [`epochs ${times} for ${tokens}${why}`] : []),
  ].join('; ')
}

/** What the run that is resumed, or a base, brings along. */
async function withEarlier(
  settings: Settings,
  { earlier }: Output,
  base: Base | undefined,
  emit: Emit,
): Promise<Settings> {
  if (!earlier) return base ? withBase(settings, base, emit) : settings
  const template = settings.template ?? (await readChatTemplate(settings.output)) ?? undefined
  const weights = settings.weights ?? (earlier.shape?.weights as number[] | undefined)
  return { ...settings, template, weights }
}

async function withBase(settings: Settings, base: Base, emit: Emit): Promise<Settings> {
  for (const note of base.extras.notes) emit({ type: 'notice', message: `${base.path}: ${note}` })
  // An adapter cannot learn new special tokens: their embeddings are the base's.
  const usual = settings.lora ? 'plain' : undefined
  const template = settings.template ?? base.extras.chatTemplate ?? usual
  return { ...settings, tokenizer: await base.tokenizer(), template }
}

/** Plain text when every file is, else examples; a run that is resumed has what it had. */
async function openSource(
  settings: Settings,
  folder: string,
  resumed: boolean,
  emit: Emit,
): Promise<Source> {
  const isWhole = async (record: string) => resumed && (await exists(join(folder, record)))
  if (await isWhole(RECORD)) return new ExampleSource(settings, folder, true, emit)
  if (await isWhole('text.json')) return new TextSource(settings, folder, true, emit)
  const isText = await isPlainText(settings)
  return new (isText ? TextSource : ExampleSource)(settings, folder, false, emit)
}

// Plain text is one stream, and has no rows that options could speak of.
async function isPlainText(settings: Settings): Promise<boolean> {
  const { data, format, cache, privacy } = settings
  const paths = pathsOf(data)
  if (!paths || paths.includes('-') || cache !== undefined) return false
  const { format: _, privacy: __, ...others } = shapeOf(settings)
  if (Object.keys(others).length > 0 || (privacy !== undefined && privacy !== false)) return false
  if (format !== undefined && format !== 'document') return false
  for (const source of await findSources(paths)) {
    if (source.kind !== 'file' || source.path.endsWith('.gz')) return false
    // What cannot be told is taken for text, whose reader says what is wrong with it; but not what
    // calls itself something else.
    const found = await detectFormat(source.path).catch((error: unknown) => {
      const isOther = /\.(jsonl|ndjson|json|csv|tsv|parquet|mbox)$/i.test(source.path)
      if ((error as GptloomError).code !== 'ERR_DATA' || isOther) throw error
    })
    if (format === undefined && found && found.container !== 'document') return false
  }
  return true
}

/** What the run will be of, and whether it fits: nothing large is read or written yet. */
async function plan(
  settings: Settings,
  { earlier }: Output,
  source: Source,
  device: Device,
  base: GPT2Config | undefined,
) {
  const tokenizer = earlier
    ? sameTokenizer(await loadTokenizer(settings.output), settings)
    : await source.tokenizer()
  const config =
    earlier?.model ??
    (base ? tuned(base, settings, tokenizer) : resolveModel(settings.model, tokenizer.size))
  if (settings.lora && !earlier) checkNoNewTokens(tokenizer, settings)
  if (config.vocabulary < tokenizer.size) {
    throw outOfRange(
      `at least the tokenizer's ${tokenizer.size}`,
      'model.vocabulary',
      config.vocabulary,
    )
  }
  const { batch: asked, seed = earlier?.seed ?? 0, accumulate, recompute } = settings
  const batch = typeof asked === 'number' ? asked : defaultBatch(config.context)
  const parameters = parameterCount(config)
  const adapter = settings.lora && loraSize(settings.lora, config)
  const dtype = precisionOf(settings, device)
  const { stochasticRounding } = settings
  const kind = { adapter, device: device.kind, dtype, stochasticRounding }
  const memoryOf = (split: Split) => trainingMemory(config, { ...split, ...kind })
  const { capacity } = device
  const available = settings.maxMemory ?? capacity ?? availableMemory()
  const machine = capacity === undefined ? 'this machine' : device.name
  const { split, notice } = fitMemory(
    { batch, accumulate, recompute },
    (split) => memoryOf(split).total,
    available,
    {
      model: `a model of ${(parameters / 1e6).toFixed(1)} million parameters`,
      context: config.context,
      where: settings.maxMemory === undefined ? machine : 'maxMemory',
    },
  )
  return { tokenizer, config, memory: memoryOf(split), parameters, split, seed, notice }
}

function checkNoNewTokens(tokenizer: Tokenizer, { tokenizer: own, template }: Settings): void {
  if (typeof own !== 'object' || own.size === tokenizer.size) return
  throw outOfRange(
    "a template without special tokens that the base lacks ('plain'),",
    'template',
    template,
  )
}

/** A base's sizes, with a vocabulary that may have grown and a context that may be shorter. */
function tuned(base: GPT2Config, { model }: Settings, tokenizer: Tokenizer): GPT2Config {
  const { dropout = 0, context = base.context } = typeof model === 'object' ? model : {}
  const vocabulary = Math.max(base.vocabulary, tokenizer.size)
  if (context > base.context)
    throw outOfRange(`at most the base's ${base.context}`, 'model.context', context)
  return checkConfig({ ...base, dropout, context, vocabulary })
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

function precisionOf(settings: Settings, { dtypes, kind }: Device): Dtype {
  const { precision, stochasticRounding } = settings
  const best = dtypes.includes('bfloat16') ? 'bfloat16' : 'float32'
  const asked = precision === 'auto' ? best : precision
  const chosen = asked === 'tf32' && kind === 'cuda' ? 'float32' : asked
  if (chosen === 'tf32' || !dtypes.includes(chosen))
    throw outOfRange(`${dtypes.join(' or ')}, which the device has,`, 'precision', precision)
  if (stochasticRounding && chosen !== 'bfloat16')
    throw outOfRange('false for a run in float32', 'stochasticRounding', stochasticRounding)
  return chosen
}

/** What this process may hold: the machine's memory, or its container's limit. */
function availableMemory(): number {
  const limit = process.constrainedMemory?.() ?? 0
  return limit > 0 ? Math.min(os.totalmem(), limit) : os.totalmem()
}
