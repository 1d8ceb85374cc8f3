// The GPU that tests of the CUDA device run on: a real one, or the emulated one, whose library test/run.ts
// puts first for the files that say `// device: cuda`.
import { addon } from '../../lib/tensor/binding.js'
import { Device } from '../../lib/tensor/index.js'
import { openGpu, usableGpu } from '../../lib/tensor/gpu.js'

/**
 * Why there is no GPU here, printed as a skip; false when there is one.
 */
export function skipsCuda(): boolean {
  if (usableGpu() !== undefined) return false
  const { reason, devices } = addon().cuda()
  const why = reason || (devices.length ? 'no kernels: npm run build:kernels' : 'no GPU')
  console.log(`\nSKIP the CUDA device: ${why}`)
  return true
}

/**
 * A device of its own on the first GPU. Every tensor gets memory of its own, so that the emulator's
 * checks, or compute-sanitizer, see what is read and written; or memory as users have it.
 */
export function openCuda(
  options: { exact?: boolean; graphs?: boolean; tf32?: boolean } = {},
): Device {
  const { exact = true, graphs = true, tf32 = false } = options
  return new Device('cuda', openGpu(usableGpu()!, { exact, graphs, tf32 }))
}
