// What `doctor` says of GPUs: what the driver lists, and where there is none, what the files say.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { CudaInfo, GpuInfo } from '../tensor/index.js'
import { LEAST_CAPABILITY, readManifest } from '../tensor/gpu.js'
import type { Manifest } from '../tensor/gpu.js'
import { bytes } from './format.js'

export interface Gpu {
  /** The newest CUDA that the driver serves, '12.4'; null without a driver. */
  cuda: string | null
  /** The driver's own version, where the system tells it. */
  driver: string | null
  /** Why there is no driver: what the loader answered, and what the files say. */
  reason: string | null
  /** The oldest driver that can load the kernels, by the CUDA it serves. */
  floor: string | null
  kernels: Manifest | null
  devices: {
    name: string
    /** '8.0'. */
    computeCapability: string
    memory: number
    multiprocessors: number
    /** What runs on it: machine code for the GPU, or PTX that the driver compiles at first use. */
    image: string
    usable: boolean
  }[]
}

/** @param info what the driver says; undefined when the addon cannot be loaded */
export function findGpu(info: CudaInfo | undefined): Gpu {
  const kernels = readManifest()
  const version = info?.version ?? null
  return {
    cuda: version === null ? null : cudaText(version),
    driver: kernelModule() ?? null,
    reason: version === null ? whyNot(info?.reason ?? 'the addon cannot be loaded') : null,
    floor: kernels && cudaText(floorOf(kernels)),
    kernels,
    devices: (info?.devices ?? []).map((device) => ({
      ...device,
      computeCapability: capability(device.computeCapability),
      image: imageFor(device, kernels, version!),
      usable: kernels !== null && device.computeCapability >= LEAST_CAPABILITY,
    })),
  }
}

/** One line for people. */
export function describeGpu({ cuda, driver, reason, floor, kernels, devices }: Gpu): string {
  if (cuda === null) return `none: ${reason}`
  const found = devices.map(
    ({ name, computeCapability, memory, image }) =>
      `${name}, compute capability ${computeCapability}, ${bytes(memory)}, ${image}`,
  )
  return (
    `${found.join('; ') || 'none'}. Driver ${driver ? `${driver} ` : ''}for CUDA ${cuda}` +
    (kernels ? ` (the kernels need CUDA ${floor} or newer)` : '')
  )
}

const cudaText = (version: number) => `${Math.floor(version / 1000)}.${(version % 1000) / 10}`
const capability = (number: number) => `${Math.floor(number / 10)}.${number % 10}`

// The host uses graphs as CUDA 11.4 brought them. PTX 7.x came with CUDA 11.x, 8.x with 12.x and so on.
function floorOf({ ptx }: Manifest): number {
  const [major = 0, minor = 0] = ptx.version.split('.').map(Number)
  return Math.max(11040, (major + 4) * 1000 + minor * 10)
}

function imageFor(
  { computeCapability }: GpuInfo,
  kernels: Manifest | null,
  version: number,
): string {
  if (!kernels) return 'no kernels: build them with `npm run build:kernels`, which needs nvcc'
  if (computeCapability < LEAST_CAPABILITY)
    return `too old: gptloom needs ${capability(LEAST_CAPABILITY)}`
  if (version < floorOf(kernels)) return 'the driver is too old for the kernels'
  const major = Math.floor(computeCapability / 10)
  const fits = kernels.machineCode.filter(
    (arch) => Math.floor(arch / 10) === major && arch <= computeCapability,
  )
  // A driver loads machine code from toolkits of its own major version and older.
  const loads = Math.floor(version / 1000) >= Number.parseInt(kernels.toolkit)
  return fits.length > 0 && loads
    ? `machine code for sm_${Math.max(...fits)}`
    : 'PTX, which the driver compiles at first use'
}

function whyNot(answer: string): string {
  if (process.platform === 'darwin') return answer
  const library = process.platform === 'win32' ? 'nvcuda.dll' : 'libcuda.so.1'
  const folder = folders().find((folder) => existsSync(join(folder, library)))
  const module = kernelModule()
  return (
    answer +
    (folder ? `; there is one in ${folder}` : '') +
    (module ? `; the kernel has an NVIDIA module ${module}${models()}` : '')
  )
}

function folders(): string[] {
  if (process.platform === 'win32')
    return [join(process.env.SystemRoot ?? 'C:\\Windows', 'System32')]
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
  return [
    ...(process.env.LD_LIBRARY_PATH ?? '').split(delimiter).filter(Boolean),
    `/usr/lib/${machine}-linux-gnu`,
    `/lib/${machine}-linux-gnu`,
    '/usr/lib64',
    '/lib64',
    '/usr/lib',
    '/lib',
    '/usr/local/lib',
    '/usr/lib/wsl/lib',
    '/usr/local/nvidia/lib64',
    '/run/opengl-driver/lib',
  ]
}

function kernelModule(): string | undefined {
  try {
    return /Kernel Module.*?\s(\d+\.\d[\d.]*)/.exec(
      readFileSync('/proc/driver/nvidia/version', 'utf8'),
    )?.[1]
  } catch {
    return undefined
  }
}

/** The models of the GPUs, where the driver tells them. */
function models(): string {
  const root = '/proc/driver/nvidia/gpus'
  try {
    const models = readdirSync(root).map(
      (slot) =>
        /^Model:\s*(.+)$/m.exec(readFileSync(join(root, slot, 'information'), 'utf8'))?.[1] ??
        'unknown',
    )
    return models.length > 0 ? `: ${models.join(', ')}` : ''
  } catch {
    return ''
  }
}
