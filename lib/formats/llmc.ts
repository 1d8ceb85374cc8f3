// Checkpoints of llm.c: 256 int32 of header, then the parameters one kind after another, each for all
// layers, in float32 (version 3) or bfloat16 (version 5). Matrices are [outputs, inputs].
import type { FileHandle } from 'node:fs/promises'
import { GptloomError, show } from '../errors.js'
import { checkConfig } from '../models/index.js'
import type { GPT2Config } from '../models/index.js'
import { DTYPE_BYTES } from './dtypes.js'
import type { SafetensorsData } from './dtypes.js'
import { elementCount, openRegular, readElements, readPiece } from './elements.js'
import type { Range, TensorSource } from './elements.js'

export const LLMC_MAGIC = 20240326

const HEADER = 256 * 4
const VERSIONS: Record<number, 'F32' | 'BF16'> = { 3: 'F32', 5: 'BF16' }

type Entry = Range & { readonly shape: readonly number[] }

/** A checkpoint of llm.c: its tensors have the names of our parameters. */
export class LlmcFile implements TensorSource {
  constructor(
    readonly path: string,
    readonly config: GPT2Config,
    readonly tensors: ReadonlyMap<string, Entry>,
    private readonly file: FileHandle,
  ) {}

  /** @throws GptloomError ERR_FORMAT when there is none of the name */
  async read(name: string): Promise<SafetensorsData> {
    const entry = this.tensors.get(name)
    if (!entry) throw problem(this.path, `it holds no tensor ${show(name)}`)
    return readElements(this.file, this.path, entry, (what) => problem(this.path, what))
  }

  async close(): Promise<void> {
    await this.file.close()
  }
}

/**
 * Opens a checkpoint of llm.c. Rows that pad its vocabulary are left out.
 *
 * @throws GptloomError ERR_FILE, ERR_FORMAT
 */
export async function openLlmc(path: string): Promise<LlmcFile> {
  const { file, size } = await openRegular(path)
  try {
    const header = await readPiece(file, path, 0, HEADER)
    if (header.length < HEADER)
      throw problem(path, `it is ${size} bytes long, expected at least ${HEADER}`)
    const [magic, version, context, vocabulary, layers, heads, width, padded] = Array.from(
      { length: 8 },
      (_, i) => header.readInt32LE(4 * i),
    ) as [number, number, number, number, number, number, number, number]
    if (magic !== LLMC_MAGIC) throw problem(path, `its magic number is ${magic}`)
    const dtype = VERSIONS[version]
    if (!dtype) throw problem(path, `its version is ${version}, expected 3 or 5`)
    const config = check(path, { context, vocabulary, layers, heads, width })
    if (padded < vocabulary || padded > 2 ** 24) {
      throw problem(path, `its vocabulary of ${vocabulary} tokens is padded to ${padded}`)
    }
    const tensors = layout(config, padded, dtype)
    const [end] = [...tensors.values()].slice(-1).map(({ offset, length }) => offset + length)
    if (end !== size) {
      throw problem(path, `its sizes make ${end} bytes, the file has ${size}`)
    }
    return new LlmcFile(path, config, tensors, file)
  } catch (error) {
    await file.close()
    throw error
  }
}

type Sizes = Pick<GPT2Config, 'context' | 'vocabulary' | 'layers' | 'heads' | 'width'>

function check(path: string, sizes: Sizes): GPT2Config {
  try {
    return checkConfig({ ...sizes, bias: true, tied: true, dropout: 0, epsilon: 1e-5, gelu: 'tanh' })
  } catch (error) {
    throw problem(path, (error as Error).message)
  }
}

function layout(config: GPT2Config, padded: number, dtype: 'F32' | 'BF16') {
  const { context, layers, width: C, vocabulary } = config
  const tensors = new Map<string, Entry>()
  let offset = HEADER
  const add = (name: string, shape: number[], stored = shape) => {
    const length = elementCount(shape) * DTYPE_BYTES[dtype]
    tensors.set(name, { dtype, shape, offset, length })
    offset += elementCount(stored) * DTYPE_BYTES[dtype]
  }
  add('wte.weight', [vocabulary, C], [padded, C])
  add('wpe.weight', [context, C])
  const parts: [string, number[]][] = [
    ['ln_1.weight', [C]],
    ['ln_1.bias', [C]],
    ['attn.c_attn.weight', [3 * C, C]],
    ['attn.c_attn.bias', [3 * C]],
    ['attn.c_proj.weight', [C, C]],
    ['attn.c_proj.bias', [C]],
    ['ln_2.weight', [C]],
    ['ln_2.bias', [C]],
    ['mlp.c_fc.weight', [4 * C, C]],
    ['mlp.c_fc.bias', [4 * C]],
    ['mlp.c_proj.weight', [C, 4 * C]],
    ['mlp.c_proj.bias', [C]],
  ]
  for (const [part, shape] of parts) {
    for (let layer = 0; layer < layers; layer++) add(`h.${layer}.${part}`, shape)
  }
  add('ln_f.weight', [C])
  add('ln_f.bias', [C])
  return tensors
}

function problem(path: string, what: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path} is not a checkpoint of llm.c: ${what}`)
}
