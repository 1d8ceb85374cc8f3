export {
  checkConfig,
  parameterCount,
  presets,
  resolveModel,
  trainingFlops,
} from './config.js'
export type { GPT2Config, ModelOptions, Preset } from './config.js'
export { trainingMemory } from './memory.js'
export type { MemoryEstimate, TrainingShape } from './memory.js'
export { GPT2, KeyValueCache } from './gpt2.js'
export type { ForwardOptions } from './gpt2.js'
