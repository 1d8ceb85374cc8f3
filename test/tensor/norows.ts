import * as assert from 'uvu/assert'
import { Tape } from '../../lib/tensor/index.js'
import type { Device, Dtype } from '../../lib/tensor/index.js'
import { disposeAll, gradientsOf } from '../../lib/testing/compare.js'
import { cases } from '../cases/index.js'

/** Ops on tensors with a dimension of 0 give zeros or nothing, and so do their gradients. */
export async function checkNoRows(device: Device, dtype: Dtype): Promise<void> {
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
    const tensors = Object.fromEntries(
      shapes.map(([name, shape]) => [name, device.full(shape, 1, dtype)]),
    )
    for (const tensor of Object.values(tensors)) tensor.requiresGrad = true
    if (/crossentropy/i.test(name)) tensors.targets = device.tensor(new Int32Array(0), [0])
    using tape = new Tape()
    const output = tape.run(() => opCase.run(tensors, {})[0]!)
    using dout = device.full(output.shape, 1, output.dtype)
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
}
