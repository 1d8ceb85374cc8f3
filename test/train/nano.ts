// What the tests of training share: a tiny text, a tiny model, and runs in processes of their own.
import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TrainEvent, TrainOptions, TrainRun } from '../../lib/index.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-train-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let counter = 0

/** A path in a temporary folder that nothing has used. */
export function fresh(name = 'model'): string {
  return join(folder, `${counter++}-${name}`)
}

/** A file of sentences of a small grammar. */
export function textFile(sentences = 1500): string {
  const path = fresh('text.txt')
  const words = ['cat', 'dog', 'whale', 'ship', 'sea', 'captain', 'boat']
  const word = (n: number) => words[n % words.length]!
  const line = (_: unknown, i: number) =>
    `The ${word(i)} saw ${i % 11} of the ${word(i * i + 3)}s.\n`
  writeFileSync(path, Array.from({ length: sentences }, line).join(''))
  return path
}

/** Options of a run that takes a fraction of a second. */
export function nano(options: Partial<TrainOptions> = {}): TrainOptions {
  return {
    data: textFile(),
    tokenizer: 'character',
    batch: 4,
    steps: 12,
    evaluateEvery: 4,
    evaluateTokens: 256,
    sampleEvery: 0,
    threads: 1,
    ...options,
    output: options.output ?? fresh(),
    model: { layers: 1, heads: 2, width: 16, context: 16, ...(options.model as object) },
  }
}

export async function eventsOf(run: TrainRun): Promise<TrainEvent[]> {
  const events: TrainEvent[] = []
  for await (const event of run) events.push(event)
  return events
}

/** The bytes of a run's final weights, or of another file in its folder. */
export function weights(output: string, name = 'model.safetensors'): Buffer {
  return readFileSync(join(output, name))
}

/** Every file below a folder but those of the data, with its bytes. */
export function contents(output: string): Map<string, string> {
  const files = readdirSync(output, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  const paths = files.map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  return new Map(
    paths.sort().map((path) => [path.slice(output.length + 1), readFileSync(path, 'latin1')]),
  )
}

/** Temporary files and folders below a folder. */
export function strays(output: string): string[] {
  return (readdirSync(output, { recursive: true }) as string[]).filter((name) =>
    name.endsWith('.tmp'),
  )
}

/** The error that a promise rejects with. */
export async function failure(
  promise: PromiseLike<unknown>,
): Promise<Error & { code?: string; saved?: unknown }> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('expected a rejection')
}

const child = fileURLToPath(new URL('./child.ts', import.meta.url))

/** A process that runs one of child.ts's jobs. */
export function start(
  job: string,
  argument: unknown,
  flags: string[] = [],
  environment: Record<string, string> = {},
): ChildProcessWithoutNullStreams {
  const args = [...flags, '--import', 'tsx', child, job, JSON.stringify(argument)]
  return spawn(process.execPath, args, { env: { ...process.env, ...environment } })
}

/** Runs it to its end. */
export async function finish(
  process: ChildProcessWithoutNullStreams,
): Promise<{ code: number | null; signal: string | null; out: string; err: string }> {
  let [out, err] = ['', '']
  process.stdout.on('data', (chunk) => (out += chunk))
  process.stderr.on('data', (chunk) => (err += chunk))
  return new Promise((resolve) =>
    process.on('close', (code, signal) => resolve({ code, signal, out, err })),
  )
}
