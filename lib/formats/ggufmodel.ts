// Our models as llama.cpp expects GPT-2 to be: its names of tensors, matrices as [outputs, inputs], the
// keys of its metadata, and the vocabulary in its terms.
import { GptloomError, checkKeys, outOfRange, show } from '../errors.js'
import type { GPT2, GPT2Config } from '../models/index.js'
import { BpeTokenizer, CharacterTokenizer } from '../tokenizer/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { nameOf, toBinary } from '../tokenizer/bytes.js'
import { version } from '../package.js'
import type { Weights } from './base.js'
import { TOKEN_TYPE, ggufName } from './ggufnames.js'
import { writeGgufFile } from './ggufwriter.js'
import type { GgufField, GgufInput, GgufType } from './ggufwriter.js'
import { weightsOf } from './huggingface.js'
import { isMatrix, parameterShapes, transpose } from './mapping.js'
import type { LoraAdapter } from './peft.js'

export type { GgufType } from './ggufwriter.js'

export const GGUF_TYPES = ['f32', 'f16', 'bf16', 'q8_0'] as const satisfies readonly GgufType[]

export interface GgufOptions {
  /** How matrices are stored. Default 'f16'. Norms, biases and positions stay float32. */
  type?: GgufType
  /** The Jinja template of chats. */
  chatTemplate?: string | null
  /** The id of the token that ends an answer in a chat. Default: none but <|endoftext|>. */
  endOfTurn?: number
  /** The model's name. Default 'gptloom'. */
  name?: string
  signal?: AbortSignal
}

/** llama.cpp's number of each kind of file (enum llama_ftype). */
const FILE_TYPES: Record<GgufType, number> = { f32: 0, f16: 1, q8_0: 7, bf16: 32 }

/**
 * Writes a model as a GGUF file for llama.cpp and what is built on it, whole or not at all, holding
 * one tensor at a time. The file has no field for the exact GELU: llama.cpp computes GPT-2's by tanh,
 * and its logits then differ from ours by some thousandths.
 *
 * @throws TypeError, RangeError for options that cannot be; GptloomError ERR_FILE when the file system
 *   refuses, ERR_FORMAT when the tokenizer does not fit, a number does not fit the type, or layers are
 *   local, which llama.cpp's GPT-2 has not
 */
export async function writeGguf(
  path: string,
  model: GPT2 | Weights,
  tokenizer: Tokenizer,
  options: GgufOptions = {},
): Promise<void> {
  checkKeys('the GGUF options', options, ['type', 'chatTemplate', 'endOfTurn', 'name', 'signal'])
  const { type = 'f16', signal } = options
  if (!GGUF_TYPES.includes(type)) throw outOfRange(`one of ${GGUF_TYPES.join(', ')}`, 'type', type)
  const weights = weightsOf(model)
  checkGlobal(weights.config, path)
  const metadata = new Map<string, GgufField>([
    ...describe(weights.config, type, options),
    ...vocabulary(tokenizer, weights.config.vocabulary, path),
    ...specials(tokenizer, options),
  ])
  await writeGgufFile(path, metadata, inputs(weights, type), signal)
}

function checkGlobal({ windows = [], context }: GPT2Config, path: string): void {
  const least = Math.min(context, ...windows.map((window) => window ?? context))
  if (least === context) return
  throw new GptloomError(
    'ERR_FORMAT',
    `${path}: a GPT-2 of llama.cpp has no local layers, and some of this model's see ${least} of ` +
      `${context} tokens only: it cannot be written as GGUF`,
  )
}

function* inputs(weights: Weights, type: GgufType): Generator<GgufInput> {
  const { config } = weights
  for (const [name, shape] of parameterShapes({ ...config, bias: true })) {
    // llama.cpp's GPT-2 wants every bias: zeros mean the same as none.
    const zero = !config.bias && name.endsWith('.bias')
    const turn = isMatrix(name)
    yield {
      name: ggufName(name),
      shape: turn ? [...shape].reverse() : shape,
      type: shape.length === 1 || name.startsWith('wpe') ? 'f32' : typeFor(type, shape, turn),
      data: async () => {
        if (zero) return new Float32Array(shape[0]!)
        const values = await weights.read(name)
        return turn ? transpose(values, shape[0]!, shape[1]!) : values
      },
    }
  }
}

/** Rows that are not whole blocks are stored as float16, as llama.cpp's own converter does. */
function typeFor(type: GgufType, shape: readonly number[], turned: boolean): GgufType {
  const row = turned ? shape[0]! : shape[1]!
  return type === 'q8_0' && row % 32 !== 0 ? 'f16' : type
}

function describe(
  config: GPT2Config,
  type: GgufType,
  { name = 'gptloom' }: GgufOptions,
): [string, GgufField][] {
  const { context, width, layers, heads, epsilon } = config
  return [
    ['general.architecture', { type: 'string', value: 'gpt2' }],
    ['general.type', { type: 'string', value: 'model' }],
    ['general.name', { type: 'string', value: name }],
    ['general.description', { type: 'string', value: `written by gptloom ${version}` }],
    ['general.file_type', { type: 'u32', value: FILE_TYPES[type] }],
    ['general.quantization_version', { type: 'u32', value: 2 }],
    ['gpt2.block_count', { type: 'u32', value: layers }],
    ['gpt2.context_length', { type: 'u32', value: context }],
    ['gpt2.embedding_length', { type: 'u32', value: width }],
    ['gpt2.feed_forward_length', { type: 'u32', value: 4 * width }],
    ['gpt2.attention.head_count', { type: 'u32', value: heads }],
    ['gpt2.attention.layer_norm_epsilon', { type: 'f32', value: epsilon }],
  ]
}

