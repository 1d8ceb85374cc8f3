// Prints what the addon gives that is loaded here: a product whose result is known, one step of training, a
// hash of the weights after it, and where the addon lies.
import { createHash } from 'node:crypto'
import { GPT2, resolveModel } from '../lib/models/index.js'
import { AdamW } from '../lib/optim/index.js'
import { Tape, cpu, matmul } from '../lib/tensor/index.js'

export interface Smoke {
  product: number[]
  loss: number
  hash: string
  binary: string
}

const device = cpu()
const square = (values: number[]) => device.tensor(values, [2, 2])
const product = await matmul(square([1, 2, 3, 4]), square([5, 6, 7, 8])).data()
const model = new GPT2(resolveModel({ preset: 'nano', dropout: 0.1 }, 300), device, 1)
const optimizer = new AdamW(model.namedParameters())
const tokens = Int32Array.from({ length: 128 }, (_, i) => (i * i) % 300)
const targets = tokens.map((token) => (token * 7 + 3) % 300)
const upload = (values: Int32Array) => device.tensor(values, [2, 64])
const tape = new Tape()
const loss = tape.run(() =>
  model.loss(upload(tokens), upload(targets), { dropout: { seed: 1, step: 0 } }),
)
tape.backward(loss)
optimizer.step()
const hash = createHash('sha256')
for (const [, values] of await model.state()) hash.update(values)
const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] }
const smoke: Smoke = {
  product: [...product],
  loss: (await loss.item()) / 128,
  hash: hash.digest('hex'),
  binary: sharedObjects.find((name) => name.endsWith('gptloom.node')) ?? '',
}
console.log(JSON.stringify(smoke))
