import { checkNumber } from '../../errors.js'
import type { Dtype, Tensor } from '../tensor.js'
import { recording } from '../tape.js'
import type { Gradients, Tape } from '../tape.js'
import { expectRows, expectTensor, nativeOf } from './check.js'

/** What the losses take beside logits and targets. */
export interface CrossEntropyOptions {
  /**
   * Label smoothing (Szegedy et al. 2016): of each target's weight of 1 this much is spread evenly over
   * the vocabulary. From 0 to below 1. Default 0.
   */
  smoothing?: number
}

/**
 * The sum over rows of -log softmax(logits)[target], in nats. A negative target is ignored. For a mean,
 * divide by the number of targets that count; the optimizer's gradientScale does the same to the
 * gradients.
 * @param logits [..., V]
 * @param targets int32 of logits' leading dimensions
 * @returns [1]
 * @throws at the next await, GptloomError ERR_INDEX when a target is not below V
 */
export function crossEntropy(
  logits: Tensor,
  targets: Tensor,
  { smoothing = 0 }: CrossEntropyOptions = {},
): Tensor {
  checkNumber('smoothing', smoothing, 0, 0.99)
  expectRows('logits', logits, 'V')
  expectTensor('targets', targets, logits.shape.slice(0, -1), 'int32')
  const { device } = logits
  const tape = recording(logits)
  const losses = device.empty(targets.shape)
  const dlogits = tape && device.empty(logits.shape, logits.dtype)
  device.native.crossentropy(
    losses.native,
    nativeOf(dlogits),
    logits.native,
    targets.native,
    smoothing,
  )
  const output = total(losses)
  tape?.record({
    op: 'crossentropy',
    output,
    backward: (dout, gradients) => giveScaled(tape, dout, gradients, [[logits, dlogits]]),
  })
  return output
}

/**
 * crossEntropy(x weight^T, targets) in one: logits exist for a few rows at a time only, and while
 * recording both gradients are made in the same pass. The last layer of a language model, without its
 * memory.
 * @param x [..., C]
 * @param weight [V, C]
 * @param targets int32 of x's leading dimensions; a negative one is ignored
 * @returns [1], the sum of losses in nats
 */
export function linearCrossEntropy(
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  { smoothing = 0 }: CrossEntropyOptions = {},
): Tensor {
  checkNumber('smoothing', smoothing, 0, 0.99)
  expectRows('x', x, 'C')
  expectTensor('weight', weight, ['V', x.shape.at(-1)!], x.dtype)
  expectTensor('targets', targets, x.shape.slice(0, -1), 'int32')
  const { device } = x
  const tape = recording(x, weight)
  const losses = device.empty(targets.shape)
  const gradient = (of: Tensor, dtype: Dtype) =>
    recording(of) ? device.empty(of.shape, dtype) : null
  const [dx, dweight] = [gradient(x, x.dtype), gradient(weight, 'float32')]
  device.native.linearCrossentropy(
    losses.native,
    nativeOf(dx),
    nativeOf(dweight),
    x.native,
    weight.native,
    targets.native,
    smoothing,
  )
  const output = total(losses)
  tape?.record({
    op: 'linear crossentropy',
    output,
    backward: (dout, gradients) =>
      giveScaled(tape, dout, gradients, [
        [x, dx],
        [weight, dweight],
      ]),
  })
  return output
}

function total(losses: Tensor): Tensor {
  const output = losses.device.empty([1])
  losses.device.native.sum(output.native, losses.native)
  losses.dispose()
  return output
}

// The gradients were made for dout = 1, which is what the end of a loss nearly always is.
function giveScaled(
  tape: Tape,
  dout: Tensor,
  gradients: Gradients,
  pairs: [Tensor, Tensor | null][],
): void {
  for (const [x, dx] of pairs) {
    if (!dx) continue
    if (dout !== gradients.unit) dx.device.native.scale(dx.native, dout.native)
    tape.release(dx)
    gradients.give(x, dx)
  }
}
