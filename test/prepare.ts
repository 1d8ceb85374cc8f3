// What the tests need before they run: the package's build, the CUDA kernels and the emulated GPU, side by
// side. Where a tool is missing nothing is built of the latter two; the tests that need them say so and are
// counted as skipped.
import { execFile, spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const has = (command: string) => spawnSync(command, ['--version']).status === 0
const jobs = ['--parallel', String(Math.min(4, availableParallelism()))]

async function run(command: string, ...args: string[]) {
  try {
    // On Windows npm is a script, which takes a shell.
    const shell = process.platform === 'win32'
    await promisify(execFile)(command, args, { cwd: root, maxBuffer: 64 << 20, shell })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    console.error(`${[command, ...args].join(' ')} failed:\n${`${stdout}${stderr}`.slice(-4000)}`)
    process.exit(1)
  }
}

async function build(what: string, source: string, folder: string, ...more: string[]) {
  console.log(`building ${what}`)
  await run('cmake', '-S', source, '-B', folder, '-DCMAKE_BUILD_TYPE=Release')
  await run('cmake', '--build', folder, ...jobs, ...more)
}

const cmake = has('cmake')
console.log('building the package')
await Promise.all([
  run('npm', 'run', '--silent', 'build'),
  cmake && has('nvcc') && build('the CUDA kernels', 'cuda', 'build/kernels'),
  cmake &&
    has('c++') &&
    process.platform === 'linux' &&
    build('the emulated GPU', 'test/ptx', 'build/emulator', '--target', 'cuda'),
])
