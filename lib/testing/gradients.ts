import { Tape, cpu } from '../tensor/index.js'
import type { Device, Tensor } from '../tensor/index.js'
import { Random } from './case.js'
import type { Input, Tensors, Tolerance } from './case.js'
import { isParameter, pick, sampled } from './check.js'
import { close, disposeAll, gradientsOf, upload } from './compare.js'

/** How checkGradients() compares. */
export interface GradientOptions extends Partial<Tolerance> {
  /** Default: the CPU. */
  device?: Device
  /** How far each input is moved, both ways. Default 1e-2. */
  step?: number
}

/**
 * Holds the gradients of an op, or of any function of tensors, against central differences of that
 * function: (f(x + h) - f(x - h)) / 2 h, for f the outputs weighted by random numbers. The op
 * computes in float32, so this finds a wrong formula and not a lost digit; an OpCase with a
 * reference in float64 does.
 * @param body computes the output; called many times
 * @param inputs by name; gradients are checked for those of floats that are not constant, all
 *   elements of small ones and some of large ones
 * @param options atol and rtol are 1e-2 each by default
 * @throws Error naming the input and the element that is furthest off
 */
export async function checkGradients(
  body: (tensors: Tensors) => Tensor,
  inputs: Record<string, Input>,
  options: GradientOptions = {},
): Promise<void> {
  const { device = cpu(), step = 1e-2, atol = 1e-2, rtol = 1e-2 } = options
  const random = new Random('checkGradients')
  const tensors = upload(device, inputs)
  const tape = new Tape()
  try {
    const output = tape.run(() => body(tensors))
    const weights = random.normals(output.size)
    const dout = device.tensor(weights, output.shape, output.dtype)
    tape.backward(output, dout)
    dout.dispose()
    const gradients = await gradientsOf(tensors)
    for (const name of Object.keys(inputs).filter((name) => isParameter(inputs[name]!))) {
      const values = Float32Array.from(inputs[name]!.values)
      const sample = sampled(values.length, random)
      const expected: number[] = []
      for (const i of sample) {
        const at = (x: number) => weighted(body, tensors, name, values.with(i, x), weights)
        const [above, below] = [values[i]! + step, values[i]! - step].map(Math.fround) as [
          number,
          number,
        ]
        expected.push(((await at(above)) - (await at(below))) / (above - below))
      }
      tensors[name]!.write(values)
      const found = gradients[name]
      if (!found) throw new Error(`d${name}: the backward gave no gradient`)
      close(pick(found, sample), expected, { atol, rtol }, `d${name}`)
    }
  } finally {
    tape.dispose()
    disposeAll(tensors)
  }
}

/** The sum of the outputs, each times its weight, with other values of one input. */
async function weighted(
  body: (tensors: Tensors) => Tensor,
  tensors: Tensors,
  name: string,
  values: Float32Array,
  weights: Float32Array,
): Promise<number> {
  tensors[name]!.write(values)
  const output = body(tensors)
  const outputs = await output.data()
  output.dispose()
  return weights.reduce((sum, weight, i) => sum + weight * outputs[i]!, 0)
}
