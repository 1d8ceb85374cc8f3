// What a device can do, measured with the library's own ops.
import { matmul, scope } from '../../lib/tensor/index.js'
import type { Device, Dtype } from '../../lib/tensor/index.js'
import { time } from './clock.js'
import type { Pace } from './clock.js'

export interface Ceilings {
  /** FLOPs a second of a large matrix product, for each dtype that the device computes with. */
  flops: Partial<Record<Dtype, number>>
  /** Bytes a second, read and written, of a copy that no cache can hold. */
  bandwidth: number
}

export async function ceilings(device: Device, pace: Pace, tiny: boolean): Promise<Ceilings> {
  const gpu = device.kind === 'cuda'
  const side = tiny ? 64 : gpu ? 8192 : 768
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
