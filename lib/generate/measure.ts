// What a model thinks of a text.
import type { GPT2 } from '../models/index.js'
import { keep, scope } from '../tensor/index.js'

/** How likely a text is to the model. */
export interface Score {
  /** The sum of log p of the text's tokens, in nats. */
  logLikelihood: number
  /** Tokens that were predicted. */
  tokens: number
  /** exp of the mean loss a token. */
  perplexity: number
  /** The loss in bits a byte of text, which compares across tokenizers. */
  bitsPerByte: number
}

/**
 * The log-likelihood of tokens behind a first one. Texts longer than the context are read in windows
 * that overlap by half, so that every token but the first ones is predicted from at least half a context.
 * @param tokens the first one is given and not predicted
 */
export async function logLikelihood(model: GPT2, tokens: Int32Array): Promise<number> {
  const { context } = model.config
  const stride = Math.max(1, context >> 1)
  let sum = 0
  for (let done = 1; done < tokens.length;) {
    const from = done === 1 ? 0 : Math.max(0, done - stride)
    const to = Math.min(tokens.length, from + context + 1)
    const input = tokens.slice(from, to - 1)
    const targets = tokens.slice(from + 1, to)
    targets.fill(-1, 0, done - from - 1) // negative: left out of the loss
    using loss = scope(() => {
      const upload = (values: Int32Array) => model.device.tensor(values, [1, values.length])
      return keep(model.loss(upload(input), upload(targets)))
    })
    sum -= await loss.item()
    done = to
  }
  return sum
}

/**
 * The last hidden states of tokens, at most a context of them.
 * @returns [T, C], row-major
 */
export async function hiddenStates(model: GPT2, tokens: Int32Array): Promise<Float32Array> {
  using hidden = scope(() => keep(model.forward(model.device.tensor(tokens, [1, tokens.length]))))
  return (await hidden.data()) as Float32Array
}

/**
 * The logits of the token behind each of the tokens, at most a context of them.
 * @param size tokens that mean something
 * @returns [T, size], row-major
 */
export async function allLogits(
  model: GPT2,
  tokens: Int32Array,
  size: number,
): Promise<Float32Array> {
  const { vocabulary } = model.config
  using logits = scope(() =>
    keep(model.logits(model.forward(model.device.tensor(tokens, [1, tokens.length])))),
  )
  const values = (await logits.data()) as Float32Array
  if (size === vocabulary) return values
  const out = new Float32Array(tokens.length * size)
  for (let t = 0; t < tokens.length; t++)
    out.set(values.subarray(t * vocabulary, t * vocabulary + size), t * size)
  return out
}
