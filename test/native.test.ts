// timeout: 7200
//
// The addon as CMake builds it, beside that of node-gyp; and the engine's tests without Node: as it ships,
// under AddressSanitizer with UndefinedBehaviorSanitizer, what has threads under ThreadSanitizer, and the
// kernels of arm64 under emulation where there are tools for it. Under both sanitizers, in Node, what ends
// early as well: devices, threads, processes. The build folders are kept: a second run builds what changed.
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kernelFolder } from '../lib/tensor/gpu.js'
import { compile } from './cmake.js'
import type { Smoke } from './smoke.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const execute = promisify(execFile)
const hasCmake = spawnSync('cmake', ['--version']).status === 0

/** What a program prints to stdout; throws with the end of all its output when it fails. */
function run(command: string, args: string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 64 << 20,
  })
  if (status === 0) return stdout
  const output = `${stdout ?? ''}${stderr ?? ''}`
  const why = error ?? signal ?? `exit code ${status}`
  throw new Error(`${[command, ...args].join(' ')}: ${why}\n${output.slice(-6000)}`)
}

/** Builds native_test in build/<folder>/build, and returns where it is. */
function build(folder: string, options: string[]): string {
  const to = path.join(root, 'build', folder, 'build')
  run('cmake', ['-S', root, '-B', to, '-DNATIVE_TESTS=ON', ...options])
  run('cmake', ['--build', to, '--parallel', String(Math.min(4, availableParallelism()))])
  return path.join(to, 'native_test')
}

/** The same under a sanitizer, and beside it the addon, where node-gyp-build looks for it in a package. */
function buildSanitized(folder: string, sanitizer: string): string {
  const headers = ['node-api-headers/include', 'node-addon-api'].map((name) =>
    path.join(root, 'node_modules', name),
  )
  return build(folder, [
    ...[`-DSANITIZE=${sanitizer}`, '-DCMAKE_BUILD_TYPE=Sanitized'],
    ...['-DCMAKE_CXX_FLAGS=-O1 -fno-sanitize-recover=all', '-DCMAKE_JS_VERSION=none'],
    ...[`-DCMAKE_JS_INC=${headers.join(';')}`, '-DCMAKE_UNITY_BUILD=ON'],
    `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${path.join(root, 'build', folder, 'build', 'Release')}`,
  ])
}

/** Runs native_test, and holds it to its last line. */
function check(program: string, filter: string[], env: NodeJS.ProcessEnv = {}): void {
  const output = run(program, filter, env)
  const last = output.trimEnd().split(/\r?\n/).at(-1)!
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/.exec(last) ?? []
  assert.ok(Number(passed) > 0, `no test ran:\n${output.slice(-2000)}`)
  assert.is(failed, '0')
}

/** Runs the tests of the CUDA device on the emulated GPU, where that and the kernels have been built. */
function checkCuda(program: string, env: NodeJS.ProcessEnv): void {
  const emulator = process.env.GPTLOOM_EMULATOR || path.join(root, 'build', 'emulator')
  const missing = [
    path.join(emulator, 'libcuda.so.1'),
    path.join(kernelFolder, 'manifest.json'),
  ].find((file) => !existsSync(file))
  if (missing) console.log(`\nSKIP native tests of the CUDA device: there is no ${missing}`)
  else
    check(program, ['cuda_'], {
      ...env,
      LD_LIBRARY_PATH: emulator,
      GPTLOOM_TEST_KERNELS: kernelFolder,
    })
}

/**
 * Runs tests of endings in Node, side by side, with the addon of build/<folder> and the sanitizer's library
 * before all others.
 */
async function checkEndings(
  folder: string,
  library: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const preload = run('c++', [`-print-file-name=${library}`]).trim()
  const setting = { LD_PRELOAD: preload, GPTLOOM_PREBUILD: path.join(root, 'build', folder) }
  const options = { cwd: root, env: { ...process.env, ...env, ...setting }, maxBuffer: 64 << 20 }
  const check = async (name: string) => {
    const args = ['--expose-gc', '--import', 'tsx', path.join(root, 'test', name)]
    const { stdout } = await execute(process.execPath, args, options)
    const [, total, passed] = /Total: +(\d+)\s+Passed: +(\d+)/.exec(stdout) ?? []
    assert.ok(Number(total) > 0 && passed === total, stdout.slice(-2000))
  }
  await Promise.all(['tensor/lifetime.test.ts', 'train/endings.test.ts'].map(check))
}

/** Why a build cannot be made here, printed as a skip; false when it can. */
function skips(what: string, sanitizer: boolean): boolean {
  const windows = sanitizer && process.platform === 'win32'
  const reason = !hasCmake ? 'cmake is not on the PATH' : windows ? 'not on Windows' : ''
  if (reason) console.log(`\nSKIP native tests, ${what}: ${reason}`)
  return reason !== ''
}

test('as it ships', () => {
  if (skips('as shipped', false)) return
  const { tests: program } = compile()
  check(program, [])
  checkCuda(program, {})
})

