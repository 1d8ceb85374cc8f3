import { outOfRange } from '../../errors.js'
import type { Tensor } from '../tensor.js'
import { recording } from '../tape.js'
import type { Tape } from '../tape.js'
import { expectRows } from './check.js'

/** 'exact': x Phi(x), Phi being the normal distribution; 'tanh': GPT-2's approximation of it. */
export type Gelu = 'tanh' | 'exact'

/** @internal In the order of the native enum. */
const forms = [null, 'tanh', 'exact'] as const

/** @internal What the native side calls a form: 0 without one. */
export function geluCode(form: Gelu | boolean | undefined, name = 'gelu'): number {
  if (form === undefined || form === false) return 0
  const code = forms.indexOf(form === true ? 'tanh' : form)
  if (code < 1) throw outOfRange("'tanh' or 'exact'", name, form)
  return code
}

/**
 * GELU (Hendrycks & Gimpel 2016): x Phi(x), or as GPT-2 approximates it
 * 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Fused into a matmul it costs less: see
 * MatmulOptions.gelu.
 * @param form default 'tanh'
 */
export function gelu(x: Tensor, form: Gelu = 'tanh'): Tensor {
  expectRows('x', x, 'C')
  const code = geluCode(form, 'form')
  const { device } = x
  const output = device.empty(x.shape, x.dtype)
  device.native.geluForward(output.native, x.native, code)
  const tape = recording(x)
  if (tape) recordGelu(tape, output, { z: x, code })
  return output
}

/** What a GELU was applied to. */
interface Argument {
  z: Tensor
  code: number
}

const arguments_ = new WeakMap<Tensor, Argument>()

/** @internal Records output = gelu(z) + residual, which has been computed. */
export function recordGelu(
  tape: Tape,
  output: Tensor,
  argument: Argument,
  residual: Tensor | null = null,
): void {
  const { z, code } = argument
  if (!residual) arguments_.set(output, argument)
  tape.record({
    op: 'gelu',
    output,
    backward(dout, gradients) {
      const dz = gradients.of(z)
      const { native } = z.device
      if (dz) native.geluBackward(dz.tensor.native, dout.native, z.native, code, dz.accumulate)
      if (residual) gradients.give(residual, dout)
    },
  })
}

/**
 * @internal What GELU was applied to when x is its output: a backward that can multiply by GELU's slope
 * as it writes may give that its gradient, and leave x without.
 */
export function geluArgument(x: Tensor): Argument | null {
  const argument = arguments_.get(x)
  return argument && !x.requiresGrad && !argument.z.disposed ? argument : null
}
