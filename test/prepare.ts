// What the tests of the GPU need before they run: the kernels, and the emulated GPU, side by side. Where a
// tool is missing nothing is built; the tests that need it say so and are counted as skipped.
import { execFile, spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const has = (command: string) => spawnSync(command, ['--version']).status === 0
const jobs = ['--parallel', String(Math.min(4, availableParallelism()))]

async function build(what: string, source: string, folder: string, ...more: string[]) {
  console.log(`building ${what}`)
  for (const args of [
    ['-S', source, '-B', folder, '-DCMAKE_BUILD_TYPE=Release'],
    ['--build', folder, ...jobs, ...more],
  ]) {
    try {
      await promisify(execFile)('cmake', args, { cwd: root, maxBuffer: 64 << 20 })
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string }
      console.error(`cmake ${args.join(' ')} failed:\n${`${stdout}${stderr}`.slice(-4000)}`)
      process.exit(1)
    }
  }
}

const cmake = has('cmake')
await Promise.all([
  cmake && has('nvcc') && build('the CUDA kernels', 'cuda', 'build/kernels'),
  cmake &&
    has('c++') &&
    process.platform === 'linux' &&
    build('the emulated GPU', 'test/ptx', 'build/emulator', '--target', 'cuda'),
])
