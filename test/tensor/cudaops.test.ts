// device: cuda
// timeout: 1200
//
// Every op case on the CUDA device, in float32 and in bfloat16: as on the CPU; and products in tf32.
// ONLY=matmul runs the cases whose name matches.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { matmul } from '../../lib/tensor/index.js'
import { cases } from '../cases/index.js'
import { matmulCase } from '../cases/matmul.js'
import type { MatmulInstance } from '../cases/matmul.js'
import { backwardProductsCase } from '../cases/mlp.js'
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

  // Rows of operands that are whole packets of 16 bytes: others are multiplied exactly.
  const tf32 = openCuda({ tf32: true })
  const products: MatmulInstance[] = [
    { rows: [33], N: 36, K: 68 },
    { rows: [17], N: 100, K: 4, transposeB: true, bias: true },
    { rows: [124], N: 132, K: 12, transposeA: true, bias: true, gelu: 'exact' },
    { rows: [5, 13], N: 36, K: 100, bias: true, gelu: true, residual: true },
    { rows: [31], N: 33, K: 7, transposeA: true, transposeB: true },
  ]
  const large = [
    { M: 104, N: 1224, K: 1024, gelu: 'tanh' },
    { M: 676, N: 3520, K: 36, gelu: 'exact' },
  ] as const
  for (const instance of products.filter(() => only.test('tf32'))) {
    test(`tf32 matmul ${JSON.stringify(instance)}`, () =>
      checkCase(matmulCase, instance, { devices: [tf32], dtype: 'tf32' }))
  }
  for (const instance of large.filter(() => only.test('tf32'))) {
    test(`tf32 backward products ${JSON.stringify(instance)}`, () =>
      checkCase(backwardProductsCase, instance, { devices: [tf32], dtype: 'tf32' }))
  }
  if (only.test('tf32')) {
    test('tf32 rounds operands to 10 bits, to nearest, where products may; else nothing', async () => {
      // 1 + 2^-12 is nearer to 1 than to 1 + 2^-10; 1 + 2^-11 goes away from zero.
      const product = async (on: typeof device, value: number, rows: number, columns: number) => {
        using a = on.full([rows, 8], value)
        using b = on.full([8, columns], 1)
        using out = matmul(a, b)
        return [...new Set(await out.data())]
      }
      assert.equal(await product(tf32, 1 + 2 ** -12, 20, 24), [8])
      assert.equal(await product(tf32, 1 + 2 ** -11, 20, 24), [8 + 2 ** -7])
      assert.equal(await product(tf32, 1 + 2 ** -12, 20, 23), [8 + 2 ** -9])
      assert.equal(await product(device, 1 + 2 ** -12, 20, 24), [8 + 2 ** -9])
    })
  }
}

test.run()
