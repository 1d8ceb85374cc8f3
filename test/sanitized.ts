// The tests of files that others made, with the engine under AddressSanitizer and
// UndefinedBehaviorSanitizer: what they make of random damage reaches it as tensors. Linux, with gcc and
// CMake: npm run test:sanitized
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const cwd = path.dirname(here)
const folder = 'build/sanitized' // where node-gyp-build looks for build/Release
const settings = [
  'SANITIZE=address,undefined',
  'CMAKE_BUILD_TYPE=Sanitized',
  'CMAKE_CXX_FLAGS=-O1 -fno-sanitize-recover=all',
].map((setting) => `--CD${setting}`)
const compile = ['cmake-js', 'compile', '--out', `${folder}/build`, ...settings]
execFileSync('npx', compile, { cwd, stdio: 'inherit' })

const library = (name: string) =>
  execFileSync('c++', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim()
const env = {
  ...process.env,
  LD_PRELOAD: `${library('libasan.so')} ${library('libubsan.so')}`,
  ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1', // V8 leaves its heap to the system
  UBSAN_OPTIONS: 'print_stacktrace=1',
  GPTLOOM_PREBUILD: path.join(cwd, folder),
}
// llama.cpp's binary, which gguf.test.ts loads, is not for this.
const files = readdirSync(path.join(here, 'formats')).filter((name) => name !== 'gguf.test.ts')
for (const name of files.filter((name) => name.endsWith('.test.ts'))) {
  console.log(name)
  const args = ['--import', 'tsx', path.join(here, 'formats', name)]
  const { status } = spawnSync(process.execPath, args, { cwd, env, stdio: 'inherit' })
  if (status !== 0) process.exit(1)
}
