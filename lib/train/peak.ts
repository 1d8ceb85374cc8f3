import type { Device } from '../tensor/index.js'
import { matmul, scope } from '../tensor/index.js'

/**
 * Floating-point operations a second that a large matrix product reaches on this device, measured
 * for about a fifth of a second.
 */
export async function peakFlops(device: Device): Promise<number> {
  const n = 768
  using a = device.uniform([n, n], { seed: 1, low: -1 })
  using b = device.uniform([n, n], { seed: 2, low: -1 })
  let best = 0
  const product = () => void scope(() => void matmul(a, b))
  product()
  await device.idle()
  for (const end = performance.now() + 200; performance.now() < end;) {
    const start = performance.now()
    for (let i = 0; i < 4; i++) product()
    await device.idle()
    best = Math.max(best, (4 * 2 * n ** 3) / ((performance.now() - start) / 1000))
  }
  return best
}
