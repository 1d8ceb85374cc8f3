// LoRA adapters in the layout of PEFT: adapter_config.json and adapter_model.safetensors.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { GptloomError, checkInteger, checkNumber, outOfRange, show } from '../errors.js'
import { exists, guarded, writeFileAtomic } from '../files.js'
import type { Weights } from './base.js'
import { FORMAT, checkFormat } from './configs.js'
import type { TensorSource } from './elements.js'
import { readSmallJson } from './json.js'
import { parameterShapes } from './mapping.js'
import { openPytorch } from './pytorch.js'
import { SafetensorsFile, openSafetensors, writeSafetensors } from './safetensors.js'

/** The two matrices beside one of the model's: y += scale * x A^T B^T (Hu et al. 2021). */
export interface LoraMatrix {
  /** The layer that it belongs to: 'h.0.attn.c_attn'. */
  readonly name: string
  readonly rank: number
  /** Sizes of the layer's weight, which is [inputs, outputs]. */
  readonly inputs: number
  readonly outputs: number
  /** alpha / rank, or alpha / sqrt(rank) for rsLoRA (Kalajdzievski 2023). */
  readonly scale: number
  /** A, row-major [rank, inputs]. */
  readonly a: () => Promise<Float32Array>
  /** B, row-major [outputs, rank]. */
  readonly b: () => Promise<Float32Array>
}

export interface LoraAdapter {
  readonly rank: number
  readonly alpha: number
  /** Dropout of the input while training. */
  readonly dropout: number
  readonly rsLora: boolean
  /** The base's name or path, for people and tools. */
  readonly base: string | null
  readonly matrices: readonly LoraMatrix[]
}

/**
 * A model's weights with an adapter's added: W + scale * (B A)^T.
 *
 * @throws GptloomError ERR_FORMAT when the adapter does not fit the model
 */
export function mergedWeights(weights: Weights, adapter: LoraAdapter): Weights {
  const matrices = new Map(adapter.matrices.map((matrix) => [`${matrix.name}.weight`, matrix]))
  const shapes = parameterShapes(weights.config)
  for (const [name, { inputs, outputs }] of matrices) {
    if (shapes.get(name)?.join() !== [inputs, outputs].join()) {
      throw new GptloomError(
        'ERR_FORMAT',
        `The adapter has ${show([inputs, outputs])} for ${name}, the model ${show(shapes.get(name))}`,
      )
    }
  }
  const read = async (name: string): Promise<Float32Array> => {
    const values = await weights.read(name)
    const matrix = matrices.get(name)
    if (!matrix) return values
    const { rank, inputs, outputs, scale } = matrix
    const [a, b] = [await matrix.a(), await matrix.b()]
    const result = values.slice()
    for (let input = 0; input < inputs; input++) {
      for (let output = 0; output < outputs; output++) {
        let sum = 0
        for (let r = 0; r < rank; r++) sum += a[r * inputs + input]! * b[output * rank + r]!
        result[input * outputs + output]! += scale * sum
      }
    }
    return result
  }
  return { config: weights.config, read }
}

/** An adapter read from a folder; close it when its matrices have been read. */
export interface OpenAdapter extends LoraAdapter {
  close(): Promise<void>
}

const CONFIG = 'adapter_config.json'
/** The file of an adapter's matrices in its folder. */
export const ADAPTER = 'adapter_model.safetensors'
const PREFIX = 'base_model.model.'

/** The layers of GPT-2 that may have an adapter, in the order of a block. */
export const LORA_TARGETS = ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'] as const

const LAYER = /^h\.(\d+)\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)$/

/**
 * Writes an adapter's folder, which is made when missing; each file whole or not at all, the weights
 * last.
 *
 * @param layers blocks of the base, by which targets are named in short when all have them
 * @throws GptloomError ERR_FILE when the file system refuses; RangeError for layers that GPT-2 has not
 */
export async function writeAdapter(
  folder: string,
  adapter: LoraAdapter,
  layers: number,
  metadata: Record<string, string> = {},
): Promise<void> {
  const { rank, alpha, dropout, rsLora, base, matrices } = adapter
  for (const { name } of matrices) {
    if (!LAYER.test(name)) throw outOfRange('a layer such as h.0.attn.c_attn', 'name', name)
  }
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: dropout,
    use_rslora: rsLora,
    target_modules: targets(matrices, layers),
    fan_in_fan_out: true, // GPT-2's weights are [inputs, outputs]
    bias: 'none',
    modules_to_save: null,
    init_lora_weights: true,
    inference_mode: true,
    revision: null,
  }
  await guarded(folder, 'create', mkdir(folder, { recursive: true }))
  await writeFileAtomic(join(folder, CONFIG), JSON.stringify(config, null, 2) + '\n')
  const tensors = matrices.flatMap(({ name, rank, inputs, outputs, a, b }) => [
    {
      name: `${PREFIX}transformer.${name}.lora_A.weight`,
      dtype: 'F32' as const,
      shape: [rank, inputs],
      data: a,
    },
    {
      name: `${PREFIX}transformer.${name}.lora_B.weight`,
      dtype: 'F32' as const,
      shape: [outputs, rank],
      data: b,
    },
  ])
  // Not in the configuration, where PEFT knows its own fields only.
  const said = { format: 'pt', gptloom: String(FORMAT), ...metadata }
  await writeSafetensors(join(folder, ADAPTER), tensors, said)
}

