// How an op case is held against the float64 oracle on some devices.
import assert from 'node:assert/strict'
import { Tape, add } from '../tensor/index.js'
import type { Device, Dtype, Tensor, Values } from '../tensor/index.js'
import { Random } from './case.js'
import type { Input, Numbers, OpCase, Tolerance } from './case.js'
import { close, disposeAll, gradientsOf, sameBits, upload } from './compare.js'

const SAMPLES = 40
const STEP = 1e-5

/** The inputs of an op case, by name. */
export type Inputs = Record<string, Input>

/** Where and in what an op case is run. */
export interface Setting {
  /** Must agree to the bit. */
  devices: Device[]
  /**
   * Of weights and activations. 'tf32': float32 of values that tf32 holds exactly, so that the forward
   * must be float32's, while in the backward values may be rounded.
   */
  dtype: Dtype | 'tf32'
}

/** One instance of a case: forward, and backward where there is one. */
export async function checkCase<I>(
  opCase: OpCase<I>,
  instance: I,
  setting: Setting,
): Promise<void> {
  const given = opCase.inputs(instance, new Random(`${opCase.name} ${JSON.stringify(instance)}`))
  const inputs = setting.dtype === 'float32' ? given : rounded(opCase, given, setting.dtype)
  const expected = opCase.oracle(numbersOf(inputs), instance)
  await checkForward(opCase, instance, inputs, expected, setting)
  if (!opCase.forwardOnly)
    await checkBackward(opCase, instance, inputs, expected[0]!.length, setting)
}

/** The values of inputs, in float64. */
export const numbersOf = (inputs: Inputs): Numbers =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, { values }]) => [name, Float64Array.from(values)]),
  )

/** Whether an input of a case is of the dtype of weights and activations. */
const follows = <I>(opCase: OpCase<I>, name: string, { values }: Input) =>
  values instanceof Float32Array && !opCase.float32?.(name)

/** The case can be run in bfloat16. */
export function hasBfloat16<I>(opCase: OpCase<I>): boolean {
  const inputs = opCase.inputs(opCase.instances[0]!, new Random(0))
  return Object.entries(inputs).some(([name, input]) => follows(opCase, name, input))
}

/** The inputs with values that bfloat16 holds exactly, so that the oracle sees what the device sees. */
export function rounded<I>(
  opCase: OpCase<I>,
  inputs: Inputs,
  dtype: Setting['dtype'] = 'bfloat16',
): Inputs {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, input]) => [
      name,
      follows(opCase, name, input)
        ? {
            ...input,
            ...(dtype === 'bfloat16' && { dtype }),
            values: toBfloat16(input.values),
          }
        : input,
    ]),
  )
}

/** Rounds to bfloat16, to nearest even: 8 significant bits. */
export function toBfloat16(values: ArrayLike<number>): Float32Array {
  return Float32Array.from(values, (x) => {
    if (!Number.isFinite(x) || x === 0) return x
    const unit = 2 ** Math.max(Math.floor(Math.log2(Math.abs(x))) - 7, -133)
    const scaled = x / unit
    const down = Math.floor(scaled)
    const up = scaled - down > 0.5 || (scaled - down === 0.5 && down % 2 !== 0)
    return (down + (up ? 1 : 0)) * unit
  })
}

/**
 * In bfloat16 every value that is stored is off by up to 2^-9 of its size, and so is each of the terms
 * that a sum is made of: 2^-7 of the value and of a typical value leaves room for a few roundings. In
 * tf32 it is 2^-11 of each operand.
 */
export function toleranceOf<I>(
  opCase: OpCase<I>,
  instance: I,
  dtype: Setting['dtype'],
  expected: ArrayLike<number>,
): Tolerance {
  const exact = opCase.tolerance(instance)
  if (dtype === 'float32') return exact
  const squares = Array.from(expected, (x) => (Number.isFinite(x) ? x * x : 0))
  const typical = Math.sqrt(squares.reduce((a, b) => a + b, 0) / Math.max(1, squares.length))
  const terms = opCase.terms?.(instance) ?? 1
  const unit = dtype === 'tf32' ? 2 ** -9 : 2 ** -7
  return { atol: exact.atol + unit * terms * typical, rtol: unit }
}

