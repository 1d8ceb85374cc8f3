export {
  checkConfig,
  parameterCount,
  presets,
  resolveModel,
  trainingFlops,
  trainingMemory,
} from './config.js'
export type { GPT2Config, MemoryEstimate, ModelOptions, Preset, TrainingShape } from './config.js'
export { GPT2, KeyValueCache } from './gpt2.js'
export type { ForwardOptions } from './gpt2.js'
