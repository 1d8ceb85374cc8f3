// Which GPU can be used, and with which image of the kernels.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { GptloomError } from '../errors.js'
import { root } from '../package.js'
import { addon } from './binding.js'
import type { CudaOptions, NativeDevice } from './binding.js'

/** The image of the kernels: one file a family, and manifest.json, which the build writes last. */
export const kernelFolder = path.join(root, 'prebuilds', 'cuda')

/** The oldest GPUs that the kernels run on: Ampere. */
export const LEAST_CAPABILITY = 80

/** What the images hold, as their build wrote it. */
export interface Manifest {
  /** The version of nvcc. */
  toolkit: string
  /** PTX for this compute capability and all newer ones; its version decides which drivers can read it. */
  ptx: { arch: number; version: string }
  /** The compute capabilities that there is machine code for. */
  machineCode: number[]
  families: string[]
}

const manifest = path.join(kernelFolder, 'manifest.json')

/** Null where there are no kernels. */
export function readManifest(): Manifest | null {
  if (!existsSync(manifest)) return null
  return JSON.parse(readFileSync(manifest, 'utf8')) as Manifest
}

/** The first GPU that gptloom can use; undefined when there is none, or no kernels. */
export function usableGpu(): number | undefined {
  if (!existsSync(manifest)) return undefined
  const index = addon()
    .cuda()
    .devices.findIndex(({ computeCapability }) => computeCapability >= LEAST_CAPABILITY)
  return index < 0 ? undefined : index
}

const usual = () => ({
  graphs: process.env.GPTLOOM_GRAPHS !== '0',
  exact: process.env.GPTLOOM_MEMORY === 'exact',
  tf32: false,
})

/**
 * Opens a GPU.
 * @param options how it runs; by default in exact float32 and as the environment says: GPTLOOM_GRAPHS=0
 *   for no CUDA graphs, GPTLOOM_MEMORY=exact for memory as checkers want it
 * @throws GptloomError ERR_NO_DRIVER, ERR_DEVICE, ERR_KERNELS
 */
export function openGpu(
  ordinal: number,
  options: Partial<Omit<CudaOptions, 'folder'>> = {},
): NativeDevice {
  const folder = kernelFolder
  const native = new (addon().Device)('cuda', ordinal, { folder, ...usual(), ...options })
  const { name, computeCapability } = addon().cuda().devices[ordinal]!
  const problem =
    computeCapability < LEAST_CAPABILITY
      ? new GptloomError(
          'ERR_DEVICE',
          `${name} has compute capability ${computeCapability / 10}: gptloom needs ` +
            `${LEAST_CAPABILITY / 10} (Ampere) or newer. Use device 'cpu'`,
        )
      : !existsSync(manifest)
        ? new GptloomError(
            'ERR_KERNELS',
            `There are no CUDA kernels in ${kernelFolder}. The npm package ships them; in a ` +
              'checkout, build them with `npm run build:kernels`, which needs nvcc',
          )
        : undefined
  if (!problem) return native
  native.close()
  throw problem
}