/** The vocabulary as GPT-2's: names of tokens and merges in the printable letters that it has. */
function vocabulary(tokenizer: Tokenizer, size: number, path: string): [string, GgufField][] {
  if (tokenizer.size > size) {
    throw new GptloomError(
      'ERR_FORMAT',
      `${path} cannot be written: the tokenizer has ${tokenizer.size} tokens, the model ${size}`,
    )
  }
  const { names, merges } = parts(tokenizer, path)
  const types = names.map((): number => TOKEN_TYPE.normal)
  for (const [name, id] of tokenizer.special) {
    names[id] = name
    types[id] = TOKEN_TYPE.control
  }
  for (let id = names.length; id < size; id++) {
    names.push(`[PAD${id}]`)
    types.push(TOKEN_TYPE.unused)
  }
  return [
    ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
    ['tokenizer.ggml.pre', { type: 'string', value: 'gpt-2' }],
    ['tokenizer.ggml.tokens', { type: 'string[]', value: names }],
    ['tokenizer.ggml.token_type', { type: 'i32[]', value: types }],
    ['tokenizer.ggml.merges', { type: 'string[]', value: merges }],
  ]
}

function parts(tokenizer: Tokenizer, path: string): { names: string[]; merges: string[] } {
  if (tokenizer instanceof BpeTokenizer) {
    const { pairs, size } = tokenizer.merges
    const names = tokenizer.tokens.map(nameOf)
    const merge = (rank: number) => `${names[pairs.lefts[rank]!]} ${names[pairs.rights[rank]!]}`
    return { names, merges: Array.from({ length: size }, (_, rank) => merge(rank)) }
  }
  if (tokenizer instanceof CharacterTokenizer) {
    // A character is its bytes, merged from the first to the last; merges never reach across
    // characters since the first byte of one is never a later byte of another.
    const names = tokenizer.names.map((name) => nameOf(toBinary(name)))
    const merges = new Set<string>()
    for (const [id, name] of names.entries()) {
      if (tokenizer.special.has(tokenizer.names[id]!)) continue
      for (let i = 1; i < name.length; i++) merges.add(`${name.slice(0, i)} ${name[i]}`)
    }
    return { names, merges: [...merges] }
  }
  throw new GptloomError(
    'ERR_FORMAT',
    `${path} cannot be written: GGUF has no place for a tokenizer of the kind ${show(tokenizer.kind)}`,
  )
}

function specials(
  tokenizer: Tokenizer,
  { chatTemplate, endOfTurn }: GgufOptions,
): [string, GgufField][] {
  const fields: [string, GgufField][] = [
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: false }],
  ]
  const end = tokenizer.endOfText
  if (end !== undefined) {
    fields.push(['tokenizer.ggml.bos_token_id', { type: 'u32', value: end }])
    fields.push(['tokenizer.ggml.eos_token_id', { type: 'u32', value: end }])
  }
  if (endOfTurn !== undefined) {
    fields.push(['tokenizer.ggml.eot_token_id', { type: 'u32', value: endOfTurn }])
  }
  if (chatTemplate != null) {
    fields.push(['tokenizer.chat_template', { type: 'string', value: chatTemplate }])
  }
  return fields
}

/**
 * Writes a LoRA adapter as a GGUF file that llama.cpp applies to the GGUF of its base.
 *
 * @throws GptloomError ERR_FILE when the file system refuses; RangeError for matrices that are none of
 *   GPT-2's
 */
export async function writeGgufAdapter(path: string, adapter: LoraAdapter): Promise<void> {
  const [first] = adapter.matrices
  // llama.cpp scales by alpha / rank with one alpha for all, which must not be 0.
  const alpha = (first ? first.scale * first.rank : adapter.alpha) || 1
  const inputs: GgufInput[] = []
  for (const { name, rank, inputs: columns, outputs, scale, a, b } of adapter.matrices) {
    const full = ggufName(`${name}.weight`)
    const by = (scale * rank) / alpha
    const scaled = async () => (by === 1 ? await b() : (await b()).map((value) => value * by))
    inputs.push({ name: `${full}.lora_a`, type: 'f32', shape: [rank, columns], data: a })
    inputs.push({ name: `${full}.lora_b`, type: 'f32', shape: [outputs, rank], data: scaled })
  }
  const metadata = new Map<string, GgufField>([
    ['general.architecture', { type: 'string', value: 'gpt2' }],
    ['general.type', { type: 'string', value: 'adapter' }],
    ['general.file_type', { type: 'u32', value: FILE_TYPES.f32 }],
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'f32', value: alpha }],
  ])
  await writeGgufFile(path, metadata, inputs)
}
