const POSITIONS = 2 ** 31

/** Most merges a table may hold: rank and position share the 53 bits of a heap key. */
export const MAX_MERGES = 2 ** 22

/** Numbers distinct pairs of ids 0, 1, 2 ... in the order in which they are added. */
export class PairTable {
  size = 0
  lefts = new Int32Array(1024)
  rights = new Int32Array(1024)
  private slots = new Int32Array(2048)

  /** The number of a pair, or -1. */
  find(left: number, right: number): number {
    const { slots, lefts, rights } = this
    const mask = slots.length - 1
    for (let slot = hash(left, right) & mask; ; slot = (slot + 1) & mask) {
      const pair = slots[slot]! - 1
      if (pair < 0 || (lefts[pair] === left && rights[pair] === right)) return pair
    }
  }

  /** The number of a pair, which is the old size when the pair is new. */
  add(left: number, right: number): number {
    const found = this.find(left, right)
    if (found >= 0) return found
    if (2 * this.size === this.slots.length) this.grow()
    this.lefts[this.size] = left
    this.rights[this.size] = right
    this.place(this.size)
    return this.size++
  }

  private place(pair: number): void {
    const mask = this.slots.length - 1
    let slot = hash(this.lefts[pair]!, this.rights[pair]!) & mask
    while (this.slots[slot] !== 0) slot = (slot + 1) & mask
    this.slots[slot] = pair + 1
  }

  private grow(): void {
    this.lefts = grown(this.lefts, 2 * this.size)
    this.rights = grown(this.rights, 2 * this.size)
    this.slots = new Int32Array(4 * this.size)
    for (let pair = 0; pair < this.size; pair++) this.place(pair)
  }
}

/** The merges of a byte-level BPE in the order of their ranks. */
export class Merges {
  readonly pairs = new PairTable()
  private results = new Int32Array(1024)
  private readonly heap = new KeyHeap()
  private next = new Int32Array(256)
  private previous = new Int32Array(256)

  get size(): number {
    return this.pairs.size
  }

  /** Adds the next merge; false when there is one for that pair already. */
  add(left: number, right: number, result: number): boolean {
    const rank = this.pairs.size
    if (this.pairs.add(left, right) !== rank) return false
    if (rank === this.results.length) this.results = grown(this.results, 2 * rank)
    this.results[rank] = result
    return true
  }

  /** The id that a merge makes. */
  result(rank: number): number {
    return this.results[rank]!
  }

  /**
   * Merges ids[0, length) in place and returns the new length: as long as there is a mergeable
   * pair, the one of the lowest rank, the leftmost first. O(n log n) by a heap of pairs over a
   * linked list of ids.
   */
  apply(ids: Int32Array, length: number): number {
    if (length < 2) return length
    const { heap, pairs, results } = this
    if (length > this.next.length) this.resize(length)
    const { next, previous } = this
    for (let at = 0; at < length; at++) {
      next[at] = at + 1
      previous[at] = at - 1
      if (at + 1 < length) this.offer(ids, at, at + 1)
    }
    while (heap.size > 0) {
      const key = heap.pop()
      const rank = Math.floor(key / POSITIONS)
      const at = key - rank * POSITIONS
      const right = next[at]!
      // A merge nearby may have taken either side since the pair was offered.
      if (right >= length || ids[at] !== pairs.lefts[rank] || ids[right] !== pairs.rights[rank]) {
        continue
      }
      ids[at] = results[rank]!
      ids[right] = -1
      const after = next[right]!
      next[at] = after
      if (after < length) {
        previous[after] = at
        this.offer(ids, at, after)
      }
      if (at > 0) this.offer(ids, previous[at]!, at)
    }
    let count = 0
    for (let at = 0; at < length; at = next[at]!) ids[count++] = ids[at]!
    if (length > 65536) this.resize(256)
    return count
  }

  private offer(ids: Int32Array, at: number, right: number): void {
    const rank = this.pairs.find(ids[at]!, ids[right]!)
    if (rank >= 0) this.heap.push(rank * POSITIONS + at)
  }

  private resize(length: number): void {
    this.next = new Int32Array(length)
    this.previous = new Int32Array(length)
    this.heap.reset()
  }
}

/** A heap of numbers, the smallest first. */
class KeyHeap {
  size = 0
  private keys = new Float64Array(256)

  push(key: number): void {
    if (this.size === this.keys.length) {
      const keys = new Float64Array(2 * this.size)
      keys.set(this.keys)
      this.keys = keys
    }
    const { keys } = this
    let at = this.size++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (keys[parent]! <= key) break
      keys[at] = keys[parent]!
      at = parent
    }
    keys[at] = key
  }

  pop(): number {
    const { keys } = this
    const top = keys[0]!
    const key = keys[--this.size]!
    let at = 0
    for (let child; (child = 2 * at + 1) < this.size; at = child) {
      if (child + 1 < this.size && keys[child + 1]! < keys[child]!) child++
      if (keys[child]! >= key) break
      keys[at] = keys[child]!
    }
    keys[at] = key
    return top
  }

  /** Empties the heap and lets go of its memory. */
  reset(): void {
    this.size = 0
    this.keys = new Float64Array(256)
  }
}

function hash(left: number, right: number): number {
  const mixed = Math.imul(Math.imul(left, 0x9e3779b1) ^ right, 0x85ebca6b)
  return mixed ^ (mixed >>> 15)
}

/** A copy of values with room for length of them. */
export function grown(values: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(length)
  copy.set(values)
  return copy
}
