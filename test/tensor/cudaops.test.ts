// device: cuda
// timeout: 1200
//
// Every op case on the CUDA device, in float32 and in bfloat16: as on the CPU. ONLY=matmul runs the cases
// whose name matches.
import { test } from 'uvu'
import { cases } from '../cases/index.js'
import { openCuda, skipsCuda } from './cuda.js'
import { checkCase, hasBfloat16 } from '../../lib/testing/index.js'
import { checkNoRows } from './norows.js'

if (skipsCuda()) {
  test('nothing without a GPU', () => {})
} else {
  const device = openCuda()
  const only = new RegExp(process.env.ONLY ?? '')
  for (const dtype of ['float32', 'bfloat16'] as const) {
    for (const opCase of cases.filter((each) => dtype === 'float32' || hasBfloat16(each))) {
      for (const instance of opCase.instances) {
        if (!only.test(opCase.name)) continue
        test(`${dtype} ${opCase.name} ${JSON.stringify(instance)}`, () =>
          checkCase(opCase, instance, { devices: [device], dtype }))
      }
    }
    test(`${dtype}: no rows is no work`, () => checkNoRows(device, dtype))
  }
}

test.run()
