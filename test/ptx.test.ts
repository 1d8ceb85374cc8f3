// timeout: 7200
//
// The emulated GPU: its interpreter, its driver, the programs that run on it; then the same under
// sanitizers. The build folders are kept, so that a second run builds what changed.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { survey } from './ptx/mutate.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const source = path.join(root, 'test', 'ptx')
const has = (command: string) => spawnSync(command, ['--version']).status === 0
const hasNvcc = has('nvcc')

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
  throw new Error(`${[command, ...args].join(' ')}: ${why}\n${output.slice(-8000)}`)
}

const built = new Map<string, string>()

/** Builds the targets in build/<folder>, and returns where that is. */
function build(folder: string, options: string[], targets: string[] = []): string {
  const to = path.join(root, 'build', folder)
  if (built.get(to) === targets.join()) return to
  run('cmake', ['-S', source, '-B', to, ...options])
  const jobs = String(Math.min(4, availableParallelism()))
  const target = targets.length ? ['--target', ...targets] : []
  run('cmake', ['--build', to, '--parallel', jobs, ...target])
  built.set(to, targets.join())
  return to
}

const release = () => build('emulator', ['-DCMAKE_BUILD_TYPE=Release'])

/** Runs a test program on the library beside it, and holds it to its last line. */
function check(
  folder: string,
  name: string,
  args: string[] = [],
  env: NodeJS.ProcessEnv = {},
): number {
  const output = run(path.join(folder, name), args, { LD_LIBRARY_PATH: folder, ...env })
  const last = output.trimEnd().split('\n').at(-1)!
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/.exec(last) ?? []
  assert.ok(Number(passed) > 0, `${name} ran no test:\n${output.slice(-2000)}`)
  assert.is(failed, '0')
  console.log(`  ${name}: ${passed}`)
  return Number(passed)
}

const images = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.fatbin'))
    .map((name) => path.join(folder, name))

function sanitized(kind: string): string[] {
  return [`-DSANITIZE=${kind}`, '-DCMAKE_BUILD_TYPE=Sanitized', '-DCMAKE_CXX_FLAGS=-O1']
}

/** Why a test cannot run here, printed as a skip; false when it can. */
function skips(what: string, needsNvcc = false): boolean {
  const reason =
    process.platform !== 'linux'
      ? 'only on Linux'
      : !has('cmake')
        ? 'cmake is not on the PATH'
        : needsNvcc && !hasNvcc
          ? 'nvcc is not on the PATH'
          : ''
  if (reason) console.log(`\nSKIP emulated GPU, ${what}: ${reason}`)
  return reason !== ''
}

test('the interpreter', () => {
  if (skips('the interpreter')) return
  check(release(), 'core_test')
})

test('the driver', () => {
  if (skips('the driver')) return
  check(release(), 'driver_test')
})

test('the driver under another schedule', () => {
  if (skips('schedules')) return
  check(release(), 'driver_test', ['memory_'], { EMULATOR_ORDER: 'reverse' })
  check(release(), 'driver_test', ['launch_'], { EMULATOR_ORDER: 'random', EMULATOR_SEED: '11' })
})

