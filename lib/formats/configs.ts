// What the configurations of other programs say about a model, in our terms, and the reverse.
import { GptloomError, checkInteger, show } from '../errors.js'
import { checkConfig } from '../models/index.js'
import type { GPT2Config } from '../models/index.js'
import type { MappingOptions } from './mapping.js'

type Json = Record<string, unknown>

/** The version of what we write: model folders, adapters, conversations. A later one is refused. */
export const FORMAT = 1

/** The type of our models with local layers. */
const LOCAL = 'gptloom'

/**
 * @param format what a file says; those of other programs and the first ones of ours say nothing
 * @throws GptloomError ERR_FORMAT for a version that is not known yet
 */
export function checkFormat(format: unknown, path: string): void {
  const version = typeof format === 'string' ? Number.parseFloat(format) : (format ?? 0)
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 0)
    throw problem(path, `expected the version of its format, received ${show(format)}`)
  if (version > FORMAT)
    throw problem(path, `it was written by a later gptloom (format ${version}): update gptloom`)
}

/** A model that some file describes: its sizes, and what our GPT-2 has no field for. */
export interface Description {
  config: GPT2Config
  /** How the matrices are stored, and how the queries are scaled. */
  mapping: MappingOptions
}

const GELU: Record<string, GPT2Config['gelu']> = {
  gelu_new: 'tanh',
  gelu_pytorch_tanh: 'tanh',
  gelu_fast: 'tanh',
  gelu: 'exact',
}

/**
 * Reads a config.json of GPT-2 or GPT-Neo.
 *
 * @param path the file's name for messages
 * @throws GptloomError ERR_FORMAT naming the field
 */
export function fromHuggingFace(value: unknown, path: string): Description {
  const json = value as Json | null
  const type = typeof json === 'object' ? json?.model_type : undefined
  if (type !== 'gpt2' && type !== LOCAL && type !== 'gpt_neo') {
    throw problem(path, `expected "model_type": "gpt2" or "gpt_neo", received ${show(type)}`)
  }
  try {
    return type === 'gpt_neo' ? fromNeo(json as Json, path) : fromGpt2(json as Json, path)
  } catch (error) {
    if (error instanceof GptloomError) throw error
    throw problem(path, (error as Error).message)
  }
}

function fromGpt2(json: Json, path: string): Description {
  const own = (json.gptloom ?? {}) as Pick<GPT2Config, 'windows'> & {
    bias?: boolean
    format?: unknown
  }
  checkFormat(own.format, path)
  if (json.add_cross_attention === true) {
    throw problem(path, '"add_cross_attention": true is not supported')
  }
  const width = integer(json, 'n_embd')
  checkInner(json.n_inner, width, 'n_inner', path)
  const config = checkConfig({
    vocabulary: integer(json, 'vocab_size'),
    context: integer(json, 'n_positions'),
    layers: integer(json, 'n_layer'),
    heads: integer(json, 'n_head'),
    width,
    bias: own.bias ?? true,
    tied: (json.tie_word_embeddings ?? true) as boolean,
    dropout: (json.resid_pdrop ?? 0) as number,
    epsilon: (json.layer_norm_epsilon ?? 1e-5) as number,
    ...(own.windows && { windows: own.windows }),
    gelu: activation(json, path),
  })
  // Ours divides scores by the root of the head size, always: another scale goes into the queries.
  const plain = flag(json, 'scale_attn_weights', true, path) ? 1 : Math.sqrt(width / config.heads)
  const inverse = flag(json, 'scale_attn_by_inverse_layer_idx', false, path)
  return {
    config,
    mapping: {
      layout: 'conv1d',
      queryScale: (layer) => (inverse ? plain / (layer + 1) : plain),
    },
  }
}

