// An op of your own, made of other ops: the straight-through estimator (Bengio et al. 2013). Forward
// rounds weights to bfloat16, backward pretends that it had not, so that a network learns to live with it.
// Run it with: node --import tsx examples/customop.ts
import { AdamW } from '../lib/optim/index.js'
import { Tape, cast, cpu, customOp, matmul, scale } from '../lib/tensor/index.js'
import { Random, checkGradients } from '../lib/testing/index.js'

const rounded = customOp({
  name: 'rounded',
  forward: ([x]) => cast(cast(x!, 'bfloat16'), 'float32'),
  backward: (dout) => [dout],
})

// The gradient of an op that is a formula is checked like this.
const reversed = customOp({
  name: 'reversed',
  forward: ([x]) => scale(x!, -0.5),
  backward: (dout) => [scale(dout, -0.5)],
})
await checkGradients(({ x }) => reversed([x!]), { x: new Random(1).normal([4, 5]) })
console.log('the gradient of reversed() is right')

// Learns the matrix behind y = x a, with weights that are rounded in every step.
const device = cpu()
const a = device.normal([8, 8], { seed: 1 })
const x = device.normal([64, 8], { seed: 2 })
const y = matmul(x, a)
const weight = device.zeros([8, 8])
weight.requiresGrad = true
const optimizer = new AdamW([['weight', weight]], { learningRate: 0.02, weightDecay: 0 })
const target = await y.data()
for (let step = 0; step <= 400; step++) {
  using tape = new Tape()
  const out = tape.run(() => matmul(x, rounded([weight])))
  const values = (await out.data()) as Float32Array
  const error = values.map((value, i) => value - target[i]!)
  using dout = device.tensor(error, out.shape) // the gradient of half the squared error
  tape.backward(out, dout)
  optimizer.step({ gradientScale: 1 / 64 }).dispose()
  weight.grad!.dispose()
  weight.grad = null
  if (step % 100 === 0) {
    const mean = error.reduce((sum, e) => sum + e * e, 0) / error.length
    console.log(`step ${step}  mean squared error ${mean.toFixed(6)}`)
  }
}
