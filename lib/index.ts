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

// What the above are made of.
export type { CheckOptions } from './data/check.js'
export type { Columns } from './data/formats/columns.js'
export type { Container, Format as DataFormat, Whole } from './data/formats/detect.js'
export type { RowFormat } from './data/formats/shapes.js'
export type { DateOrder } from './data/helpdesk/whatsapp.js'
export type { Status as LedgerStatus } from './data/ledger.js'
export type {
  Chat as ChatExample,
  Completion as CompletionExample,
  Document as DocumentExample,
  Origin,
  Preference as PreferenceExample,
  Problem,
  Role,
} from './data/record.js'
export type { LongPolicy } from './data/render.js'
export type { TrainingShape } from './models/memory.js'
export type { ScrubFileOptions, ScrubReport } from './privacy/file.js'
export type { FindOptions, Finder } from './privacy/find.js'
export type { Finding, Kind as PersonalDataKind } from './privacy/kinds.js'
export type { Rule as ScrubRule } from './privacy/rules.js'
export type { NameFinder, Operator as ScrubOperator, Scrubbed } from './privacy/scrubber.js'
export type { RenderOptions, Segment } from './tokenizer/template.js'
export type { EncodeOptions, StreamDecoder, StreamEncoder } from './tokenizer/tokenizer.js'
export type { LoraPlan } from './train/adapt.js'
export type { NoticeEvent } from './train/events.js'
export type { OnSpike } from './train/options.js'
export type { DataFile } from './train/output.js'
export type { GPT2 } from './models/gpt2.js'
