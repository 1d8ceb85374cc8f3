// How long a training step of GPT-2 124M must take on three GPUs, from counts and data sheets. An
// estimate: no GPU was measured.
import type { Report } from './count.js'
import { gpt2 } from './make.js'
import { ops } from './ops.js'

export interface Machine {
  name: string
  /** Bytes a second from memory. */
  bandwidth: number
  /** FLOPs a second: dense bfloat16 on tensor cores with float32 sums, and float32. */
  tensor: number
  float32: number
  /** Warp instructions a second: four a clock and multiprocessor. */
  issue: number
  /** Shared-memory wavefronts a second: one a clock and multiprocessor. */
  shared: number
}

/** @param lanes float32 lanes, tensor FLOPs: a clock and multiprocessor */
function machine(
  name: string,
  multiprocessors: number,
  gigahertz: number,
  gigabytes: number,
  [lanes, tensorFlops]: [number, number],
): Machine {
  const clocks = multiprocessors * gigahertz * 1e9
  return {
    name,
    bandwidth: gigabytes * 1e9,
    tensor: tensorFlops * clocks,
    float32: 2 * lanes * clocks,
    issue: 4 * clocks,
    shared: clocks,
  }
}

// NVIDIA's white papers of Ampere (GA100), Ada (AD102) and Hopper (GH100), at boost clocks. mma.sync, which
// the kernels use, is taken to get two thirds of Hopper's rate, whose whole takes wgmma: an assumption that
// no data sheet states.
export const machines: Machine[] = [
  machine('A100 80 GB', 108, 1.41, 2039, [64, 2048]),
  machine('RTX 4090', 128, 2.52, 1008, [128, 512]),
  machine('H100 SXM', 132, 1.83, 3352, [128, (4096 * 2) / 3]),
]

export const TOKENS = gpt2.rows
/** 6 for each weight in a product, and attention's causal half at T = 1024, forward and backward. */
export const FLOPS =
  TOKENS * (6 * (12 * gpt2.L * gpt2.C ** 2 + gpt2.V * gpt2.C) + 6 * gpt2.L * gpt2.C * 1024)

export interface Line {
  name: string
  /** For each machine, seconds and what bounds them. */
  times: { seconds: number; bound: string }[]
}

/**
 * The time of each op in a step: the largest of bytes over bandwidth, FLOPs over rate, instructions issued
 * and shared-memory wavefronts. Bytes are the least there are, times what the op touches beyond them where
 * it streams; tiles of products and attention that are read again are taken to come from the L2 cache.
 */
export function roofline(report: Report): Line[] {
  return ops.flatMap((op): Line[] => {
    const counted = report.ops.find(({ name, dtype }) => name === op.name && dtype === op.dtype)
    if (!op.step || !counted) return []
    const { counts, figures } = counted
    const { work, least } = op.step
    const beyond = figures.distinct ?? (figures.tensorShare === undefined ? figures.bytes : 1)
    const bytes = least * beyond
    const times = machines.map((machine) => {
      const bounds = {
        bytes: bytes / machine.bandwidth,
        'tensor cores': (work * counts.tensorFlops) / machine.tensor,
        float32: (work * counts.otherFlops) / machine.float32,
        issue: (work * counts.warpInstructions) / machine.issue,
        'shared memory': (work * counts.wavefronts) / machine.shared,
      }
      const [bound, seconds] = Object.entries(bounds).reduce((a, b) => (b[1] > a[1] ? b : a))
      return { seconds, bound }
    })
    return [{ name: op.name, times }]
  })
}
