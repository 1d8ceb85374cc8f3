import { outOfRange, show, wrongType } from '../../errors.js'
import { addon } from '../binding.js'
import { scope } from '../scope.js'
import { copyOf, recording, unrecorded } from '../tape.js'
import { Tensor } from '../tensor.js'
import { expectTensor } from './check.js'

/** What the backward of a custom op sees of its forward. */
export interface CustomContext<Options> {
  inputs: readonly Tensor[]
  output: Tensor
  /** What forward kept. */
  saved: readonly Tensor[]
  options: Options
}

/** An op of your own, for customOp(). */
export interface CustomOp<Options> {
  /** For messages. */
  name: string
  /**
   * Computes the output, a new tensor, by other ops or nativeKernel()s; what else it makes is
   * freed. `saved` keeps tensors for the backward.
   */
  forward(
    inputs: readonly Tensor[],
    options: Options,
  ): Tensor | { output: Tensor; saved: readonly Tensor[] }
  /**
   * The gradient of each input, in order and of its shape, given that of the output; null where
   * there is none. Without it, gradients do not flow through.
   */
  backward?(dout: Tensor, context: CustomContext<Options>): readonly (Tensor | null)[]
}

/**
 * An op of your own, made of other ops, with a backward of your own: gradients flow through it as
 * through those of gptloom. Test it with checkGradients() of `gptloom/testing`.
 *
 *     const reversed = customOp({
 *       name: 'reversed',
 *       forward: ([x]) => scale(x, 1),
 *       backward: (dout) => [scale(dout, -1)],
 *     })
 *     const y = reversed([x])
 *
 * @returns a function of the inputs and, where the op has some, its options
 * @throws RangeError in the backward pass, for gradients that do not fit the inputs
 */
export function customOp<Options = void>(
  op: CustomOp<Options>,
): (inputs: readonly Tensor[], options: Options) => Tensor {
  const { name, forward, backward } = op
  if (typeof name !== 'string' || name === '') throw wrongType('a name', 'name', name)
  if (typeof forward !== 'function') throw wrongType('a function', 'forward', forward)
  if (backward !== undefined && typeof backward !== 'function')
    throw wrongType('a function', 'backward', backward)
  return (inputs, options) => {
    if (!Array.isArray(inputs) || !inputs.every((x) => x instanceof Tensor))
      throw wrongType('a list of tensors', 'inputs', inputs)
    const tape = backward ? recording(...inputs) : null
    const { output, saved } = unrecorded(() =>
      scope(() => {
        const made = forward(inputs, options)
        const { output, saved } = made instanceof Tensor ? { output: made, saved: [] } : made
        if (!(output instanceof Tensor))
          throw wrongType('a tensor', `the output of ${name}`, output)
        return { output: fresh(output, inputs), saved: tape ? saved : [] }
      }),
    )
    tape?.record({
      op: name,
      output,
      saved: saved.filter((x) => !inputs.includes(x)),
      backward(dout, gradients) {
        const kept = [...inputs, ...saved, output]
        const dxs = scope(() => {
          const dxs = backward!(dout, { inputs, output, saved, options })
          checkGradients(name, dxs, inputs)
          return dxs.map((dx, i) => dx && fresh(dx, [...kept, dout, ...dxs.slice(0, i)]))
        })
        dxs.forEach((dx, i) => dx && gradients.give(inputs[i]!, dx))
      },
    })
    return output
  }
}

/** x, or a copy of it where x is one of these. */
function fresh(x: Tensor, taken: readonly (Tensor | null)[]): Tensor {
  return taken.includes(x) ? copyOf(x) : x
}

function checkGradients(
  name: string,
  dxs: readonly (Tensor | null)[],
  inputs: readonly Tensor[],
): void {
  const what = `${inputs.length} gradients`
  if (!Array.isArray(dxs)) throw wrongType(what, `the backward of ${name}`, dxs)
  if (dxs.length !== inputs.length) throw outOfRange(what, `the backward of ${name}`, dxs.length)
  dxs.forEach((dx, i) => {
    const { shape, dtype } = inputs[i]!
    if (dx !== null) expectTensor(`gradient ${i} of ${name}`, dx, shape, dtype)
  })
}

/** Enqueues a kernel: it reads and writes the tensors as it likes. */
export type NativeKernel = (tensors: readonly Tensor[], params?: ArrayBufferView) => void

/**
 * A kernel of your own, in C or C++ and, for a GPU, in CUDA: an addon of yours exports it as
 * `native/gptloom.h` says. It runs in the queue of the tensors' device, in order with everything
 * else. Use it in the forward and backward of a customOp().
 * @param exported what gptloom_kernel_to_js made
 * @returns a function that enqueues the kernel on tensors of one device, with a copy of the bytes
 *   of `params`
 * @throws TypeError when it is no such value, or was compiled against another version of the header
 */
export function nativeKernel(exported: unknown): NativeKernel {
  const kernel = exported as object
  const name = addon().kernel(kernel)
  return (tensors, params = new Uint8Array()) => {
    if (
      !Array.isArray(tensors) ||
      tensors.length === 0 ||
      !tensors.every((x) => x instanceof Tensor)
    )
      throw wrongType('a list of tensors', `the tensors of ${name}`, tensors)
    if (!ArrayBuffer.isView(params))
      throw wrongType('a typed array', `the params of ${name}`, params)
    const { device } = tensors[0] as Tensor
    if (tensors.some((x) => x.device !== device))
      throw outOfRange(
        'one device',
        `the tensors of ${name}`,
        show(tensors.map((x) => x.device.name)),
      )
    const bytes = new Uint8Array(params.buffer, params.byteOffset, params.byteLength)
    device.native.call(
      kernel,
      tensors.map((x) => x.native),
      bytes,
    )
  }
}
