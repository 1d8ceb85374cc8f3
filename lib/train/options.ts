import { checkInteger, checkKeys } from '../errors.js'
import type { Columns, Data, LongPolicy, ReadOptions } from '../data/index.js'
import { resolveModel } from '../models/index.js'
import type { ModelOptions, Preset } from '../models/index.js'
import type { ScheduleOptions } from '../optim/index.js'
import type { ScrubOptions } from '../privacy/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { resolveLora } from './adapt.js'
import type { LoraOptions, LoraPlan } from './adapt.js'
import { check, checkEnd } from './check.js'

/** Options of train(). Only data and output must be given. */
export interface TrainOptions {
  /**
   * What to learn from: paths of files, folders and globs ('-' is standard input), or an iterable of
   * records. Plain text (.txt, .md) is learned as it is; conversations, prompts with completions,
   * tables, tickets and the like are recognised and become examples: see docs/data.md. A run that is
   * resumed keeps its data encoded; they need not be there any more, but may not be others.
   */
  data: Data
  /** The folder for the model, its checkpoints and the report. It must not exist, or be empty. */
  output: string
  /** Goes on from the newest checkpoint in output, when there is one. Default false. */
  resume?: boolean
  /**
   * A model to start from instead of random weights: a folder of a GPT-2 in Hugging Face's layout or
   * of an earlier run, a checkpoint of nanoGPT, a file of llm.c, a GGUF, or the name of one on a hub. Its
   * sizes, tokenizer and chat template are taken; of `model` only dropout and a shorter context may be
   * given.
   */
  base?: string
  /** Whether a base that is named as on a hub, and not in its cache yet, is fetched. Default false. */
  download?: boolean
  /**
   * Learns a LoRA adapter (Hu et al. 2021) beside the base, whose weights stay as they are: true, or its
   * sizes. The output folder then holds the adapter alone, in the layout of PEFT. Default false.
   */
  lora?: boolean | LoraOptions
  /**
   * With `lora`: the output folder holds the whole model with the adapter merged into it, and the
   * adapter in adapter/. Default false.
   */
  merge?: boolean
  /**
   * Parameters that stay as they are, by name: 'wte', 'h.0', 'h.*.mlp'; * stands for any characters.
   * Default: none.
   */
  freeze?: readonly string[]
  /** NEFTune's alpha: noise on the embeddings while training (Jain et al. 2023), 5 say. Default 0. */
  neftune?: number
  /**
   * Label smoothing (Szegedy et al. 2016): of each target's weight this share is spread over the whole
   * vocabulary while training; 0.1, say, against answers that are too sure of themselves. The losses of
   * steps are then those of the smoothed targets; evaluations measure without. Default 0.
   */
  labelSmoothing?: number
  /** A preset's name, or sizes: { layers, heads, width, context ... }. Default 'micro'. */
  model?: Preset | ModelOptions
  /**
   * 'gpt2', 'character', 'bpe', { kind: 'bpe', size } for a vocabulary learned from the data, or a Tokenizer.
   * Default 'auto': GPT-2's for the gpt2 presets, else one learned from the data, of a size that fits it.
   */
  tokenizer?: 'auto' | 'gpt2' | 'character' | 'bpe' | { kind: 'bpe'; size: number } | Tokenizer
  /**
   * For each path of data, how often an epoch shows its examples: [2, 1] shows those of the first twice.
   * Default: once each.
   */
  weights?: readonly number[]
  /** What the data is, where detection is wrong: 'chat', 'csv', 'alpaca' ... */
  format?: ReadOptions['format']
  /** Which column or name is what: { prompt: 'question', completion: 'answer' }. */
  columns?: Columns
  /** Who answers in mails and chats: names, ids, addresses, '@shop.example'. Default: not who began. */
  agents?: readonly string[]
  /**
   * How conversations are written: 'chatml', 'plain', or a template in Jinja. Default: ChatML. It is
   * kept in the model, and the only way to talk to it.
   */
  template?: string
  /**
   * 'answers' (the default) learns what the assistant says, and completions; 'all' the whole of each
   * conversation.
   */
  learn?: 'answers' | 'all'
  /**
   * What to do with an example longer than the context: 'cut' its last turns or its end, 'split' it,
   * 'drop' it, or 'fail'. Default 'auto': conversations are cut, text is split.
   */
  long?: LongPolicy
  /** Whether rows that repeat earlier ones, or nearly so, are dropped (the default) or kept. */
  duplicates?: 'drop' | 'keep'
  /** What validates: 'random' groups of rows (the default), or the newest, 'time'. */
  split?: 'random' | 'time'
  /**
   * Whether personal data and secrets are taken out before anything is learned, and how. Default: of
   * conversations, with placeholders in their place.
   */
  privacy?: boolean | ScrubOptions
  /**
   * A folder that keeps prepared examples, by a hash of the data and of the options that shape them:
   * the next run on the same takes them from there. Default: none. It holds what was learned from.
   */
  cache?: string
  /** Steps of the optimizer. Default 1000. */
  steps?: number
  /**
   * Instead of steps: how often the data are gone through. 'auto' chooses by the size of the data, of
   * the model, and whether a base is tuned; the event `start` says what and why.
   */
  epochs?: number | 'auto'
  /** Ends the run after so many learned tokens, before its last step. Default: no bound. */
  maxTokens?: number
  /** Ends the run after so many seconds in this process, saved and evaluated. Default: no bound. */
  maxTime?: number
  /** Ends the run after so many evaluations without a lower loss. Default: no bound. */
  patience?: number
  /**
   * What to do about a step whose loss is no number, or more than 6 standard deviations above those
   * before it: 'skip' leaves the weights as they are; 'restore' takes those of the newest checkpoint,
   * and goes on with the batches after the spike; 'lower' skips, and halves the learning rate from there
   * on; 'stop' ends the run with ERR_DIVERGED. Ten such steps in a row end it in any case. Default
   * 'ignore', which stops only where the loss is no number.
   */
  onSpike?: OnSpike
  /**
   * Sequences in a micro-batch. Default: about 4096 tokens' worth. 'auto': fewer where an epoch would
   * have less than 20 steps. One that does not fit into memory is split, with the same sums.
   */
  batch?: number | 'auto'
  /** Micro-batches whose gradients are summed up for a step. Default 1. */
  accumulate?: number
  /**
   * Peak learning rate. Default, or 'auto': by the model's size, 1e-3 for small ones to 2e-4; with a
   * base a tenth of that, but not for an adapter.
   */
  learningRate?: number | 'auto'
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
  /**
   * How many of the newest checkpoints are kept, each of the size of the weights and twice that for the
   * optimizer; that of the best evaluation is kept besides, where there is one. Default 2.
   */
  keepCheckpoints?: number
  /** Steps between samples of text; 0 for none. Default: evaluateEvery. */
  sampleEvery?: number
  /** What samples start with. Default: nothing. */
  samplePrompt?: string
  /** The most tokens in a sample. Default 64. */
  sampleTokens?: number
  /**
   * Compute activations again in the backward pass, to save memory. Default: only where a run does not
   * fit otherwise, not even in micro-batches of one sequence; a notice says so.
   */
  recompute?: boolean
  /** The bytes that training may take. Default: what the GPU, the machine or its container has. */
  maxMemory?: number
  /**
   * Names all random numbers: the same seed, data and options give the same weights, bit for bit.
   * Default 0, or that of the run that is resumed.
   */
  seed?: number
  /** 'auto' (the default) for the best there is; 'cpu'; 'cuda', or 'cuda:1' for the second GPU. */
  device?: string
  /**
   * 'bfloat16' for weights and activations, with exact float32 weights behind them, or 'float32'
   * throughout; 'tf32', on a GPU, is float32 but for the operands of matrix products, which are rounded
   * to tf32 for its tensor cores. Default 'auto': bfloat16 where the device computes in it.
   */
  precision?: 'auto' | 'float32' | 'tf32' | 'bfloat16'
  /** bfloat16 weights without exact ones behind them: steps round at random. Default false. */
  stochasticRounding?: boolean
  /** Threads to use. Default: as many as the process may. */
  threads?: number
  /** Stops the run after the current step; it is saved, and the run rejects with AbortError. */
  signal?: AbortSignal
}

