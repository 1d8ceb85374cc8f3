// timeout: 600
// Every op case on the CPU: outputs against the float64 oracle, gradients against finite differences of
// the oracle, and the same bits whatever the number of threads.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tape } from '../../lib/tensor/index.js'
import {
  Random,
  checkCase,
  close,
  differences,
  disposeAll,
  gradientsOf,
  isParameter,
  pick,
  sameBits,
  sampled,
  upload,
} from '../../lib/testing/index.js'
import { devices } from './devices.js'
import { checkNoRows } from './norows.js'
import { cases, cpuCases } from '../cases/index.js'

for (const opCase of [...cases, ...cpuCases]) {
  for (const instance of opCase.instances) {
    test(`${opCase.name} ${JSON.stringify(instance)}`, () =>
      checkCase(opCase, instance, { devices, dtype: 'float32' }))
  }
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

test('no rows is no work', () => checkNoRows(devices[0]!, 'float32'))

test.run()
