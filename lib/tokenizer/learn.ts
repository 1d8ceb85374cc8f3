import { PairTable, grown } from './merges.js'

/** Distinct words of a text with the number of times each stands there. */
export interface WordCounts {
  /** The symbols of all words, one after the other. */
  symbols: Int32Array
  /** Word w is symbols[starts[w], starts[w + 1]). */
  starts: Int32Array
  counts: Float64Array
}

/** The most frequent pair of neighbouring symbols. */
export interface Best {
  left: number
  right: number
  count: number
}

/**
 * Finds the most frequent pair of neighbouring symbols and merges it, again and again (Sennrich,
 * Haddow and Birch 2016), touching only the places where the pair stands. Every position with a
 * right neighbour in its word is in the list of its pair's positions, doubly linked through two
 * arrays, so that to move it to another pair costs O(1) and memory does not grow with the number of
 * merges. A heap holds the counts; a count that has fallen since is put right when it comes up.
 *
 * Of pairs with the same count the one with the smaller left id comes first, then the smaller right
 * id.
 */
export class Learner {
  private readonly symbols: Int32Array
  private readonly starts: Int32Array
  private readonly words: Int32Array
  private readonly counts: Float64Array
  private readonly next: Int32Array
  private readonly previous: Int32Array
  private readonly pairs = new PairTable()
  private pairCounts = new Float64Array(1024)
  private heads = new Int32Array(1024).fill(-1)
  /**
   * The pair at each position, -1 for none, and its neighbours in the list of that pair's
   * positions.
   */
  private readonly pairAt: Int32Array
  private readonly later: Int32Array
  private readonly earlier: Int32Array
  private readonly heap: PairHeap
  /**
   * The pairs that gained occurrences since the heap was last told, and the round in which each
   * pair last did.
   */
  private touched: number[] = []
  private rounds = new Int32Array(1024)
  private round = 1

  constructor({ symbols, starts, counts }: WordCounts) {
    const { length } = symbols
    this.symbols = symbols
    this.starts = starts
    this.counts = counts
    this.words = new Int32Array(length)
    this.next = new Int32Array(length)
    this.previous = new Int32Array(length)
    this.pairAt = new Int32Array(length).fill(-1)
    this.later = new Int32Array(length)
    this.earlier = new Int32Array(length)
    this.heap = new PairHeap(this.pairs)
  }

  /** Enters the words [from, to). Every word is entered once, before the first merge. */
  enter(from: number, to: number): void {
    for (let word = from; word < to; word++) {
      const [start, end] = [this.starts[word]!, this.starts[word + 1]!]
      for (let at = start; at < end; at++) {
        this.words[at] = word
        this.previous[at] = at > start ? at - 1 : -1
        this.next[at] = at + 1 < end ? at + 1 : -1
        this.link(at)
      }
    }
    this.offer()
  }

  /** The pair to merge next, or undefined when no word has two symbols left. */
  best(): Best | undefined {
    const { heap, pairs } = this
    while (heap.size > 0) {
      const pair = heap.topPair
      const count = this.pairCounts[pair]!
      const current = count === heap.topCount
      if (current && count > 0) {
        return { left: pairs.lefts[pair]!, right: pairs.rights[pair]!, count }
      }
      heap.pop()
      if (!current && count > 0) heap.push(pair, count)
    }
    return undefined
  }

  /** Never answers this pair as the best again. */
  exclude(left: number, right: number): void {
    this.pairCounts[this.pairs.find(left, right)] = -Infinity
  }

  /**
   * Puts the symbol `merged` in the place of every occurrence of a pair, in each word from left to
   * right.
   */
  merge(left: number, right: number, merged: number): void {
    const pair = this.pairs.find(left, right)
    const places: number[] = []
    for (let at = this.heads[pair]!; at >= 0; at = this.later[at]!) places.push(at)
    // Occurrences overlap only when left is right: then the order matters, and the first of two
    // wins.
    if (left === right) places.sort((a, b) => a - b)
    for (const at of places) if (this.pairAt[at] === pair) this.join(at, merged)
    this.offer()
  }

