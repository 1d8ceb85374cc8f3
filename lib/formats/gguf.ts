// GGUF version 3, the file format of llama.cpp (docs/gguf.md in the repository of ggml): metadata by
// key, then where the tensors lie, then the tensors, each aligned.
import type { FileHandle } from 'node:fs/promises'
import { GptloomError, show } from '../errors.js'
import { halfToFloat } from './dtypes.js'
import type { SafetensorsData, SafetensorsDtype } from './dtypes.js'
import { elementCount, openRegular, readElements, readPiece } from './elements.js'
import type { TensorSource } from './elements.js'

export const GGUF_MAGIC = 0x46554747
export const GGUF_VERSION = 3
export const GGUF_ALIGNMENT = 32

/** The numbers of the value types. */
export const VALUE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const

/** The element types that are read, by their numbers in ggml: bytes for `block` elements. */
const TYPES: Record<number, { dtype: SafetensorsDtype | 'Q8_0'; block: number; bytes: number }> = {
  0: { dtype: 'F32', block: 1, bytes: 4 },
  1: { dtype: 'F16', block: 1, bytes: 2 },
  8: { dtype: 'Q8_0', block: 32, bytes: 34 },
  24: { dtype: 'I8', block: 1, bytes: 1 },
  25: { dtype: 'I16', block: 1, bytes: 2 },
  26: { dtype: 'I32', block: 1, bytes: 4 },
  27: { dtype: 'I64', block: 1, bytes: 8 },
  28: { dtype: 'F64', block: 1, bytes: 8 },
  30: { dtype: 'BF16', block: 1, bytes: 2 },
}

/** The most that is read for metadata and the list of tensors, in bytes: a tenth is usual. */
const MAX_HEADER = 1 << 26
/** The most values that the lists of the metadata may have together. */
const MAX_VALUES = 1 << 22

export type GgufValue = number | bigint | boolean | string | GgufValue[]

export interface GgufEntry {
  readonly dtype: SafetensorsDtype | 'Q8_0'
  /** Row-major: the file holds it reversed. */
  readonly shape: readonly number[]
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly length: number
}

/** A GGUF file open for reading. Every tensor has been checked to lie inside the file. */
export class GgufFile implements TensorSource {
  constructor(
    readonly path: string,
    readonly metadata: ReadonlyMap<string, GgufValue>,
    readonly tensors: ReadonlyMap<string, GgufEntry>,
    private readonly file: FileHandle,
  ) {}

  /** @throws GptloomError ERR_FORMAT when there is none of the name */
  async read(name: string): Promise<SafetensorsData> {
    const entry = this.tensors.get(name)
    if (!entry) throw problem(this.path, `it holds no tensor ${show(name)}`)
    const { dtype, offset, length } = entry
    const fail = (what: string) => problem(this.path, `tensor ${show(name)}: ${what}`)
    const stored = dtype === 'Q8_0' ? 'U8' : dtype
    const data = await readElements(this.file, this.path, { dtype: stored, offset, length }, fail)
    return dtype === 'Q8_0' ? fromQ8(data as Uint8Array) : data
  }

  async close(): Promise<void> {
    await this.file.close()
  }
}

/**
 * Opens a GGUF file; nothing in it is trusted.
 *
 * @throws GptloomError ERR_FILE when it cannot be read, ERR_FORMAT when it is damaged
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const { file, size } = await openRegular(path)
  try {
    const { metadata, tensors } = await readHeader(file, path, size)
    return new GgufFile(path, metadata, tensors, file)
  } catch (error) {
    await file.close()
    throw error
  }
}

// How long the header is shows only when it has been read: a start that is too short is doubled.
async function readHeader(file: FileHandle, path: string, size: number) {
  for (let length = 1 << 20; ; length *= 4) {
    const bytes = await readPiece(file, path, 0, Math.min(length, size))
    const reader = new Reader(bytes, path)
    try {
      return parse(reader, size)
    } catch (error) {
      if (error !== CUT_OFF) throw error
      if (bytes.length < length) throw problem(path, 'it is cut off within its header')
      if (length >= MAX_HEADER) throw problem(path, `its header is over ${MAX_HEADER} bytes long`)
    }
  }
}

const CUT_OFF = Symbol('the header goes on beyond what was read')

class Reader {
  at = 0
  #values = 0
  readonly #view: DataView

  constructor(
    readonly bytes: Buffer,
    readonly path: string,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  #step(length: number): number {
    if (length > this.bytes.length - this.at) throw CUT_OFF
    this.at += length
    return this.at - length
  }

  u8 = (): number => this.#view.getUint8(this.#step(1))
  i8 = (): number => this.#view.getInt8(this.#step(1))
  u16 = (): number => this.#view.getUint16(this.#step(2), true)
  i16 = (): number => this.#view.getInt16(this.#step(2), true)
  u32 = (): number => this.#view.getUint32(this.#step(4), true)
  i32 = (): number => this.#view.getInt32(this.#step(4), true)
  f32 = (): number => this.#view.getFloat32(this.#step(4), true)
  f64 = (): number => this.#view.getFloat64(this.#step(8), true)
  u64 = (): number | bigint => this.#integer(this.#view.getBigUint64(this.#step(8), true))
  i64 = (): number | bigint => this.#integer(this.#view.getBigInt64(this.#step(8), true))

  #integer(value: bigint): number | bigint {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  }

  /** A u64 that counts bytes or items of this file. */
  count(what: string): number {
    const value = this.u64()
    if (typeof value === 'number') return value
    throw problem(this.path, `it claims ${value} ${what}`)
  }

  string = (): string => {
    const length = this.count('characters')
    const start = this.#step(length)
    return this.bytes.toString('utf8', start, this.at)
  }

  bool = (): boolean => this.u8() !== 0

  value(type: number, depth = 0): GgufValue {
    if (type === VALUE.array) {
      if (depth === 4) throw problem(this.path, 'its metadata is nested too deeply')
      const inner = this.u32()
      const length = this.count('values')
      // Each value takes a byte at least.
      if (length > this.bytes.length - this.at) throw CUT_OFF
      this.#values += length
      if (this.#values > MAX_VALUES) throw problem(this.path, `it lists over ${MAX_VALUES} values`)
      const list: GgufValue[] = []
      for (let i = 0; i < length; i++) list.push(this.value(inner, depth + 1))
      return list
    }
    const read = [
      this.u8,
      this.i8,
      this.u16,
      this.i16,
      this.u32,
      this.i32,
      this.f32,
      this.bool,
      this.string,
      undefined,
      this.u64,
      this.i64,
      this.f64,
    ][type]
    if (!read) throw problem(this.path, `a value of its metadata has the unknown type ${type}`)
    return read()
  }
}

