import { GptloomError, show } from '../errors.js'
import { AtomicFile } from '../files.js'
import { floatToBfloat, floatToHalf } from './dtypes.js'
import { elementCount } from './elements.js'
import { GGUF_ALIGNMENT, GGUF_MAGIC, GGUF_VERSION, VALUE } from './gguf.js'

/** How the numbers of a tensor are stored. */
export type GgufType = 'f32' | 'f16' | 'bf16' | 'q8_0'

/** By ggml's numbers: bytes for `block` elements. */
const TYPES: Record<GgufType, { id: number; block: number; bytes: number }> = {
  f32: { id: 0, block: 1, bytes: 4 },
  f16: { id: 1, block: 1, bytes: 2 },
  bf16: { id: 30, block: 1, bytes: 2 },
  q8_0: { id: 8, block: 32, bytes: 34 },
}

/** A value of the metadata with its type. */
export type GgufField =
  | { type: 'u32'; value: number }
  | { type: 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'i32[]'; value: readonly number[] }
  | { type: 'string[]'; value: readonly string[] }

/** A tensor to write; `data` is called when its turn comes. */
export interface GgufInput {
  readonly name: string
  readonly type: GgufType
  /** Row-major, as everywhere else. */
  readonly shape: readonly number[]
  readonly data: () => Float32Array | Promise<Float32Array>
}

/** Elements that are converted and written at a time: whole blocks of every type. */
const PIECE = 1 << 20

/**
 * Writes a GGUF file, whole or not at all, holding one tensor at a time.
 *
 * @throws GptloomError ERR_FILE when the file system refuses, ERR_FORMAT for numbers that the type
 *   cannot hold; AbortError's cause when the signal stops it
 */
export async function writeGgufFile(
  path: string,
  metadata: ReadonlyMap<string, GgufField>,
  inputs: Iterable<GgufInput>,
  signal?: AbortSignal,
): Promise<void> {
  const tensors = [...inputs]
  const file = await AtomicFile.create(path)
  try {
    await file.write(makeHeader(metadata, tensors))
    for (const tensor of tensors) {
      signal?.throwIfAborted()
      await pad(file)
      const data = await tensor.data()
      for (let at = 0; at < data.length; at += PIECE) {
        await file.write(encode(data.subarray(at, at + PIECE), tensor, path))
      }
    }
    await pad(file) // llama.cpp wants the last one padded as well
    await file.commit()
  } finally {
    await file.abort()
  }
}

async function pad(file: AtomicFile): Promise<void> {
  const missing = (GGUF_ALIGNMENT - (file.position % GGUF_ALIGNMENT)) % GGUF_ALIGNMENT
  if (missing > 0) await file.write(Buffer.alloc(missing))
}

function makeHeader(
  metadata: ReadonlyMap<string, GgufField>,
  tensors: readonly GgufInput[],
): Buffer {
  const parts: Buffer[] = [
    u32(GGUF_MAGIC),
    u32(GGUF_VERSION),
    u64(tensors.length),
    u64(metadata.size),
  ]
  for (const [key, field] of metadata) parts.push(string(key), ...encodeField(field))
  let offset = 0
  for (const { name, type, shape } of tensors) {
    const { id, block, bytes } = TYPES[type]
    parts.push(string(name), u32(shape.length), ...[...shape].reverse().map(u64))
    parts.push(u32(id), u64(offset))
    const length = (elementCount(shape) / block) * bytes
    offset += Math.ceil(length / GGUF_ALIGNMENT) * GGUF_ALIGNMENT
  }
  return Buffer.concat(parts)
}

function encodeField(field: GgufField): Buffer[] {
  switch (field.type) {
    case 'u32':
      return [u32(VALUE.u32), u32(field.value)]
    case 'f32':
      return [u32(VALUE.f32), Buffer.from(Float32Array.of(field.value).buffer)]
    case 'bool':
      return [u32(VALUE.bool), Buffer.of(field.value ? 1 : 0)]
    case 'string':
      return [u32(VALUE.string), string(field.value)]
    case 'i32[]':
      return [
        u32(VALUE.array),
        u32(VALUE.i32),
        u64(field.value.length),
        Buffer.from(Int32Array.from(field.value).buffer),
      ]
    case 'string[]':
      return [
        u32(VALUE.array),
        u32(VALUE.string),
        u64(field.value.length),
        ...field.value.map(string),
      ]
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function string(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([u64(bytes.length), bytes])
}

function encode(values: Float32Array, { name, type }: GgufInput, path: string): Uint8Array {
  if (type === 'f32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  if (type === 'q8_0') return toQ8(values, path, name)
  const convert = type === 'f16' ? floatToHalf : floatToBfloat
  const result = new Uint16Array(values.length)
  for (let i = 0; i < values.length; i++) {
    result[i] = convert(values[i]!)
    if (type === 'f16' && (result[i]! & 0x7fff) === 0x7c00 && Number.isFinite(values[i]!)) {
      throw tooLarge(path, name, values[i]!, type)
    }
  }
  return new Uint8Array(result.buffer)
}

function tooLarge(path: string, name: string, value: number, type: GgufType): GptloomError {
  return new GptloomError(
    'ERR_FORMAT',
    `${path}: ${show(name)} holds ${value}, which ${type} cannot: write bf16 or f32 instead`,
  )
}

/**
 * Blocks of 32 numbers as a float16 scale, the largest magnitude by 127, and signed bytes; rounded as
 * ggml's reference does it: halves away from zero, by the scale before it was rounded.
 */
function toQ8(values: Float32Array, path: string, name: string): Uint8Array {
  const result = Buffer.alloc((values.length / 32) * 34)
  for (let from = 0, at = 0; from < values.length; from += 32, at += 34) {
    let most = 0
    for (let i = from; i < from + 32; i++) most = Math.max(most, Math.abs(values[i]!))
    const scale = Math.fround(most / 127)
    const inverse = scale ? Math.fround(1 / scale) : 0
    if (!(scale < 65504)) throw tooLarge(path, name, most, 'q8_0')
    result.writeUInt16LE(floatToHalf(scale), at)
    for (let i = 0; i < 32; i++) {
      const scaled = Math.fround(values[from + i]! * inverse)
      const rounded = Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5)
      result.writeInt8(Math.max(-128, Math.min(127, rounded)) || 0, at + 2 + i)
    }
  }
  return result
}