/** What becomes of a step whose loss is no number or far too high. */
export type OnSpike = 'ignore' | 'skip' | 'restore' | 'lower' | 'stop'

/** The names of all options, for messages about unknown ones. */
export const optionNames = [
  'data',
  'output',
  'resume',
  'base',
  'download',
  'lora',
  'merge',
  'freeze',
  'neftune',
  'labelSmoothing',
  'model',
  'tokenizer',
  'weights',
  'format',
  'columns',
  'agents',
  'template',
  'learn',
  'long',
  'duplicates',
  'split',
  'privacy',
  'cache',
  'steps',
  'epochs',
  'maxTokens',
  'maxTime',
  'patience',
  'onSpike',
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
  'keepCheckpoints',
  'sampleEvery',
  'samplePrompt',
  'sampleTokens',
  'recompute',
  'maxMemory',
  'seed',
  'device',
  'precision',
  'stochasticRounding',
  'threads',
  'signal',
] as const satisfies readonly (keyof TrainOptions)[]

type Open =
  | 'signal'
  | 'threads'
  | 'learningRate'
  | 'minLearningRate'
  | 'model'
  | 'base'
  | 'batch'
  | 'seed'
  | 'validation'
  | 'weights'
  | 'cache'
  | 'format'
  | 'columns'
  | 'agents'
  | 'template'
  | 'privacy'
  | 'lora'
  | 'epochs'
  | 'maxMemory'

