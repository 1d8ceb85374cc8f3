// The models that training can start from, in the layouts of the programs that made them, behind one
// interface: a configuration, and each parameter as float32 when it is asked for.
import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { GptloomError, show } from '../errors.js'
import { exists } from '../files.js'
import type { GPT2, GPT2Config } from '../models/index.js'
import { CharacterTokenizer, gpt2Tokenizer, loadTokenizer } from '../tokenizer/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { fromHuggingFace, fromNanoGpt } from './configs.js'
import type { Description } from './configs.js'
import { openRegular, readPiece } from './elements.js'
import type { TensorSource } from './elements.js'
import { GGUF_MAGIC, GgufFile, openGguf } from './gguf.js'
import { fromGguf, ggufTokenizer, roundedIn } from './ggufbase.js'
import { readSmall, readSmallJson } from './json.js'
import { LLMC_MAGIC, openLlmc } from './llmc.js'
import { checkRecipes, makeParameter, parameterShapes, recipes } from './mapping.js'
import type { Recipe } from './mapping.js'
import { openPytorch, readPickleFile } from './pytorch.js'
import type { PytorchFile } from './pytorch.js'
import { openSafetensors } from './safetensors.js'
import { openShards } from './shards.js'

/** Parameters by our names: a model, or a file that holds one. */
export interface Weights {
  readonly config: GPT2Config
  /** Row-major float32 in our layout: matrices are [inputs, outputs]. */
  read(name: string): Promise<Float32Array>
}

/** What a base says beyond its sizes. */
export interface BaseExtras {
  /** The Jinja template of its chats, or null. */
  chatTemplate: string | null
  /** What the reader could not keep as it was: a line each, for people. */
  notes: string[]
}

const WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
] as const

/** An open base. Close it when its weights have been read. */
export class Base implements Weights {
  readonly config: GPT2Config
  readonly extras: BaseExtras
  readonly #recipes: Map<string, Recipe>

