import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import { GptloomError } from '../errors.js'
import { guarded, readFully } from '../files.js'

// Small enough that encoding one piece does not keep the event loop busy for long.
const CHUNK = 64 << 10

/**
 * Reads a file as UTF-8 in pieces that end between characters; a byte order mark is dropped, line
 * ends stay as they are. Memory does not grow with the file.
 *
 * @param path the file
 * @throws GptloomError('ERR_DATA') naming file, byte offset and line where it is not UTF-8, or
 *   saying what the file is when its first bytes tell; ERR_FILE when it cannot be read
 */
export async function* readText(path: string): AsyncGenerator<string, void, void> {
  const file = await guarded(path, 'read', open(path, 'r'))
  try {
    const buffer = Buffer.alloc(CHUNK)
    let held = 0 // bytes at the start of the buffer: a character that the last piece cut in two
    let offset = 0 // of the buffer's first byte in the file
    let line = 1
    for (;;) {
      const read = readFully(file, buffer.subarray(held), offset + held)
      const count = await guarded(path, 'read', read)
      const bytes = buffer.subarray(0, held + count)
      if (offset === 0) checkStart(bytes, path)
      const last = count < CHUNK - held
      const end = bytes.length - (last ? 0 : incompleteTail(bytes))
      const whole = bytes.subarray(0, end)
      if (!isUtf8(whole)) throw notUtf8(path, whole, offset, line)
      const text = whole.toString('utf8', offset === 0 && hasMark(whole) ? 3 : 0)
      if (text) yield text
      if (last) return
      line += countLines(whole)
      held = bytes.length - end
      buffer.copyWithin(0, end, bytes.length)
      offset += end
    }
  } finally {
    await file.close()
  }
}

/** Whether a UTF-8 byte order mark begins the bytes. */
export function hasMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
}

/** Length of a character at the end of a piece that is not complete yet, 0 to 3 bytes. */
function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return sequenceLength(byte) > back ? back : 0
  }
  return 0
}

/** Bytes of the character that a byte begins; 0 when it begins none. */
function sequenceLength(byte: number): number {
  if (byte < 0x80) return 1
  if (byte >= 0xc2 && byte <= 0xdf) return 2
  if (byte >= 0xe0 && byte <= 0xef) return 3
  return byte >= 0xf0 && byte <= 0xf4 ? 4 : 0
}

/**
 * Index of the first byte sequence that is not UTF-8 (The Unicode Standard, table 3-7), or the
 * length of the bytes when all are.
 */
export function firstInvalid(bytes: Uint8Array): number {
  let i = 0
  while (i < bytes.length) {
    const byte = bytes[i]!
    const length = sequenceLength(byte)
    if (length === 0 || i + length > bytes.length) return i
    // Narrower for some first bytes: no longer form than needed, no surrogates, nothing past
    // U+10FFFF.
    const low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80
    const high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf
    for (let k = 1; k < length; k++) {
      const next = bytes[i + k]!
      if (next < (k === 1 ? low : 0x80) || next > (k === 1 ? high : 0xbf)) return i
    }
    i += length
  }
  return i
}

function countLines(bytes: Buffer): number {
  let lines = 0
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++
  return lines
}

function notUtf8(path: string, bytes: Buffer, offset: number, line: number): GptloomError {
  const at = firstInvalid(bytes)
  const before = bytes.subarray(0, at)
  const row = line + countLines(before)
  const text = before.toString().split('\n').pop()!.slice(-30)
  const byte = bytes[at]!.toString(16).toUpperCase().padStart(2, '0')
  return new GptloomError(
    'ERR_DATA',
    `${path} is not UTF-8 text: byte 0x${byte} at offset ${offset + at}, line ${row}, ` +
      `after ${JSON.stringify(text)}. Convert the file, for example from Windows-1252: ` +
      'iconv -f WINDOWS-1252 -t UTF-8',
  )
}

const SIGNATURES: readonly (readonly [start: string, what: string])[] = [
  ['\xff\xfe', 'UTF-16 text. Convert it: iconv -f UTF-16 -t UTF-8'],
  ['\xfe\xff', 'UTF-16 text. Convert it: iconv -f UTF-16 -t UTF-8'],
  ['\x1f\x8b', 'compressed (gzip). Unpack it first'],
  ['PK\x03\x04', 'a zip archive or an office document. Save it as plain text'],
  ['%PDF-', 'a PDF document. Save it as plain text'],
]

/** Looks at the first piece of a file for what people take for text most often. */
function checkStart(bytes: Buffer, path: string): void {
  const known = signature(bytes)
  if (known) throw new GptloomError('ERR_DATA', `${path} is ${known}`)
  // A NUL is a character of UTF-8, but no text begins with it: binary files and UTF-16 do.
  const at = bytes.subarray(0, 8000).indexOf(0)
  if (at < 0) return
  const what = `a NUL byte at offset ${at} says it is a binary file, or UTF-16 text`
  throw new GptloomError('ERR_DATA', `${path} is not UTF-8 text: ${what}`)
}

/** What a file is and what to do with it, when its first bytes tell that it is not plain text. */
export function signature(bytes: Buffer): string | undefined {
  const start = bytes.toString('latin1', 0, 8)
  return SIGNATURES.find(([signature]) => start.startsWith(signature))?.[1]
}
