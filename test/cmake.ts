// The addon and the engine's tests, as a developer builds them with CMake.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))

export interface Compiled {
  /** Of a package, for node-gyp-build: the addon is in its build/Release. */
  folder: string
  /** The program native_test. */
  tests: string
}

/** Builds build/cmake; what has been built already is kept. */
export function compile(): Compiled {
  const folder = path.join(root, 'build', 'cmake')
  const out = path.join(folder, 'build')
  const cli = path.join(root, 'node_modules', 'cmake-js', 'bin', 'cmake-js')
  const jobs = String(Math.min(4, availableParallelism()))
  const options = ['--out', out, '--CDNATIVE_TESTS=ON', '--parallel', jobs, '--log-level', 'warn']
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, 'compile', ...options], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  if (status !== 0) throw new Error(`cmake-js: exit code ${status}\n${stdout}${stderr}`)
  const names = ['native_test', 'Release/native_test.exe', 'native_test.exe']
  const tests = names.map((name) => path.join(out, name)).find(existsSync)
  if (!tests) throw new Error(`There is no native_test in ${out}`)
  return { folder, tests }
}
