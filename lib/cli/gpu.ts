// Whether there is an NVIDIA driver, found by looking at files: nothing is loaded, so nothing can
// go wrong.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface Gpu {
  /** The driver that was found. */
  driver: string | null
  /** Why there is none. */
  reason: string | null
}

export function findGpu(): Gpu {
  if (process.platform === 'darwin')
    return { driver: null, reason: 'no NVIDIA driver exists for macOS' }
  const library = process.platform === 'win32' ? 'nvcuda.dll' : 'libcuda.so.1'
  const folder = folders().find((folder) => existsSync(join(folder, library)))
  const version = kernelModule()
  if (folder === undefined) {
    const reason = `no ${library} in the usual folders`
    return {
      driver: null,
      reason: version ? `${reason}, though the kernel has an NVIDIA module ${version}` : reason,
    }
  }
  return {
    driver: `${library} in ${folder}${version ? `, NVIDIA driver ${version}` : ''}${devices()}`,
    reason: null,
  }
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
function devices(): string {
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
