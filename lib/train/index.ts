export type {
  CheckpointEvent,
  DoneEvent,
  EvaluationEvent,
  PrepareEvent,
  SampleEvent,
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
