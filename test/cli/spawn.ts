// Runs the command line from source, as a user's shell would run it.
import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url))
// By its place, since the working folder is not this package's.
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

/** What is typed before the verb, as a list of words. */
export const command: readonly string[] = [process.execPath, '--import', tsx, main]

export const folder = mkdtempSync(join(os.tmpdir(), 'gptloom-cli-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

// Enough for a context of 8; the words differ so that a vocabulary can be learned.
const words = ['the', 'whale', 'ship', 'sea', 'captain', 'white', 'and', 'of', 'harpoon', 'boat']
const text = Array.from({ length: 1500 }, (_, i) => words[(i * i + (i >> 3)) % words.length]).join(
  ' ',
)
export const book = join(folder, 'book.txt')
writeFileSync(book, text)

/** A training run that takes no time: context 8, 2 sequences a step. */
export const tiny = [
  'train',
  book,
  '--layers',
  '1',
  '--heads',
  '2',
  '--width',
  '8',
  '--context',
  '8',
  '--batch',
  '2',
  '--tokenizer',
  'character',
  '--sample-tokens',
  '5',
  '--evaluate-tokens',
  '64',
  '--threads',
  '1',
]

let counter = 0

/** A name in the temporary folder that nothing has yet. */
export function fresh(): string {
  return join(folder, `model-${counter++}`)
}

export function start(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
): ChildProcessWithoutNullStreams {
  const [node, ...rest] = command
  return spawn(node!, [...rest, ...args], { cwd: folder, env: { ...process.env, ...environment } })
}

export function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** Runs to the end, with `input` on standard input. */
export function run(
  args: readonly string[],
  input = '',
  environment: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const child = start(args, environment)
  child.stdin.on('error', () => {}) // a program that does not read its input may have ended
  child.stdin.end(input)
  return ended(child)
}

/** Every line as JSON; throws for one that is not. */
export function events(stdout: string): { type: string; [key: string]: unknown }[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}