test('the declarations are those of cuda.h, and no entry of it is missing', () => {
  if (skips('cuda.h', true)) return
  const folder = release()
  const cache = readFileSync(path.join(folder, 'CMakeCache.txt'), 'utf8')
  const headers = /^CUDA_H:PATH=(.+)$/m.exec(cache)?.[1] ?? ''
  assert.ok(existsSync(path.join(headers, 'cuda.h')), 'cuda.h beside nvcc')
  check(folder, 'driver_abi_test')
  check(folder, 'occupancy_check')
  const text = readFileSync(path.join(headers, 'cuda.h'), 'utf8').replace(/\/\*[^]*?\*\//g, '')
  const names = new Set([...text.matchAll(/CUDAAPI (cu\w+)\(/g)].map((match) => match[1]!))
  for (const [, name] of text.matchAll(
    /^#define cu\w+\s+(?:__CUDA_API_PT[SD][ZS]\()?(cu\w+)\)?\s*$/gm,
  )) {
    names.add(name!)
  }
  const read = (name: string) => readFileSync(path.join(source, name), 'utf8')
  const mine = new Set(
    [
      ...`${read('driver_api.h')}${read('graph_api.h')}`.matchAll(/^PTX_API (cu\w+)\(/gm),
      ...read('driver_missing.inc').matchAll(/^MISSING\((cu\w+)\)/gm),
    ].map((match) => match[1]!),
  )
  assert.ok(names.size > 400)
  const left = [...names].filter((name) => !mine.has(name.replace(/_pt[sd][zs]$/, '')))
  assert.equal(left, [])
})

test('fatbins, hostile ones too', () => {
  if (skips('fatbins')) return
  const folder = release()
  check(folder, 'fatbin_test', images(folder))
})

for (const name of ['vecadd', 'reduce', 'matmul', 'attention']) {
  test(`a program of its own: ${name}`, () => {
    if (skips(name, true)) return
    const folder = release()
    check(folder, name, [path.join(folder, `${name}.fatbin`)])
  })
}

test('programs of the runtime: nvcc -cudart shared', () => {
  if (skips('the runtime', true)) return
  const folder = release()
  for (const order of ['forward', 'reverse', 'random']) {
    check(folder, 'runtime_test_80', [], { EMULATOR_ORDER: order })
    check(folder, 'runtime_test_100', [], { EMULATOR_ORDER: order, EMULATOR_DEVICE: '10.0' })
  }
})

test('every barrier, wait and condition of the programs is missed when it is dropped', async () => {
  if (skips('mutation', true)) return
  const folder = release()
  const harmless = JSON.parse(readFileSync(path.join(source, 'programs', 'harmless.json'), 'utf8'))
  let total = 0
  for (const name of ['vecadd', 'reduce', 'matmul', 'attention']) {
    const own = Object.fromEntries(
      Object.entries<string>(harmless).filter(([key]) => key.startsWith(name)),
    )
    const { count, complaints } = await survey(
      path.join(folder, `${name}.fatbin`),
      own,
      [path.join(folder, name), '{}'],
      { LD_LIBRARY_PATH: folder },
    )
    assert.equal(complaints, [])
    total += count
  }
  assert.ok(total > 60, `${total} mutants`)
  console.log(`  mutants: ${total}`)
})

test('a test runs every form of opcode that the kernels hold', () => {
  if (skips('forms', true)) return
  const folder = release()
  const texts = path.join(folder, 'kernels')
  const kernels = readdirSync(texts).map((name) => path.join(texts, name))
  check(folder, 'core_test', ['--covers', ...images(folder), ...kernels])
})

test('under AddressSanitizer and UndefinedBehaviorSanitizer', () => {
  if (skips('AddressSanitizer')) return
  const targets = ['cuda', 'core_test', 'driver_test', 'fatbin_test']
  const folder = build('emulator-asan', sanitized('address,undefined'), targets)
  const env = {
    ASAN_OPTIONS: 'allocator_may_return_null=1:detect_stack_use_after_return=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  }
  check(folder, 'fatbin_test', images(release()), env)
  check(folder, 'driver_test', [], env)
  check(folder, 'core_test', [], env)
})

test("the driver's threads, under ThreadSanitizer", () => {
  if (skips('ThreadSanitizer')) return
  const folder = build('emulator-tsan', sanitized('thread'), ['cuda', 'driver_test'])
  for (const part of ['stream_', 'host_', 'event_', 'graph_', 'exit_']) {
    check(folder, 'driver_test', [part], {
      TSAN_OPTIONS: 'halt_on_error=1:allocator_may_return_null=1',
    })
  }
})

test.run()
