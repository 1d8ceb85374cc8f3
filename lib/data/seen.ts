import { mix } from './hash.js'
import { Scratch } from './scratch.js'

/** Entries in memory before they go to disk, and the places that hold them. */
const PLACES = 1 << 20
const MOST = Math.floor(0.8 * PLACES)

/**
 * Integers below 2^53, hashes that is, with a value for each: any number of them, in 10 to 20 MB of
 * memory and 1.3 bytes an entry. Entries are gathered in a table; a full one becomes a run on disk
 * (as in O'Neil et al., "The log-structured merge-tree", 1996, without the merging), of which a
 * filter stays in memory.
 *
 * @throws GptloomError ERR_FILE when the file system refuses
 */
export class Seen {
  readonly #recent = new HashTable()
  readonly #runs: Run[] = []
  readonly #file = new Scratch()

  /** The value of a key; when there is none, sets it and returns undefined. */
  getOrSet(key: number, value: number): number | undefined {
    const known = this.#recent.get(key) ?? this.#fromRuns(key)
    if (known !== undefined) return known
    this.#recent.set(key, value)
    if (this.#recent.size < MOST) return undefined
    this.#runs.push(new Run(this.#recent, this.#file))
    this.#recent.clear()
    return undefined
  }

  /** Gives up the disk space; nothing can be looked up then. */
  close(): void {
    this.#file.close()
  }

  #fromRuns(key: number): number | undefined {
    for (const run of this.#runs) {
      const value = run.get(key)
      if (value !== undefined) return value
    }
    return undefined
  }
}

const BUCKETS = 4096
const ENTRY = 12 // f64 key, u32 value
/** Words of a filter: 10 bits an entry. */
const WORDS = 1 << 18

/**
 * Entries on disk, in buckets by the upper bits of their keys. A Bloom filter (1970), in which all bits
 * of a key lie in one word, answers for nearly all keys that are not there.
 */
class Run {
  readonly #filter = new Uint32Array(WORDS)
  /** Where each bucket begins, in entries. */
  readonly #starts = new Uint32Array(BUCKETS + 1)
  readonly #position: number
  #bucket = Buffer.alloc(0)

  constructor(
    table: HashTable,
    private readonly file: Scratch,
  ) {
    this.#position = file.size
    const starts = this.#starts
    table.forEach((key) => starts[bucketOf(key) + 1]!++)
    for (let i = 1; i <= BUCKETS; i++) starts[i]! += starts[i - 1]!
    const next = starts.slice()
    const bytes = Buffer.alloc(ENTRY * table.size)
    table.forEach((key, value) => {
      const at = ENTRY * next[bucketOf(key)]!++
      bytes.writeDoubleLE(key, at)
      bytes.writeUInt32LE(value, at + 8)
      this.#filter[wordOf(key)]! |= bitsOf(key)
    })
    file.append(bytes)
  }

  get(key: number): number | undefined {
    const bits = bitsOf(key)
    if ((this.#filter[wordOf(key)]! & bits) !== bits) return undefined
    const bucket = bucketOf(key)
    const first = this.#starts[bucket]!
    const size = ENTRY * (this.#starts[bucket + 1]! - first)
    if (this.#bucket.length < size) this.#bucket = Buffer.alloc(2 * size)
    const entries = this.#bucket.subarray(0, size)
    this.file.read(entries, this.#position + ENTRY * first)
    for (let at = 0; at < size; at += ENTRY)
      if (entries.readDoubleLE(at) === key) return entries.readUInt32LE(at + 8)
    return undefined
  }
}

function bucketOf(key: number): number {
  return Math.floor(key / (2 ** 53 / BUCKETS))
}

function wordOf(key: number): number {
  return mix(key >>> 0) >>> 14
}

/** Four bits, hardly ever the same one twice. */
function bitsOf(key: number): number {
  const hash = mix((key >>> 0) ^ 0x5bd1e995)
  return (
    (1 << (hash & 31)) |
    (1 << ((hash >>> 5) & 31)) |
    (1 << ((hash >>> 10) & 31)) |
    (1 << (hash >>> 27))
  )
}

/** Integers below 2^53 with values below 2^32 - 1, in typed arrays: 15 to 30 bytes an entry. */
class HashTable {
  size = 0
  #keys = new Float64Array(1024)
  /** One more than each value; 0 for a free place. */
  #values = new Uint32Array(1024)

  get(key: number): number | undefined {
    const value = this.#values[this.#place(key)]!
    return value === 0 ? undefined : value - 1
  }

  /** Sets the value of a key that has none. */
  set(key: number, value: number): void {
    const at = this.#place(key)
    this.#keys[at] = key
    this.#values[at] = value + 1
    if (++this.size > 0.8 * this.#values.length) this.#grow()
  }

  /** Keeps its memory: it will be as full again. */
  clear(): void {
    this.size = 0
    this.#values.fill(0)
  }

  forEach(see: (key: number, value: number) => void): void {
    for (const [at, value] of this.#values.entries()) if (value > 0) see(this.#keys[at]!, value - 1)
  }

  #place(key: number): number {
    const mask = this.#values.length - 1
    let at = mix((key >>> 0) ^ Math.floor(key / 2 ** 32)) & mask
    while (this.#values[at] !== 0 && this.#keys[at] !== key) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values]
    this.#keys = new Float64Array(2 * keys.length)
    this.#values = new Uint32Array(2 * values.length)
    for (const [i, value] of values.entries()) {
      if (value === 0) continue
      const at = this.#place(keys[i]!)
      this.#keys[at] = keys[i]!
      this.#values[at] = value
    }
  }
}
