// A model folder in the layout that Hugging Face's GPT-2 checkpoints have: config.json,
// model.safetensors and the tokenizer's files, so that other tools read what is trained here.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { checkInteger } from '../errors.js'
import { guarded, writeFileAtomic } from '../files.js'
import { GPT2 } from '../models/index.js'
import type { GPT2Config } from '../models/index.js'
import type { Device, Tensor, Values } from '../tensor/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { readBase } from './base.js'
import type { BaseExtras, Weights } from './base.js'
import { toHuggingFace } from './configs.js'
import { parameterShapes } from './mapping.js'
import { writeSafetensors } from './safetensors.js'
import type { SafetensorsInput } from './safetensors.js'

/** The file of a model's weights in its folder. */
export const WEIGHTS = 'model.safetensors'
// Files of the base model have no prefix; those with a head, as ours, have this one.
const PREFIX = 'transformer.'

/** Where the values of tensors come from when they are written; the device itself, by default. */
export type ReadTensor = (tensor: Tensor) => Promise<Values>

const fromDevice: ReadTensor = (tensor) => tensor.data()

/** Writes tensors as float32, each read when its turn comes. Whole or not at all. */
export async function writeTensors(
  path: string,
  tensors: Iterable<readonly [string, Tensor]>,
  read: ReadTensor = fromDevice,
): Promise<void> {
  const inputs = Array.from(tensors, ([name, tensor]): SafetensorsInput => ({
    name,
    dtype: 'F32',
    shape: tensor.shape,
    data: () => read(tensor),
  }))
  await writeSafetensors(path, inputs, { format: 'pt' })
}

/** What a model folder says beyond its sizes. */
export interface FolderOptions {
  /** The Jinja template of its chats. */
  chatTemplate?: string | null
}

/**
 * Writes config.json, the tokenizer's files and the weights into a folder, which is made when missing.
 * Each file is written whole or not at all, the weights last.
 */
export async function writeModel(
  folder: string,
  model: GPT2 | Weights,
  tokenizer: Tokenizer,
  options: FolderOptions = {},
): Promise<void> {
  const weights = weightsOf(model)
  await guarded(folder, 'create', mkdir(folder, { recursive: true }))
  await writeDescription(folder, model.config, tokenizer, options)
  await writeWeights(folder, weights)
}

/**
 * Writes only what describes the model: config.json and the tokenizer's files.
 * @param config null for an adapter, which has none
 */
export async function writeDescription(
  folder: string,
  config: GPT2Config | null,
  tokenizer: Tokenizer,
  { chatTemplate }: FolderOptions = {},
): Promise<void> {
  const end = tokenizer.endOfText
  const files: Record<string, string> = {
    ...tokenizer.files(),
    ...(chatTemplate != null && { 'chat_template.jinja': chatTemplate }),
    ...(config && {
      'config.json': json(toHuggingFace(config, end)),
      'generation_config.json': json({ bos_token_id: end, eos_token_id: end, do_sample: true }),
    }),
  }
  for (const [name, text] of Object.entries(files)) await writeFileAtomic(join(folder, name), text)
}

/**
 * Writes the weights alone, over earlier ones.
 * @param metadata kept in the file beside them
 */
export async function writeWeights(
  folder: string,
  model: GPT2 | Weights,
  metadata: Record<string, string> = {},
): Promise<void> {
  const weights = weightsOf(model)
  const inputs: SafetensorsInput[] = []
  // GPT-2's layout has no way to say "no biases": zeros mean the same.
  for (const [name, shape] of parameterShapes({ ...weights.config, bias: true })) {
    const full = name.startsWith('lm_head') ? name : PREFIX + name
    const zero = !weights.config.bias && name.endsWith('.bias')
    const data = () => (zero ? new Float32Array(shape[0]!) : weights.read(name))
    inputs.push({ name: full, dtype: 'F32', shape, data })
  }
  await writeSafetensors(join(folder, WEIGHTS), inputs, { format: 'pt', ...metadata })
}

/** A model's parameters, each read when it is asked for. */
export function weightsOf(model: GPT2 | Weights, from: ReadTensor = fromDevice): Weights {
  if (!(model instanceof GPT2)) return model
  model.expectExact('saving')
  const parameters = new Map(model.namedParameters())
  const read = async (name: string) => (await from(parameters.get(name)!)) as Float32Array
  return { config: model.config, read }
}

/** A model folder, opened. */
export interface ModelFolder {
  model: GPT2
  tokenizer: Tokenizer
  extras: BaseExtras
}

/**
 * Reads a model folder, or any other base that readBase knows. What stands in it is not trusted. A
 * tokenizer may have more ids than the model's vocabulary, as some published models have: using such
 * an id is then an error.
 *
 * @param options.context the longest sequence, shorter than what the base was made for
 * @throws GptloomError ERR_FILE when a file is missing, ERR_FORMAT when one is not what it should be
 */
export async function readModel(
  path: string,
  device: Device,
  options: { context?: number } = {},
): Promise<ModelFolder> {
  const base = await readBase(path)
  try {
    const most = base.config.context
    const context = checkInteger('context', options.context ?? most, 1, most)
    const tokenizer = await base.tokenizer()
    const model = new GPT2({ ...base.config, context }, device)
    try {
      await base.load(model)
    } catch (error) {
      model.dispose()
      throw error
    }
    return { model, tokenizer, extras: base.extras }
  } finally {
    await base.close()
  }
}

/** Takes the weights of a model folder into a model of the same sizes. */
export async function loadWeights(path: string, model: GPT2): Promise<void> {
  const base = await readBase(path)
  try {
    await base.load(model)
  } finally {
    await base.close()
  }
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2) + '\n'
}
