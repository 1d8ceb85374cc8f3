import type { FileHandle } from 'node:fs/promises'
import { GptloomError, checkInteger, outOfRange, show, wrongType } from '../errors.js'
import { AtomicFile } from '../files.js'
import { DTYPE_BYTES, STORED_AS } from './dtypes.js'
import type { SafetensorsData, SafetensorsDtype } from './dtypes.js'
import { elementCount, isNaturals, openRegular, readElements, readPiece } from './elements.js'
import type { TensorSource } from './elements.js'
import { parseJson } from '../json.js'

export type { SafetensorsData, SafetensorsDtype } from './dtypes.js'

/**
 * Where a tensor lies in a safetensors file: `offset` is from the start of the file, both in bytes.
 */
export interface SafetensorsEntry {
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  readonly offset: number
  readonly length: number
}

// The format's reference implementation refuses longer headers as well.
const MAX_HEADER = 100_000_000

/**
 * A safetensors file open for reading. Its header has been checked: every tensor lies inside the file,
 * none overlap, and each range is as long as its shape says.
 */
export class SafetensorsFile implements TensorSource {
  constructor(
    readonly path: string,
    readonly tensors: ReadonlyMap<string, SafetensorsEntry>,
    readonly metadata: Readonly<Record<string, string>>,
    private readonly file: FileHandle,
  ) {}

  /**
   * Reads one tensor, row-major. F32, F16, BF16 and F64 give a Float32Array; integers keep their
   * type (I64 is a BigInt64Array, BOOL a Uint8Array).
   *
   * @throws GptloomError('ERR_FORMAT') when there is none of the name, or its type (float8) cannot
   *   be read
   */
  async read(name: string): Promise<SafetensorsData> {
    const entry = this.tensors.get(name)
    if (!entry) throw new GptloomError('ERR_FORMAT', `${this.path} holds no tensor ${show(name)}`)
    return readElements(this.file, this.path, entry, (what) => problem(this.path, name, what))
  }

  async close(): Promise<void> {
    await this.file.close()
  }
}

/**
 * Opens a safetensors file and checks its header; nothing in the file is trusted.
 *
 * @throws GptloomError('ERR_FILE') when it cannot be read; ERR_FORMAT naming the file, the tensor
 *   and what was expected when it is damaged or something else
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const { file, size } = await openRegular(path)
  try {
    const { header, dataStart } = await readHeader(file, path, size)
    const { tensors, metadata } = checkHeader(header, path, dataStart, size)
    return new SafetensorsFile(path, tensors, metadata, file)
  } catch (error) {
    await file.close()
    throw error
  }
}

async function readHeader(file: FileHandle, path: string, size: number) {
  const start = await readPiece(file, path, 0, 8)
  if (start.length < 8)
    throw problem(path, null, `it is ${start.length} bytes long, expected at least 8`)
  const hint = whatElse(start)
  const claimed = start.readBigUInt64LE()
  const length = Number(claimed)
  if (length > MAX_HEADER || length < 2 || length > size - 8) {
    const limit = Math.min(MAX_HEADER, Math.max(2, size - 8))
    throw problem(path, null, `its header claims ${claimed} bytes, expected 2 to ${limit}${hint}`)
  }
  const bytes = await readPiece(file, path, 8, length)
  if (bytes.length < length) {
    throw problem(path, null, 'it became shorter while it was read')
  }
  if (bytes[0] !== 0x7b) throw problem(path, null, `its header must begin with {${hint}`)
  const header = parseJson(bytes, `The header of ${path}`, { unique: true })
  return { header: header as Record<string, unknown>, dataStart: 8 + length }
}

/** Names what people take for a safetensors file most often. */
function whatElse(start: Buffer): string {
  if (start.toString('latin1') === 'version ') {
    return '. It looks like a Git LFS pointer: fetch the file itself with git lfs pull'
  }
  if (start.readUInt32LE() === 0x04034b50) {
    return '. It looks like a PyTorch archive, which should be named pytorch_model.bin'
  }
  return start.toString('latin1', 0, 4) === 'GGUF' ? '. It looks like a GGUF file' : ''
}

function checkHeader(
  header: Record<string, unknown>,
  path: string,
  dataStart: number,
  size: number,
) {
  const entries: [string, SafetensorsEntry][] = []
  let metadata: Record<string, string> = {}
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') metadata = checkMetadata(value, path)
    else entries.push([name, checkEntry(name, value, path, dataStart, size)])
  }
  // The data must be used from its first byte to its last, as in the reference implementation: no
  // two tensors share a byte, and nothing hides between them. Empty tensors sort before what begins
  // at the same place.
  const sorted = entries.slice()
  sorted.sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length)
  let end = dataStart
  for (const [name, { offset, length }] of sorted) {
    const begin = offset - dataStart
    if (offset !== end) {
      const what = offset < end ? 'overlaps the tensor before it' : 'leaves a gap before it'
      throw problem(path, name, `it begins at ${begin} and ${what}, expected ${end - dataStart}`)
    }
    end = offset + length
  }
  if (end !== size) {
    throw problem(path, null, `its tensors end at byte ${end} but the file at ${size}`)
  }
  return { tensors: new Map(entries), metadata }
}

