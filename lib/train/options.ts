import {
  GptloomError,
  checkInteger,
  checkKeys,
  checkNumber,
  checkPath,
  checkSignal,
  outOfRange,
  show,
  wrongType,
} from '../errors.js'
import { resolveModel } from '../models/index.js'
import type { ModelOptions, Preset } from '../models/index.js'
import { scheduleNames } from '../optim/index.js'
import type { ScheduleOptions } from '../optim/index.js'
import type { Tokenizer } from '../tokenizer/index.js'

/** Options of train(). Only data and output must be given. */
export interface TrainOptions {
  /**
   * Text to learn from: a file, a folder of .txt and .md files, or several of them. UTF-8. A run that
   * is resumed keeps its text encoded; it need not be there any more, but may not be another.
   */
  data: string | readonly string[]
  /** The folder for the model, its checkpoints and the report. It must not exist, or be empty. */
  output: string
  /** Goes on from the newest checkpoint in output, when there is one. Default false. */
  resume?: boolean
  /** A preset's name, or sizes: { layers, heads, width, context ... }. Default 'micro'. */
  model?: Preset | ModelOptions
  /**
   * 'gpt2', 'character', 'bpe', { kind: 'bpe', size } for a vocabulary learned from the data, or a Tokenizer.
   * Default 'auto': GPT-2's for the gpt2 presets, else one learned from the data, of a size that fits it.
   */
  tokenizer?: 'auto' | 'gpt2' | 'character' | 'bpe' | { kind: 'bpe'; size: number } | Tokenizer
  /** Steps of the optimizer. Default 1000. */
  steps?: number
  /** Sequences in a micro-batch. Default: about 4096 tokens' worth. */
  batch?: number
  /** Micro-batches whose gradients are summed up for a step. Default 1. */
  accumulate?: number
  /** Peak learning rate. Default: by the model's size, 1e-3 for small ones to 1e-4. */
  learningRate?: number
  /** Learning rate at the end. Default: a tenth of the peak. */
  minLearningRate?: number
  /** Default 'cosine'. */
  schedule?: ScheduleOptions['kind']
  /** Steps of linear warm-up. Default: a twentieth of all, at most 200. */
  warmup?: number
  /** Decay rates of AdamW's moments. Default [0.9, 0.99]. */
  betas?: readonly [number, number]
  /** AdamW's decay of matrices. Default 0.1. */
  weightDecay?: number
  /** The gradient's norm is clipped to this; 0 for no clipping. Default 1. */
  clip?: number
  /**
   * The share of the text, at its end, kept for validation. Above 0, below 1. Default 0.1, or that of
   * the run that is resumed.
   */
  validation?: number
  /** Steps between evaluations on the validation part. Default: a tenth of all, at least 10. */
  evaluateEvery?: number
  /** The most tokens that an evaluation looks at, evenly spread. Default 32768. */
  evaluateTokens?: number
  /** Steps between checkpoints to resume from; 0 for one at the end only. Default: evaluateEvery. */
  checkpointEvery?: number
  /** Steps between samples of text; 0 for none. Default: evaluateEvery. */
  sampleEvery?: number
  /** What samples start with. Default: nothing. */
  samplePrompt?: string
  /** The most tokens in a sample. Default 64. */
  sampleTokens?: number
  /** Compute activations again in the backward pass, to save memory. Default false. */
  recompute?: boolean
  /**
   * Names all random numbers: the same seed, data and options give the same weights, bit for bit.
   * Default 0, or that of the run that is resumed.
   */
  seed?: number
  /** 'auto' (the default) for the best there is, or 'cpu'. */
  device?: string
  /** Threads to use. Default: as many as the process may. */
  threads?: number
  /** Stops the run after the current step; it is saved, and the run rejects with AbortError. */
  signal?: AbortSignal
}

/** The names of all options, for messages about unknown ones. */
export const optionNames = [
  'data',
  'output',
  'resume',
  'model',
  'tokenizer',
  'steps',
  'batch',
  'accumulate',
  'learningRate',
  'minLearningRate',
  'schedule',
  'warmup',
  'betas',
  'weightDecay',
  'clip',
  'validation',
  'evaluateEvery',
  'evaluateTokens',
  'checkpointEvery',
  'sampleEvery',
  'samplePrompt',
  'sampleTokens',
  'recompute',
  'seed',
  'device',
  'threads',
  'signal',
] as const satisfies readonly (keyof TrainOptions)[]

type Open =
  | 'signal'
  | 'threads'
  | 'learningRate'
  | 'minLearningRate'
  | 'model'
  | 'batch'
  | 'seed'
  | 'validation'

/** Options with every default filled in that depends neither on the data nor on the run that is resumed. */
export type Settings = Required<Omit<TrainOptions, Open>> & Pick<TrainOptions, Open>

