// Python's pickle format (PEP 307, PEP 3154; the opcodes are documented in pickletools.py) read as
// data. A pickle is a program for a stack machine that may call any function of Python: here it may
// only name what the caller's table holds, and everything else is refused by its name.

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | object

/** What stands for a function or class of Python: called with the arguments of the pickle. */
export type PickleFunction = (...args: PickleValue[]) => PickleValue

export interface PickleOptions {
  /** What `module.name` stands for, or undefined to refuse it. */
  find: (name: string) => PickleFunction | undefined
  /** What a persistent id stands for: in PyTorch's files, a storage. */
  persistent: (id: PickleValue) => PickleValue
  /** Where the pickle begins. Default 0. */
  start?: number
}

/** Thrown for everything that is wrong with a pickle; the readers of files add which file. */
export class PickleError extends Error {}

const MARK = Symbol('mark')
type Item = PickleValue | typeof MARK

/** A function or class of Python that the pickle named, as a value: `module.name`. */
export class PickleGlobal {
  constructor(
    readonly name: string,
    readonly call: PickleFunction,
  ) {}
}

/** An object of Python whose value means nothing here. */
export class PickleOpaque {}

// What bounds time and memory whatever the file's length: the largest training checkpoints take a
// tenth of it.
const MAX_STEPS = 1 << 22
const MAX_OBJECTS = 1 << 19
const MAX_ARGUMENTS = 64

/**
 * The value of the pickle in `bytes`, and where it ends. Tuples and lists become arrays, dicts Maps.
 *
 * @throws PickleError
 */
export function readPickle(
  bytes: Uint8Array,
  options: PickleOptions,
): { value: PickleValue; end: number } {
  return new Machine(bytes, options).run()
}

class Machine {
  readonly #bytes: Buffer
  #at: number
  readonly #stack: Item[] = []
  readonly #marks: number[] = []
  readonly #memo = new Map<number, PickleValue>()
  #objects = 0

