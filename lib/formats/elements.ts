// What the readers of all formats share: tensors by name, and the elements of a range of a file.
import { open, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { GptloomError } from '../errors.js'
import { PIECE, guarded, readFully } from '../files.js'
import { DTYPE_BYTES, STORED_AS, TO_FLOAT32 } from './dtypes.js'
import type { SafetensorsData, SafetensorsDtype } from './dtypes.js'

/** What is known of a tensor before it is read. */
export interface TensorInfo {
  /** As safetensors names it, or 'Q8_0': 8-bit integers in blocks with a scale each. */
  readonly dtype: SafetensorsDtype | 'Q8_0'
  readonly shape: readonly number[]
}

/** An open file, or several, of tensors by name; each is read when it is asked for. */
export interface TensorSource {
  /** The file's name for messages. */
  readonly path: string
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** One tensor, row-major; every float type gives a Float32Array. */
  read(name: string): Promise<SafetensorsData>
  close(): Promise<void>
}

/**
 * Opens a file for reading; a pipe or a device, which might never answer, is refused before that.
 *
 * @returns the file and its size in bytes
 */
export async function openRegular(path: string): Promise<{ file: FileHandle; size: number }> {
  if (!(await guarded(path, 'open', stat(path))).isFile()) {
    throw new GptloomError('ERR_FILE', `Cannot open ${path}: it is not a regular file`)
  }
  const file = await guarded(path, 'open', open(path, 'r'))
  try {
    return { file, size: (await guarded(path, 'open', file.stat())).size }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** The bytes of a file from `at` on: fewer than `length` only where it ends before. */
export async function readPiece(
  file: FileHandle,
  path: string,
  at: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, await guarded(path, 'read', readFully(file, bytes, at)))
}

/** Where elements lie in a file, in bytes. The caller has checked that they lie inside it. */
export interface Range {
  readonly dtype: SafetensorsDtype
  readonly offset: number
  readonly length: number
}

/**
 * Reads a range. F32, F16, BF16 and F64 give a Float32Array; integers keep their type.
 *
 * @param problem makes the error for what is wrong with the tensor
 * @throws GptloomError ERR_FILE, ERR_FORMAT, and ERR_OUT_OF_MEMORY when there is no room for it
 */
export async function readElements(
  file: FileHandle,
  path: string,
  { dtype, offset, length }: Range,
  problem: (what: string) => Error,
): Promise<SafetensorsData> {
  const fill = async (into: Uint8Array, at: number) => {
    const count = await guarded(path, 'read', readFully(file, into, at))
    if (count < into.length) throw problem('the file became shorter meanwhile')
  }
  if (dtype in STORED_AS) {
    const bytes = allocate(length, path)
    await fill(new Uint8Array(bytes), offset)
    return new STORED_AS[dtype as keyof typeof STORED_AS](bytes)
  }
  if (!(dtype in TO_FLOAT32)) throw problem(`${dtype} cannot be read yet`)
  const convert = TO_FLOAT32[dtype as keyof typeof TO_FLOAT32]
  const size = DTYPE_BYTES[dtype]
  const result = new Float32Array(allocate((length / size) * 4, path))
  const piece = new ArrayBuffer(Math.min(PIECE, length))
  for (let done = 0; done < length; done += PIECE) {
    const count = Math.min(PIECE, length - done)
    await fill(new Uint8Array(piece, 0, count), offset + done)
    convert(piece, count, result, done / size)
  }
  return result
}

function allocate(bytes: number, path: string): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes)
  } catch (cause) {
    throw new GptloomError(
      'ERR_OUT_OF_MEMORY',
      `${path}: there is no room for a tensor of ${bytes} bytes`,
      { cause },
    )
  }
}

/** Whether a value is an integer of at least 0 that a number holds exactly. */
export function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export function isNaturals(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isNatural)
}

/** How many elements a shape has; Infinity or rounded when no file could hold so many. */
export function elementCount(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1)
}
