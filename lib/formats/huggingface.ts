// A model folder in the layout that Hugging Face's GPT-2 checkpoints have: config.json,
// model.safetensors and the tokenizer's files, so that other tools read what is trained here.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { GptloomError, checkInteger, show } from '../errors.js'
import { exists, guarded, readJson, writeFileAtomic } from '../files.js'
import { GPT2, checkConfig } from '../models/index.js'
import type { GPT2Config } from '../models/index.js'
import type { Device, Tensor } from '../tensor/index.js'
import { loadTokenizer } from '../tokenizer/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { openSafetensors, writeSafetensors } from './safetensors.js'
import type { SafetensorsFile, SafetensorsInput } from './safetensors.js'

const WEIGHTS = 'model.safetensors'
// Files of the base model have no prefix; those with a head, as ours, have this one.
const PREFIX = 'transformer.'

/** Writes tensors as float32, each read from the device when its turn comes. Whole or not at all. */
export async function writeTensors(
  path: string,
  tensors: Iterable<readonly [string, Tensor]>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const inputs = Array.from(tensors, ([name, tensor]): SafetensorsInput => ({
    name,
    dtype: 'F32',
    shape: tensor.shape,
    data: () => tensor.data(),
  }))
  await writeSafetensors(path, inputs, { format: 'pt', ...metadata })
}

/**
 * Writes config.json, the tokenizer's files and the weights into a folder, which is made when missing.
 * Each file is written whole or not at all, the weights last.
 */
export async function writeModel(folder: string, model: GPT2, tokenizer: Tokenizer): Promise<void> {
  await guarded(folder, 'create', mkdir(folder, { recursive: true }))
  await writeDescription(folder, model.config, tokenizer)
  await writeWeights(folder, model)
}

/** Writes only what describes the model: config.json and the tokenizer's files. */
export async function writeDescription(
  folder: string,
  config: GPT2Config,
  tokenizer: Tokenizer,
): Promise<void> {
  const end = tokenizer.endOfText
  const files: Record<string, string> = {
    ...tokenizer.files(),
    'config.json': json(toHuggingFace(config, end)),
    'generation_config.json': json({ bos_token_id: end, eos_token_id: end, do_sample: true }),
  }
  for (const [name, text] of Object.entries(files)) await writeFileAtomic(join(folder, name), text)
}

/** Writes the weights alone, over earlier ones. */
export async function writeWeights(folder: string, model: GPT2): Promise<void> {
  const { bias, width: C } = model.config
  const inputs: SafetensorsInput[] = []
  for (const [name, tensor] of model.namedParameters()) {
    const full = name.startsWith('lm_head') ? name : PREFIX + name
    inputs.push({ name: full, dtype: 'F32', shape: tensor.shape, data: () => tensor.data() })
    // GPT-2's layout has no way to say "no biases": zeros mean the same.
    if (bias || !name.endsWith('.weight') || /^(wte|wpe|lm_head)/.test(name)) continue
    const shape = [tensor.shape.length === 2 ? tensor.shape[1]! : C]
    const zeros = () => new Float32Array(shape[0]!)
    inputs.push({ name: full.replace(/weight$/, 'bias'), dtype: 'F32', shape, data: zeros })
  }
  await writeSafetensors(join(folder, WEIGHTS), inputs, { format: 'pt' })
}

/** A model folder, opened. */
export interface ModelFolder {
  model: GPT2
  tokenizer: Tokenizer
}

/**
 * Reads a model folder. What stands in it is not trusted.
 * @throws GptloomError ERR_FILE when a file is missing, ERR_FORMAT when one is not what it should be
 */
export async function readModel(folder: string, device: Device): Promise<ModelFolder> {
  if (!(await exists(join(folder, 'config.json')))) {
    const missing = (await exists(folder)) ? 'holds no config.json' : 'does not exist'
    throw new GptloomError(
      'ERR_FILE',
      `${folder} ${missing}: expected a model folder with config.json, ${WEIGHTS} and a tokenizer`,
    )
  }
  const path = join(folder, 'config.json')
  const config = fromHuggingFace((await readJson(path)) as Record<string, unknown>, path)
  const tokenizer = await loadTokenizer(folder)
  if (tokenizer.size > config.vocabulary) {
    throw new GptloomError(
      'ERR_FORMAT',
      `${folder}: the tokenizer has ${tokenizer.size} tokens, ` +
        `the model's vocabulary only ${config.vocabulary}`,
    )
  }
  const file = await openSafetensors(join(folder, WEIGHTS))
  try {
    checkWeights(file, config)
    const model = new GPT2(config, device)
    await readWeights(file, model)
    return { model, tokenizer }
  } finally {
    await file.close()
  }
}

