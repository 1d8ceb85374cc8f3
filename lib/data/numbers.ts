import { Scratch } from './scratch.js'

const BLOCK = 1 << 16

/** A growing list of numbers: all but the last ones are on disk. */
export class Numbers {
  length = 0
  #block: Uint32Array | Float64Array
  readonly #one: Uint32Array | Float64Array
  readonly #file = new Scratch()

  constructor(private readonly type: typeof Uint32Array | typeof Float64Array) {
    this.#block = new type(1024)
    this.#one = new type(1)
  }

  push(value: number): void {
    const at = this.length++ % BLOCK
    if (at === 0 && this.length > 1) this.#file.append(bytesOf(this.#block))
    if (at === this.#block.length) this.#grow()
    this.#block[at] = value
  }

  get(index: number): number {
    const first = this.#first
    if (index >= first) return this.#block[index - first]!
    this.#file.read(bytesOf(this.#one), index * this.type.BYTES_PER_ELEMENT)
    return this.#one[0]!
  }

  /** Shows all numbers in their order. */
  forEach(see: (value: number, index: number) => void): void {
    const block = new this.type(this.#first > 0 ? BLOCK : 0)
    let index = 0
    while (index < this.#first) {
      this.#file.read(bytesOf(block), index * this.type.BYTES_PER_ELEMENT)
      for (const value of block) see(value, index++)
    }
    for (let at = 0; index < this.length; at++) see(this.#block[at]!, index++)
  }

  /** Gives up the disk space; the list is of no use then. */
  close(): void {
    this.#file.close()
  }

  #grow(): void {
    const larger = new this.type(Math.min(BLOCK, 4 * this.#block.length))
    larger.set(this.#block)
    this.#block = larger
  }

  /** The index of the first number in memory. */
  get #first(): number {
    return this.length === 0 ? 0 : this.length - 1 - ((this.length - 1) % BLOCK)
  }
}

function bytesOf(numbers: Uint32Array | Float64Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
}
