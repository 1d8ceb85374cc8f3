import { GptloomError, show } from '../errors.js'
import type { Module } from '../nn/index.js'
import type { Values } from '../tensor/index.js'
import { openSafetensors, writeSafetensors } from './safetensors.js'

/**
 * Writes a module's parameters to a safetensors file, as float32 under their names; whole or not at
 * all.
 * @throws GptloomError ERR_FILE when the file system refuses
 */
export async function saveParameters(module: Module, path: string): Promise<void> {
  const tensors = Array.from(module.namedParameters(), ([name, parameter]) => ({
    name,
    dtype: 'F32' as const,
    shape: parameter.shape,
    data: () => parameter.data(),
  }))
  await writeSafetensors(path, tensors)
}

/**
 * Overwrites a module's parameters with those of a safetensors file. Nothing is changed unless all
 * fit.
 * @throws GptloomError ERR_FILE when the file cannot be read; ERR_FORMAT when it is damaged,
 *   lacks a parameter or has one of another shape
 */
export async function loadParameters(module: Module, path: string): Promise<void> {
  const file = await openSafetensors(path)
  try {
    const state: [string, Values][] = []
    for (const [name, parameter] of module.namedParameters()) {
      const shape = file.tensors.get(name)?.shape
      if (shape && show(shape) !== show(parameter.shape)) {
        const what = `Expected shape ${show(parameter.shape)} for ${name} in ${path}`
        throw new GptloomError('ERR_FORMAT', `${what}, received ${show(shape)}`)
      }
      const values = await file.read(name)
      if (!(values instanceof Float32Array)) {
        throw new GptloomError('ERR_FORMAT', `Expected floats for ${name} in ${path}`)
      }
      state.push([name, values])
    }
    module.loadState(state)
  } finally {
    await file.close()
  }
}
