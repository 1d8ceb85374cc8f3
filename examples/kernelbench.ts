// How fast the kernels are on this machine: bytes or FLOPs a second of some ops, on the device you name.
// Run it with: node --import tsx examples/kernelbench.ts [cpu|cuda|cuda:1]
import {
  attention,
  crossEntropy,
  gelu,
  layerNorm,
  matmul,
  openDevice,
} from '../lib/tensor/index.js'
import type { Tensor } from '../lib/tensor/index.js'

const device = openDevice(process.argv[2])
const normal = (...shape: number[]) => device.normal(shape, { seed: 1 })
const [B, T, C, H, V] = [4, 256, 768, 12, 8192]

interface Case {
  name: string
  op: () => Tensor
  /** What it must at least compute, or move. */
  work: number
  unit: 'GFLOP/s' | 'GB/s'
}

const x = normal(B, T, C)
const qkv = normal(B, T, 3 * C)
const up = normal(C, 4 * C)
const logits = normal(B * T, V)
const weight = device.full([C], 1)
const targets = device.tensor(Int32Array.from({ length: B * T }, (_, i) => i % V))
const cases: Case[] = [
  { name: 'matmul', op: () => matmul(x, up), work: 2 * B * T * C * 4 * C, unit: 'GFLOP/s' },
  { name: 'attention', op: () => attention(qkv, H), work: 2 * B * T * T * C, unit: 'GFLOP/s' },
  { name: 'layerNorm', op: () => layerNorm(x, weight), work: 8 * x.size, unit: 'GB/s' },
  { name: 'gelu', op: () => gelu(x), work: 8 * x.size, unit: 'GB/s' },
  {
    name: 'crossEntropy',
    op: () => crossEntropy(logits, targets),
    work: 4 * logits.size,
    unit: 'GB/s',
  },
]

/** Seconds that one call takes: the median of some rounds of enough calls to be measured. */
async function seconds(op: () => Tensor): Promise<number> {
  const round = async (calls: number) => {
    const start = performance.now()
    for (let i = 0; i < calls; i++) op().dispose()
    await device.idle() // ops are queued: only this waits for them
    return (performance.now() - start) / 1000
  }
  await round(1)
  const calls = Math.max(1, Math.ceil(0.05 / (await round(1))))
  const rounds: number[] = []
  for (let i = 0; i < 5; i++) rounds.push((await round(calls)) / calls)
  return rounds.sort((a, b) => a - b)[2]!
}

console.log(device.name)
for (const { name, op, work, unit } of cases) {
  const time = await seconds(op)
  const rate = (work / time / 1e9).toFixed(1)
  console.log(
    `${name.padEnd(14)}${(time * 1e3).toFixed(2).padStart(8)} ms${rate.padStart(9)} ${unit}`,
  )
}
