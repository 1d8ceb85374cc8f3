export type { LoraOptions, LoraPlan } from './adapt.js'
export { modelCard, writeCard } from './card.js'
export type { CardEvaluation } from './card.js'
export type {
  CheckpointEvent,
  DoneEvent,
  EvaluationEvent,
  PrepareEvent,
  SampleEvent,
  ProbeEvent,
  SpikeEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  TrainReport,
} from './events.js'
export { optionNames } from './options.js'
export type { TrainOptions } from './options.js'
export { train } from './train.js'
export type { TrainResult, TrainRun } from './train.js'
export { peakFlops } from './peak.js'