  private offer(): void {
    for (const pair of this.touched) this.heap.push(pair, this.pairCounts[pair]!)
    this.touched = []
    this.round++
  }

  private join(at: number, merged: number): void {
    const { symbols, next, previous } = this
    const right = next[at]!
    const before = previous[at]!
    const after = next[right]!
    this.unlink(before)
    this.unlink(at)
    this.unlink(right)
    symbols[at] = merged
    next[at] = after
    if (after >= 0) previous[after] = at
    this.link(before)
    this.link(at)
  }

  /** Enters a position into the list of its pair, if it has a right neighbour. */
  private link(at: number): void {
    const right = at < 0 ? -1 : this.next[at]!
    if (right < 0) return
    const pair = this.pairs.add(this.symbols[at]!, this.symbols[right]!)
    if (pair >= this.heads.length) this.growPairs()
    const head = this.heads[pair]!
    this.pairAt[at] = pair
    this.later[at] = head
    this.earlier[at] = -1
    if (head >= 0) this.earlier[head] = at
    this.heads[pair] = at
    this.pairCounts[pair]! += this.counts[this.words[at]!]!
    if (this.rounds[pair] !== this.round) this.touched.push(pair)
    this.rounds[pair] = this.round
  }

  private unlink(at: number): void {
    const pair = at < 0 ? -1 : this.pairAt[at]!
    if (pair < 0) return
    const { later, earlier } = this
    const [after, before] = [later[at]!, earlier[at]!]
    if (before >= 0) later[before] = after
    else this.heads[pair] = after
    if (after >= 0) earlier[after] = before
    this.pairAt[at] = -1
    this.pairCounts[pair]! -= this.counts[this.words[at]!]!
  }

  private growPairs(): void {
    this.heads = grown(this.heads, 2 * this.heads.length).fill(-1, this.heads.length)
    this.rounds = grown(this.rounds, 2 * this.rounds.length)
    const counts = new Float64Array(2 * this.pairCounts.length)
    counts.set(this.pairCounts)
    this.pairCounts = counts
  }
}

/** Pairs by count, the largest first, then by their ids, the smallest first. */
class PairHeap {
  size = 0
  private entries = new Int32Array(1024)
  private counts = new Float64Array(1024)

  constructor(private readonly pairs: PairTable) {}

  get topPair(): number {
    return this.entries[0]!
  }

  get topCount(): number {
    return this.counts[0]!
  }

  push(pair: number, count: number): void {
    if (this.size === this.entries.length) {
      this.entries = grown(this.entries, 2 * this.size)
      const counts = new Float64Array(2 * this.size)
      counts.set(this.counts)
      this.counts = counts
    }
    let at = this.size++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.before(pair, count, parent)) break
      this.move(parent, at)
      at = parent
    }
    this.entries[at] = pair
    this.counts[at] = count
  }

  pop(): void {
    const last = --this.size
    const pair = this.entries[last]!
    const count = this.counts[last]!
    let at = 0
    for (let child; (child = 2 * at + 1) < last; at = child) {
      const next = child + 1
      if (next < last && this.before(this.entries[next]!, this.counts[next]!, child)) child = next
      if (this.before(pair, count, child)) break
      this.move(child, at)
    }
    this.entries[at] = pair
    this.counts[at] = count
  }

  private move(from: number, to: number): void {
    this.entries[to] = this.entries[from]!
    this.counts[to] = this.counts[from]!
  }

  /** Whether a pair with a count goes before the entry at a place of the heap. */
  private before(pair: number, count: number, at: number): boolean {
    if (count !== this.counts[at]!) return count > this.counts[at]!
    const other = this.entries[at]!
    const { lefts, rights } = this.pairs
    if (lefts[pair] !== lefts[other]) return lefts[pair]! < lefts[other]!
    return rights[pair]! < rights[other]!
  }
}
