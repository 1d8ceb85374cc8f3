/** The element types of a safetensors file and their sizes in bytes. */
export const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const

export type SafetensorsDtype = keyof typeof DTYPE_BYTES

/**
 * What an element type becomes in memory: every float that JavaScript has no array for is a
 * Float32Array.
 */
export type SafetensorsData =
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint32Array
  | Uint16Array
  | Uint8Array

/** The typed arrays whose bytes are what the file holds; the other floats are converted. */
export const STORED_AS = {
  F32: Float32Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const

/** Converts pieces of F64, F16 or BF16 data (little endian, aligned) to float32. */
export const TO_FLOAT32 = {
  F64: (bytes: ArrayBuffer, length: number, into: Float32Array, at: number) => {
    into.set(new Float64Array(bytes, 0, length / 8), at)
  },
  F16: (bytes: ArrayBuffer, length: number, into: Float32Array, at: number) => {
    const from = new Uint16Array(bytes, 0, length / 2)
    for (let i = 0; i < from.length; i++) into[at + i] = halfToFloat(from[i]!)
  },
  // bfloat16 is the upper half of a float32: the bits are moved, so that every NaN stays what it
  // was.
  BF16: (bytes: ArrayBuffer, length: number, into: Float32Array, at: number) => {
    const from = new Uint16Array(bytes, 0, length / 2)
    const bits = new Uint32Array(into.buffer, into.byteOffset, into.length)
    for (let i = 0; i < from.length; i++) bits[at + i] = from[i]! << 16
  },
} as const

/** The value of an IEEE 754 binary16 number from its bits. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

const oneFloat = new Float32Array(1)
const oneInteger = new Uint32Array(oneFloat.buffer)

/** The bits of the IEEE 754 binary16 number nearest to a float32; ties go to the even one. */
export function floatToHalf(value: number): number {
  oneFloat[0] = value
  const bits = oneInteger[0]!
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00)
  if (magnitude >= 0x38800000) {
    const rounded = magnitude + 0xfff + ((magnitude >> 13) & 1)
    return sign | ((rounded - 0x38000000) >> 13)
  }
  const units = Math.abs(oneFloat[0]!) * 2 ** 24 // of the smallest subnormal number
  const floor = Math.floor(units)
  const rest = units - floor
  return sign | (floor + (rest > 0.5 || (rest === 0.5 && floor & 1) ? 1 : 0))
}

/** The bits of the bfloat16 number nearest to a float32; ties go to the even one. */
export function floatToBfloat(value: number): number {
  oneFloat[0] = value
  const bits = oneInteger[0]!
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 64
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}
