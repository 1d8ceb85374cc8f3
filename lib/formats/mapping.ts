// Which tensors of a file make which of our parameters: names, transposed matrices, and queries, keys
// and values that are stored apart.
import { GptloomError, show } from '../errors.js'
import type { GPT2Config } from '../models/index.js'
import type { TensorSource } from './elements.js'

/**
 * How the matrices are stored: 'conv1d' is [inputs, outputs] as in GPT-2's own checkpoints and in our
 * parameters, 'linear' [outputs, inputs], 'neo' linear with queries, keys and values apart.
 */
export type Layout = 'conv1d' | 'linear' | 'neo'

/** A tensor of the file that fills some columns of a parameter. */
interface Part {
  readonly name: string
  readonly shape: readonly number[]
  readonly transpose: boolean
  /** The values of the first `columns` columns are multiplied by it. */
  readonly scale?: { by: number; columns: number }
}

/** How a parameter is made; without parts it is zero. */
export interface Recipe {
  readonly shape: readonly number[]
  readonly parts: readonly Part[]
}

/** The shape of every parameter of a model by name, in the model's order. */
export function parameterShapes(config: GPT2Config): Map<string, number[]> {
  const { vocabulary, context, layers, width: C, bias, tied } = config
  const shapes = new Map<string, number[]>()
  const add = (name: string, shape: number[]) => {
    shapes.set(`${name}.weight`, shape)
    if (bias) shapes.set(`${name}.bias`, [shape.at(-1)!])
  }
  shapes.set('wte.weight', [vocabulary, C])
  shapes.set('wpe.weight', [context, C])
  for (let i = 0; i < layers; i++) {
    add(`h.${i}.ln_1`, [C])
    add(`h.${i}.attn.c_attn`, [C, 3 * C])
    add(`h.${i}.attn.c_proj`, [C, C])
    add(`h.${i}.ln_2`, [C])
    add(`h.${i}.mlp.c_fc`, [C, 4 * C])
    add(`h.${i}.mlp.c_proj`, [4 * C, C])
  }
  add('ln_f', [C])
  if (!tied) shapes.set('lm_head.weight', [vocabulary, C])
  return shapes
}

/** Whether a parameter is a matrix that some layouts transpose. */
export function isMatrix(name: string): boolean {
  return /\.c_\w+\.weight$/.test(name)
}

export interface MappingOptions {
  layout: Layout
  /** Of the file's name for one of ours. Default: the same name. */
  rename?: (name: string) => string
  /** What the queries of a layer are multiplied by, for attention scaled in another way. Default 1. */
  queryScale?: (layer: number) => number
}

/** How each parameter of a model is made of a file's tensors. */
export function recipes(config: GPT2Config, options: MappingOptions): Map<string, Recipe> {
  const { layout, rename = (name) => name, queryScale = () => 1 } = options
  const C = config.width
  const result = new Map<string, Recipe>()
  for (const [name, shape] of parameterShapes(config)) {
    const transpose = layout !== 'conv1d' && isMatrix(name)
    const attention = /^h\.(\d+)\.attn\.(.*)$/.exec(name)
    const by = attention?.[2]!.startsWith('c_attn') ? queryScale(Number(attention[1])) : 1
    const part = (from: string, shape: readonly number[], scaled = C): Part => ({
      name: rename(from),
      shape: transpose ? [...shape].reverse() : shape,
      transpose,
      ...(by !== 1 && { scale: { by, columns: scaled } }),
    })
    if (layout !== 'neo' || !attention) result.set(name, { shape, parts: [part(name, shape)] })
    else if (attention[2] === 'c_attn.bias') result.set(name, { shape, parts: [] })
    else {
      const stem = `h.${attention[1]}.attn.attention.`
      const three = ['q_proj', 'k_proj', 'v_proj'].map((projection, i) =>
        part(`${stem}${projection}.weight`, [C, C], i === 0 ? C : 0),
      )
      const own = [part(stem + attention[2]!.replace('c_proj', 'out_proj'), shape)]
      result.set(name, { shape, parts: attention[2] === 'c_attn.weight' ? three : own })
    }
  }
  return result
}

/**
 * Checks that a file holds all that the parameters need, before memory is taken for any.
 *
 * @throws GptloomError ERR_FORMAT naming the file, the tensor and the shape
 */
export function checkRecipes(source: TensorSource, all: ReadonlyMap<string, Recipe>): void {
  for (const { parts } of all.values()) {
    for (const { name, shape } of parts) {
      const found = source.tensors.get(name)
      if (!found) {
        throw new GptloomError('ERR_FORMAT', `${source.path} holds no tensor ${show(name)}`)
      }
      if (found.shape.join() !== shape.join() || !/^(B?F\d+|Q8_0)$/.test(found.dtype)) {
        throw new GptloomError(
          'ERR_FORMAT',
          `${source.path}: expected floats ${show(shape)} for ${name}, as config.json says, ` +
            `received ${found.dtype} ${show(found.shape)}`,
        )
      }
    }
  }
}

/** Makes one parameter: row-major float32 in our layout. */
export async function makeParameter(
  source: TensorSource,
  { shape, parts }: Recipe,
): Promise<Float32Array> {
  const [only] = parts
  if (parts.length === 1 && only) {
    const data = (await source.read(only.name)) as Float32Array
    const values = only.transpose ? transpose(data, only.shape[0]!, only.shape[1]!) : data
    return scaled(values, shape.at(-1)!, only)
  }
  const columns = shape.at(-1)!
  const result = new Float32Array(shape.reduce((a, b) => a * b, 1))
  let column = 0
  for (const part of parts) {
    const data = (await source.read(part.name)) as Float32Array
    const [outputs, inputs] = part.shape as [number, number]
    const values = scaled(transpose(data, outputs, inputs), outputs, part)
    for (let row = 0; row < inputs; row++) {
      result.set(values.subarray(row * outputs, (row + 1) * outputs), row * columns + column)
    }
    column += outputs
  }
  return result
}

function scaled(values: Float32Array, width: number, { scale }: Part): Float32Array {
  if (!scale) return values
  for (let row = 0; row < values.length; row += width) {
    for (let i = row; i < row + scale.columns; i++) values[i]! *= scale.by
  }
  return values
}

const TILE = 32

/** The transpose of a row-major matrix, in tiles so that both sides stay in the cache. */
export function transpose(from: Float32Array, rows: number, columns: number): Float32Array {
  const into = new Float32Array(from.length)
  for (let top = 0; top < rows; top += TILE) {
    const bottom = Math.min(rows, top + TILE)
    for (let left = 0; left < columns; left += TILE) {
      const right = Math.min(columns, left + TILE)
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) {
          into[column * rows + row] = from[row * columns + column]!
        }
      }
    }
  }
  return into
}
