export { generateTokens } from './generate.js'
export type { GenerateOptions } from './generate.js'
export { LanguageModel, load } from './language.js'
export type {
  Completion,
  CompletionOptions,
  Finish,
  LoadOptions,
  TokenLogprob,
} from './language.js'
export type { Score } from './measure.js'
export type { PenaltyOptions } from './penalties.js'
export type { SamplingOptions } from './sampler.js'
export { ChatSession } from './session.js'
