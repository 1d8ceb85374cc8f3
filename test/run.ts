// The test runner: every test/**/*.test.ts in a process of its own, with uvu inside it.
//
//   node --import tsx test/run.ts [pattern] [--root DIR] [--total FILE]
//
//   --total    adds the numbers in FILE to the last line, and leaves their sum there: runs that end as one
//
// It is stricter than uvu, which ends well when nothing ran: no file, no summary, no test, fewer passed
// than there are, an exit code, a signal or a hang each make a failure with a name. What a file may say
// in its first lines:
//
//   // run: alone        not beside other files, for what measures time
//   // timeout: 600      seconds, instead of 300
//   // device: cuda       on the emulated GPU where that has been built, else on a real one
//
// A test that cannot run here prints a line `SKIP <reason>`: listed at the end, and a failure where CI=true.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

interface Options {
  pattern: string
  root: string
  total?: string
}

interface Numbers {
  passed: number
  failed: number
  skipped: number
}

interface TestFile {
  path: string
  /** Relative to the root, with forward slashes. */
  name: string
  alone: boolean
  timeout: number
  /** Runs with a GPU: others must not depend on whether there is one. */
  cuda: boolean
}

interface Outcome {
  name: string
  passed: number
  failed: number
  skips: string[]
  /** Why the file failed; empty when it did not. */
  reasons: string[]
  output: string
  seconds: number
}

const here = path.dirname(fileURLToPath(import.meta.url))
const running = new Set<ChildProcess>()

function parse(args: string[]): Options {
  const options: Options = { pattern: '', root: here }
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--root' && args[i + 1]) options.root = path.resolve(args[++i]!)
    else if (args[i] === '--total' && args[i + 1]) options.total = args[++i]!
    else if (args[i]!.startsWith('-') || options.pattern)
      throw new Error(`Unknown argument ${args[i]}`)
    else options.pattern = args[i]!.replaceAll('\\', '/')
  }
  return options
}

function find({ root, pattern }: Options): TestFile[] {
  return (
    (readdirSync(root, { recursive: true }) as string[])
      .map((name) => name.replaceAll('\\', '/'))
      .filter((name) => name.endsWith('.test.ts') && `test/${name}`.includes(pattern))
      // What only a package can show takes minutes: npm run test:install.
      .filter((name) => !name.startsWith('install/') || pattern.includes('install/'))
      .sort()
      .map((name) => {
        const file = path.join(root, name)
        const head = readFileSync(file, 'utf8').slice(0, 1000)
        const timeout = Number(/^\/\/ timeout: (\d+)$/m.exec(head)?.[1] ?? 300)
        const cuda = /^\/\/ device: cuda$/m.test(head)
        return { path: file, name, alone: /^\/\/ run: alone$/m.test(head), timeout, cuda }
      })
  )
}

/** The folder of the emulated GPU's library: GPTLOOM_EMULATOR, where '' asks for the real one. */
function withGpu(): NodeJS.ProcessEnv {
  const folder = process.env.GPTLOOM_EMULATOR ?? path.join(path.dirname(here), 'build', 'emulator')
  if (!folder || !existsSync(path.join(folder, 'libcuda.so.1'))) return process.env
  const paths = [folder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(path.delimiter)
  return { ...process.env, LD_LIBRARY_PATH: paths }
}

/** Ends the process and what it has started. */
function kill(child: ChildProcess): void {
  if (!child.pid) return
  if (process.platform === 'win32') spawn('taskkill', ['/pid', String(child.pid), '/T', '/F'])
  else {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // nothing is left of the group
    }
  }
}

function run(file: TestFile): Promise<Outcome> {
  const started = performance.now()
  const child = spawn(process.execPath, ['--expose-gc', '--import', 'tsx', file.path], {
    cwd: path.dirname(here),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: file.cuda ? withGpu() : process.env,
    detached: process.platform !== 'win32', // a group of its own, to be ended as a whole
  })
  running.add(child)
  const chunks: Buffer[] = []
  child.stdout!.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr!.on('data', (chunk: Buffer) => chunks.push(chunk))
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    kill(child)
  }, file.timeout * 1000)
  return new Promise((resolve) => {
    let ended = false
    const end = (how: string) => {
      if (ended) return
      ended = true
      clearTimeout(timer)
      running.delete(child)
      const ending = timedOut ? `did not end within ${file.timeout} s` : how
      const output = Buffer.concat(chunks)
        .toString()
        .replace(/\x1b\[[0-9;]*m/g, '')
      resolve(judge(file.name, output, ending, (performance.now() - started) / 1000))
    }
    child.on('error', (error) => end(`could not be started: ${error.message}`))
    child.on('exit', (code, signal) => {
      const how = signal ? `was ended by ${signal}` : code ? `exit code ${code}` : ''
      child.on('close', () => end(how))
      // A process that the test has left behind keeps the pipe open. What is in the pipe is read even when
      // this process was not run for so long.
      setTimeout(() => {
        kill(child)
        setTimeout(() => end(how), 1000).unref()
      }, 1000).unref()
    })
  })
}