  constructor(
    bytes: Uint8Array,
    readonly options: PickleOptions,
  ) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = options.start ?? 0
  }

  run(): { value: PickleValue; end: number } {
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      const at = this.#at
      const code = this.#take(1)[0]!
      if (code === 0x2e) return { value: this.pop(), end: this.#at } // STOP
      const step = STEPS[code]
      if (!step) throw new PickleError(`byte ${at}: the opcode ${code} is not known`)
      step(this)
    }
    throw new PickleError(`it has more than ${MAX_STEPS} instructions`)
  }

  #take(length: number): Buffer {
    if (length < 0 || this.#at + length > this.#bytes.length) {
      throw new PickleError(`byte ${this.#at}: it is cut off`)
    }
    return this.#bytes.subarray(this.#at, (this.#at += length))
  }

  u8 = (): number => this.#take(1)[0]!
  u16 = (): number => this.#take(2).readUInt16LE()
  i32 = (): number => this.#take(4).readInt32LE()
  u32 = (): number => this.#take(4).readUInt32LE()
  f64 = (): number => this.#take(8).readDoubleBE()
  bytes = (length: number): Buffer => this.#take(length)
  text = (length: number): string => this.#take(length).toString('utf8')

  u64(): number {
    const value = this.#take(8).readBigUInt64LE()
    return value > BigInt(this.#bytes.length) ? Infinity : Number(value)
  }

  line(): string {
    const end = this.#bytes.indexOf(10, this.#at)
    if (end < 0) throw new PickleError(`byte ${this.#at}: it is cut off`)
    const text = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end + 1
    return text
  }

  push(item: PickleValue): void {
    if (typeof item === 'object' && item !== null && ++this.#objects > MAX_OBJECTS) {
      throw new PickleError(`it has more than ${MAX_OBJECTS} objects`)
    }
    this.#stack.push(item)
  }

  pop(): PickleValue {
    const item = this.#stack.pop()
    if (item === undefined || item === MARK) throw this.#misuse()
    return item
  }

  top(): PickleValue {
    const item = this.#stack[this.#stack.length - 1]
    if (item === undefined || item === MARK) throw this.#misuse()
    return item
  }

  mark(): void {
    this.#marks.push(this.#stack.length)
    this.#stack.push(MARK)
  }

  /** What was pushed since the last mark, which goes as well. */
  popToMark(): PickleValue[] {
    const mark = this.#marks.pop()
    if (mark === undefined || this.#stack[mark] !== MARK) throw this.#misuse()
    return this.#stack.splice(mark).slice(1) as PickleValue[]
  }

  last(count: number): PickleValue[] {
    return Array.from({ length: count }, () => this.pop()).reverse()
  }

  put(key: number): void {
    this.#memo.set(key, this.top())
  }

  memoize(): void {
    this.put(this.#memo.size)
  }

  get(key: number): void {
    const item = this.#memo.get(key)
    if (item === undefined) throw this.#misuse()
    this.#stack.push(item)
  }

  global(module: string, name: string): void {
    const call = this.options.find(`${module}.${name}`)
    if (!call) {
      throw new PickleError(
        `it asks for ${module}.${name}, which tensors do not need: a pickle can run any program, ` +
          'so that only what rebuilds tensors is known here',
      )
    }
    this.push(new PickleGlobal(`${module}.${name}`, call))
  }

  call(args: PickleValue): void {
    const callee = this.pop()
    if (!(callee instanceof PickleGlobal) || !Array.isArray(args)) throw this.#misuse()
    if (args.length > MAX_ARGUMENTS) throw this.#misuse()
    this.push(callee.call(...args))
  }

  list(): PickleValue[] {
    const list = this.top()
    if (!Array.isArray(list)) throw this.#misuse()
    return list
  }

  set(items: PickleValue[]): void {
    const target = this.top()
    if (!(target instanceof Map) || items.length % 2) throw this.#misuse()
    for (let i = 0; i < items.length; i += 2) target.set(items[i]!, items[i + 1]!)
  }

  add(items: PickleValue[]): void {
    const target = this.top()
    if (!(target instanceof Set)) throw this.#misuse()
    for (const item of items) target.add(item)
  }

  /** BUILD: the attributes of a dict (PyTorch's `_metadata`) mean nothing here. */
  build(): void {
    this.pop()
    const target = this.top()
    if (!(target instanceof Map || target instanceof PickleOpaque)) throw this.#misuse()
  }

  #misuse(): PickleError {
    return new PickleError(`byte ${this.#at}: it is no sound pickle`)
  }
}

/** A two's complement integer of any length, little endian: a number where that is exact. */
function long(bytes: Uint8Array): number | bigint {
  if (bytes.length > 1024) throw new PickleError('an integer is too long')
  const hex = Buffer.from(bytes).reverse().toString('hex')
  const value = hex === '' ? 0n : BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex}`))
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function integer(text: string): number | boolean {
  if (text === '00' || text === '01') return text === '01'
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : NaN
  if (Number.isNaN(value)) throw new PickleError('an integer is not one')
  return value
}

const STEPS: Record<number, (machine: Machine) => void> = {
  0x28: (m) => m.mark(), // (  MARK
  0x29: (m) => m.push([]), // )  EMPTY_TUPLE
  0x30: (m) => void m.pop(), // 0  POP
  0x31: (m) => void m.popToMark(), // 1  POP_MARK
  0x32: (m) => m.push(m.top()), // 2  DUP
  0x42: (m) => m.push(m.bytes(m.u32())), // B  BINBYTES
  0x43: (m) => m.push(m.bytes(m.u8())), // C  SHORT_BINBYTES
  0x47: (m) => m.push(m.f64()), // G  BINFLOAT
  0x49: (m) => m.push(integer(m.line())), // I  INT
  0x4a: (m) => m.push(m.i32()), // J  BININT
  0x4b: (m) => m.push(m.u8()), // K  BININT1
  0x4c: (m) => m.push(integer(m.line().replace(/L$/, ''))), // L  LONG
  0x4d: (m) => m.push(m.u16()), // M  BININT2
  0x4e: (m) => m.push(null), // N  NONE
  0x51: (m) => m.push(m.options.persistent(m.pop())), // Q  BINPERSID
  0x52: (m) => m.call(m.pop()), // R  REDUCE
  0x54: (m) => m.push(m.bytes(m.u32()).toString('latin1')), // T  BINSTRING
  0x55: (m) => m.push(m.bytes(m.u8()).toString('latin1')), // U  SHORT_BINSTRING
  0x58: (m) => m.push(m.text(m.u32())), // X  BINUNICODE
  0x5d: (m) => m.push([]), // ]  EMPTY_LIST
  0x61: (m) => appended(m, [m.pop()]), // a  APPEND
  0x62: (m) => m.build(), // b  BUILD
  0x63: (m) => m.global(m.line(), m.line()), // c  GLOBAL
  0x64: (m) => filled(m, m.popToMark()), // d  DICT
  0x65: (m) => appended(m, m.popToMark()), // e  APPENDS
  0x67: (m) => m.get(Number(integer(m.line()))), // g  GET
  0x68: (m) => m.get(m.u8()), // h  BINGET
  0x6a: (m) => m.get(m.u32()), // j  LONG_BINGET
  0x6c: (m) => m.push(m.popToMark()), // l  LIST
  0x70: (m) => m.put(Number(integer(m.line()))), // p  PUT
  0x71: (m) => m.put(m.u8()), // q  BINPUT
  0x72: (m) => m.put(m.u32()), // r  LONG_BINPUT
  0x73: (m) => m.set(m.last(2)), // s  SETITEM
  0x74: (m) => m.push(m.popToMark()), // t  TUPLE
  0x75: (m) => m.set(m.popToMark()), // u  SETITEMS
  0x7d: (m) => m.push(new Map()), // }  EMPTY_DICT
  0x80: (m) => void m.u8(), // PROTO
  0x81: (m) => m.call(m.pop()), // NEWOBJ
  0x85: (m) => m.push(m.last(1)), // TUPLE1
  0x86: (m) => m.push(m.last(2)), // TUPLE2
  0x87: (m) => m.push(m.last(3)), // TUPLE3
  0x88: (m) => m.push(true), // NEWTRUE
  0x89: (m) => m.push(false), // NEWFALSE
  0x8a: (m) => m.push(long(m.bytes(m.u8()))), // LONG1
  0x8b: (m) => m.push(long(m.bytes(m.u32()))), // LONG4
  0x8c: (m) => m.push(m.text(m.u8())), // SHORT_BINUNICODE
  0x8d: (m) => m.push(m.text(m.u64())), // BINUNICODE8
  0x8e: (m) => m.push(m.bytes(m.u64())), // BINBYTES8
  0x8f: (m) => m.push(new Set()), // EMPTY_SET
  0x90: (m) => m.add(m.popToMark()), // ADDITEMS
  0x93: (m) => stackGlobal(m, m.last(2)), // STACK_GLOBAL
  0x94: (m) => m.memoize(), // MEMOIZE
  0x95: (m) => void m.bytes(8), // FRAME: its length, which framing alone needs
}

function appended(m: Machine, items: PickleValue[]): void {
  const list = m.list()
  for (const item of items) list.push(item)
}

function filled(m: Machine, items: PickleValue[]): void {
  m.push(new Map())
  m.set(items)
}

function stackGlobal(m: Machine, [module, name]: PickleValue[]): void {
  if (typeof module !== 'string' || typeof name !== 'string') {
    throw new PickleError('it names a function by something that is no text')
  }
  m.global(module, name)
}
