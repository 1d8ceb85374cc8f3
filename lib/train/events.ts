import type { LedgerSummary } from '../data/index.js'
import type { GPT2Config, MemoryEstimate } from '../models/index.js'
import type { Dtype } from '../tensor/index.js'
import type { LoraPlan } from './adapt.js'
import type { DataFile } from './output.js'
import type { Probe } from './probe.js'

/** What happens in a run, in the order in which it happens. */
export type TrainEvent =
  | NoticeEvent
  | PrepareEvent
  | StartEvent
  | StepEvent
  | SpikeEvent
  | EvaluationEvent
  | SampleEvent
  | CheckpointEvent
  | ProbeEvent
  | DoneEvent

/** Something that was decided and that people should know: what a file was taken for. */
export interface NoticeEvent {
  type: 'notice'
  message: string
}

/** The base is fetched, data are read and cleaned, a vocabulary is learned from them, or they are encoded. */
export interface PrepareEvent {
  type: 'prepare'
  phase: 'download' | 'read' | 'vocabulary' | 'encode'
  /** From 0 to 1. */
  progress: number
}

/** Everything is decided and checked; the first step comes next. */
export interface StartEvent {
  type: 'start'
  device: string
  model: GPT2Config
  /** How many numbers the model holds. */
  parameters: number
  /** Estimated bytes, by part. */
  memory: MemoryEstimate
  tokenizer: { kind: string; size: number }
  data: {
    /** Tokens to learn and to validate with; of examples, those that are learned. */
    train: number
    validation: number
    /** Files of text, or examples. */
    documents: number
    /** The files that were read, without their folders; none where the program gave the records. */
    files: readonly DataFile[]
    /** What became of each row; undefined for plain text. */
    ledger?: LedgerSummary
    /** The share of places in the windows of examples that nothing fills. */
    padding?: number
    /** With weights: the examples of each path, and how often the run shows them. */
    sources?: { path: string; examples: number; weight: number; epochs: number }[]
  }
  /** The step that comes first: above 0 when a run is resumed. */
  step: number
  steps: number
  /** Sequences a step, over all its micro-batches. */
  batch: number
  /** Micro-batches a step. */
  accumulate: number
  learningRate: number
  tokensPerStep: number
  /** Times that the training text will have been seen at the end. */
  epochs: number
  seed: number
  /** What was left to be chosen ('auto'), and why it is what it is, in one line; may be empty. */
  chosen: string
}

/** One step of training is done. */
export interface StepEvent {
  type: 'step'
  /** Steps done, from 1. */
  step: number
  steps: number
  /** Mean loss of the step's tokens, in nats a token, before the step. */
  loss: number
  /** Global L2 norm of the gradient of the mean loss, before clipping; NaN for a step that was skipped. */
  gradientNorm: number
  learningRate: number
  /** Tokens seen so far. */
  tokens: number
  /** Over the last steps. */
  tokensPerSecond: number
  /** Estimated seconds to the end. */
  secondsLeft: number
  epoch: number
}

/** A loss that is not to be trusted, and what the guard has done: see the option onSpike. */
export interface SpikeEvent {
  type: 'spike'
  /** The step that has moved nothing; or the one before an evaluation that gave no number. */
  step: number
  loss: number
  gradientNorm: number
  action: 'skip' | 'restore' | 'lower'
  /** What all learning rates are multiplied by from here on. */
  rate: number
  /** With 'restore': the step of the checkpoint whose weights were taken. */
  from?: number
}

/** The loss on the validation part. */
export interface EvaluationEvent {
  type: 'evaluation'
  step: number
  /** Mean loss on the validation part, in nats a token. */
  loss: number
  /** exp(loss). */
  perplexity: number
  /** The loss in bits a byte of text, which compares across tokenizers. */
  bitsPerByte: number
  /** The lowest validation loss so far; its weights are what the output folder holds. */
  best: boolean
}

/** A text that the model writes while it is trained. */
export interface SampleEvent {
  type: 'sample'
  step: number
  prompt: string
  text: string
}

/** A checkpoint has been written: training can go on from here. */
export interface CheckpointEvent {
  type: 'checkpoint'
  step: number
  folder: string
}

/** How the model answers when it is left alone, once it is made: of data with prompts. */
export interface ProbeEvent extends Probe {
  type: 'probe'
}

/** The last event: the run has ended, and its model is written. */
export interface DoneEvent {
  type: 'done'
  report: TrainReport
}

/** What a finished run can say of itself; also written as report.json in the output folder. */
export interface TrainReport {
  /** Validation loss in nats a token: before the first step, at the end, and the lowest with its step. */
  firstLoss: number
  lastLoss: number
  bestLoss: number
  bestStep: number
  /** The 95 % interval of the best loss; undefined where the validation part is one window. */
  interval?: readonly [low: number, high: number]
  /** Of the best loss. */
  perplexity: number
  bitsPerByte: number
  /** Mean training loss over the last steps, at most 50. */
  trainLoss: number
  steps: number
  tokens: number
  epochs: number
  /** Seconds in this process, with evaluation and saving. */
  seconds: number
  /** The same of all processes of the run, but for what was lost when one was killed. */
  totalSeconds: number
  tokensPerSecond: number
  /** Floating-point operations of the model a second, by the usual count: see trainingFlops. */
  flopsPerSecond: number
  /** flopsPerSecond over this machine's peak, measured before the run; 0 to 1. */
  utilisation: number
  /** The most memory that the process held, in bytes. */
  peakMemory: number
  /** Seconds for which training stood still because of what was saved, in this process. */
  stalled: number
  /** What the guard against spikes has done: see the option onSpike. */
  guard: { skipped: number; restored: number; rate: number }
  /** How the model answers; undefined for data without prompts. */
  probe?: Probe
  /** The bound that ended the run before its last step. */
  stopped?: 'tokens' | 'time' | 'patience'
  parameters: number
  /** How many were learned: of the model, or of its adapter. */
  learned: number
  model: GPT2Config
  /** What the run started from, as it was given. */
  base?: string
  /** The adapter that was learned. */
  lora?: LoraPlan
  /** What was learned from, as the start of the run said it. */
  data: StartEvent['data']
  learningRate: number
  /** Sequences a step. */
  batch: number
  /** Of weights and activations. */
  precision: Dtype
  /** Parameters that were left as they were, as they were named. */
  freeze?: readonly string[]
  device: string
  seed: number
  versions: { gptloom: string; node: string }
}