/** What uvu prints at the end. */
const SUMMARY = /^ {2}Total: +(\d+)\r?\n {2}Passed: +(\d+)\r?\n {2}Skipped: +(\d+)/gm

function judge(name: string, output: string, ending: string, seconds: number): Outcome {
  const summaries = [...output.matchAll(SUMMARY)]
  const [total = 0, passed = 0, skipped = 0] = summaries.at(-1)?.slice(1).map(Number) ?? []
  const skips = [...output.matchAll(/^(?:[•✘ ]*)SKIP (.+?)\r?$/gm)].map((match) => match[1]!)
  if (skipped > 0) skips.push(`${skipped} by test.skip or test.only`)
  const reasons: string[] = []
  if (ending) reasons.push(ending)
  if (summaries.length === 0) reasons.push('printed no summary: is test.run() missing?')
  else if (total === 0) reasons.push('ran no test')
  else if (passed !== total)
    reasons.push(`${total - passed} of ${total} tests failed or did not run`)
  const failed = reasons.length ? Math.max(1, total - passed) : 0
  return { name, passed, failed, skips, reasons, output, seconds }
}

function print(outcome: Outcome): void {
  const { name, passed, reasons, output, seconds } = outcome
  const took = `${seconds.toFixed(1)} s`
  if (reasons.length === 0) console.log(`ok    ${name}  ${passed} tests, ${took}`)
  else console.log(`\nFAIL  ${name}  ${reasons.join('; ')} (${took})\n${output.trimEnd()}\n`)
}

async function runAll(files: TestFile[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const take = async (queue: TestFile[]) => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const outcome = await run(file)
      print(outcome)
      outcomes.push(outcome)
    }
  }
  // What may take longest goes first, so that the others fill the cores beside it.
  const together = files.filter((file) => !file.alone).sort((a, b) => b.timeout - a.timeout)
  await Promise.all(
    Array.from({ length: Math.min(4, availableParallelism()) }, () => take(together)),
  )
  await take(files.filter((file) => file.alone))
  return outcomes
}

/** The last line, with the numbers of runs before this one. */
function close(numbers: Numbers, file?: string): void {
  const before: Partial<Numbers> =
    file && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
  const add = (name: keyof Numbers) => (before[name] ?? 0) + numbers[name]
  const sum = { passed: add('passed'), failed: add('failed'), skipped: add('skipped') }
  if (file) writeFileSync(file, JSON.stringify(sum))
  const tail = sum.skipped ? `, ${sum.skipped} skipped` : ''
  console.log(`${sum.passed} passed, ${sum.failed} failed${tail}`)
}

/** Prints what failed and was skipped; returns what counts as failed. */
function summarize(outcomes: Outcome[], strict: boolean, total?: string): number {
  const sum = (of: (outcome: Outcome) => number) => outcomes.map(of).reduce((a, b) => a + b, 0)
  const skips = outcomes.flatMap(({ name, skips }) => skips.map((reason) => `${name}: ${reason}`))
  const failing = outcomes.filter(({ reasons }) => reasons.length > 0)
  let failed = sum((outcome) => outcome.failed)
  if (outcomes.length === 0) {
    console.log('FAIL  no test file was found')
    failed = 1
  }
  if (failing.length) console.log('')
  for (const { name, reasons } of failing) console.log(`FAIL  ${name}: ${reasons.join('; ')}`)
  if (skips.length)
    console.log(`\n!!!   SKIPPED${strict ? ', which is a failure under CI=true' : ''}:`)
  for (const skip of skips) console.log(`!!!   ${skip}`)
  if (strict) failed += skips.length
  close({ passed: sum((outcome) => outcome.passed), failed, skipped: skips.length }, total)
  return failed
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    for (const child of running) kill(child)
    process.exit(130)
  })
}
const options = parse(process.argv.slice(2))
const outcomes = await runAll(find(options))
process.exitCode = summarize(outcomes, process.env.CI === 'true', options.total) > 0 ? 1 : 0
