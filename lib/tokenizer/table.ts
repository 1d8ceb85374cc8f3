/**
 * Numbers distinct words 0, 1, 2 ... Keeps copies of their code units, not the strings they came
 * from.
 */
export class WordTable {
  size = 0
  private slots = new Int32Array(2048)
  private hashes = new Int32Array(1024)
  private starts = new Int32Array(1025)
  private units = new Uint16Array(8192)

  /** Number of code units of all words. */
  get length(): number {
    return this.starts[this.size]!
  }

  /** The number of the word text[start, end), which is the old size when the word is new. */
  add(text: string, start: number, end: number): number {
    let hash = 0x811c9dc5
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
    hash ^= hash >>> 15
    const mask = this.slots.length - 1
    let slot = hash & mask
    for (let entry; (entry = this.slots[slot]!) !== 0; slot = (slot + 1) & mask) {
      if (this.hashes[entry - 1] === hash && this.equals(entry - 1, text, start, end)) {
        return entry - 1
      }
    }
    const index = this.size++
    this.slots[slot] = this.size
    this.hashes[index] = hash
    this.append(index, text, start, end)
    if (2 * this.size === this.slots.length) this.grow()
    return index
  }

  /** The word of a number. */
  word(index: number): string {
    return String.fromCharCode(...this.units.subarray(this.starts[index]!, this.starts[index + 1]!))
  }

  clear(): void {
    this.size = 0
    this.slots.fill(0)
  }

  /**
   * Drops the words for which keep answers false; the others are numbered anew, in the same order.
   */
  filter(keep: (index: number) => boolean): void {
    const { starts, size } = this
    let kept = 0
    let length = 0
    for (let index = 0; index < size; index++) {
      const [start, end] = [starts[index]!, starts[index + 1]!]
      if (!keep(index)) continue
      this.units.copyWithin(length, start, end)
      this.hashes[kept] = this.hashes[index]!
      starts[kept] = length
      length += end - start
      kept++
    }
    starts[kept] = length
    this.size = kept
    this.rehash(new Int32Array(this.slots.length))
  }

  private equals(index: number, text: string, start: number, end: number): boolean {
    const from = this.starts[index]!
    if (this.starts[index + 1]! - from !== end - start) return false
    const { units } = this
    for (let i = start, j = from; i < end; i++, j++) {
      if (units[j] !== text.charCodeAt(i)) return false
    }
    return true
  }

  private append(index: number, text: string, start: number, end: number): void {
    let at = this.starts[index]!
    if (at + end - start > this.units.length) {
      const units = new Uint16Array(2 * Math.max(this.units.length, end - start))
      units.set(this.units)
      this.units = units
    }
    for (let i = start; i < end; i++) this.units[at++] = text.charCodeAt(i)
    this.starts[index + 1] = at
  }

  private grow(): void {
    const capacity = this.slots.length
    const hashes = new Int32Array(capacity)
    hashes.set(this.hashes)
    this.hashes = hashes
    const starts = new Int32Array(capacity + 1)
    starts.set(this.starts)
    this.starts = starts
    this.rehash(new Int32Array(2 * capacity))
  }

  private rehash(slots: Int32Array<ArrayBuffer>): void {
    const mask = slots.length - 1
    for (let index = 0; index < this.size; index++) {
      let slot = this.hashes[index]! & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = index + 1
    }
    this.slots = slots
  }
}
