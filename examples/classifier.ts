// A text classifier on top of a GPT: a model learns the tickets of a shop, and its embedding of a question
// tells what that is about. Run it with: node --import tsx examples/classifier.ts [steps]
import { rmSync } from 'node:fs'
import { train } from '../lib/index.js'
import type { LanguageModel } from '../lib/index.js'
import { Linear } from '../lib/nn.js'
import { AdamW } from '../lib/optim/index.js'
import { Tape, cpu, crossEntropy } from '../lib/tensor/index.js'
import { tickets } from './shop.js'

const topics = ['order', 'fault', 'other'] as const
const output = 'classifier-model'
const questions = tickets(360).map(
  ({ messages }) => messages.find(({ role }) => role === 'user')!.content,
)
const topicOf = (text: string) =>
  /order \d/.test(text) ? 0 : /flickers|hums|turn on|too hot|switch/.test(text) ? 1 : 2

/** The embedding of each text, with mean 0 and deviation 1 over all channels. */
async function embed(model: LanguageModel, texts: string[]): Promise<Float32Array[]> {
  const out: Float32Array[] = []
  for (const text of texts) {
    const values = await model.embed(text)
    const norm = Math.hypot(...values) / Math.sqrt(values.length)
    out.push(values.map((value) => value / norm))
  }
  return out
}

rmSync(output, { recursive: true, force: true })
const run = train({
  data: tickets(240),
  output,
  model: { layers: 2, heads: 4, width: 64, context: 128 },
  steps: Number(process.argv[2] ?? 150),
  learningRate: 3e-3,
  sampleEvery: 0,
})
const { model } = await run
const vectors = await embed(model, questions)
const labels = questions.map(topicOf)
rmSync(output, { recursive: true, force: true })

const device = cpu()
const width = vectors[0]!.length
const layer = new Linear(width, topics.length, { device, seed: 1, stream: 0 })
const optimizer = new AdamW(layer.namedParameters(), { learningRate: 0.01 })
const batch = (from: number, to: number) => ({
  x: device.tensor(Float32Array.from(vectors.slice(from, to).flatMap((v) => [...v])), [
    to - from,
    width,
  ]),
  y: device.tensor(Int32Array.from(labels.slice(from, to))),
})
const known = batch(0, 240)
for (let step = 0; step < 200; step++) {
  using tape = new Tape()
  tape.backward(tape.run(() => crossEntropy(layer.forward(known.x), known.y)))
  optimizer.step({ gradientScale: 1 / 240 }).dispose()
  layer.zeroGrad()
}

const others = batch(240, 360)
using logits = layer.forward(others.x)
const scores = await logits.data()
const guess = (i: number) => {
  const row = [...scores.subarray(topics.length * i, topics.length * (i + 1))]
  return row.indexOf(Math.max(...row))
}
const right = Array.from({ length: 120 }, (_, i) => guess(i) === labels[240 + i])
for (const i of [0, 1, 2]) console.log(`${questions[240 + i]}\n  is about: ${topics[guess(i)]}`)
console.log(`${right.filter(Boolean).length} of 120 questions told rightly`)
