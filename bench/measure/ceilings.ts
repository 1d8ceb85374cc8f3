// What a device can do. On the CPU native probes say it, on a GPU the library's own ops.
import { addon } from '../../lib/tensor/binding.js'
import { matmul, scope } from '../../lib/tensor/index.js'
import type { Device, Dtype } from '../../lib/tensor/index.js'
import { time } from './clock.js'
import type { Pace } from './clock.js'

export interface Ceilings {
  /**
   * FLOPs a second, for each dtype that the device computes with: on the CPU of multiply-adds on registers
   * alone, on a GPU of a large matrix product.
   */
  flops: Partial<Record<Dtype, number>>
  /** Bytes a second, read and written, of a copy that no cache can hold. */
  bandwidth: number
  /** Of the CPU: bytes a second that are only read. */
  read?: number
  /** Of the CPU: as bandwidth, with stores that do not read what they overwrite. */
  stream?: number
}

const kinds = ['fma', 'read', 'copy', 'stream'] as const

/**
 * FLOPs or bytes a second of the CPU on so many threads: the fastest of a few passes, since what disturbs
 * only ever slows. Blocks for some 50 ms.
 */
export function probe(kind: (typeof kinds)[number], threads: number, tiny = false): number {
  const size = kind === 'fma' ? (tiny ? 1 : 16 * threads) : tiny ? 2 ** 20 : 2 ** 28
  return addon().probe(kinds.indexOf(kind), threads, size, 3)
}

export async function ceilings(device: Device, pace: Pace, tiny: boolean): Promise<Ceilings> {
  if (device.kind === 'cpu') {
    const { threads } = addon().cpu()
    return {
      flops: { float32: probe('fma', threads, tiny) },
      bandwidth: probe('copy', threads, tiny),
      read: probe('read', threads, tiny),
      stream: probe('stream', threads, tiny),
    }
  }
  const side = tiny ? 64 : 8192
  const bytes = tiny ? 2 ** 16 : 2 ** 28
  const flops: Ceilings['flops'] = {}
  for (const dtype of device.dtypes) {
    using a = device.full([side, side], 0.5, dtype)
    using b = device.full([side, side], 0.5, dtype)
    const run = () => void scope(() => void matmul(a, b))
    flops[dtype] = (2 * side ** 3) / (await fastest(device, run, pace))
  }
  using from = device.full([bytes / 4], 1)
  using to = device.empty([bytes / 4])
  const copy = () => device.native.copy(to.native, from.native)
  return { flops, bandwidth: (2 * bytes) / (await fastest(device, copy, pace)) }
}

/** A ceiling is the best of several: what disturbs only ever slows. */
async function fastest(device: Device, run: () => void, pace: Pace): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 3; i++) {
    const [found] = await time(device, [{ name: '', run, dispose() {} }], { ...pace, samples: 1 })
    times.push(found!.seconds)
  }
  return Math.min(...times)
}
