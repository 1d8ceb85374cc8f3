// run: alone
// timeout: 3600
//
// The engine's tests without Node: as it ships, under AddressSanitizer with UndefinedBehaviorSanitizer,
// what has threads under ThreadSanitizer, and the kernels of arm64 under emulation where there are tools for
// it. The build folders are kept: a second run builds what changed.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kernelFolder } from '../lib/tensor/gpu.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
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

/** Builds native_test in build/<folder>, and returns where it is. */
function build(folder: string, options: string[]): string {
  const to = path.join(root, 'build', folder)
  run('cmake', ['-S', root, '-B', to, '-DNATIVE_TESTS=ON', ...options])
  const jobs = String(Math.min(4, availableParallelism()))
  run('cmake', ['--build', to, '--config', 'Release', '--parallel', jobs])
  const names = ['native_test', 'Release/native_test.exe', 'native_test.exe']
  const places = names.map((name) => path.join(to, name))
  return places.find(existsSync) ?? assert.unreachable(`no native_test in ${to}`)!
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

function sanitized(kind: string): string[] {
  const flags = '-O1 -fno-sanitize-recover=all'
  return [`-DSANITIZE=${kind}`, '-DCMAKE_BUILD_TYPE=Sanitized', `-DCMAKE_CXX_FLAGS=${flags}`]
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
  const program = build('native', ['-DCMAKE_BUILD_TYPE=Release'])
  check(program, [])
  checkCuda(program, {})
})

test('under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  if (skips('AddressSanitizer', true)) return
  const program = build('asan', sanitized('address,undefined'))
  const env = {
    ASAN_OPTIONS: 'allocator_may_return_null=1:detect_stack_use_after_return=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    GPTLOOM_TEST_ROUNDS: '20',
  }
  check(program, [], env)
  checkCuda(program, env)
})

/** The compiler for arm64 that Debian has, or the one that scripts/sysroot.sh has unpacked. */
function crossCompiler(): string | undefined {
  const names = [
    'aarch64-linux-gnu-g++',
    path.join(root, 'build/sysroot/bin/aarch64-linux-gnu-g++'),
  ]
  return names.find((name) => spawnSync(name, ['--version']).status === 0)
}

// Every family's kernels; those of products at sizes that an emulated processor has the time for.
test('on arm64, under emulation: NEON and what is portable', () => {
  if (skips('arm64', false)) return
  const compiler = crossCompiler()
  const emulated = spawnSync('qemu-aarch64', ['--version']).status === 0
  if (!compiler || !emulated)
    return console.log(
      '\nSKIP native tests, arm64: they want aarch64-linux-gnu-g++ and qemu-aarch64 ' +
        '(Debian: g++-aarch64-linux-gnu, qemu-user)',
    )
  const program = build('arm64', [
    ...['-DCMAKE_SYSTEM_NAME=Linux', '-DCMAKE_SYSTEM_PROCESSOR=aarch64'],
    ...['-DCMAKE_BUILD_TYPE=Release', `-DCMAKE_CXX_COMPILER=${compiler}`],
    '-DCMAKE_EXE_LINKER_FLAGS=-static',
  ])
  const some = ['crossentropy_matches', 'matmul_small', 'matmul_few', 'matmul_rows']
  const families = ['adamw', 'attention', 'compact', 'elementwise', 'kernels', 'layernorm']
  for (const filter of [...families, 'probe', 'random', 'reduce', ...some])
    check('qemu-aarch64', [program, filter])
})

test('threads, under ThreadSanitizer', () => {
  if (skips('ThreadSanitizer', true)) return
  const program = build('tsan', sanitized('thread'))
  const env = {
    TSAN_OPTIONS: 'halt_on_error=1:allocator_may_return_null=1',
    GPTLOOM_TEST_ROUNDS: '10',
  }
  for (const filter of ['pool_', 'queue_', 'allocator_', 'device', 'linear_'])
    check(program, [filter], env)
  checkCuda(program, env)
})

test.run()
