// Every op case: outputs against the float64 oracle, gradients against finite differences of the
// oracle, and the same bits whatever the number of threads.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tape, add } from '../../lib/tensor/index.js'
import type { Device, Tensor, Values } from '../../lib/tensor/index.js'
import { Random } from '../cases/case.js'
import type { Input, Numbers, OpCase } from '../cases/case.js'
import { cases } from '../cases/index.js'
import { close, devices, disposeAll, gradientsOf, sameBits, upload } from './compare.js'

const SAMPLES = 40
const STEP = 1e-5

type Inputs = Record<string, Input>
const numbersOf = (inputs: Inputs): Numbers =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, { values }]) => [name, Float64Array.from(values)]),
  )

for (const opCase of cases) {
  for (const instance of opCase.instances) {
    const label = `${opCase.name} ${JSON.stringify(instance)}`
    const inputs = opCase.inputs(instance, new Random(label))
    const numbers = numbersOf(inputs)
    const expected = opCase.oracle(numbers, instance)
    test(label, async () => {
      await checkForward(opCase, instance, inputs, expected)
      if (!opCase.forwardOnly) await checkBackward(opCase, instance, inputs, expected[0]!.length)
    })
  }
}

async function checkForward<I>(
  opCase: OpCase<I>,
  instance: I,
  inputs: Inputs,
  expected: ArrayLike<number>[],
) {
  let first: Values[] | undefined
  for (const device of devices) {
    const tensors = upload(device, inputs)
    const outputs = opCase.run(tensors, instance)
    const values = await Promise.all(outputs.map((output) => output.data()))
    assert.is(values.length, expected.length, 'outputs')
    values.forEach((output, i) => {
      if (first) sameBits(output, first[i]!, `output ${i} on ${device.name}`)
      else close(output, expected[i]!, opCase.tolerance(instance), `output ${i}`)
    })
    first ??= values
    disposeAll(tensors)
    disposeAll(outputs)
  }
}

async function checkBackward<I>(opCase: OpCase<I>, instance: I, inputs: Inputs, size: number) {
  const random = new Random('dout')
  const dout = random.normals(size)
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
  assert.equal(Object.keys(once), wanted, 'inputs with a gradient')
  const { atol, rtol } = opCase.tolerance(instance)
  const double = { atol: 2 * atol, rtol }
  for (const name of wanted) {
    const sample = sampled(inputs[name]!.values.length, random)
    const expected = differences(opCase, instance, inputs, name, sample, dout)
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
    assert.is(output.size, dout.length)
    using gradient = device.tensor(dout, output.shape)
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

const isParameter = ({ values, constant }: Input) => values instanceof Float32Array && !constant
const pick = (values: Values, sample: number[]) => Float32Array.from(sample, (i) => values[i]!)

/** All indices of a small input, some of a large one: the ends, and others at random. */
function sampled(n: number, random: Random): number[] {
  if (n <= SAMPLES) return Array.from({ length: n }, (_, i) => i)
  return [0, n - 1, ...Array.from({ length: SAMPLES - 2 }, () => random.below(n))]
}

/** The gradient of sum(dout * oracle) by central differences. */
function differences<I>(
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

test('a loss without dout has the gradient of dout = 1', async () => {
  for (const opCase of cases.filter(({ name }) => /CrossEntropy$/i.test(name))) {
    for (const instance of opCase.instances) {
      const inputs = opCase.inputs(instance, new Random('unit'))
      const tensors = upload(devices[0]!, inputs)
      using tape = new Tape()
      tape.backward(tape.run(() => opCase.run(tensors, instance)[0]!))
      const gradients = await gradientsOf(tensors)
      for (const name of Object.keys(inputs).filter((name) => isParameter(inputs[name]!))) {
        const sample = sampled(inputs[name]!.values.length, new Random(name))
        const expected = differences(opCase, instance, inputs, name, sample, new Float32Array([1]))
        close(
          pick(gradients[name]!, sample),
          expected,
          opCase.tolerance(instance),
          `${opCase.name} d${name}`,
        )
      }
      disposeAll(tensors)
    }
  }
})

test('an input that is no parameter gets no gradient, and changes none', async () => {
  for (const opCase of cases.filter(({ forwardOnly }) => !forwardOnly)) {
    const instance = opCase.instances.at(-1)
    const inputs = opCase.inputs(instance, new Random('constants'))
    const names = Object.keys(inputs).filter((name) => isParameter(inputs[name]!))
    const gradients = async (constant?: string) => {
      const tensors = upload(devices[0]!, inputs)
      if (constant) tensors[constant]!.requiresGrad = false
      using tape = new Tape()
      const output = tape.run(() => opCase.run(tensors, instance)[0]!)
      if (names.length > 1 || !constant) {
        using dout = devices[0]!.normal(output.shape, { seed: 1 })
        tape.backward(output, dout)
      }
      return gradientsOf(tensors)
    }
    const all = await gradients()
    for (const constant of names) {
      const rest = await gradients(constant)
      assert.equal(
        Object.keys(rest),
        names.filter((name) => name !== constant),
        opCase.name,
      )
      for (const name of Object.keys(rest))
        sameBits(rest[name]!, all[name]!, `${opCase.name} d${name}`)
    }
  }
})

test('no rows is no work', async () => {
  const device = devices[0]!
  for (const [name, inputs] of Object.entries({
    add: { a: [0, 7], b: [0, 7] },
    gelu: { x: [0, 7] },
    matmul: { a: [2, 0, 7], b: [7, 5] },
    layerNorm: { x: [0, 7], weight: [7] },
    crossEntropy: { logits: [0, 7] },
    linearCrossEntropy: { x: [0, 7], weight: [5, 7] },
  } as Record<string, Record<string, number[]>>)) {
    const opCase = cases.find((opCase) => opCase.name === name)!
    const shapes = Object.entries(inputs)
    const tensors = Object.fromEntries(shapes.map(([name, shape]) => [name, device.full(shape, 1)]))
    for (const tensor of Object.values(tensors)) tensor.requiresGrad = true
    if (/crossentropy/i.test(name)) tensors.targets = device.tensor(new Int32Array(0), [0])
    using tape = new Tape()
    const output = tape.run(() => opCase.run(tensors, {})[0]!)
    using dout = device.full(output.shape, 1)
    tape.backward(output, dout)
    assert.ok(
      (await output.data()).every((value) => value === 0),
      name,
    )
    for (const values of Object.values(await gradientsOf(tensors))) {
      assert.ok(
        values.every((value) => value === 0),
        `gradients of ${name}`,
      )
    }
    disposeAll(tensors)
  }
})

test.run()
