import type { GPT2, KeyValueCache } from '../models/index.js'
import type { NativeReplay } from '../tensor/binding.js'
import { keep, scope } from '../tensor/index.js'
import type { Tensor } from '../tensor/index.js'

/**
 * Reads one token after the other into a cache. What the device does is the same for each of them but for
 * the place in the text: its ops are made once, and run again for all tokens that follow, so that
 * JavaScript does not take a core from the device in which memory is read.
 */
export class TokenStep {
  readonly #tokens: Tensor
  readonly #values: Float32Array
  #logits: Tensor | undefined
  #recorded: { replay: NativeReplay; at: number } | undefined

  /** @param B sequences in the cache */
  constructor(
    private readonly model: GPT2,
    private readonly cache: KeyValueCache,
    B: number,
  ) {
    this.#tokens = keep(model.device.empty([B, 1], 'int32'))
    this.#values = new Float32Array(B * model.config.vocabulary)
  }

  /**
   * @param tokens one for each sequence, for which the cache has room
   * @returns the logits of those that follow, [B, V], which the next call overwrites
   */
  async run(tokens: Int32Array): Promise<Float32Array> {
    const { cache, model } = this
    this.#tokens.write(tokens)
    if (this.#recorded) {
      const { replay, at } = this.#recorded
      replay.run(cache.length++ - at, 0)
    } else {
      const at = cache.length
      const replay = model.device.native.record(() => {
        this.#logits = scope(() => {
          const hidden = model.continue(this.#tokens, cache)
          return keep(model.logits(hidden.view([tokens.length, model.config.width])))
        })
      })
      this.#recorded = { replay, at }
    }
    await model.device.native.download(this.#logits!.native, this.#values)
    return this.#values
  }

  dispose(): void {
    this.#tokens.dispose()
    this.#logits?.dispose()
    this.#recorded?.replay.dispose()
  }
}
