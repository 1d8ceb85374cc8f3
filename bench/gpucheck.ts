// npm run gpu-check [-- --output FILE] [--device cuda:1] [--tests PATTERN] [--tiny]: runs the tests of the
// CUDA device on this machine's GPU, compares with the CPU, measures, and writes one file to send back. It
// needs Node, this checkout with `npm ci --ignore-scripts`, and NVIDIA's driver; the addon and the kernels
// are built where they are missing and there are compilers. Each part is a process of its own: a GPU that is
// lost in one is there again in the next.
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { writeFileAtomic } from '../lib/files.js'
import { openDevice } from '../lib/tensor/index.js'
import { addon } from '../lib/tensor/binding.js'
import { readManifest, usableGpu } from '../lib/tensor/gpu.js'
import { compareWithCpu } from './check/compare.js'
import type { Comparison } from './check/compare.js'
import { passed, text, withoutHome } from './check/report.js'
import type { GpuReport, TestOutcome } from './check/report.js'
import type { Report as Counters } from './count/count.js'
import { bench } from './measure/bench.js'
import type { Bench } from './measure/bench.js'
import { commit } from './measure/history.js'

const root = fileURLToPath(new URL('..', import.meta.url))
function parse() {
  const { values } = parseArgs({
    options: {
      output: { type: 'string', default: 'gpu-check.md' },
      device: { type: 'string', default: 'cuda' },
      tests: { type: 'string', default: '' },
      tiny: { type: 'boolean', default: false },
      part: { type: 'string' }, // of ourselves
    },
  })
  return values
}

function fail(error: unknown): never {
  console.error(`error: ${(error as Error).message}`)
  process.exit(2)
}

let values: ReturnType<typeof parse>
try {
  values = parse()
} catch (error) {
  fail(error)
}
const { tiny, device } = values
const note = (what: string) => void process.stderr.write(`${what}\n`)

/** What a part prints last is its result. */
async function part(name: string): Promise<void> {
  const gpu = openDevice(device)
  const result =
    name === 'compare'
      ? await compareWithCpu(gpu, tiny)
      : await bench(gpu, { tiny, progress: (what) => note(`  ${what}`) })
  console.log(JSON.stringify(result))
}

interface Ended {
  status: number | null
  out: string
  error: string
}

/** Runs Node on a file of this project, and shows what it says on the way. */
function node(args: string[], minutes: number, show = false): Promise<Ended> {
  const child = spawn(process.execPath, ['--import', 'tsx', ...args], {
    cwd: root,
    // The tests shall take the GPU that the driver has.
    env: { ...process.env, GPTLOOM_EMULATOR: '' },
    timeout: minutes * 60_000,
    killSignal: 'SIGKILL',
  })
  let [out, error] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk))
  child.stderr.on('data', (chunk: Buffer) => {
    error += chunk
    if (show) process.stderr.write(chunk)
  })
  return new Promise((resolve) => {
    child.on('error', (problem) => resolve({ status: null, out, error: problem.message }))
    child.on('close', (status) => resolve({ status, out, error }))
  })
}

/** Builds what is missing where that can be; what is still missing, as a sentence. */
function prepare(): string | null {
  const npm = (script: string) => {
    note(`npm run ${script} ...`)
    spawnSync('npm', ['run', '--silent', script], {
      cwd: root,
      shell: process.platform === 'win32',
    })
  }
  if (works() !== true) npm('build:native')
  const addonWorks = works()
  if (addonWorks !== true) return addonWorks
  if (!readManifest() && spawnSync('nvcc', ['--version']).status === 0) npm('build:kernels')
  if (!readManifest()) return 'there are no kernels: take those of the npm package, or install nvcc'
  if (usableGpu() !== undefined) return null
  const { reason, devices } = addon().cuda()
  if (reason) return `${reason}. It takes NVIDIA's driver, and no CUDA toolkit`
  const found = devices.map(({ name }) => name).join(', ') || 'none'
  return `there is no GPU that gptloom can use: it takes Ampere or newer, and the driver lists ${found}`
}

function works(): true | string {
  try {
    addon()
    return true
  } catch (error) {
    return (error as Error).message
  }
}

/** The files that test the CUDA device; not those of the bench, which run this. */
function testFiles(): string[] {
  const all = readdirSync(path.join(root, 'test'), { recursive: true }) as string[]
  return all
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.test.ts') && !name.startsWith('bench/'))
    .filter((name) => new RegExp(values.tests).test(name))
    .filter((name) =>
      /^\/\/ device: cuda$/m.test(readFileSync(path.join(root, 'test', name), 'utf8')),
    )
    .sort()
}

async function runTests(file: string): Promise<TestOutcome> {
  note(`test/${file} ...`)
  const start = performance.now()
  const { out, error } = await node(['test/run.ts', file], 30)
  const [, passedCount, failedCount] = /^(\d+) passed, (\d+) failed/m.exec(out) ?? []
  const skipped = /^!!! .*SKIPPED/m.test(out)
  const failed = Number(failedCount ?? 1) + (skipped ? 1 : 0)
  return {
    ...{ file: `test/${file}`, passed: Number(passedCount ?? 0), failed },
    seconds: (performance.now() - start) / 1000,
    output: failed > 0 ? withoutHome(`${out}${error}`).slice(-8000) : '',
  }
}

/** Null without nvidia-smi, which comes with most drivers. */
function clocks(): string | null {
  const fields = 'name,driver_version,clocks.sm,clocks.mem,power.draw,temperature.gpu'
  const args = [`--query-gpu=${fields}`, '--format=csv']
  const { status, stdout } = spawnSync('nvidia-smi', args, { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : null
}

async function main(): Promise<void> {
  const reason = prepare()
  if (reason) throw new Error(reason)
  const problems: string[] = []
  async function result<R>(name: string, minutes: number): Promise<R | null> {
    note(`${name} ...`)
    const flags = ['--part', name, '--device', device, ...(tiny ? ['--tiny'] : [])]
    const { status, out, error } = await node(['bench/gpucheck.ts', ...flags], minutes, true)
    if (status === 0) return JSON.parse(out.trim().split('\n').at(-1)!) as R
    problems.push(`${name} did not end well: ${withoutHome(error).trim().slice(-2000)}`)
    return null
  }
  const doctor = async (...flags: string[]) => {
    const { out, error } = await node(['lib/cli/main.ts', 'doctor', ...flags], 10)
    if (!out) problems.push(`doctor did not end well: ${withoutHome(error).trim()}`)
    return out
  }

  const doctorJson = await doctor('--json')
  const doctorText = await doctor()
  const before = clocks()
  const tests: TestOutcome[] = []
  for (const file of testFiles()) tests.push(await runTests(file))
  const comparisons = (await result<Comparison[]>('compare', 10)) ?? []
  const measured = await result<Bench>('bench', 30)
  if (tests.length === 0) problems.push(`no test matches ${values.tests}`)
  const report: GpuReport = {
    ...{ date: new Date().toISOString(), commit: commit() },
    ...{ doctor: JSON.parse(doctorJson || 'null') as unknown, doctorText },
    clocks: [before, clocks()].filter((each) => each !== null),
    ...{ tests, comparisons, bench: measured, problems },
  }
  const counters = readFileSync(path.join(root, 'bench', 'counters.json'), 'utf8')
  await writeFileAtomic(values.output, text(report, JSON.parse(counters) as Counters))
  const good = passed(report)
  note(`\n${good ? 'Everything passed' : 'NOT everything passed'}. The report: ${values.output}`)
  process.exitCode = good ? 0 : 1
}

;(values.part ? part(values.part) : main()).catch(fail)