/** @throws TypeError, RangeError naming the option */
export function resolveOptions(options: TrainOptions): Settings {
  checkKeys('train()', options, optionNames)
  const steps = checkInteger('steps', options.steps ?? 1000)
  // The vocabulary does not matter yet: this only finds mistakes before any work is done.
  resolveModel(options.model, 1)
  const evaluateEvery = checkInteger(
    'evaluateEvery',
    options.evaluateEvery ?? Math.max(Math.ceil(steps / 10), Math.min(steps, 10)),
  )
  const settings: Settings = {
    data: options.data,
    output: options.output,
    resume: options.resume ?? false,
    model: options.model,
    tokenizer: options.tokenizer ?? 'auto',
    steps,
    batch: options.batch,
    accumulate: options.accumulate ?? 1,
    learningRate: options.learningRate,
    minLearningRate: options.minLearningRate,
    schedule: options.schedule ?? 'cosine',
    warmup: options.warmup ?? Math.min(200, Math.ceil(steps / 20)),
    betas: options.betas ?? [0.9, 0.99],
    weightDecay: options.weightDecay ?? 0.1,
    clip: options.clip ?? 1,
    validation: options.validation,
    evaluateEvery,
    evaluateTokens: options.evaluateTokens ?? 32768,
    checkpointEvery: options.checkpointEvery ?? evaluateEvery,
    sampleEvery: options.sampleEvery ?? evaluateEvery,
    samplePrompt: options.samplePrompt ?? '',
    sampleTokens: options.sampleTokens ?? 64,
    recompute: options.recompute ?? false,
    seed: options.seed,
    device: options.device ?? 'auto',
    threads: options.threads,
    signal: options.signal,
  }
  check(settings)
  return settings
}

function check(s: Settings): void {
  const paths: unknown = typeof s.data === 'string' ? [s.data] : s.data
  if (!Array.isArray(paths) || paths.length === 0)
    throw wrongType('a path or a list of paths', 'data', s.data)
  for (const path of paths) checkPath('a path or a list of paths', 'data', path)
  checkPath('a folder', 'output', s.output)
  checkTokenizer(s.tokenizer)
  if (s.batch !== undefined) checkInteger('batch', s.batch, 1, 2 ** 20)
  checkInteger('accumulate', s.accumulate, 1, 2 ** 20)
  if (s.learningRate !== undefined) checkNumber('learningRate', s.learningRate, 0)
  if (s.minLearningRate !== undefined)
    checkNumber('minLearningRate', s.minLearningRate, 0, s.learningRate)
  if (!scheduleNames.includes(s.schedule)) {
    throw outOfRange(`one of ${scheduleNames.map(show).join(', ')}`, 'schedule', s.schedule)
  }
  checkInteger('warmup', s.warmup, 0)
  if (!Array.isArray(s.betas) || s.betas.length !== 2)
    throw wrongType('two numbers', 'betas', s.betas)
  s.betas.forEach((beta, i) => checkNumber(`betas[${i}]`, beta, 0, 0.99999))
  checkNumber('weightDecay', s.weightDecay, 0)
  checkNumber('clip', s.clip, 0)
  if (s.validation !== undefined) checkNumber('validation', s.validation, 1e-6, 0.99)
  if (s.evaluateTokens !== Infinity) checkInteger('evaluateTokens', s.evaluateTokens)
  checkInteger('checkpointEvery', s.checkpointEvery, 0)
  checkInteger('sampleEvery', s.sampleEvery, 0)
  if (typeof s.samplePrompt !== 'string')
    throw wrongType('a string', 'samplePrompt', s.samplePrompt)
  checkInteger('sampleTokens', s.sampleTokens)
  if (s.seed !== undefined) checkInteger('seed', s.seed, 0)
  for (const name of ['resume', 'recompute'] as const) {
    if (typeof s[name] !== 'boolean') throw wrongType('true or false', name, s[name])
  }
  checkSignal(s.signal)
}

function checkTokenizer(tokenizer: Settings['tokenizer']): void {
  const names = ['auto', 'gpt2', 'character', 'bpe']
  if (typeof tokenizer === 'string') {
    if (!names.includes(tokenizer))
      throw outOfRange(`one of ${names.map(show).join(', ')}`, 'tokenizer', tokenizer)
  } else if (typeof tokenizer !== 'object' || tokenizer === null) {
    throw wrongType('a name, { kind, size } or a Tokenizer', 'tokenizer', tokenizer)
  } else if ('encode' in tokenizer) {
    const methods = ['encode', 'decode', 'decodeBytes', 'stream', 'decoder', 'files'] as const
    const isTokenizer =
      methods.every((name) => typeof tokenizer[name] === 'function') &&
      Number.isSafeInteger(tokenizer.size)
    if (!isTokenizer)
      throw wrongType('a name, { kind, size } or a Tokenizer', 'tokenizer', tokenizer)
  } else {
    checkKeys('tokenizer', tokenizer, ['kind', 'size'])
    const kind: string = tokenizer.kind
    if (kind !== 'bpe') throw outOfRange("'bpe'", 'tokenizer.kind', kind)
    checkInteger('tokenizer.size', tokenizer.size, 257, 2 ** 20)
  }
}

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
 * @throws GptloomError ERR_OUT_OF_MEMORY with the estimate and the remedy
 */
export function checkMemory(needed: number, available: number, what: string): void {
  if (needed <= available) return
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`
  throw new GptloomError(
    'ERR_OUT_OF_MEMORY',
    `Training ${what} takes about ${gigabytes(needed)}, and this machine has ${gigabytes(available)}. ` +
      'Use a smaller model, a smaller batch with `accumulate`, a shorter context, or `recompute: true`',
  )
}