  /** @internal */
  constructor(
    /** Where it came from: a folder or a file. */
    readonly path: string,
    readonly kind: 'huggingface' | 'nanogpt' | 'llm.c' | 'gguf',
    description: Description,
    private readonly source: TensorSource,
    chatTemplate: string | null = null,
  ) {
    const { config, mapping } = description
    this.config = config
    this.extras = { chatTemplate, notes: [] }
    const rounded = source instanceof GgufFile ? roundedIn(source) : undefined
    if (rounded !== undefined) this.extras.notes.push(rounded)
    this.#recipes = recipes(config, { ...mapping, rename: naming(source, mapping.rename) })
    checkRecipes(source, this.#recipes)
  }

  /** The shapes of its parameters by name, in the order of a model's. */
  get shapes(): ReadonlyMap<string, readonly number[]> {
    return parameterShapes(this.config)
  }

  /**
   * One parameter: row-major float32 in our layout. The file is read now.
   *
   * @throws GptloomError ERR_FILE, ERR_FORMAT
   */
  async read(name: string): Promise<Float32Array> {
    const recipe = this.#recipes.get(name)
    if (!recipe) throw new GptloomError('ERR_FORMAT', `${this.path} holds no ${show(name)}`)
    return makeParameter(this.source, recipe)
  }

  /**
   * Writes all weights into a model, holding one at a time. The model may have a larger vocabulary,
   * whose further rows become the mean of those before (Hewitt 2021), and a shorter context.
   * Parameters that the base does not have, such as those of adapters, are left alone.
   *
   * @throws GptloomError ERR_FORMAT when the model has other sizes; ERR_FILE
   */
  async load(model: GPT2): Promise<void> {
    const parameters = new Map(model.namedParameters())
    for (const [name, shape] of this.shapes) {
      const tensor = parameters.get(name)
      const rows = tensor?.shape[0] ?? 0
      const table = /^(wte|lm_head)\./.test(name) && rows >= shape[0]!
      const fits =
        tensor?.shape.slice(1).join() === shape.slice(1).join() &&
        (rows === shape[0] || table || (name.startsWith('wpe') && rows < shape[0]!))
      if (!fits) {
        throw new GptloomError(
          'ERR_FORMAT',
          `${this.path}: ${name} is ${show(shape)}, the model's ${show(tensor?.shape)}`,
        )
      }
      tensor!.write(resized(await this.read(name), shape[0]!, rows))
      await model.device.idle() // so that only one tensor is held twice
    }
  }

  /**
   * The tokenizer beside the weights; for GPT-2's vocabulary of 50257 ids, padded or not, the
   * package's own when there is none.
   *
   * @throws GptloomError ERR_FILE when there is none, ERR_FORMAT
   */
  async tokenizer(): Promise<Tokenizer> {
    if (this.source instanceof GgufFile) return ggufTokenizer(this.source)
    const folder = (await isFolder(this.path)) ? this.path : dirname(this.path)
    for (const name of ['tokenizer.json', 'vocab.json']) {
      if (await exists(join(folder, name))) return loadTokenizer(folder)
    }
    const meta = join(folder, 'meta.pkl')
    if (this.kind === 'nanogpt' && (await exists(meta))) return fromMeta(meta)
    const { vocabulary } = this.config
    if (vocabulary >= 50257 && vocabulary <= 50304) return gpt2Tokenizer()
    if (this.kind === 'huggingface') return loadTokenizer(folder) // which says what it misses
    const remedy = this.kind === 'nanogpt' ? ', or the meta.pkl of its data' : ''
    throw new GptloomError(
      'ERR_FILE',
      `${folder} holds no tokenizer for the ${vocabulary} tokens of ${basename(this.path)}: ` +
        `put its tokenizer.json there${remedy}`,
    )
  }

  async close(): Promise<void> {
    await this.source.close()
  }
}

/**
 * Opens a base: a folder of Hugging Face's (GPT-2 or GPT-Neo: safetensors or PyTorch, whole or in
 * shards) or of ours, a checkpoint of nanoGPT (ckpt.pt, or the folder that holds it) or of llm.c
 * (.bin), a GPT-2 in GGUF. What stands in it is not trusted, and no code in it is run.
 *
 * @throws GptloomError ERR_FILE when something is missing, ERR_FORMAT when it is not what it should be
 */
export async function readBase(path: string): Promise<Base> {
  if (!(await exists(path))) {
    throw new GptloomError(
      'ERR_FILE',
      `${path} does not exist: expected a model folder, or a checkpoint of nanoGPT or llm.c`,
    )
  }
  if (!(await isFolder(path))) return readFileBase(path)
  if (await exists(join(path, 'config.json'))) return readFolder(path, await findWeights(path))
  if (await exists(join(path, 'ckpt.pt'))) return readNano(join(path, 'ckpt.pt'))
  const adapter = await exists(join(path, 'adapter_config.json'))
  throw new GptloomError(
    'ERR_FILE',
    adapter
      ? `${path} holds an adapter, not a model: give the model that it belongs to, or merge the two ` +
          '(`gptloom export` with --merge and --huggingface)'
      : `${path} holds no config.json: expected a model folder with config.json, ` +
          `${WEIGHTS[0]} and a tokenizer`,
  )
}

async function readFileBase(path: string): Promise<Base> {
  const { file } = await openRegular(path)
  const start = await readPiece(file, path, 0, 4).finally(() => file.close())
  const magic = start.length === 4 ? start.readUInt32LE() : 0
  if (magic === LLMC_MAGIC) {
    const source = await openLlmc(path)
    const mapping = { layout: 'linear' } as const
    return opened(source, (source) => {
      const { config } = source
      return new Base(path, 'llm.c', { config, mapping }, source)
    })
  }
  if (magic === GGUF_MAGIC) {
    return opened(await openGguf(path), (source) => {
      const template = source.metadata.get('tokenizer.chat_template')
      const chats = typeof template === 'string' ? template : null
      return new Base(path, 'gguf', fromGguf(source), source, chats)
    })
  }
  const weights = WEIGHTS.find((name) => name === basename(path))
  const folder = dirname(path)
  if (weights && (await exists(join(folder, 'config.json')))) return readFolder(folder, weights)
  return readNano(path)
}

async function readFolder(folder: string, weights: (typeof WEIGHTS)[number]): Promise<Base> {
  const path = join(folder, 'config.json')
  const description = fromHuggingFace(await readSmallJson(path), path)
  const file = join(folder, weights)
  const source = weights.endsWith('.json')
    ? await openShards(file)
    : await (weights === 'model.safetensors' ? openSafetensors : openPytorch)(file)
  return opened(source, async (source) => {
    return new Base(folder, 'huggingface', description, source, await readChatTemplate(folder))
  })
}

async function findWeights(folder: string): Promise<(typeof WEIGHTS)[number]> {
  for (const name of WEIGHTS) if (await exists(join(folder, name))) return name
  throw new GptloomError(
    'ERR_FILE',
    `${join(folder, WEIGHTS[0])}: there is no such file, nor ${WEIGHTS.slice(1).join(' or ')}`,
  )
}

// A training checkpoint: the state dict under `model`, the sizes under `model_args`.
async function readNano(path: string): Promise<Base> {
  return opened(await openPytorch(path), (source: PytorchFile) => {
    const args = source.root.get('model_args')
    if (!(args instanceof Map)) {
      throw new GptloomError(
        'ERR_FORMAT',
        `${path} says nothing about its sizes: expected a nanoGPT checkpoint with model_args, or a ` +
          'config.json beside pytorch_model.bin',
      )
    }
    return new Base(path, 'nanogpt', fromNanoGpt(args, path), source)
  })
}

async function opened<T extends TensorSource>(
  source: T,
  make: (source: T) => Base | Promise<Base>,
): Promise<Base> {
  try {
    return await make(source)
  } catch (error) {
    await source.close()
    throw error
  }
}

// Files of a bare model have no prefix, those with a head 'transformer.', those of a compiled model
// '_orig_mod.' before that.
function naming(source: TensorSource, own = (name: string) => name) {
  const prefixes = [
    'transformer.',
    '',
    '_orig_mod.transformer.',
    '_orig_mod.',
    'module.transformer.',
  ]
  const prefix =
    prefixes.find((start) => source.tensors.has(start + own('wte.weight'))) ?? prefixes[0]!
  const outer = prefix.replace('transformer.', '')
  return (name: string) => {
    const known = own(name)
    return (known.startsWith('lm_head') ? outer : prefix) + known
  }
}

function resized(values: Float32Array, had: number, rows: number): Float32Array {
  const width = values.length / had
  if (rows <= had) return values.subarray(0, rows * width)
  const result = new Float32Array(rows * width)
  result.set(values)
  const mean = new Float64Array(width)
  for (let i = 0; i < values.length; i++) mean[i % width]! += values[i]! / had
  for (let row = had; row < rows; row++) result.set(mean, row * width)
  return result
}

/** The Jinja template of a folder's chats, or null. */
export async function readChatTemplate(folder: string): Promise<string | null> {
  const file = join(folder, 'chat_template.jinja')
  if (await exists(file)) return (await readSmall(file)).toString()
  const path = join(folder, 'tokenizer_config.json')
  if (!(await exists(path))) return null
  const { chat_template: value } = ((await readSmallJson(path)) ?? {}) as Record<string, unknown>
  if (typeof value === 'string') return value
  const named = (Array.isArray(value) ? value : []).find(
    (item: { name?: unknown } | null) => item?.name === 'default',
  ) as { template?: unknown } | undefined
  return typeof named?.template === 'string' ? named.template : null
}

// The characters of a nanoGPT data set: {vocab_size, itos: {id: character}, stoi}.
async function fromMeta(path: string): Promise<Tokenizer> {
  const meta = await readPickleFile(path)
  const table = meta instanceof Map ? meta.get('itos') : undefined
  const names =
    table instanceof Map ? Array.from({ length: table.size }, (_, i) => table.get(i)) : []
  const sound = names.every((name) => typeof name === 'string' && /^\P{Surrogate}$/u.test(name))
  if (names.length === 0 || !sound || new Set(names).size !== names.length) {
    throw new GptloomError('ERR_FORMAT', `${path} does not hold the characters of a vocabulary`)
  }
  return new CharacterTokenizer(names as string[], new Map())
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
