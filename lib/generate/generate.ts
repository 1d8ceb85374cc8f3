import { AbortError, checkInteger, checkKeys, checkSignal } from '../errors.js'
import type { GPT2, KeyValueCache } from '../models/index.js'
import { keep, scope } from '../tensor/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { Sampler } from './sampler.js'
import type { SamplingOptions } from './sampler.js'

export interface GenerateOptions extends SamplingOptions {
  /** The most tokens to write. Default 200. */
  maxTokens?: number
  /** Stops the generation; it then throws AbortError. */
  signal?: AbortSignal
}

const known = ['maxTokens', 'signal', 'temperature', 'topK', 'topP', 'seed'] as const

/** @throws TypeError, RangeError for options that cannot be */
export function checkGenerateOptions(
  options: GenerateOptions,
): Required<Pick<GenerateOptions, 'maxTokens'>> {
  checkKeys('the generation options', options, known)
  checkSignal(options.signal)
  new Sampler(options) // checks the rest
  return { maxTokens: checkInteger('maxTokens', options.maxTokens ?? 200) }
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
  options: GenerateOptions = {},
): AsyncGenerator<number, void, void> {
  const { maxTokens } = checkGenerateOptions(options)
  const sampler = new Sampler(options)
  const { context } = model.config
  const end = tokenizer.endOfText
  let tokens = prompt.length > 0 ? Array.from(prompt) : [end ?? 0]
  if (tokens.length > context) tokens = tokens.slice(-context)
  const cache = model.cache()
  try {
    let unread = tokens
    for (let count = 0; count < maxTokens; count++) {
      if (options.signal?.aborted)
        throw new AbortError('The generation was aborted', undefined, {
          cause: options.signal.reason,
        })
      if (cache.length + unread.length > context) {
        cache.length = 0
        unread = tokens = tokens.slice(-Math.max(1, Math.floor(context / 2)))
      }
      const next = sampler.choose(await lastLogits(model, unread, cache, tokenizer.size))
      if (next === end) return
      yield next
      tokens.push(next)
      unread = [next]
    }
  } finally {
    cache.dispose()
  }
}

async function lastLogits(
  model: GPT2,
  tokens: readonly number[],
  cache: KeyValueCache,
  size: number,
): Promise<Float32Array> {
  using logits = scope(() => {
    const input = model.device.tensor(Int32Array.from(tokens), [1, tokens.length])
    const hidden = model.continue(input, cache).view([tokens.length, model.config.width])
    return keep(model.logits(hidden.rows(tokens.length - 1, tokens.length)))
  })
  // A vocabulary may be padded beyond the tokenizer's: those tokens mean nothing.
  return ((await logits.data()) as Float32Array).subarray(0, size)
}
