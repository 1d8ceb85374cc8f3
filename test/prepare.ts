// What the tests of the GPU need before they run: the kernels, and the emulated GPU. Where a tool is
// missing nothing is built; the tests that need it say so and are counted as skipped.
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const has = (command: string) => spawnSync(command, ['--version']).status === 0
const jobs = ['--parallel', String(Math.min(4, availableParallelism()))]

function build(what: string, source: string, folder: string, ...more: string[]): void {
  console.log(`building ${what}`)
  for (const args of [
    ['-S', source, '-B', folder, '-DCMAKE_BUILD_TYPE=Release'],
    ['--build', folder, ...jobs, ...more],
  ]) {
    const { status, stdout, stderr } = spawnSync('cmake', args, { cwd: root, encoding: 'utf8' })
    if (status === 0) continue
    console.error(`cmake ${args.join(' ')} failed:\n${`${stdout}${stderr}`.slice(-4000)}`)
    process.exit(1)
  }
}

if (has('cmake') && has('nvcc')) build('the CUDA kernels', 'cuda', 'build/kernels')
if (has('cmake') && has('c++') && process.platform === 'linux')
  build('the emulated GPU', 'test/ptx', 'build/emulator', '--target', 'cuda')
