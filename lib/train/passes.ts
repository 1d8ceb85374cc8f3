// Micro-batches, forwards and backwards.
import type { Batch } from '../data/index.js'
import { trainingMemory } from '../models/index.js'
import type { ForwardOptions, GPT2 } from '../models/index.js'
import type { Module } from '../nn/index.js'
import { Tape, keep } from '../tensor/index.js'
import type { NativeReplay } from '../tensor/binding.js'
import type { Tensor } from '../tensor/index.js'

/** What is the same for all micro-batches of a run. */
export interface PassOptions extends Pick<ForwardOptions, 'noise' | 'smoothing' | 'recompute'> {
  seed: number
  /** Sequences in a micro-batch. */
  batch: number
}

/** The ops of a micro-batch, to run again. */
interface Recorded {
  replay: NativeReplay
  /** Which micro-batch of the run it was. */
  index: number
  loss: Tensor
}

// Bytes of activations from which on the time of JavaScript does not matter.
const SMALL = 2 ** 26

/**
 * Runs micro-batches, whose gradients are added up in the parameters. JavaScript takes a millisecond for
 * the ops of a small model, and on a CPU a core from those before them: there they are made once and run
 * again, in the same memory, which holds all that a micro-batch computes.
 */
export class Passes {
  readonly #tokens: Tensor
  readonly #targets: Tensor
  readonly #starts: Tensor
  readonly #records: boolean
  /** Of a step's first micro-batch, whose gradients are new, and of one that adds to them. */
  #recorded: [first?: Recorded, next?: Recorded] = []
  #gradients: [parameter: Tensor, gradient: Tensor][] = []
  #loss: Tensor | undefined

  /** @param learned holds the parameters that get gradients */
  constructor(
    private readonly model: GPT2,
    private readonly learned: Module,
    private readonly options: PassOptions,
  ) {
    const { config, device } = model
    const { batch, recompute } = options
    const input = () => keep(device.empty([batch, config.context], 'int32'))
    this.#tokens = input()
    this.#targets = input()
    this.#starts = input()
    const { activations } = trainingMemory(config, { batch, recompute })
    this.#records = device.kind === 'cpu' && activations < SMALL
  }

  /**
   * Enqueues a micro-batch.
   * @param index which one of the run: it names the random numbers
   * @param first whether it is its step's first
   * @returns the sum of its losses, until the next call
   */
  run({ tokens, targets, starts }: Batch, index: number, first: boolean): Tensor {
    this.#tokens.write(tokens)
    this.#targets.write(targets)
    // A row that is one document begins at 0.
    if (starts || this.#records) this.#starts.write(starts ?? new Int32Array(tokens.length))
    if (!this.#records) {
      this.#loss?.dispose()
      return (this.#loss = this.#enqueue(index, starts !== null))
    }
    const which = first ? 0 : 1
    const recorded = this.#recorded[which]
    if (!recorded) return this.#record(which, index)
    if (first) for (const [parameter, gradient] of this.#gradients) parameter.grad = gradient
    recorded.replay.run(0, index - recorded.index)
    return recorded.loss
  }

  /** As Module.zeroGrad(), but that what is recorded keeps the gradients' memory. */
  zeroGrad(): void {
    if (this.#records) for (const [parameter] of this.#gradients) parameter.grad = null
    else this.learned.zeroGrad()
  }

  dispose(): void {
    this.learned.zeroGrad()
    for (const [, gradient] of this.#gradients) gradient.dispose()
    for (const recorded of this.#recorded) {
      recorded?.replay.dispose()
      recorded?.loss.dispose()
    }
    for (const tensor of [this.#tokens, this.#targets, this.#starts, this.#loss]) tensor?.dispose()
  }

  #record(which: 0 | 1, index: number): Tensor {
    let loss: Tensor
    const replay = this.model.device.native.record(() => {
      loss = this.#enqueue(index, true)
    })
    this.#recorded[which] = { replay, index, loss: loss! }
    const parameters = this.learned.parameters().filter(({ grad }) => grad)
    this.#gradients = parameters.map((parameter) => [parameter, parameter.grad!])
    return loss!
  }

  #enqueue(index: number, withStarts: boolean): Tensor {
    const { model, options } = this
    const { seed, noise, smoothing, recompute } = options
    using tape = new Tape()
    const loss = tape.run(() =>
      model.loss(this.#tokens, this.#targets, {
        starts: withStarts ? this.#starts : null,
        dropout: { seed, step: index },
        noise,
        smoothing,
        recompute,
      }),
    )
    tape.backward(loss)
    tape.release(loss)
    return loss
  }
}
