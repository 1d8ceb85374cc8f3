// Which examples are kept apart for validation. What belongs together stays on one side.
import { philox, splitWords } from '../random.js'
import { hash53 } from './hash.js'
import { Numbers } from './numbers.js'
import { Seen } from './seen.js'

export interface SplitOptions {
  /** The share of the examples for validation. */
  fraction: number
  /** 'time' takes the newest, 'random' any. */
  by: 'random' | 'time'
  seed: number
}

/**
 * Collects what a split needs to know of each example. That lies on disk: in memory there are 1.3 bytes
 * a group, and 5 bytes an example while finish() works, or 21 by time.
 */
export class Splitter {
  /** For each example the first one of its group, as far as it was known then. */
  readonly #firsts = new Numbers(Uint32Array)
  readonly #times = new Numbers(Float64Array)
  readonly #named = new Seen()
  /** Groups that turned out to belong to another, by their first examples. */
  readonly #joined = new Map<number, number>()
  /** Whether finish() found all examples in one group, which it then had to cut. */
  single = false
  /** Examples that said when they were written. */
  timed = 0
  /** What finish() made: examples for validation, groups, and examples apart from their group. */
  outcome = { validation: 0, groups: 0, apart: 0 }

  /**
   * @param group what must not stand on both sides: customer, thread
   * @param time milliseconds; an example without is taken for the oldest
   * @param like the number of an earlier example that this one is nearly the same as
   */
  add({ group, time, like }: { group?: string; time?: number; like?: number }): void {
    const number = this.#firsts.length
    this.#times.push(time ?? -Infinity)
    if (time !== undefined) this.timed++
    const named = group === undefined ? undefined : this.#named.getOrSet(hash53(group), number)
    const roots = [named, like].flatMap((i) => (i === undefined ? [] : [this.#rootOf(i)]))
    const first = Math.min(number, ...roots)
    for (const root of roots) if (root !== first) this.#joined.set(root, first)
    this.#firsts.push(first)
  }

  /**
   * For each example 0 for training or 1 for validation: whole groups, as many as come nearest to the
   * fraction; at least one on each side where there are two. Where all belong to one group, the last
   * examples validate: see `single`.
   */
  finish(options: SplitOptions): Uint8Array {
    const parts = this.#parts(options)
    const outcome = { validation: 0, groups: 0, apart: 0 }
    this.#firsts.forEach((first, i) => {
      const root = this.#find(first)
      outcome.validation += parts[i]!
      if (root === i) outcome.groups++
      if (parts[root] !== parts[i]) outcome.apart++
    })
    this.outcome = outcome
    return parts
  }

  #parts({ fraction, by, seed }: SplitOptions): Uint8Array {
    const count = this.#firsts.length
    const parts = new Uint8Array(count)
    let several = false
    this.#firsts.forEach((first) => (several ||= this.#find(first) !== 0))
    this.single = !several && count > 1
    if (fraction === 0 || count < 2) return parts
    if (this.single)
      return parts.fill(1, Math.max(1, Math.min(count - 1, Math.round(count * (1 - fraction)))))
    const chosen = by === 'time' ? this.#newest(fraction) : this.#drawn(fraction, seed)
    this.#firsts.forEach((first, i) => (parts[i] = chosen(this.#find(first)) ? 1 : 0))
    return parts
  }

  /** Gives up what lies on disk; nothing can be added then. */
  close(): void {
    for (const part of [this.#firsts, this.#times, this.#named]) part.close()
  }

  /**
   * Groups in the order of random numbers; one that is too large is passed over. Each example has the
   * number of its group, so that a group is a run of equal ones in their sorted list.
   */
  #drawn(fraction: number, seed: number): (root: number) => boolean {
    const key = splitWords(seed)
    const rank = (root: number) => philox(key, [root, 0x73706c69, 0, 0])[0]
    const ranks = new Uint32Array(this.#firsts.length)
    this.#firsts.forEach((first, i) => (ranks[i] = rank(this.#find(first))))
    const taking = new Taking(fraction, ranks.length)
    const passed = new Set<number>()
    let least = Infinity
    eachRun(ranks.sort(), (value, size) => {
      if (taking.take(size)) least = value
      else if (!taking.full) passed.add(value)
      return !taking.full
    })
    if (taking.taken === 0) {
      const smallest = smallestRun(ranks)
      return (root) => rank(root) === smallest
    }
    return (root) => rank(root) >= least && !passed.has(rank(root))
  }

  /** The newest groups, without a gap; of equally new ones those that come last. */
  #newest(fraction: number): (root: number) => boolean {
    const count = this.#firsts.length
    const newest = new Float64Array(count).fill(-Infinity)
    let times = new Float64Array(count)
    this.#times.forEach((time, i) => (times[i] = time))
    this.#firsts.forEach((first, i) => {
      const root = this.#find(first)
      newest[root] = Math.max(newest[root]!, times[i]!)
    })
    this.#firsts.forEach((first, i) => (times[i] = newest[this.#find(first)]!))
    const taking = new Taking(fraction, count)
    let [time, ties] = [Infinity, 0]
    eachRun(times.sort(), (value, size) => {
      if (taking.take(size)) return true
      ;[time, ties] = [value, size]
      return false
    })
    times = new Float64Array(0)
    let roots = new Uint32Array(ties)
    let at = 0
    this.#firsts.forEach((first) => {
      const root = this.#find(first)
      if (newest[root] === time) roots[at++] = root
    })
    let least = Infinity
    eachRun(roots.sort(), (root, size) => {
      if (!taking.take(size)) return false
      least = root
      return true
    })
    if (taking.taken > 0)
      return (root) => newest[root]! > time || (newest[root] === time && root >= least)
    roots = new Uint32Array(count)
    this.#firsts.forEach((first, i) => (roots[i] = this.#find(first)))
    const smallest = smallestRun(roots.sort())
    return (root) => root === smallest
  }

  #rootOf(example: number): number {
    return this.#find(this.#firsts.get(example))
  }

  #find(root: number): number {
    const joined = this.#joined
    for (let up; (up = joined.get(root)) !== undefined; root = up) {
      const above = joined.get(up)
      if (above !== undefined) joined.set(root, above)
    }
    return root
  }
}

/** Takes groups, each to the nearer side of the wanted number of examples, and never all. */
class Taking {
  taken = 0

  constructor(
    private readonly fraction: number,
    private readonly count: number,
  ) {}

  take(size: number): boolean {
    const { taken, count, fraction } = this
    if (taken + size / 2 > fraction * count || taken + size >= count) return false
    this.taken += size
    return true
  }

  /** Whether not even a group of one would be taken. */
  get full(): boolean {
    return this.taken + 0.5 > this.fraction * this.count
  }
}

/** Shows runs of equal numbers in a sorted list, from the highest, until one is not wanted. */
function eachRun(
  sorted: Uint32Array | Float64Array,
  see: (value: number, size: number) => boolean,
): void {
  for (let end = sorted.length; end > 0;) {
    const value = sorted[end - 1]!
    let start = end - 1
    while (start > 0 && sorted[start - 1] === value) start--
    if (!see(value, end - start)) return
    end = start
  }
}

/** The value of the shortest run of a sorted list. */
function smallestRun(sorted: Uint32Array): number {
  let [smallest, least] = [Infinity, Infinity]
  eachRun(sorted, (value, size) => {
    if (size < least) [smallest, least] = [value, size]
    return true
  })
  return smallest
}
