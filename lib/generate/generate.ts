import {
  AbortError,
  GptloomError,
  checkInteger,
  checkKeys,
  checkSignal,
  outOfRange,
} from '../errors.js'
import type { GPT2 } from '../models/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { Penalties } from './penalties.js'
import type { PenaltyOptions } from './penalties.js'
import { Reader } from './reader.js'
import { Sampler } from './sampler.js'
import type { SamplingOptions } from './sampler.js'
import { checkStops } from './stop.js'

/** How a text is written: how far, how tokens are drawn, and when to stop. */
export interface GenerateOptions extends SamplingOptions, PenaltyOptions {
  /** The most tokens to write. Default 200. */
  maxTokens?: number
  /** Strings that end the text; they are not part of it. */
  stop?: string | readonly string[]
  /**
   * When the context is full: 'shift' (the default) forgets the older half of what was read; 'error'
   * throws.
   */
  overflow?: 'shift' | 'error'
  /** Stops the generation; it then throws AbortError. */
  signal?: AbortSignal
}

export interface TokenOptions extends GenerateOptions {
  /** Texts to write at once, each from a seed of its own: seed, seed + 1 ... Default 1. */
  n?: number
  /** Also tell this many of the likeliest tokens at each place, 0 to 100. Default: none. */
  logprobs?: number
  /** Tokens that end a text, beside <|endoftext|>. */
  ends?: readonly number[]
}

/** A token that was written. */
export interface WrittenToken {
  /** Which of the n texts, from 0. */
  index: number
  token: number
  /** log p of the token by the model itself, before temperature and penalties; with `logprobs`. */
  logprob?: number
  /** The likeliest tokens at this place, the likeliest first. */
  top?: { token: number; logprob: number }[]
}

const textOptions = [
  'maxTokens',
  'stop',
  'overflow',
  'signal',
  'temperature',
  'topK',
  'topP',
  'minP',
  'seed',
  'repetitionPenalty',
  'presencePenalty',
  'frequencyPenalty',
  'logitBias',
] as const satisfies readonly (keyof GenerateOptions)[]

/** @throws TypeError, RangeError for options that cannot be */
export function checkGenerateOptions(
  options: TokenOptions,
  more: readonly (keyof TokenOptions)[] = [],
): Required<Pick<TokenOptions, 'maxTokens' | 'n' | 'logprobs' | 'overflow' | 'seed'>> {
  checkKeys('the generation options', options, [...textOptions, ...more])
  checkSignal(options.signal)
  checkStops(options.stop)
  const { overflow = 'shift' } = options
  if (overflow !== 'shift' && overflow !== 'error')
    throw outOfRange("'shift' or 'error'", 'overflow', overflow)
  new Sampler(options)
  new Penalties(options)
  return {
    maxTokens: checkInteger('maxTokens', options.maxTokens ?? 200),
    n: checkInteger('n', options.n ?? 1, 1, 1024),
    logprobs: checkInteger('logprobs', options.logprobs ?? 0, 0, 100),
    overflow,
    seed: options.seed ?? Math.floor(Math.random() * 2 ** 32),
  }
}

/**
 * Tokens that continue the prompt, one by one, until <|endoftext|> or maxTokens. When the model's
 * context is full, the older half of it is forgotten.
 * @param prompt token ids; when there are none, <|endoftext|> or token 0 stands for a beginning
 */
export async function* generateTokens(
  model: GPT2,
  tokenizer: Pick<Tokenizer, 'endOfText' | 'size'>,
  prompt: ArrayLike<number>,
  options: GenerateOptions & Pick<TokenOptions, 'ends'> = {},
): AsyncGenerator<number, void, void> {
  const reader = new Reader(model, tokenizer.size)
  try {
    for await (const { token } of writeTokens(reader, tokenizer.endOfText, prompt, options))
      yield token
  } finally {
    reader.dispose()
  }
}

/** One of the texts that are written at once. */
interface Writer {
  readonly sampler: Sampler
  readonly written: number[]
  done: boolean
}

/**
 * Tokens of n texts that continue a prompt, those of one place together.
 * @param reader is left where the texts end, so that it may go on from there
 * @throws GptloomError ERR_CONTEXT when the context is full, if so asked; AbortError
 */
export async function* writeTokens(
  reader: Reader,
  endOfText: number | undefined,
  prompt: ArrayLike<number>,
  options: TokenOptions = {},
): AsyncGenerator<WrittenToken, void, void> {
  const { maxTokens, n, seed, overflow } = checkGenerateOptions(options, ['n', 'logprobs', 'ends'])
  const { context } = reader.model.config
  const penalties = new Penalties(options)
  const ends = new Set([endOfText, ...(options.ends ?? [])])
  const writers = Array.from({ length: n }, (_, i): Writer => {
    return { sampler: new Sampler({ ...options, seed: seed + i }), written: [], done: false }
  })
  const given = prompt.length > 0 ? Array.from(prompt) : [endOfText ?? 0]
  if (given.length > context && overflow === 'error') throw full(context, given.length)
  let sequences = writers.map(() => given.slice(-context))
  for (let count = 0; count < maxTokens; count++) {
    if (options.signal?.aborted)
      throw new AbortError('The generation was aborted', undefined, {
        cause: options.signal.reason,
      })
    if (sequences[0]!.length > context) {
      if (overflow === 'error') throw full(context, sequences[0]!.length)
      const half = Math.max(1, Math.floor(context / 2))
      sequences = sequences.map((tokens) => tokens.slice(-half))
    }
    // All texts begin alike: the prompt is read once.
    const logits =
      count === 0 ? await reader.read(sequences.slice(0, 1)) : await reader.read(sequences)
    for (const [index, writer] of writers.entries()) {
      const raw = logits[Math.min(index, logits.length - 1)]!
      const token = writer.sampler.choose(penalties.apply(raw, given, writer.written))
      sequences[index]!.push(token)
      if (ends.has(token)) writer.done = true
      if (writer.done) continue
      writer.written.push(token)
      yield { index, token, ...probabilities(raw, token, options.logprobs) }
    }
    if (writers.every(({ done }) => done)) return
  }
}

function full(context: number, length: number): GptloomError {
  return new GptloomError(
    'ERR_CONTEXT',
    `The context of ${context} tokens is full: the text has ${length}. Give a shorter prompt, fewer ` +
      "maxTokens, or overflow: 'shift'",
  )
}

function probabilities(
  logits: Float32Array,
  token: number,
  most: number | undefined,
): Pick<WrittenToken, 'logprob' | 'top'> {
  if (most === undefined) return {}
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const sum = logits.reduce((total, x) => total + Math.exp(x - largest), 0)
  const logprobOf = (id: number) => logits[id]! - largest - Math.log(sum)
  const order = Uint32Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b)
  const top = Array.from(order.subarray(0, most), (id) => ({ token: id, logprob: logprobOf(id) }))
  return { logprob: logprobOf(token), top }
}
