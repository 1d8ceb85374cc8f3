export { checkData, readRows } from './data/index.js'
export type {
  CheckReport,
  Data,
  Example,
  LedgerEntry,
  LedgerSummary,
  Message,
  Notice,
  ReadOptions,
  Row,
} from './data/index.js'
export { AbortError, GptloomError } from './errors.js'
export type { ErrorCode } from './errors.js'
export { evaluate } from './evaluate/index.js'
export type {
  AnswerFunction,
  Compared,
  EvaluateOptions,
  Evaluation,
  Figure,
  Verdict,
} from './evaluate/index.js'
export { ChatSession, LanguageModel, load } from './generate/index.js'
export type {
  Completion,
  CompletionOptions,
  Finish,
  GenerateOptions,
  LoadOptions,
  Score,
  TokenLogprob,
} from './generate/index.js'
export { parameterCount, presets, trainingMemory } from './models/index.js'
export type { GPT2Config, MemoryEstimate, ModelOptions, Preset } from './models/index.js'
export type { ChatMessage, ChatTemplate, Tokenizer } from './tokenizer/index.js'
export { Pseudonyms, Scrubber, findPersonalData, scrubFile } from './privacy/index.js'
export type { ScrubOptions } from './privacy/index.js'
export { train } from './train/index.js'
export type {
  CheckpointEvent,
  DoneEvent,
  EvaluationEvent,
  LoraOptions,
  PrepareEvent,
  SampleEvent,
  ProbeEvent,
  SpikeEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
  TrainOptions,
  TrainReport,
  TrainResult,
  TrainRun,
} from './train/index.js'
