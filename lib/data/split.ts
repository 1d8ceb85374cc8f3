// Which examples are kept apart for validation. What belongs together stays on one side.
import { philox, splitWords } from '../random.js'
import { Numbers } from './numbers.js'

export interface SplitOptions {
  /** The share of the examples for validation. */
  fraction: number
  /** 'time' takes the newest, 'random' any. */
  by: 'random' | 'time'
  seed: number
}

/** Collects what a split needs to know of each example, a few bytes each. */
export class Splitter {
  /** For each example its group; groups are merged by pointing at another. */
  readonly #groups = new Numbers(Uint32Array)
  readonly #times = new Numbers(Float64Array)
  readonly #named = new Map<string, number>()
  /** Whether finish() found all examples in one group, which it then had to cut. */
  single = false
  /** Examples that said when they were written. */
  timed = 0

  /**
   * @param group what must not stand on both sides: customer, thread
   * @param time milliseconds; an example without is taken for the oldest
   * @param like the number of an earlier example that this one is nearly the same as
   */
  add({ group, time, like }: { group?: string; time?: number; like?: number }): void {
    const number = this.#groups.length
    this.#groups.push(number)
    this.#times.push(time ?? -Infinity)
    if (time !== undefined) this.timed++
    if (group !== undefined) {
      const first = this.#named.get(group)
      if (first === undefined) this.#named.set(group, number)
      else this.#join(number, first)
    }
    if (like !== undefined) this.#join(number, like)
  }

  /**
   * For each example 0 for training or 1 for validation: whole groups, as many as come nearest to the
   * fraction; at least one on each side where there are two. Where all belong to one group, the last
   * examples validate: see `single`.
   */
  finish({ fraction, by, seed }: SplitOptions): Uint8Array {
    const count = this.#groups.length
    const parts = new Uint8Array(count)
    const sizes = new Uint32Array(count)
    const ranks = new Float64Array(count).fill(-Infinity)
    const key = splitWords(seed)
    for (let i = 0; i < count; i++) {
      const group = this.#find(i)
      // The newest first, or whatever the seed says.
      if (by === 'time') ranks[group] = Math.max(ranks[group]!, this.#times.get(i))
      else if (sizes[group] === 0) ranks[group] = philox(key, [group, 0x73706c69, 0, 0])[0]
      sizes[group]!++
    }
    const groups = Uint32Array.from(sizes.keys()).filter((group) => sizes[group]! > 0)
    groups.sort((a, b) => (ranks[a] === ranks[b] ? b - a : ranks[b]! - ranks[a]!))
    this.single = groups.length === 1 && count > 1
    if (fraction === 0) return parts
    if (this.single)
      return parts.fill(1, Math.max(1, Math.min(count - 1, Math.round(count * (1 - fraction)))))
    let taken = 0
    for (const group of groups) {
      // To the nearer side of the wanted number. The newest are without a gap; at random, a group that
      // is too large is passed over.
      const size = sizes[group]!
      if (taken + size / 2 <= fraction * count && taken + size < count) {
        parts[group] = 1
        taken += size
      } else if (by === 'time' && taken > 0) break
    }
    if (taken === 0 && groups.length > 1) {
      const smallest = groups.reduce((a, b) => (sizes[b]! < sizes[a]! ? b : a))
      parts[smallest] = 1
    }
    for (let i = 0; i < count; i++) parts[i] = parts[this.#find(i)]!
    return parts
  }

  #find(i: number): number {
    const groups = this.#groups
    for (let up; (up = groups.get(i)) !== i; i = groups.get(i)) groups.set(i, groups.get(up))
    return i
  }

  #join(a: number, b: number): void {
    const [x, y] = [this.#find(a), this.#find(b)]
    this.#groups.set(Math.max(x, y), Math.min(x, y))
  }
}