// PEFT takes a target for every layer whose name ends with it, so that short names serve only where
// all blocks have them; a layer's whole name means just that layer.
function targets(matrices: readonly LoraMatrix[], layers: number): string[] {
  const names = matrices.map(({ name }) => name)
  const kinds = LORA_TARGETS.filter((kind) => names.some((name) => name.endsWith(kind)))
  const complete = names.length === kinds.length * layers
  return complete ? [...kinds] : names.map((name) => `transformer.${name}`)
}

/**
 * Opens an adapter's folder. What stands in it is not trusted; use its matrices only where they fit
 * the model.
 *
 * @throws GptloomError ERR_FILE when a file is missing, ERR_FORMAT when it is damaged or an adapter of
 *   a kind that is not supported
 */
export async function readAdapter(folder: string): Promise<OpenAdapter> {
  const path = join(folder, CONFIG)
  const config = checkAdapter(await readSmallJson(path), path)
  const older = join(folder, 'adapter_model.bin')
  const weights = join(folder, ADAPTER)
  const source =
    !(await exists(weights)) && (await exists(older))
      ? await openPytorch(older)
      : await openSafetensors(weights)
  try {
    if (source instanceof SafetensorsFile) checkFormat(source.metadata.gptloom, weights)
    const matrices = pair(source, config, path)
    return { ...config.adapter, matrices, close: () => source.close() }
  } catch (error) {
    await source.close()
    throw error
  }
}

// What PEFT can add to LoRA, and what changes the result when it is left out.
const UNSUPPORTED = [
  'use_dora',
  'lora_bias',
  'modules_to_save',
  'layer_replication',
  'target_parameters',
  'trainable_token_indices',
  'alora_invocation_tokens',
  'use_qalora',
  'use_bdlora',
]

interface Checked {
  adapter: Omit<LoraAdapter, 'matrices'>
  /** Other alphas, by the end of a layer's name. */
  alphas: Map<string, number>
}

function checkAdapter(value: unknown, path: string): Checked {
  const json = (value ?? {}) as Record<string, unknown>
  const fail = (what: string) => new GptloomError('ERR_FORMAT', `${path}: ${what}`)
  if (json.peft_type !== 'LORA') {
    throw fail(`expected "peft_type": "LORA", received ${show(json.peft_type)}`)
  }
  if ((json.bias ?? 'none') !== 'none') throw fail(`"bias": ${show(json.bias)} is not supported`)
  for (const name of UNSUPPORTED) {
    if (json[name]) throw fail(`"${name}": ${show(json[name])} is not supported`)
  }
  try {
    const alphas = new Map<string, number>()
    for (const [name, alpha] of Object.entries(json.alpha_pattern ?? {})) {
      if (!/^[\w.]+$/.test(name)) throw fail(`alpha_pattern ${show(name)} is not supported`)
      alphas.set(name, checkNumber('alpha_pattern', alpha))
    }
    return {
      alphas,
      adapter: {
        rank: checkInteger('r', json.r, 1, 2 ** 16),
        alpha: checkNumber('lora_alpha', json.lora_alpha),
        dropout: checkNumber('lora_dropout', json.lora_dropout ?? 0, 0, 1),
        rsLora: json.use_rslora === true,
        base:
          typeof json.base_model_name_or_path === 'string' ? json.base_model_name_or_path : null,
      },
    }
  } catch (error) {
    throw error instanceof GptloomError ? error : fail((error as Error).message)
  }
}

const TENSOR =
  /^(?:base_model\.model\.)?(?:transformer\.)?(h\.\d+\.[\w.]+?)\.lora_([AB])(?:\.\w+)?\.weight$/

function pair(source: TensorSource, { adapter, alphas }: Checked, path: string): LoraMatrix[] {
  const fail = (what: string) => new GptloomError('ERR_FORMAT', `${source.path}: ${what}`)
  const found = new Map<string, { A?: string; B?: string }>()
  for (const name of source.tensors.keys()) {
    const [, layer, side] = TENSOR.exec(name) ?? []
    if (layer === undefined || !LAYER.test(layer)) {
      throw fail(`${show(name)} is no matrix of an adapter of GPT-2`)
    }
    const both = found.get(layer) ?? {}
    if (both[side as 'A' | 'B']) throw fail(`it holds two adapters`)
    found.set(layer, { ...both, [side as 'A' | 'B']: name })
  }
  if (found.size === 0) throw fail('it holds no matrices')
  return Array.from(found, ([name, { A, B }]): LoraMatrix => {
    const a = source.tensors.get(A ?? '')
    const b = source.tensors.get(B ?? '')
    if (!a || !b) throw fail(`${name} has no ${a ? 'lora_B' : 'lora_A'}`)
    const [rank, inputs] = a.shape
    const [outputs, same] = b.shape
    const sound = a.shape.length === 2 && b.shape.length === 2 && rank === same && rank! > 0
    if (!sound || ![a, b].every(({ dtype }) => /^B?F\d+$/.test(dtype))) {
      throw fail(`${name} has matrices ${show(a.shape)} and ${show(b.shape)} of ${a.dtype}`)
    }
    const pattern = [...alphas].find(([end]) => name === end || name.endsWith(`.${end}`))
    const alpha = pattern?.[1] ?? adapter.alpha
    const scale = alpha / (adapter.rsLora ? Math.sqrt(rank!) : rank!)
    if (!Number.isFinite(scale)) throw fail(`${path} scales ${name} by ${scale}`)
    const read = (tensor: string) => async () => (await source.read(tensor)) as Float32Array
    return {
      name,
      rank: rank!,
      inputs: inputs!,
      outputs: outputs!,
      scale,
      a: read(A!),
      b: read(B!),
    }
  })
}
