import type { Device, Tensor, Values } from '../tensor/index.js'
import type { Input, Tolerance } from './case.js'

/** Throws unless every |actual - expected| <= atol + rtol |expected|. A NaN asks for a NaN. */
export function close(
  actual: Values,
  expected: ArrayLike<number>,
  { atol, rtol }: Tolerance,
  what: string,
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${what}: ${actual.length} elements where ${expected.length} were expected`)
  }
  let worst = -1
  let excess = 1
  let wrong = 0
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!]
    if (Object.is(a, e) || a === e) continue
    const ratio = Math.abs(a - e) / (atol + rtol * Math.abs(e))
    if (ratio <= 1) continue
    wrong++
    if (worst < 0 || !(ratio <= excess)) [worst, excess] = [i, ratio]
  }
  if (wrong === 0) return
  throw new Error(
    `${what}: ${wrong} of ${actual.length} elements are off, the worst at ${worst}: ${actual[worst]} where ` +
      `${expected[worst]} was expected (atol ${atol.toExponential(1)}, rtol ${rtol.toExponential(1)})`,
  )
}

/** Throws unless both hold the same bits. */
export function sameBits(actual: Values, expected: Values, what: string): void {
  const bits = (x: Values) => new Uint32Array(x.buffer, x.byteOffset, x.length)
  const [a, b] = [bits(actual), bits(expected)]
  const at = a.findIndex((word, i) => word !== b[i])
  if (a.length === b.length && at < 0) return
  throw new Error(
    `${what}: element ${at} of ${a.length} is ${actual[at]}, and ${expected[at]} elsewhere`,
  )
}

/** Inputs as tensors; those that gradients flow to become parameters. */
export function upload(device: Device, inputs: Record<string, Input>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, input]) => {
      const { values, shape, dtype, constant } = input
      const tensor = input.shifted ? shifted(device, input) : device.tensor(values, shape, dtype)
      tensor.requiresGrad = tensor.dtype !== 'int32' && !constant
      return [name, tensor]
    }),
  )
}

/** One element behind the beginning of its memory. */
function shifted(device: Device, { values, shape, dtype }: Input): Tensor {
  const wide = new Float32Array(values.length + 1)
  wide.set(values, 1)
  using whole = device.tensor(wide, [wide.length], dtype)
  using behind = whole.rows(1, wide.length)
  return behind.view(shape)
}

/** The values of every parameter's gradient, by name. */
export async function gradientsOf(
  tensors: Record<string, Tensor>,
): Promise<Record<string, Values>> {
  const out: Record<string, Values> = {}
  for (const [name, tensor] of Object.entries(tensors))
    if (tensor.grad) out[name] = await tensor.grad.data()
  return out
}

/** Disposes every tensor of a list or record. */
export function disposeAll(tensors: Record<string, Tensor> | Tensor[]): void {
  for (const tensor of Object.values(tensors)) tensor.dispose()
}
