export { Base, readBase } from './base.js'
export type { BaseExtras, Weights } from './base.js'
export { openGguf } from './gguf.js'
export type { GgufFile, GgufValue } from './gguf.js'
export { GGUF_TYPES, writeGguf, writeGgufAdapter } from './ggufmodel.js'
export type { GgufOptions, GgufType } from './ggufmodel.js'
export {
  WEIGHTS,
  loadWeights,
  readModel,
  weightsOf,
  writeDescription,
  writeModel,
  writeTensors,
  writeWeights,
} from './huggingface.js'
export type { FolderOptions, ModelFolder, ReadTensor } from './huggingface.js'
export { adapterOf, loadLora, readLora, writeLora } from './lora.js'
export { modelfile } from './modelfile.js'
export type { ModelfileOptions } from './modelfile.js'
export { ADAPTER, LORA_TARGETS, mergedWeights, readAdapter, writeAdapter } from './peft.js'
export type { LoraAdapter, LoraMatrix, OpenAdapter } from './peft.js'
export { openSafetensors, writeSafetensors } from './safetensors.js'
export type { SafetensorsFile, SafetensorsInput } from './safetensors.js'
