// bench/history.jsonl: a line a run, and what moved between two of them.
import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Bench, Result } from './bench.js'

export const historyFile = fileURLToPath(new URL('../history.jsonl', import.meta.url))

/** A line of the bench; other lines of the file have a `case` and no results. */
export interface Entry extends Omit<Bench, 'results'> {
  date: string
  commit: string
  machine: string
  results: Result[]
}

/** The processor, and how many there are. */
export const machine = () => `${os.cpus()[0]?.model.trim() || 'unknown'} x ${os.cpus().length}`

/** The short hash, with a + where files differ from it; 'unknown' without git. */
export function commit(): string {
  const folder = fileURLToPath(new URL('../..', import.meta.url))
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no').trim() !== ''
    return git('rev-parse', '--short', 'HEAD').trim() + (changed ? '+' : '')
  } catch {
    return 'unknown'
  }
}

export function entryOf(bench: Bench): Entry {
  const round = (_: string, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(5)) : value
  const entry = { date: new Date().toISOString(), commit: commit(), machine: machine(), ...bench }
  return JSON.parse(JSON.stringify(entry, round)) as Entry
}

export function append(file: string, entry: object): void {
  appendFileSync(file, JSON.stringify(entry) + '\n')
}

export interface Move {
  name: string
  before: number
  now: number
  /** How many times as fast. */
  ratio: number
  /** Whether the difference is more than both spreads explain. */
  moved: boolean
}

/**
 * What moved since the newest results, case by case, of runs on the same machine and device at a commit.
 * @param revision a commit's hash or the beginning of one, as the file has it
 * @returns null when there are none
 */
export function compareWith(file: string, entry: Entry, revision: string): Move[] | null {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : []
  const same = lines
    .map((line) => JSON.parse(line) as Partial<Entry>)
    .filter(
      (each): each is Entry =>
        each.results !== undefined &&
        each.machine === entry.machine &&
        each.device === entry.device &&
        each.commit!.startsWith(revision),
    )
  if (same.length === 0) return null
  const before = new Map(same.flatMap(({ results }) => results).map((each) => [each.name, each]))
  return entry.results.flatMap((now): Move[] => {
    const then = before.get(now.name)
    if (!then) return []
    const ratio = then.seconds / now.seconds
    const noise = 2 * Math.max(0.01, then.spread + now.spread)
    return [
      {
        name: now.name,
        before: then.seconds,
        now: now.seconds,
        ratio,
        moved: Math.abs(Math.log(ratio)) > noise,
      },
    ]
  })
}

/** The short hash of a revision by any name that git knows; itself where git does not. */
export function hashOf(revision: string): string {
  try {
    const folder = fileURLToPath(new URL('../..', import.meta.url))
    const args = ['rev-parse', '--short', '--verify', '--end-of-options', revision]
    return execFileSync('git', args, {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return revision
  }
}
