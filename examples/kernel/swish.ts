// A kernel of your own as an op of gptloom, without a fork of it. In this folder:
//   npx node-gyp rebuild                                        the addon
//   nvcc -ptx -arch=compute_80 -o build/swish.ptx swish.cu      for a GPU
//   node --import tsx swish.ts [cpu|cuda]
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Tape, customOp, nativeKernel, openDevice } from '../../lib/tensor/index.js'
import { Random, checkGradients, close } from '../../lib/testing/index.js'

const near = (name: string) => new URL(`build/${name}`, import.meta.url)
const ptx = existsSync(near('swish.ptx')) ? readFileSync(near('swish.ptx'), 'utf8') : undefined
const addon = createRequire(import.meta.url)(
  process.env.SWISH_ADDON ?? './build/Release/swish.node',
)
const kernels = addon.open(ptx)
const forward = nativeKernel(kernels.forward)
const backward = nativeKernel(kernels.backward)

const swish = customOp({
  name: 'swish',
  forward([x]) {
    const out = x!.device.empty(x!.shape, x!.dtype)
    forward([out, x!])
    return out
  },
  backward(dout, { inputs: [x] }) {
    const dx = x!.device.empty(x!.shape, x!.dtype)
    backward([dx, dout, x!])
    return [dx]
  },
})

const device = openDevice(process.argv[2] ?? 'cpu')
const input = new Random('swish').normal([31, 33], 2)
using x = device.tensor(input.values, input.shape)
using tape = new Tape()
const values = await tape.run(() => swish([x])).data()
const expected = Float64Array.from(input.values, (x) => x / (1 + Math.exp(-x)))
close(values, expected, { atol: 1e-6, rtol: 1e-6 }, 'swish')
await checkGradients(({ x }) => swish([x!]), { x: input }, { device })
console.log(`swish and its gradient are right on ${device.name}`)
