/**
 * How gptloom tests its ops, for those who write their own: cases held against a reference in
 * float64, gradients against finite differences, devices against each other. Failures are thrown,
 * so any test runner will do.
 *
 * @packageDocumentation
 */
export { Random, product } from './case.js'
export type { Input, Numbers, OpCase, Tensors, Tolerance } from './case.js'
export {
  checkCase,
  differences,
  hasBfloat16,
  isParameter,
  numbersOf,
  pick,
  sampled,
  toBfloat16,
} from './check.js'
export type { Inputs, Setting } from './check.js'
export { close, disposeAll, gradientsOf, sameBits, upload } from './compare.js'
export { checkGradients } from './gradients.js'
export type { GradientOptions } from './gradients.js'