async function checkForward<I>(
  opCase: OpCase<I>,
  instance: I,
  inputs: Inputs,
  expected: ArrayLike<number>[],
  { devices, dtype }: Setting,
) {
  let first: Values[] | undefined
  for (const device of devices) {
    const tensors = upload(device, inputs)
    const outputs = opCase.run(tensors, instance)
    const values = await Promise.all(outputs.map((output) => output.data()))
    assert.equal(values.length, expected.length, 'outputs')
    values.forEach((output, i) => {
      if (first) return sameBits(output, first[i]!, `output ${i} on ${device.name}`)
      const isExact = dtype === 'tf32' || (outputs[i]!.dtype === 'float32' && opCase.float32)
      const exact = isExact ? 'float32' : dtype
      close(output, expected[i]!, toleranceOf(opCase, instance, exact, expected[i]!), `output ${i}`)
    })
    first ??= values
    disposeAll(tensors)
    disposeAll(outputs)
  }
}

async function checkBackward<I>(
  opCase: OpCase<I>,
  instance: I,
  inputs: Inputs,
  size: number,
  { devices, dtype }: Setting,
) {
  const random = new Random('dout')
  const normals = random.normals(size)
  const dout = dtype === 'float32' ? normals : toBfloat16(normals)
  const results = []
  for (const device of devices) results.push(await backward(device, opCase, instance, inputs, dout))
  const [first, ...others] = results
  for (const other of others) {
    for (const name of Object.keys(other!.once)) {
      sameBits(other!.once[name]!, first!.once[name]!, `d${name}`)
      sameBits(other!.again[name]!, first!.again[name]!, `d${name} after two backwards`)
    }
  }
  const { once, again, twice } = first!
  const wanted = Object.keys(inputs).filter((name) => isParameter(inputs[name]!))
  assert.deepEqual(Object.keys(once), wanted, 'inputs with a gradient')
  for (const name of wanted) {
    const sample = sampled(inputs[name]!.values.length, random)
    const expected = differences(opCase, instance, inputs, name, sample, dout)
    const { atol, rtol } = toleranceOf(opCase, instance, dtype, expected)
    const double = { atol: 2 * atol, rtol }
    close(pick(once[name]!, sample), expected, { atol, rtol }, `d${name}`)
    const doubled = once[name]!.map((value) => 2 * value)
    close(again[name]!, doubled, double, `d${name} after two backwards`)
    close(twice[name]!, doubled, double, `d${name} of an input used twice`)
  }
}

/** Gradients after one backward, after two, and after one of a graph that has the op twice. */
async function backward<I>(
  device: Device,
  opCase: OpCase<I>,
  instance: I,
  inputs: Inputs,
  dout: Float32Array,
) {
  const tensors = upload(device, inputs)
  const step = (body: () => Tensor) => {
    using tape = new Tape()
    const output = tape.run(body)
    assert.equal(output.size, dout.length)
    using gradient = device.tensor(dout, output.shape, output.dtype)
    tape.backward(output, gradient)
  }
  const op = () => opCase.run(tensors, instance)[0]!
  step(op)
  const once = await gradientsOf(tensors)
  step(op)
  const again = await gradientsOf(tensors)
  for (const tensor of Object.values(tensors)) {
    tensor.grad?.dispose()
    tensor.grad = null
  }
  step(() => add(op(), op()))
  const twice = await gradientsOf(tensors)
  disposeAll(tensors)
  return { once, again, twice }
}

/** Whether gradients flow to an input. */
export const isParameter = ({ values, constant }: Input) =>
  values instanceof Float32Array && !constant
/** The values at some indices. */
export const pick = (values: Values, sample: number[]) =>
  Float32Array.from(sample, (i) => values[i]!)

/** All indices of a small input, some of a large one: the ends, and others at random. */
export function sampled(n: number, random: Random): number[] {
  if (n <= SAMPLES) return Array.from({ length: n }, (_, i) => i)
  return [0, n - 1, ...Array.from({ length: SAMPLES - 2 }, () => random.below(n))]
}

/** The gradient of sum(dout * oracle) by central differences. */
export function differences<I>(
  opCase: OpCase<I>,
  instance: I,
  inputs: Inputs,
  name: string,
  sample: number[],
  dout: Float32Array,
): number[] {
  const numbers = numbersOf(inputs)
  const x = numbers[name]!
  const at = (i: number, value: number): ArrayLike<number> => {
    const before = x[i]!
    x[i] = value
    const [output] = opCase.oracle(numbers, instance)
    x[i] = before
    return output!
  }
  return sample.map((i) => {
    const [above, below] = [at(i, x[i]! + STEP), at(i, x[i]! - STEP)]
    // Differences first, so that what does not depend on x adds no rounding.
    return dout.reduce((sum, d, j) => sum + d * (above[j]! - below[j]!), 0) / (2 * STEP)
  })
}