test('CMake builds the same addon from the same sources, beside the one of node-gyp', () => {
  if (skips('the addon', false)) return
  const release = path.join(root, 'build', 'Release', 'gptloom.node')
  const before = statSync(release).mtimeMs
  const { folder } = compile()
  assert.is(statSync(release).mtimeMs, before, 'build/Release is not touched')
  const built = path.join(folder, 'build', 'Release', 'gptloom.node')
  assert.ok(existsSync(built))

  // binding.gyp finds its sources by a command: run it as node-gyp does.
  const gyp = readFileSync(path.join(root, 'binding.gyp'), 'utf8')
  const quoted = /"sources": \["<!@\(node -p \\"(.*)\\"\)"\]/.exec(gyp)![1]!
  const command = JSON.parse(`"${quoted}"`) as string
  const listed = run(process.execPath, ['-p', command]).trim().split(' ').sort()
  assert.ok(listed.length > 10 && listed.every((file) => file.endsWith('.cc')))
  const list = path.join(folder, 'build', 'compile_commands.json')
  const compiled = (JSON.parse(readFileSync(list, 'utf8')) as { file: string }[])
    .map(({ file }) => path.relative(root, file).replaceAll('\\', '/'))
    .filter((file) => !file.startsWith('test/'))
  assert.equal(compiled.sort(), listed)

  // node-gyp-build looks below this folder instead of the package's own.
  const smoke = (env: NodeJS.ProcessEnv) =>
    JSON.parse(run(process.execPath, ['--import', 'tsx', 'test/smoke.ts'], env)) as Smoke
  const cmake = smoke({ GPTLOOM_PREBUILD: folder })
  const gypBuilt = smoke({})
  assert.equal(cmake.product, [19, 22, 43, 50])
  assert.ok(Math.abs(cmake.loss - Math.log(300)) < 0.3, `a loss of ${cmake.loss}`)
  if (process.platform === 'linux') {
    assert.is(cmake.binary, built)
    assert.is(gypBuilt.binary, release)
  }
  assert.equal({ ...cmake, binary: '' }, { ...gypBuilt, binary: '' }, 'the same bits')
})

test('under AddressSanitizer and UndefinedBehaviorSanitizer', async () => {
  if (skips('AddressSanitizer', true)) return
  const program = buildSanitized('asan', 'address,undefined')
  const env = {
    ASAN_OPTIONS: 'allocator_may_return_null=1:detect_stack_use_after_return=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    GPTLOOM_TEST_ROUNDS: '20',
  }
  check(program, [], env)
  checkCuda(program, env)
  if (process.platform !== 'linux') return
  // Node keeps memory to its end.
  const options = `${env.ASAN_OPTIONS}:detect_leaks=0`
  await checkEndings('asan', 'libasan.so', { GPTLOOM_TEST_ROUNDS: '2', ASAN_OPTIONS: options })
})

// Every family's kernels; those of products at sizes that an emulated processor has the time for.
test('on arm64, under emulation: NEON and what is portable', () => {
  if (skips('arm64', false)) return
  const compiler = 'aarch64-linux-gnu-g++'
  const has = (command: string) => spawnSync(command, ['--version']).status === 0
  if (![compiler, 'qemu-aarch64'].every(has))
    return console.log(
      '\nSKIP native tests, arm64: they want aarch64-linux-gnu-g++ and qemu-aarch64 ' +
        '(Debian: g++-aarch64-linux-gnu, qemu-user)',
    )
  const program = build('arm64', [
    ...['-DCMAKE_SYSTEM_NAME=Linux', '-DCMAKE_SYSTEM_PROCESSOR=aarch64'],
    ...['-DCMAKE_BUILD_TYPE=Release', `-DCMAKE_CXX_COMPILER=${compiler}`],
    ...['-DCMAKE_EXE_LINKER_FLAGS=-static', '-DCMAKE_UNITY_BUILD=ON'],
  ])
  const some = ['crossentropy_matches', 'matmul_small', 'matmul_few', 'matmul_rows']
  const families = ['adamw', 'attention', 'compact', 'elementwise', 'kernels', 'layernorm']
  for (const filter of [...families, 'probe', 'random', 'reduce', ...some])
    check('qemu-aarch64', [program, filter])
})

test('threads, under ThreadSanitizer', async () => {
  if (skips('ThreadSanitizer', true)) return
  const program = buildSanitized('tsan', 'thread')
  const env = {
    TSAN_OPTIONS: 'halt_on_error=1:allocator_may_return_null=1',
    GPTLOOM_TEST_ROUNDS: '10',
  }
  for (const filter of ['pool_', 'queue_', 'allocator_', 'device', 'linear_'])
    check(program, [filter], env)
  checkCuda(program, env)
  if (process.platform !== 'linux') return
  // Node is not instrumented: what it orders by atomics of its own is not seen.
  const options = `${env.TSAN_OPTIONS}:ignore_noninstrumented_modules=1`
  await checkEndings('tsan', 'libtsan.so', { GPTLOOM_TEST_ROUNDS: '2', TSAN_OPTIONS: options })
})

test.run()
