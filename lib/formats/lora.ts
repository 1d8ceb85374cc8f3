// Between adapters on disk, in PEFT's layout, and those that a model runs with.
import { GptloomError, show } from '../errors.js'
import { Lora, LoraLayer } from '../nn/index.js'
import type { GPT2 } from '../models/index.js'
import type { Tensor } from '../tensor/index.js'
import type { ReadTensor } from './huggingface.js'
import { readAdapter, writeAdapter } from './peft.js'
import type { LoraAdapter } from './peft.js'

/**
 * Reads an adapter's folder for a model; `base` is what it says that it was made for.
 * @throws GptloomError ERR_FILE, ERR_FORMAT when it is damaged or does not fit the model
 */
export async function readLora(
  folder: string,
  model: GPT2,
): Promise<{ lora: Lora; base: string | null }> {
  const adapter = await readAdapter(folder)
  try {
    const linears = model.linears()
    const layers = new Map<string, LoraLayer>()
    for (const { name, rank, inputs, outputs, scale, a, b } of adapter.matrices) {
      const shape = linears.get(name)?.weight.shape
      if (shape?.join() !== [inputs, outputs].join()) {
        throw new GptloomError(
          'ERR_FORMAT',
          `${folder}: the adapter has ${show([inputs, outputs])} for ${name}, the model ${show(shape)}: ` +
            'it was made for another base',
        )
      }
      const matrix = (values: Float32Array, shape: number[]) =>
        model.device.tensor(values, shape, model.dtype)
      const [down, up] = [matrix(await a(), [rank, inputs]), matrix(await b(), [outputs, rank])]
      layers.set(name, new LoraLayer(down, up, scale, adapter.dropout))
    }
    const { rank, alpha, dropout, rsLora, base } = adapter
    return { lora: new Lora({ rank, alpha, dropout, rsLora }, layers), base }
  } finally {
    await adapter.close()
  }
}

/**
 * Takes an adapter's matrices from a folder into one of the same sizes.
 * @throws GptloomError ERR_FILE, ERR_FORMAT
 */
export async function loadLora(folder: string, lora: Lora): Promise<void> {
  const adapter = await readAdapter(folder)
  try {
    const state: [string, Float32Array][] = []
    for (const { name, a, b } of adapter.matrices)
      state.push([`${name}.lora_A`, await a()], [`${name}.lora_B`, await b()])
    lora.loadState(state)
  } finally {
    await adapter.close()
  }
}

/**
 * Writes an adapter in PEFT's layout.
 * @param base what it goes with: a name on a hub, or a path
 * @param metadata kept in the file of the matrices
 */
export async function writeLora(
  folder: string,
  lora: Lora,
  model: GPT2,
  base: string | null,
  { from, metadata }: { from?: ReadTensor; metadata?: Record<string, string> } = {},
): Promise<void> {
  await writeAdapter(folder, adapterOf(lora, base, from), model.config.layers, metadata)
}

/** An adapter as the writers of files want it. */
export function adapterOf(
  { settings, layers }: Lora,
  base: string | null,
  from: ReadTensor = (tensor) => tensor.data(),
): LoraAdapter {
  const read = (tensor: Tensor) => async () => (await from(tensor)) as Float32Array
  const matrices = Array.from(layers, ([name, { a, b, scale }]) => {
    const [rank, inputs] = a.shape as [number, number]
    return { name, rank, inputs, outputs: b.shape[0]!, scale, a: read(a), b: read(b) }
  })
  return { ...settings, base, matrices }
}
