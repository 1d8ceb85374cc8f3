// Our figures beside a peer's: both take turns, so that a machine that slows down slows both.
import { setTimeout as sleep } from 'node:timers/promises'
import { keepTable, markdown } from '../count/tables.js'
import { middle } from '../measure/clock.js'
import { commit, machine } from '../measure/history.js'
import { columns } from '../measure/text.js'

export interface Settings {
  threads: number
  /** Turns of everyone. */
  rounds: number
  only: RegExp
  tiny: boolean
  progress(what: string): void
}

export interface Comparison {
  peer: string
  version: string
  unit: string
  /** Of the unit, in amounts a second. */
  scale: number
  /** Of the peers. */
  names: string[]
  rows: {
    name: string
    /** Of one run. */
    amount: number
    /** Seconds a run, turn by turn: ours first. */
    times: number[][]
  }[]
}

// Threads that wait for work by spinning have gone to sleep by then: they take no time of the next turn.
const PAUSE = 100 // ms

/** @returns for each, seconds turn by turn, after one turn that does not count */
export async function alternate(
  rounds: number,
  runs: (() => Promise<number>)[],
): Promise<number[][]> {
  const times: number[][] = runs.map(() => [])
  for (let round = -1; round < rounds; round++) {
    for (const [i, run] of runs.entries()) {
      await sleep(PAUSE)
      const seconds = await run()
      if (round >= 0) times[i]!.push(seconds)
    }
  }
  return times
}

const median = (values: number[]) => middle(values).seconds

/** How many times as fast as each peer we are: the median of the turns' own ratios. */
export const ratios = ([ours, ...theirs]: number[][]) =>
  theirs.map((times) => median(times.map((seconds, i) => seconds / ours![i]!)))

function table({ names, unit, scale, rows }: Comparison): string[][] {
  const rate = (amount: number, times: number[]) => {
    const value = amount / median(times) / scale
    return value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3)
  }
  const head = [unit, 'gptloom', ...names.flatMap((name) => [name, 'times as fast'])]
  const body = rows.map(({ name, amount, times }) => [
    name,
    rate(amount, times[0]!),
    ...ratios(times).flatMap((ratio, i) => [rate(amount, times[i + 1]!), ratio.toFixed(2)]),
  ])
  return [head, ...body]
}

export function comparisonText(comparison: Comparison, threads: number): string {
  return `${comparison.version}, ${threads} threads\n\n${columns(table(comparison))}`
}

/** A line of history.jsonl. */
export function comparisonEntry(comparison: Comparison, device: string) {
  const { peer, version, rows } = comparison
  return {
    ...{ date: new Date().toISOString(), commit: commit(), machine: machine(), device },
    ...{ peer, version },
    ratios: Object.fromEntries(
      rows.map(({ name, times }) => [name, ratios(times).map((x) => Number(x.toFixed(3)))]),
    ),
  }
}

/** Writes the table into README.md, at its place. */
export function keepComparison(readme: string, comparison: Comparison, settings: Settings): void {
  const [head, ...rows] = table(comparison)
  const { threads, rounds } = settings
  const note =
    `${comparison.version}; ${threads} thread${threads > 1 ? 's' : ''}, medians of ${rounds} turns, ` +
    `at ${commit()} on ${machine()}.`
  const text = `${markdown(head!, rows)}\n\n${note}`
  keepTable(readme, `peer ${comparison.peer}`, text)
}