// GPT-Neo (Black et al. 2021): GPT-2 whose layers alternate between all positions and the last 256,
// with unscaled scores and without biases in queries, keys and values.
function fromNeo(json: Json, path: string): Description {
  const width = integer(json, 'hidden_size')
  checkInner(json.intermediate_size, width, 'intermediate_size', path)
  const layers = integer(json, 'num_layers')
  const window = checkInteger('window_size', json.window_size ?? 256)
  const kinds = neoLayers(json, layers, path)
  const config = checkConfig({
    vocabulary: integer(json, 'vocab_size'),
    context: integer(json, 'max_position_embeddings'),
    layers,
    heads: integer(json, 'num_heads'),
    width,
    bias: true,
    tied: (json.tie_word_embeddings ?? true) as boolean,
    dropout: (json.resid_dropout ?? 0) as number,
    epsilon: (json.layer_norm_epsilon ?? 1e-5) as number,
    windows: kinds.map((kind) => (kind === 'local' ? window : null)),
    gelu: activation(json, path),
  })
  return {
    config,
    mapping: { layout: 'neo', queryScale: () => Math.sqrt(width / config.heads) },
  }
}

function neoLayers(json: Json, layers: number, path: string): unknown[] {
  const kinds: unknown[] = []
  for (const group of list(json.attention_types)) {
    const [names, count] = list(group)
    for (let i = 0; i < Number(count) && kinds.length < layers; i++) kinds.push(...list(names))
  }
  if (kinds.length !== layers || kinds.some((kind) => kind !== 'global' && kind !== 'local')) {
    throw problem(path, `expected "global" or "local" for ${layers} layers in attention_types`)
  }
  return kinds
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, 1000) : []
}

/**
 * Reads the `model_args` of a nanoGPT checkpoint.
 *
 * @throws GptloomError ERR_FORMAT naming the field
 */
export function fromNanoGpt(args: ReadonlyMap<unknown, unknown>, path: string): Description {
  const integer = (name: string) => checkInteger(`model_args.${name}`, args.get(name))
  try {
    const config = checkConfig({
      vocabulary: integer('vocab_size'),
      context: integer('block_size'),
      layers: integer('n_layer'),
      heads: integer('n_head'),
      width: integer('n_embd'),
      bias: (args.get('bias') ?? true) as boolean,
      tied: true,
      dropout: (args.get('dropout') ?? 0) as number,
      epsilon: 1e-5,
      gelu: 'exact',
    })
    return { config, mapping: { layout: 'linear' } }
  } catch (error) {
    throw problem(path, (error as Error).message)
  }
}

/**
 * The config.json of a model of ours, as Transformers writes that of a GPT2LMHeadModel; under a type of
 * its own where layers are local, which a GPT2LMHeadModel cannot be.
 */
export function toHuggingFace(config: GPT2Config, endOfText: number | undefined): Json {
  const { vocabulary, context, layers, heads, width, bias, tied, dropout, epsilon } = config
  const { windows, gelu } = config
  return {
    ...(windows ? {} : { architectures: ['GPT2LMHeadModel'] }),
    model_type: windows ? LOCAL : 'gpt2',
    activation_function: gelu === 'exact' ? 'gelu' : 'gelu_new',
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
    gptloom: { format: FORMAT, bias, ...(windows && { windows }) },
  }
}

function integer(json: Json, name: string): number {
  return checkInteger(name, json[name] ?? undefined)
}

function flag(json: Json, name: string, usual: boolean, path: string): boolean {
  const value = json[name] ?? usual
  if (typeof value !== 'boolean') {
    throw problem(path, `expected true or false for "${name}", received ${show(value)}`)
  }
  return value
}

function checkInner(inner: unknown, width: number, name: string, path: string): void {
  if ((inner ?? 4 * width) !== 4 * width) {
    throw problem(path, `${name} ${show(inner)} is not supported: expected ${4 * width}`)
  }
}

function activation(json: Json, path: string): GPT2Config['gelu'] {
  const name = json.activation_function ?? 'gelu_new'
  if (typeof name === 'string' && Object.hasOwn(GELU, name)) return GELU[name]!
  throw problem(
    path,
    `expected "activation_function": "gelu_new" or "gelu", received ${show(name)}`,
  )
}

function problem(path: string, what: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path}: ${what}`)
}
