/** A growing list of numbers in blocks of typed arrays: it is never copied, and takes no more than it holds. */
export class Numbers {
  length = 0
  readonly #blocks: (Uint32Array | Float64Array)[] = []

  constructor(private readonly type: typeof Uint32Array | typeof Float64Array) {}

  push(value: number): void {
    if (this.length % BLOCK === 0) this.#blocks.push(new this.type(BLOCK))
    this.set(this.length++, value)
  }

  get(index: number): number {
    return this.#blocks[index >>> SHIFT]![index & (BLOCK - 1)]!
  }

  set(index: number, value: number): void {
    this.#blocks[index >>> SHIFT]![index & (BLOCK - 1)] = value
  }
}

const SHIFT = 14
const BLOCK = 1 << SHIFT
