//   node --import tsx peak.ts '{"model", "vocabulary", "batch", "context", "recompute"}'
//
// trains two steps and prints the most memory that was resident, and that was in tensors, in bytes.
import { readFileSync } from 'node:fs'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Tape, cpu } from '../../lib/tensor/index.js'

const { model: sizes, vocabulary, batch, context, recompute } = JSON.parse(process.argv[2]!)
const device = cpu()
const model = new GPT2(resolveModel(sizes, vocabulary), device, 1)
const optimizer = new AdamW(model.namedParameters(), { learningRate: 1e-4 })
const tokens = Int32Array.from({ length: batch * context }, (_, i) => (i * 7919) % vocabulary)
const input = device.tensor(tokens, [batch, context])
const targets = device.tensor(
  tokens.map((_, i) => tokens[(i + 1) % tokens.length]!),
  [batch, context],
)
for (let i = 0; i < 2; i++) {
  const tape = new Tape()
  const loss = tape.run(() => model.loss(input, targets, { recompute }))
  tape.backward(loss)
  optimizer.step({ gradientScale: 1 / tokens.length, maxNorm: 1 }).dispose()
  model.zeroGrad()
  if (!Number.isFinite(await loss.item())) throw new Error('the loss is not finite')
  tape[Symbol.dispose]()
}

/** Not by the resource usage alone: on Linux that of a child begins at the peak of its parent. */
function peakMemory(): number {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
}
const peak = peakMemory()
console.log(JSON.stringify({ peak, used: device.memory().peak }))