/** Options with every default filled in that depends neither on the data nor on the run that is resumed. */
export type Settings = Required<Omit<TrainOptions, Open>> &
  Pick<TrainOptions, Exclude<Open, 'lora' | 'learningRate'>> & {
    lora: LoraPlan | undefined
    learningRate: number | undefined
    /** What follows from the number of steps, where it is known only with the data. */
    pace: (steps: number) => Pace
  }

type Pace = Pick<
  Required<TrainOptions>,
  'steps' | 'warmup' | 'evaluateEvery' | 'checkpointEvery' | 'sampleEvery'
>

/** @throws TypeError, RangeError naming the option */
export function resolveOptions(options: TrainOptions): Settings {
  checkKeys('train()', options, optionNames)
  const steps = checkInteger('steps', options.steps ?? 1000)
  // The vocabulary does not matter yet: this only finds mistakes before any work is done.
  resolveModel(options.model, 1)
  const pace = (steps: number) => paceOf(options, steps)
  const settings: Settings = {
    data: options.data,
    output: options.output,
    resume: options.resume ?? false,
    model: options.model,
    base: options.base,
    download: options.download ?? false,
    lora: resolveLora(options.lora),
    merge: options.merge ?? false,
    freeze: options.freeze ?? [],
    neftune: options.neftune ?? 0,
    labelSmoothing: options.labelSmoothing ?? 0,
    tokenizer: options.tokenizer ?? 'auto',
    weights: options.weights,
    cache: options.cache,
    format: options.format,
    columns: options.columns,
    agents: options.agents,
    template: options.template,
    learn: options.learn ?? 'answers',
    long: options.long ?? 'auto',
    duplicates: options.duplicates ?? 'drop',
    split: options.split ?? 'random',
    privacy: options.privacy,
    pace,
    ...pace(steps),
    epochs: options.epochs,
    maxTokens: options.maxTokens ?? Infinity,
    maxTime: options.maxTime ?? Infinity,
    patience: options.patience ?? Infinity,
    onSpike: options.onSpike ?? 'ignore',
    batch: options.batch,
    accumulate: options.accumulate ?? 1,
    learningRate: options.learningRate === 'auto' ? undefined : options.learningRate,
    minLearningRate: options.minLearningRate,
    schedule: options.schedule ?? 'cosine',
    betas: options.betas ?? [0.9, 0.99],
    weightDecay: options.weightDecay ?? 0.1,
    clip: options.clip ?? 1,
    validation: options.validation,
    keepCheckpoints: options.keepCheckpoints ?? 2,
    evaluateTokens: options.evaluateTokens ?? 32768,
    samplePrompt: options.samplePrompt ?? '',
    sampleTokens: options.sampleTokens ?? 64,
    recompute: options.recompute ?? false,
    maxMemory: options.maxMemory,
    seed: options.seed,
    device: options.device ?? 'auto',
    precision: options.precision ?? 'auto',
    stochasticRounding: options.stochasticRounding ?? false,
    threads: options.threads,
    signal: options.signal,
  }
  check(settings)
  checkEnd(settings, options.steps)
  return settings
}

function paceOf(options: TrainOptions, steps: number): Pace {
  const usual = Math.max(Math.ceil(steps / 10), Math.min(steps, 10))
  const evaluateEvery = checkInteger('evaluateEvery', options.evaluateEvery ?? usual)
  return {
    steps,
    warmup: options.warmup ?? Math.min(200, Math.ceil(steps / 20)),
    evaluateEvery,
    checkpointEvery: options.checkpointEvery ?? evaluateEvery,
    sampleEvery: options.sampleEvery ?? evaluateEvery,
  }
}
