// A GPT-2 in a GGUF file, ours or of llama.cpp's converter, as a base: the reverse of ggufmodel.ts.
import { GptloomError, checkInteger, checkNumber, show } from '../errors.js'
import { checkConfig } from '../models/index.js'
import { bpeTokenizer } from '../tokenizer/load.js'
import type { Tokenizer } from '../tokenizer/index.js'
import type { Description } from './configs.js'
import type { GgufFile, GgufValue } from './gguf.js'
import { TOKEN_TYPE, ggufName } from './ggufnames.js'

/** @throws GptloomError ERR_FORMAT naming the key */
export function fromGguf({ path, metadata, tensors }: GgufFile): Description {
  const architecture = metadata.get('general.architecture')
  if (architecture !== 'gpt2') {
    throw problem(path, `expected "gpt2" for general.architecture, received ${show(architecture)}`)
  }
  const integer = (name: string) => checkInteger(name, metadata.get(`gpt2.${name}`))
  try {
    const width = integer('embedding_length')
    const inner = integer('feed_forward_length')
    if (inner !== 4 * width) {
      throw problem(path, `feed_forward_length ${inner} is not supported: expected ${4 * width}`)
    }
    const epsilon = checkNumber('epsilon', metadata.get('gpt2.attention.layer_norm_epsilon'))
    const config = checkConfig({
      vocabulary: tensors.get('token_embd.weight')?.shape[0] ?? 0,
      context: integer('context_length'),
      layers: integer('block_count'),
      heads: integer('attention.head_count'),
      width,
      bias: true,
      tied: !tensors.has('output.weight'),
      dropout: 0,
      epsilon: Number(epsilon.toPrecision(7)), // as it was before it became a float32
      gelu: 'tanh',
    })
    const mapping = { layout: 'linear', rename: ggufName } as const
    return { config, mapping }
  } catch (error) {
    if (error instanceof GptloomError) throw error
    throw problem(path, (error as Error).message)
  }
}

/** What was rounded when the file was made, for people; undefined where all is exact. */
export function roundedIn({ tensors }: GgufFile): string | undefined {
  const types = new Set(Array.from(tensors.values(), ({ dtype }) => dtype))
  types.delete('F32')
  if (types.size === 0) return undefined
  return `its weights were rounded to ${[...types].join(', ')} when it was made, and stay so`
}

/** @throws GptloomError ERR_FORMAT for a tokenizer that is no byte-level BPE as GPT-2's */
export function ggufTokenizer({ path, metadata }: GgufFile): Tokenizer {
  const list = (name: string): GgufValue[] => {
    const value = metadata.get(`tokenizer.ggml.${name}`)
    if (Array.isArray(value)) return value
    throw problem(path, `expected a list for tokenizer.ggml.${name}, received ${show(value)}`)
  }
  const kind = metadata.get('tokenizer.ggml.model')
  const before = metadata.get('tokenizer.ggml.pre')
  if (kind !== 'gpt2' || before !== 'gpt-2') {
    throw problem(
      path,
      `expected "gpt2" and "gpt-2" for the kind of its tokenizer, received ${show([kind, before])}`,
    )
  }
  const [names, types] = [list('tokens'), list('token_type')]
  if (!names.every((name) => typeof name === 'string') || types.length !== names.length) {
    throw problem(path, 'its tokens are not names, each with a type')
  }
  // What pads the vocabulary stands for nothing.
  let size = names.length
  while (size > 0 && types[size - 1] === TOKEN_TYPE.unused) size--
  const isSpecial = (type: GgufValue) => type === TOKEN_TYPE.control || type === TOKEN_TYPE.own
  const special = names.slice(0, size).filter((_, id) => isSpecial(types[id]!))
  return bpeTokenizer(path, names.slice(0, size), special, list('merges'))
}

function problem(path: string, what: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path}: ${what}`)
}
