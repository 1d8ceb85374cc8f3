// Packing: many short documents share a window of the context's length.

/** Documents by windows: those of window w are members[offsets[w], offsets[w + 1]). */
export interface Packing {
  /** Number of windows. */
  readonly count: number
  readonly offsets: Uint32Array
  readonly members: Uint32Array
  /** Places that no document fills, over all windows. */
  readonly padding: number
}

/**
 * Best-fit decreasing (Johnson 1973): from the longest document to the shortest, each goes into the
 * window that it leaves least room in. At most 11/9 of the fewest windows possible, and far closer in
 * practice. The same lengths give the same windows.
 * @param lengths places that each document takes, 1 to capacity
 * @param capacity places in a window
 */
export function pack(lengths: ArrayLike<number>, capacity: number): Packing {
  const order = longestFirst(lengths, capacity)
  const next = new Int32Array(lengths.length).fill(-1) // the document below in the same window
  const heads: number[] = [] // the document put last into each window
  const open = new OpenWindows(capacity)
  let filled = 0
  for (const document of order) {
    const length = lengths[document]!
    filled += length
    const found = open.take(length)
    const window = found?.window ?? heads.push(-1) - 1
    next[document] = heads[window]!
    heads[window] = document
    open.add(window, (found?.room ?? capacity) - length)
  }
  const offsets = new Uint32Array(heads.length + 1)
  const members = new Uint32Array(lengths.length)
  let at = 0
  for (const [window, head] of heads.entries()) {
    for (let document = head; document >= 0; document = next[document]!) members[at++] = document
    members.subarray(offsets[window]!, at).sort()
    offsets[window + 1] = at
  }
  return { count: heads.length, offsets, members, padding: heads.length * capacity - filled }
}

/** Counting sort; equal lengths in the order of the documents. */
function longestFirst(lengths: ArrayLike<number>, capacity: number): Uint32Array {
  const places = new Uint32Array(capacity + 2)
  for (let i = 0; i < lengths.length; i++) places[capacity - lengths[i]! + 1]!++
  for (let i = 1; i < places.length; i++) places[i]! += places[i - 1]!
  const order = new Uint32Array(lengths.length)
  for (let i = 0; i < lengths.length; i++) order[places[capacity - lengths[i]!]!++] = i
  return order
}

/** Windows by the room that they have left, and the next larger room found in logarithmic time. */
class OpenWindows {
  readonly #leaves: number
  /** A binary tree over rooms: whether there is a window below a node. */
  readonly #tree: Uint8Array
  readonly #windows: number[][]

  constructor(capacity: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(capacity + 1))
    this.#tree = new Uint8Array(2 * this.#leaves)
    this.#windows = Array.from({ length: capacity + 1 }, () => [])
  }

  add(window: number, room: number): void {
    if (room === 0) return
    this.#windows[room]!.push(window)
    for (let node = this.#leaves + room; node >= 1 && !this.#tree[node]; node >>= 1)
      this.#tree[node] = 1
  }

  /** Takes out a window of the least room that is at least `length`. */
  take(length: number): { window: number; room: number } | undefined {
    let node = this.#leaves + length
    // Up to the first subtree on the right that has a window, then down to its first leaf.
    while (!this.#tree[node]) {
      while (node & 1) node >>= 1
      if (node === 0) return undefined
      node++
    }
    while (node < this.#leaves) node = this.#tree[2 * node] ? 2 * node : 2 * node + 1
    const room = node - this.#leaves
    const window = this.#windows[room]!.pop()!
    if (this.#windows[room]!.length === 0) this.#clear(node)
    return { window, room }
  }

  #clear(node: number): void {
    this.#tree[node] = 0
    for (node >>= 1; node >= 1; node >>= 1)
      this.#tree[node] = this.#tree[2 * node]! | this.#tree[2 * node + 1]!
  }
}
