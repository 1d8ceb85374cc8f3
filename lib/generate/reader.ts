import type { GPT2, KeyValueCache } from '../models/index.js'
import { keep, scope } from '../tensor/index.js'
import type { Tensor } from '../tensor/index.js'
import { TokenStep } from './step.js'

/**
 * Reads sequences into a model and remembers their keys and values: what begins as the time before is
 * not computed again.
 */
export class Reader {
  #cache: KeyValueCache
  /** What the cache holds, for each of its sequences. */
  #read: number[][] = [[]]
  #changes: number
  #step: TokenStep | null = null

  /**
   * @param size tokens that mean something; a model's vocabulary may be padded beyond the tokenizer's
   * @param capacity the most tokens of a sequence
   */
  constructor(
    readonly model: GPT2,
    readonly size: number,
    private readonly capacity = model.config.context,
  ) {
    this.#cache = model.cache(1, capacity)
    this.#changes = model.changes
  }

  /**
   * Reads sequences of one length, 1 to the model's context.
   * @returns for each, the logits of the token that follows it; the next call may overwrite them
   */
  async read(sequences: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const [B, T] = [sequences.length, sequences[0]!.length]
    if (B !== this.#read.length) this.#spread(B)
    const known = this.#rewind(sequences)
    const fresh = T - known
    const input = new Int32Array(B * fresh)
    for (const [i, tokens] of sequences.entries()) input.set(tokens.slice(known), i * fresh)
    const logits = await this.#continue(input, B, fresh)
    this.#read = sequences.map((tokens) => [...tokens])
    return logits
  }

  /** Forgets what the sequences do not begin with, and their last token, which is read for its logits. */
  #rewind(sequences: readonly (readonly number[])[]): number {
    // All is read again where the adapter has changed.
    const same = this.#changes === this.model.changes
    if (!same) this.#forgetStep()
    let known = same ? Math.min(this.#cache.length, sequences[0]!.length - 1) : 0
    this.#changes = this.model.changes
    for (const [i, tokens] of sequences.entries())
      known = Math.min(known, commonLength(this.#read[i]!, tokens, known))
    this.#cache.length = known
    return known
  }

  /**
   * Reads a sequence of its own with each of several readers of one model, which hold one each: those
   * that go on by one token are computed together, each to the bit as it would be alone.
   * @returns for each, the logits of the token that follows it
   */
  static async each(
    readers: readonly Reader[],
    sequences: readonly (readonly number[])[],
  ): Promise<Float32Array[]> {
    const all: Float32Array[] = []
    const one: number[] = []
    for (const [i, reader] of readers.entries()) {
      if (reader.#rewind([sequences[i]!]) === sequences[i]!.length - 1) one.push(i)
      else [all[i]] = (await reader.read([sequences[i]!])) as [Float32Array]
    }
    if (one.length === 0) return all
    const { model, size } = readers[0]!
    const last = Int32Array.from(one, (i) => sequences[i]!.at(-1)!)
    using logits = scope(() => {
      const caches = one.map((i) => readers[i]!.#cache)
      const hidden = model.continueEach(model.device.tensor(last, [one.length, 1]), caches)
      return keep(model.logits(hidden.view([one.length, model.config.width])))
    })
    const values = (await logits.data()) as Float32Array
    const { vocabulary } = model.config
    for (const [row, i] of one.entries()) {
      readers[i]!.#read = [[...sequences[i]!]]
      all[i] = values.subarray(row * vocabulary, row * vocabulary + size)
    }
    return all
  }

  dispose(): void {
    this.#cache.dispose()
    this.#forgetStep()
  }

  #forgetStep(): void {
    this.#step?.dispose()
    this.#step = null
  }

  async #continue(input: Int32Array, B: number, T: number): Promise<Float32Array[]> {
    const { model, size } = this
    const { vocabulary } = model.config
    let values
    if (T === 1 && this.#cache.length < this.capacity) {
      this.#step ??= new TokenStep(model, this.#cache, B)
      values = await this.#step.run(input)
    } else {
      using logits = this.#logits(input, B, T)
      values = await logits.data()
    }
    return Array.from(
      { length: B },
      (_, i) => values.subarray(i * vocabulary, i * vocabulary + size) as Float32Array,
    )
  }

  /** Logits of the tokens that follow T further ones of each sequence, [B, V]. */
  #logits(input: Int32Array, B: number, T: number): Tensor {
    const { model } = this
    return scope(() => {
      const hidden = model.continue(model.device.tensor(input, [B, T]), this.#cache)
      const rows = hidden.view([B * T, model.config.width])
      if (T === 1 || B === 1) return keep(model.logits(rows.rows(T - 1, B * T)))
      const last = model.device.empty([B, model.config.width], hidden.dtype)
      for (let i = 0; i < B; i++) copy(last.rows(i, i + 1), rows.rows(i * T + T - 1, (i + 1) * T))
      return keep(model.logits(last))
    })
  }

  /** Goes on with B sequences that all begin as the first one did. */
  #spread(B: number): void {
    const from = this.#cache
    const to = this.model.cache(B, this.capacity)
    scope(() => {
      for (const [block, pair] of from.blocks.entries())
        for (const [which, tensor] of pair.entries())
          for (let i = 0; i < B; i++)
            copyFilled(to.blocks[block]![which]!.rows(i, i + 1), tensor.rows(0, 1), from.length)
    })
    to.length = from.length
    from.dispose()
    this.#forgetStep()
    this.#cache = to
    this.#read = Array.from({ length: B }, () => this.#read[0]!)
  }
}

function copy(to: Tensor, from: Tensor): void {
  to.device.native.copy(to.native, from.native)
}

function commonLength(a: readonly number[], b: readonly number[], most: number): number {
  let length = 0
  while (length < most && a[length] === b[length]) length++
  return length
}

/** Copies the first `length` keys or values of each head; behind them nothing has been written. */
function copyFilled(to: Tensor, from: Tensor, length: number): void {
  const [, heads, capacity, size] = from.shape as [number, number, number, number]
  const [target, source] = [to, from].map((tensor) => tensor.view([heads * capacity, size]))
  for (let row = 0; length > 0 && row < heads * capacity; row += capacity)
    copy(target!.rows(row, row + length), source!.rows(row, row + length))
}
