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
class Writer {
  done = false
  /** What the next token follows. */
  sequence: number[]
  readonly #written: number[] = []
  readonly #sampler: Sampler
  readonly #penalties: Penalties

  constructor(
    private readonly given: readonly number[],
    private readonly context: number,
    private readonly options: TokenOptions & { overflow: 'shift' | 'error' },
  ) {
    if (given.length > context && options.overflow === 'error') throw full(context, given.length)
    this.sequence = given.slice(-context)
    this.#sampler = new Sampler(options)
    this.#penalties = new Penalties(options)
  }

  /** Makes room for a token, where the context is full. */
  fit(): void {
    const { sequence, context } = this
    if (sequence.length <= context) return
    if (this.options.overflow === 'error') throw full(context, sequence.length)
    this.sequence = sequence.slice(-Math.max(1, Math.floor(context / 2)))
  }

  /** The next token; undefined where the text has ended. */
  choose(logits: Float32Array, ends: ReadonlySet<number | undefined>): number | undefined {
    const token = this.#sampler.choose(this.#penalties.apply(logits, this.given, this.#written))
    this.sequence.push(token)
    if (ends.has(token)) this.done = true
    if (this.done) return undefined
    this.#written.push(token)
    return token
  }
}

/**
 * Tokens of n texts that continue a prompt, those of one place together.
 * @param reader is left where the texts end, so that it may go on from there
 * @throws GptloomError ERR_CONTEXT when the context is full, if so asked; AbortError
 */
export function writeTokens(
  reader: Reader,
  endOfText: number | undefined,
  prompt: ArrayLike<number>,
  options: TokenOptions = {},
): AsyncGenerator<WrittenToken, void, void> {
  const { n, seed, overflow } = checkGenerateOptions(options, ['n', 'logprobs', 'ends'])
  const given = givenOf(prompt, endOfText)
  const writers = Array.from({ length: n }, (_, i) => {
    return new Writer(given, reader.model.config.context, { ...options, overflow, seed: seed + i })
  })
  let begun = false
  const read = async () => {
    if (begun) return reader.read(writers.map(({ sequence }) => sequence))
    // All texts begin alike: the prompt is read once.
    begun = true
    const [logits] = await reader.read([writers[0]!.sequence])
    return writers.map(() => logits!)
  }
  return write(writers, read, endOfText, options)
}

/**
 * Tokens of texts that continue a prompt each, with the tokens that it would have alone; all draw from
 * the same seed.
 * @param ended tells of a text that nobody wants more of: it is not computed on
 * @throws as writeTokens()
 */
export async function* writeEach(
  model: GPT2,
  { endOfText, size }: Pick<Tokenizer, 'endOfText' | 'size'>,
  prompts: readonly ArrayLike<number>[],
  options: Omit<TokenOptions, 'n'> = {},
  ended: (index: number) => boolean = () => false,
): AsyncGenerator<WrittenToken, void, void> {
  const { seed, overflow, maxTokens } = checkGenerateOptions(options, ['logprobs', 'ends'])
  const { context } = model.config
  const given = prompts.map((prompt) => givenOf(prompt, endOfText))
  const writers = given.map((tokens) => new Writer(tokens, context, { ...options, overflow, seed }))
  const readers = given.map(({ length }) => {
    return new Reader(model, size, Math.min(context, length + maxTokens))
  })
  const read = async () => {
    for (const [i, writer] of writers.entries()) writer.done ||= ended(i)
    const going = [...writers.keys()].filter((i) => !writers[i]!.done)
    const logits = await Reader.each(
      going.map((i) => readers[i]!),
      going.map((i) => writers[i]!.sequence),
    )
    return writers.map((_, i) => logits[going.indexOf(i)])
  }
  try {
    yield* write(writers, read, endOfText, options)
  } finally {
    for (const reader of readers) reader.dispose()
  }
}

function givenOf(prompt: ArrayLike<number>, endOfText: number | undefined): number[] {
  return prompt.length > 0 ? Array.from(prompt) : [endOfText ?? 0]
}

/** @param read gives for each writer the logits behind its sequence; undefined for one to leave alone */
async function* write(
  writers: readonly Writer[],
  read: () => Promise<(Float32Array | undefined)[]>,
  endOfText: number | undefined,
  { maxTokens = 200, signal, logprobs, ends = [] }: TokenOptions,
): AsyncGenerator<WrittenToken, void, void> {
  const last = new Set([endOfText, ...ends])
  for (let count = 0; count < maxTokens; count++) {
    if (signal?.aborted)
      throw new AbortError('The generation was aborted', undefined, { cause: signal.reason })
    for (const writer of writers) writer.fit()
    for (const [index, logits] of (await read()).entries()) {
      const token = logits && writers[index]!.choose(logits, last)
      if (token !== undefined) yield { index, token, ...probabilities(logits!, token, logprobs) }
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
