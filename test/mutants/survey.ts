// Mutation of the kernels that ship: drops each barrier, wait and condition, one at a time, and asks
// whether the op cases notice on the emulated GPU, by a value outside the case's tolerance or by a
// check.
//
//   node --import tsx test/mutants/survey.ts [--each] [pattern]
//
// A condition of the source is dropped in all kernels of a family at once, as if the source lacked it;
// barriers and waits in one kernel at a time (test/ptx/sites.ts). With --each, conditions too: that
// takes several times as long, and tells which kernels their cases test less than others. A mutant
// that nobody notices must stand in harmless.json with the reason; one that stands there and is noticed
// is a complaint too. `pattern` limits the survey to mutants whose name matches. MUTANTS_LOG: a file
// that gets a line for each mutant: seconds, kernels, name, who noticed. MUTANTS_CASES: a pattern for the
// names of the op cases that are tried, all without it. MUTANTS_VERBOSE=1 shows what the emulator says.
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { readManifest } from '../../lib/tensor/gpu.js'
import { original } from './images.js'
import { mutantsOf } from './mutants.js'
import type { Mutant } from './mutants.js'
import type { Answer, Task } from './worker.js'

const here = path.dirname(fileURLToPath(import.meta.url))
const root = path.dirname(path.dirname(here))

interface Worker {
  child: ChildProcess
  ready: Promise<string[]>
  try(mutant: Mutant, most?: number): Promise<string>
}

function start(scratch: string, emulator: string): Worker {
  mkdirSync(scratch)
  writeFileSync(path.join(scratch, 'launches.jsonl'), '')
  const child = fork(path.join(here, 'worker.ts'), [scratch], {
    execArgv: ['--expose-gc', '--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: {
      ...process.env,
      LD_LIBRARY_PATH: emulator,
      EMULATOR_COUNTERS: path.join(scratch, 'launches.jsonl'),
      EMULATOR_DEVICE: '8.7', // 16 multiprocessors: large tiles at small sizes
      EMULATOR_THREADS: '1',
      EMULATOR_WATCHDOG: String(2 ** 29), // a mutant may never end
    },
  })
  let said = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000)
    if (process.env.MUTANTS_VERBOSE) process.stderr.write(text)
  })
  const message = <T>(): Promise<T> =>
    new Promise((resolve, reject) => {
      const exit = () => reject(new Error(`A process that tries mutants has ended:\n${said}`))
      child.once('exit', exit)
      child.once('message', (value) => {
        child.off('exit', exit)
        resolve(value as T)
      })
    })
  let id = 0
  return {
    child,
    ready: message<{ ready: string[] }>().then(({ ready }) => ready),
    async try({ family, kernels, edits }, most) {
      const answer = message<Answer>()
      child.send({ id: ++id, family, kernels, edits, most } satisfies Task)
      return (await answer).noticed
    },
  }
}

/** Ends a worker, and waits until it has: it writes to its folder. */
async function stop({ child }: Worker): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill()
  await gone
}

/** Names of mutants by the reason why nobody need notice; `*` in a name stands for anything. */
export type Harmless = Record<string, string[]>

export interface Result {
  count: number
  complaints: string[]
}

function matcher(name: string): RegExp {
  const parts = name.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`)
}

/**
 * Tries every mutant whose name matches, two at a time.
 * @param most how many cases, the cheapest first, those that are listed as harmless are tried on
 */
export async function survey(
  emulator: string,
  harmless: Harmless,
  {
    most = undefined as number | undefined,
    each = false,
    only = /(?:)/,
    onResult = (_: Mutant, __: string) => {},
  } = {},
): Promise<Result> {
  const { families } = readManifest()!
  const every = families.flatMap((family) => mutantsOf(family, each))
  const list = every.filter(({ name }) => only.test(name))
  const scratch = mkdtempSync(path.join(tmpdir(), 'gptloom-mutants-'))
  const complaints: string[] = []
  const workers = [0, 1].map((i) => start(path.join(scratch, String(i)), emulator))
  try {
    const launched = new Set((await Promise.all(workers.map(({ ready }) => ready)))[0])
    for (const family of process.env.MUTANTS_CASES ? [] : families)
      for (const kernel of original(family).kernels.keys())
        if (!launched.has(kernel)) complaints.push(`${kernel}: no case launches it`)
    const listed = Object.values(harmless).flat()
    const patterns = listed.map(matcher)
    patterns.forEach((pattern, i) => {
      if (!each && !every.some(({ name }) => pattern.test(name)))
        complaints.push(`${listed[i]}: listed as harmless, and there is none`)
    })
    let next = 0
    const work = async (worker: Worker) => {
      for (let k = next++; k < list.length; k = next++) {
        const mutant = list[k]!
        const isListed = patterns.some((pattern) => pattern.test(mutant.name))
        const noticed = await worker.try(mutant, isListed ? most : undefined)
        onResult(mutant, noticed)
        if (!noticed && !isListed) complaints.push(`${mutant.name}: dropped, and nobody notices`)
        if (noticed && isListed)
          complaints.push(`${mutant.name}: listed as harmless, and noticed by ${noticed}`)
      }
    }
    await Promise.all(workers.map(work))
  } finally {
    await Promise.all(workers.map(stop))
    rmSync(scratch, { recursive: true, force: true })
  }
  return { count: list.length, complaints: complaints.sort() }
}

export function readHarmless(): Harmless {
  return JSON.parse(readFileSync(path.join(here, 'harmless.json'), 'utf8')) as Harmless
}

async function main(args: string[]): Promise<void> {
  const each = args.includes('--each')
  const only = new RegExp(args.find((word) => word !== '--each') ?? '')
  const emulator = path.join(root, 'build', 'emulator')
  const log = process.env.MUTANTS_LOG
  const started = performance.now()
  const onResult = (mutant: Mutant, noticed: string) => {
    const now = ((performance.now() - started) / 1000).toFixed(1)
    if (log)
      writeFileSync(log, `${now}\t${mutant.kernels.join()}\t${mutant.name}\t${noticed}\n`, {
        flag: 'a',
      })
  }
  const { count, complaints } = await survey(emulator, readHarmless(), { each, only, onResult })
  for (const line of complaints) console.error(line)
  console.log(`${count} mutants, ${complaints.length} complaints`)
  process.exit(complaints.length ? 1 : 0)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) void main(process.argv.slice(2))
