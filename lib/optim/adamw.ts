import { GptloomError, checkInteger, checkNumber, outOfRange, show, wrongType } from '../errors.js'
import { expectTensor, nativeOf } from '../tensor/ops/check.js'
import { cast, keep } from '../tensor/index.js'
import type { Tensor, Values } from '../tensor/index.js'

/** The parameters of AdamW. */
export interface AdamWOptions {
  /** Default 1e-3. */
  learningRate?: number
  /** Decay rates of the two moments. Default [0.9, 0.999]. */
  betas?: readonly [number, number]
  /** Default 1e-8. */
  epsilon?: number
  /**
   * Decay of matrices and embeddings (parameters of two or more dimensions); biases and norms never
   * decay. Default 0.01.
   */
  weightDecay?: number
  /**
   * Without float32 masters behind bfloat16 parameters: each step rounds them up or down at random, so
   * that on average nothing is lost (Gupta et al. 2015). Saves 4 bytes a parameter. Default false.
   */
  stochasticRounding?: boolean
  /** Names the random numbers of stochasticRounding. Default 0. */
  seed?: number
}

/** What one step of the optimizer takes. */
export interface StepOptions {
  /** Overrides the optimizer's for this step. */
  learningRate?: number
  /** Gradients are multiplied by this first: 1 / targets turns a sum of losses into a mean. Default 1. */
  gradientScale?: number
  /** Gradients are scaled down to this global L2 norm (Pascanu et al. 2013). Default: no clipping. */
  maxNorm?: number
  /** What norm() gave, where it was asked for before. Default: step() asks. */
  norm?: Tensor
}

interface Moments {
  parameter: Tensor
  /** The exact weights behind a bfloat16 parameter, float32, where there are: it is their rounding. */
  master: Tensor | null
  m: Tensor
  v: Tensor
}

/**
 * AdamW (Loshchilov & Hutter 2019): Adam with weight decay apart from the gradient. A step whose
 * gradients are not finite leaves every weight and moment as it was.
 */
export class AdamW {
  /** Steps taken. */
  steps = 0
  readonly options: Required<AdamWOptions>
  readonly #moments = new Map<string, Moments>()

  constructor(parameters: Iterable<readonly [string, Tensor]>, options: AdamWOptions = {}) {
    const {
      learningRate = 1e-3,
      betas = [0.9, 0.999],
      epsilon = 1e-8,
      weightDecay = 0.01,
      stochasticRounding = false,
      seed = 0,
    } = options
    checkNumber('learningRate', learningRate, 0)
    checkNumber('betas[0]', betas[0], 0, 0.99999)
    checkNumber('betas[1]', betas[1], 0, 0.9999999)
    checkNumber('epsilon', epsilon, 0)
    checkNumber('weightDecay', weightDecay, 0)
    if (typeof stochasticRounding !== 'boolean')
      throw wrongType('true or false', 'stochasticRounding', stochasticRounding)
    checkInteger('seed', seed, 0)
    this.options = { learningRate, betas, epsilon, weightDecay, stochasticRounding, seed }
    for (const [name, parameter] of parameters) {
      const { dtypes } = parameter.device
      if (!dtypes.includes(parameter.dtype))
        throw outOfRange(`a ${dtypes.join(' or ')} tensor`, name, parameter.dtype)
      const zeros = () => keep(parameter.device.zeros(parameter.shape))
      const exact = parameter.dtype === 'bfloat16' && !stochasticRounding
      const master = exact ? keep(cast(parameter, 'float32')) : null
      this.#moments.set(name, { parameter, master, m: zeros(), v: zeros() })
    }
  }

  /**
   * The global L2 norm of the gradients before scaling and clipping, [1]; the caller disposes it. Who asks
   * for its value before step() has it while the weights move, and time to make the next step ready.
   */
  norm(): Tensor {
    const gradients = this.#moving().map(({ parameter }) => parameter.grad!)
    const { device } = gradients[0]!
    const norm = device.empty([1])
    device.native.norm(
      norm.native,
      gradients.map(({ native }) => native),
    )
    return norm
  }

  /**
   * Moves every parameter that has a gradient.
   * @returns the norm of the gradients, see norm(); the caller disposes it
   */
  step({
    learningRate = this.options.learningRate,
    gradientScale = 1,
    maxNorm = 0,
    norm = this.norm(),
  }: StepOptions = {}): Tensor {
    expectTensor('norm', norm, [1], 'float32')
    const moving = this.#moving()
    const { betas, epsilon, weightDecay, seed } = this.options
    const { device } = norm
    device.native.adamw(
      moving.map(({ parameter }) => parameter.native),
      moving.map(({ parameter }) => parameter.grad!.native),
      moving.map(({ m }) => m.native),
      moving.map(({ v }) => v.native),
      moving.map(({ master }) => nativeOf(master)),
      moving.map(({ parameter }) => (parameter.shape.length >= 2 ? weightDecay : 0)),
      nativeOf(norm),
      learningRate,
      betas[0],
      betas[1],
      epsilon,
      gradientScale,
      maxNorm,
      ++this.steps,
      seed,
    )
    device.native.flush()
    return norm
  }

  #moving(): Moments[] {
    const moving = [...this.#moments.values()].filter(({ parameter }) => parameter.grad)
    if (moving.length === 0)
      throw new GptloomError('ERR_DEVICE', 'There are no gradients: call backward() first')
    return moving
  }

  /** The moments, as tensors named `m.<parameter>` and `v.<parameter>`: for a checkpoint. */
  *tensors(): Iterable<[name: string, tensor: Tensor]> {
    for (const [name, { m, v }] of this.#moments) {
      yield [`m.${name}`, m]
      yield [`v.${name}`, v]
    }
  }

  /**
   * The exact weights behind a bfloat16 parameter, float32; null where the parameter is all there is.
   * Whoever writes to the parameter writes to these as well.
   */
  master(name: string): Tensor | null {
    return this.#moments.get(name)?.master ?? null
  }

  /**
   * Takes moments back from a checkpoint.
   * @throws GptloomError ERR_FORMAT when one is missing or has another size
   */
  loadState(steps: number, state: Iterable<readonly [string, Values]>): void {
    const values = new Map(state)
    for (const [name, tensor] of this.tensors()) {
      const given = values.get(name)
      if (given?.length !== tensor.size) {
        throw new GptloomError(
          'ERR_FORMAT',
          `Expected ${tensor.size} values ${show(tensor.shape)} for ${name}`,
        )
      }
      tensor.write(given)
    }
    this.steps = steps
  }

  dispose(): void {
    for (const { m, v, master } of this.#moments.values())
      for (const tensor of [m, v, master]) tensor?.dispose()
  }
}