function checkMetadata(value: unknown, path: string): Record<string, string> {
  if (!isObject(value) || Object.values(value).some((item) => typeof item !== 'string')) {
    throw problem(path, '__metadata__', `expected an object of strings, received ${show(value)}`)
  }
  return value as Record<string, string>
}

function checkEntry(
  name: string,
  value: unknown,
  path: string,
  dataStart: number,
  size: number,
): SafetensorsEntry {
  const fail = (what: string, received: unknown) =>
    problem(path, name, `expected ${what}, received ${show(received)}`)
  if (!isObject(value)) throw fail('an object', value)
  const { dtype, shape, data_offsets: range } = value
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    throw fail(`one of ${Object.keys(DTYPE_BYTES).join(', ')} for dtype`, dtype)
  }
  if (!isNaturals(shape)) throw fail('a list of integers of at least 0 for shape', shape)
  if (!isNaturals(range) || range.length !== 2) {
    throw fail('two integers of at least 0 for data_offsets', range)
  }
  const [begin, end] = range as [number, number]
  if (begin > end || end > size - dataStart) {
    throw fail(`data_offsets in order and inside the data (${size - dataStart} bytes)`, range)
  }
  const expected = byteLength(shape, dtype as SafetensorsDtype)
  if (end - begin !== expected) {
    throw fail(`${expected} bytes for ${dtype} of shape ${show(shape)}`, end - begin)
  }
  return { dtype: dtype as SafetensorsDtype, shape, offset: dataStart + begin, length: end - begin }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Size in bytes; Infinity or rounded when it is beyond what any file holds, which equals no range.
 */
function byteLength(shape: readonly number[], dtype: SafetensorsDtype): number {
  return elementCount(shape) * DTYPE_BYTES[dtype]
}

function problem(path: string, name: string | null, what: string): GptloomError {
  const tensor = name === null ? '' : `tensor ${show(name)}: `
  return new GptloomError('ERR_FORMAT', `${path} is not a valid safetensors file: ${tensor}${what}`)
}

/**
 * A tensor to write. `data` is called when its turn comes, so that only one needs to be in memory.
 */
export interface SafetensorsInput {
  readonly name: string
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  /** The elements, row-major: the typed array of the dtype, or a Uint8Array of its raw bytes. */
  readonly data: () => ArrayBufferView | Promise<ArrayBufferView>
}

/**
 * Writes a safetensors file, whole or not at all. Tensors are written by falling element size and
 * otherwise in the given order, as the reference implementation does, so that each is aligned to
 * its elements.
 *
 * @throws TypeError or RangeError for names given twice and data that does not fit its shape;
 *   GptloomError('ERR_FILE') when the file system refuses
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<SafetensorsInput>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sorted = [...tensors].sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype])
  const header = makeHeader(sorted, metadata)
  const file = await AtomicFile.create(path)
  try {
    await file.write(header)
    for (const tensor of sorted) await file.write(checkData(tensor, await tensor.data()))
    await file.commit()
  } finally {
    await file.abort()
  }
}

function makeHeader(
  tensors: readonly SafetensorsInput[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  // Joined by hand: `header[name] = ...` would lose a tensor named __proto__.
  const parts: string[] = []
  for (const value of Object.values(metadata)) {
    if (typeof value !== 'string') throw wrongType('strings', 'metadata', value)
  }
  if (Object.keys(metadata).length > 0) parts.push(`"__metadata__":${JSON.stringify(metadata)}`)
  const names = new Set(['__metadata__'])
  let offset = 0
  for (const { name, dtype, shape } of tensors) {
    if (typeof name !== 'string') throw wrongType('a string', 'name', name)
    if (names.has(name)) throw outOfRange('a name of its own', 'the tensor', name)
    if (!Object.hasOwn(DTYPE_BYTES, dtype)) throw outOfRange('a known element type', 'dtype', dtype)
    shape.forEach((size) => checkInteger(`shape of ${name}`, size, 0))
    names.add(name)
    const end = checkInteger('the size of the file', offset + byteLength(shape, dtype), 0)
    const entry = { dtype, shape, data_offsets: [offset, end] }
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`)
    offset = end
  }
  const text = Buffer.from(`{${parts.join(',')}}`)
  if (text.length > MAX_HEADER) {
    throw outOfRange(`at most ${MAX_HEADER} bytes`, 'the header', text.length)
  }
  const padded = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ')
  padded.writeBigUInt64LE(BigInt(padded.length - 8))
  text.copy(padded, 8)
  return padded
}

function checkData({ name, dtype, shape }: SafetensorsInput, data: ArrayBufferView): Uint8Array {
  const array =
    dtype === 'F64'
      ? Float64Array
      : dtype in STORED_AS
        ? STORED_AS[dtype as keyof typeof STORED_AS]
        : Uint16Array
  if (!(data instanceof array || data instanceof Uint8Array)) {
    throw wrongType(`${array.name} or Uint8Array`, `the data of ${name}`, data)
  }
  const expected = byteLength(shape, dtype)
  if (data.byteLength !== expected) {
    const what = `the data of ${name}, shape ${show(shape)}`
    throw outOfRange(`${expected} bytes`, what, data.byteLength)
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