function parse(reader: Reader, size: number) {
  const { path } = reader
  if (size < 24 || reader.u32() !== GGUF_MAGIC) throw problem(path, 'it does not begin with GGUF')
  const version = reader.u32()
  if (version !== 2 && version !== 3) {
    throw problem(path, `expected version 2 or 3, little-endian, received ${version}`)
  }
  const tensorCount = reader.count('tensors')
  const valueCount = reader.count('values')
  // A tensor takes 24 bytes of the header at least, a value 13.
  if (24 * tensorCount + 13 * valueCount > size) {
    throw problem(path, `it claims ${tensorCount} tensors and ${valueCount} values`)
  }
  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < valueCount; i++) {
    const key = reader.string()
    if (metadata.has(key)) throw problem(path, `the key ${show(key)} stands twice`)
    metadata.set(key, reader.value(reader.u32()))
  }
  const alignment = metadata.get('general.alignment') ?? GGUF_ALIGNMENT
  if (typeof alignment !== 'number' || ![1, 2, 4, 8, 16, 32, 64, 128, 4096].includes(alignment)) {
    throw problem(path, `its alignment is ${show(alignment)}`)
  }
  const tensors = new Map<string, GgufEntry>()
  for (let i = 0; i < tensorCount; i++) {
    const name = reader.string()
    if (tensors.has(name)) throw problem(path, `the tensor ${show(name)} stands twice`)
    tensors.set(name, parseEntry(reader, name, alignment))
  }
  const dataStart = Math.ceil(reader.at / alignment) * alignment
  return { metadata, tensors: place(tensors, dataStart, size, path) }
}

function parseEntry(reader: Reader, name: string, alignment: number): GgufEntry {
  const fail = (what: string) => problem(reader.path, `tensor ${show(name)}: ${what}`)
  const dimensions = reader.u32()
  if (dimensions > 4) throw fail(`it has ${dimensions} dimensions`)
  const sizes = Array.from({ length: dimensions }, () => reader.count('elements'))
  const type = reader.u32()
  const offset = reader.count('bytes')
  const known = TYPES[type]
  if (!known) throw fail(`its type ${type} cannot be read: expected F32, F16, BF16 or Q8_0`)
  if (sizes.length > 0 && sizes[0]! % known.block !== 0) {
    throw fail(`its rows of ${sizes[0]} elements are not whole blocks of ${known.block}`)
  }
  if (offset % alignment !== 0) throw fail(`it begins at ${offset}, expected whole ${alignment}s`)
  const shape = sizes.reverse()
  const length = (elementCount(shape) / known.block) * known.bytes
  return { dtype: known.dtype, shape, offset, length }
}

/** The entries from the start of the file, inside it and not overlapping. */
function place(
  tensors: Map<string, GgufEntry>,
  dataStart: number,
  size: number,
  path: string,
): Map<string, GgufEntry> {
  let end = dataStart
  const sorted = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length)
  for (const [name, entry] of sorted) {
    const offset = dataStart + entry.offset
    if (offset < end) throw problem(path, `tensor ${show(name)} overlaps the one before it`)
    end = offset + entry.length
    if (!(end <= size)) {
      throw problem(path, `tensor ${show(name)} ends at byte ${end} but the file at ${size}`)
    }
  }
  const absolute = ([name, entry]: [string, GgufEntry]): [string, GgufEntry] => {
    return [name, { ...entry, offset: dataStart + entry.offset }]
  }
  return new Map(Array.from(tensors, absolute))
}

/** Blocks of 32 numbers: a float16 scale and 32 signed bytes. */
function fromQ8(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const result = new Float32Array((bytes.length / 34) * 32)
  for (let block = 0, out = 0; block < bytes.length; block += 34) {
    const scale = halfToFloat(view.getUint16(block, true))
    for (let i = 0; i < 32; i++) result[out++] = scale * view.getInt8(block + 2 + i)
  }
  return result
}

function problem(path: string, what: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path} is not a valid GGUF file: ${what}`)
}