// Before any memory is taken: a config.json may claim any size, but the file of weights has one.
function checkWeights(file: SafetensorsFile, config: GPT2Config): void {
  const { vocabulary, context, width, layers } = config
  const expected: [string, number[]][] = [
    ['wte.weight', [vocabulary, width]],
    ['wpe.weight', [context, width]],
    [`h.${layers - 1}.mlp.c_proj.weight`, [4 * width, width]],
  ]
  for (const [name, shape] of expected) find(file, name, shape)
}

function find(file: SafetensorsFile, name: string, shape: readonly number[]): string {
  const known = [PREFIX + name, name].find((candidate) => file.tensors.has(candidate))
  if (!known)
    throw new GptloomError('ERR_FORMAT', `${file.path} holds no tensor ${show(PREFIX + name)}`)
  const entry = file.tensors.get(known)!
  if (entry.shape.join() !== shape.join() || !/^(F|BF)\d+$/.test(entry.dtype)) {
    throw new GptloomError(
      'ERR_FORMAT',
      `${file.path}: expected floats ${show(shape)} for ${known}, as config.json says, received ` +
        `${entry.dtype} ${show(entry.shape)}`,
    )
  }
  return known
}

/** Takes the weights of a model folder into a model of the same sizes. */
export async function loadWeights(folder: string, model: GPT2): Promise<void> {
  const file = await openSafetensors(join(folder, WEIGHTS))
  try {
    await readWeights(file, model)
  } finally {
    await file.close()
  }
}

async function readWeights(file: SafetensorsFile, model: GPT2): Promise<void> {
  for (const [name, tensor] of model.namedParameters()) {
    tensor.write((await file.read(find(file, name, tensor.shape))) as Float32Array)
    await model.device.idle() // so that only one tensor is held twice
  }
}

function toHuggingFace(config: GPT2Config, endOfText: number | undefined): Record<string, unknown> {
  const { vocabulary, context, layers, heads, width, bias, tied, dropout, epsilon } = config
  return {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    activation_function: 'gelu_new',
    vocab_size: vocabulary,
    n_positions: context,
    n_ctx: context,
    n_embd: width,
    n_layer: layers,
    n_head: heads,
    n_inner: null,
    layer_norm_epsilon: epsilon,
    initializer_range: 0.02,
    embd_pdrop: dropout,
    attn_pdrop: dropout,
    resid_pdrop: dropout,
    tie_word_embeddings: tied,
    bos_token_id: endOfText ?? null,
    eos_token_id: endOfText ?? null,
    torch_dtype: 'float32',
    gptloom: { bias },
  }
}

function fromHuggingFace(json: Record<string, unknown>, path: string): GPT2Config {
  const fail = (what: string) => new GptloomError('ERR_FORMAT', `${path}: ${what}`)
  if (typeof json !== 'object' || json === null || json.model_type !== 'gpt2') {
    throw fail(`expected "model_type": "gpt2", received ${show(json?.model_type)}`)
  }
  const integer = (name: string): number => checkInteger(name, json[name] ?? undefined)
  const { activation_function: act = 'gelu_new', n_inner: inner = null } = json
  if (act !== 'gelu_new' && act !== 'gelu_pytorch_tanh') {
    throw fail(`expected "activation_function": "gelu_new", received ${show(act)}`)
  }
  // Variants of attention that Transformers knows and GPT-2 does not use.
  for (const [name, usual] of [
    ['scale_attn_weights', true],
    ['scale_attn_by_inverse_layer_idx', false],
  ] as const) {
    if ((json[name] ?? usual) !== usual)
      throw fail(`"${name}": ${show(json[name])} is not supported`)
  }
  const own = (json.gptloom ?? {}) as { bias?: boolean }
  try {
    const width = integer('n_embd')
    if (inner !== null && inner !== 4 * width) throw fail(`n_inner ${show(inner)} is not supported`)
    return checkConfig({
      vocabulary: integer('vocab_size'),
      context: integer('n_positions'),
      layers: integer('n_layer'),
      heads: integer('n_head'),
      width,
      bias: own.bias ?? true,
      tied: (json.tie_word_embeddings ?? true) as boolean,
      dropout: (json.resid_pdrop ?? 0) as number,
      epsilon: (json.layer_norm_epsilon ?? 1e-5) as number,
    })
  } catch (error) {
    throw error instanceof GptloomError ? error : fail((error as Error).message)
  }
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2) + '\n'
}
