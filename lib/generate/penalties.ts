import { checkNumber, outOfRange, wrongType } from '../errors.js'

export interface PenaltyOptions {
  /**
   * Logits of tokens that stand in the prompt or the text so far are divided by it when positive and
   * multiplied when negative (Keskar et al. 2019). Default 1: none.
   */
  repetitionPenalty?: number
  /** Taken from the logits of tokens that were written so far. Default 0. */
  presencePenalty?: number
  /** Taken from the logits once for each time that a token was written so far. Default 0. */
  frequencyPenalty?: number
  /** Added to the logits of tokens, by id; -Infinity forbids one. */
  logitBias?: Readonly<Record<number, number>>
}

/** Changes logits by what was written before. */
export class Penalties {
  readonly #repetition: number
  readonly #presence: number
  readonly #frequency: number
  readonly #bias: readonly (readonly [id: number, bias: number])[]

  constructor(options: PenaltyOptions = {}) {
    this.#repetition = checkNumber('repetitionPenalty', options.repetitionPenalty ?? 1, 0.01, 100)
    this.#presence = checkNumber('presencePenalty', options.presencePenalty ?? 0, -100, 100)
    this.#frequency = checkNumber('frequencyPenalty', options.frequencyPenalty ?? 0, -100, 100)
    this.#bias = checkBias(options.logitBias ?? {})
  }

  /**
   * @param logits left as they are
   * @param prompt tokens of the prompt
   * @param written tokens of the text so far
   */
  apply(logits: Float32Array, prompt: readonly number[], written: readonly number[]): Float32Array {
    const [repetition, presence, frequency] = [this.#repetition, this.#presence, this.#frequency]
    const counting = presence !== 0 || frequency !== 0
    if (repetition === 1 && !counting && this.#bias.length === 0) return logits
    const out = logits.slice()
    if (repetition !== 1) {
      for (const id of new Set([...prompt, ...written]))
        out[id] = out[id]! > 0 ? out[id]! / repetition : out[id]! * repetition
    }
    if (counting) {
      const counts = new Map<number, number>()
      for (const id of written) counts.set(id, (counts.get(id) ?? 0) + 1)
      for (const [id, count] of counts) out[id]! -= presence + frequency * count
    }
    for (const [id, bias] of this.#bias) if (id < out.length) out[id]! += bias
    return out
  }
}

function checkBias(bias: unknown): [number, number][] {
  if (typeof bias !== 'object' || bias === null || Array.isArray(bias))
    throw wrongType('an object of token ids and numbers', 'logitBias', bias)
  return Object.entries(bias).map(([key, value]) => {
    if (!/^\d+$/.test(key)) throw outOfRange('token ids as keys', 'logitBias', key)
    if (value === -Infinity) return [Number(key), value]
    return [Number(key), checkNumber(`logitBias[${key}]`, value)]
  })
}
