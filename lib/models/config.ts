import {
  checkInteger,
  checkKeys,
  checkNumber,
  nearest,
  outOfRange,
  show,
  wrongType,
} from '../errors.js'
import type { Gelu } from '../tensor/index.js'

/** The shape of a GPT-2: with the weights, all that is needed to run it. */
export interface GPT2Config {
  /** Tokens in the vocabulary (V). */
  vocabulary: number
  /** The longest sequence, in tokens (T). */
  context: number
  /** Transformer blocks (L). */
  layers: number
  /** Attention heads in each block (H). They divide width. */
  heads: number
  /** Channels of the residual stream (C). */
  width: number
  /** Biases in linear layers and layer norms. Default true. */
  bias: boolean
  /** The output layer shares the token embedding's weights. Default true. */
  tied: boolean
  /**
   * The probability of dropout in embedding, attention weights and residual branches while
   * training. Default 0.
   */
  dropout: number
  /** Added to the variance in layer norms. Default 1e-5. */
  epsilon: number
  /**
   * For each layer how many positions a token sees at most, itself included; null for all, as GPT-Neo's
   * layers take turns. Default: all, in every layer.
   */
  windows?: readonly (number | null)[]
  /**
   * GELU between the two layers of an MLP: 'tanh', GPT-2's approximation (gelu_new to Hugging Face), or
   * 'exact' (gelu), as nanoGPT has it. Default 'tanh'.
   */
  gelu: Gelu
}

type Sizes = Pick<GPT2Config, 'layers' | 'heads' | 'width' | 'context'>

/** Sizes by name: GPT-2's four, and small ones for a CPU. */
export const presets = {
  nano: { layers: 3, heads: 3, width: 48, context: 64 },
  micro: { layers: 4, heads: 4, width: 128, context: 64 },
  mini: { layers: 6, heads: 6, width: 192, context: 128 },
  small: { layers: 6, heads: 6, width: 384, context: 256 },
  gpt2: { layers: 12, heads: 12, width: 768, context: 1024 },
  'gpt2-medium': { layers: 24, heads: 16, width: 1024, context: 1024 },
  'gpt2-large': { layers: 36, heads: 20, width: 1280, context: 1024 },
  'gpt2-xl': { layers: 48, heads: 25, width: 1600, context: 1024 },
} satisfies Record<string, Sizes>

/** The name of one of the presets. */
export type Preset = keyof typeof presets

/** What a caller may leave out: the sizes come from a preset, the vocabulary from the tokenizer. */
export type ModelOptions = Partial<GPT2Config> & {
  /** The preset that fills in what is left out. Default 'micro'. */
  preset?: Preset
}

const fields = [
  'vocabulary',
  'context',
  'layers',
  'heads',
  'width',
  'bias',
  'tied',
  'dropout',
  'epsilon',
  'windows',
  'gelu',
] as const

/**
 * A full configuration from a preset's name or from options.
 * @param vocabulary used when the options give none
 * @throws TypeError, RangeError naming the field
 */
export function resolveModel(model: Preset | ModelOptions = {}, vocabulary?: number): GPT2Config {
  const options: ModelOptions = typeof model === 'string' ? { preset: model } : model
  if (typeof options !== 'object' || options === null)
    throw wrongType('a preset or sizes', 'model', model)
  checkKeys('model', options, [...fields, 'preset'])
  const { preset = 'micro', ...given } = options
  if (!Object.hasOwn(presets, preset)) {
    const near = nearest(String(preset), Object.keys(presets))
    const known = Object.keys(presets).map(show).join(', ')
    const hint = near ? ` (did you mean ${show(near)}?)` : ''
    throw outOfRange(`one of ${known}${hint}`, 'model', preset)
  }
  const config = {
    bias: true,
    tied: true,
    dropout: 0,
    epsilon: 1e-5,
    gelu: 'tanh',
    vocabulary,
    ...presets[preset],
    ...defined(given),
  }
  return checkConfig(config as GPT2Config)
}

/** @throws TypeError, RangeError naming the field that cannot be */
export function checkConfig(config: GPT2Config): GPT2Config {
  checkInteger('model.vocabulary', config.vocabulary, 1, 2 ** 24)
  checkInteger('model.context', config.context, 1, 2 ** 20)
  checkInteger('model.layers', config.layers, 1, 1000)
  checkInteger('model.heads', config.heads, 1, 1000)
  checkInteger('model.width', config.width, 1, 2 ** 16)
  if (config.width % config.heads !== 0) {
    throw outOfRange(`a multiple of model.heads (${config.heads})`, 'model.width', config.width)
  }
  checkNumber('model.dropout', config.dropout, 0, 0.9)
  checkNumber('model.epsilon', config.epsilon, 0, 1)
  if (config.windows !== undefined) checkWindows(config.windows, config.layers)
  if (config.gelu !== 'tanh' && config.gelu !== 'exact')
    throw outOfRange("'tanh' or 'exact'", 'model.gelu', config.gelu)
  for (const name of ['bias', 'tied'] as const) {
    if (typeof config[name] !== 'boolean')
      throw wrongType('true or false', `model.${name}`, config[name])
  }
  return config
}

function checkWindows(windows: unknown, layers: number): void {
  if (!Array.isArray(windows))
    throw wrongType('a list of numbers and nulls', 'model.windows', windows)
  if (windows.length !== layers)
    throw outOfRange(`one for each of ${layers} layers`, 'model.windows', windows)
  windows.forEach((window, i) => window === null || checkInteger(`model.windows[${i}]`, window))
}

function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as Partial<T>
}

/** How many parameters a configuration has, without making them. */
export function parameterCount(config: GPT2Config): number {
  const { vocabulary: V, context: T, layers: L, width: C, bias, tied } = config
  const b = bias ? 1 : 0
  const norm = C + b * C
  const block =
    2 * norm +
    (3 * C * C + b * 3 * C) +
    (C * C + b * C) +
    (4 * C * C + b * 4 * C) +
    (4 * C * C + b * C)
  return V * C + T * C + L * block + norm + (tied ? 0 : V * C)
}

/**
 * Floating-point operations of one training step's forward and backward for one token: 6 for each
 * weight in a matrix product and 12 L C T for attention (Chowdhery et al. 2022, appendix B), halved
 * there since the causal half is skipped.
 */
export function trainingFlops(config: GPT2Config, context = config.context): number {
  const { vocabulary: V, layers: L, width: C, windows } = config
  // With a window a token sees that many positions, without one half of the context on average.
  const seen = Array.from({ length: L }, (_, i) => Math.min(context, 2 * (windows?.[i] ?? context)))
  return 6 * (12 * L * C * C + V * C) + 6 * C * seen.reduce((a, b) => a + b, 0)
}
