// Files as text: UTF-8 in pieces, unpacked where they are compressed.
import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable, pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { GptloomError } from '../errors.js'
import { MOST_UNPACKED, fileProblem, guarded, isBomb } from '../files.js'

const CHUNK = 1 << 18

export interface Source {
  /** For messages. */
  name: string
  bytes: AsyncIterable<Buffer>
}

/**
 * A file, or standard input for '-'. Of a file that grows while it is read, what it had at first is
 * taken.
 */
export async function openSource(path: string): Promise<Source> {
  if (path === '-') return { name: 'standard input', bytes: process.stdin }
  const found = await guarded(path, 'read', stat(path))
  if (found.isDirectory())
    throw new GptloomError(
      'ERR_FILE',
      `Cannot read ${path}: it is a folder, not a file. Give the path of a file.`,
    )
  const end = found.isFile() ? Math.max(0, found.size - 1) : Infinity
  if (found.isFile() && found.size === 0) return { name: path, bytes: Readable.from([]) }
  return { name: path, bytes: createReadStream(path, { end, highWaterMark: CHUNK }) }
}

/**
 * Text in pieces that end between characters.
 *
 * @param count is told of the bytes read, before they are unpacked
 * @throws GptloomError('ERR_DATA') naming offset and line where it is not UTF-8, ERR_FORMAT when a
 *   compressed file is damaged or unpacks to far more than text does
 */
export async function* readPieces(
  source: Source,
  count: (bytes: number) => void,
): AsyncGenerator<string, void, void> {
  let held: Buffer = Buffer.alloc(0)
  let offset = 0
  let line = 1
  for await (const chunk of unpacked(source, count)) {
    const bytes = held.length > 0 ? Buffer.concat([held, chunk]) : chunk
    if (offset === 0) checkStart(source.name, bytes)
    const whole = bytes.subarray(0, wholeCharacters(bytes))
    if (!isUtf8(whole)) throw notUtf8(source.name, whole, offset, line)
    held = Buffer.from(bytes.subarray(whole.length))
    offset += whole.length
    for (let at = whole.indexOf(10); at >= 0; at = whole.indexOf(10, at + 1)) line++
    if (whole.length > 0) yield whole.toString('utf8')
  }
  if (held.length > 0) throw notUtf8(source.name, held, offset, line)
}

async function* unpacked(
  { name, bytes }: Source,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer, void, void> {
  const iterator = bytes[Symbol.asyncIterator]()
  let packed = 0
  const next = async (): Promise<Buffer | undefined> => {
    try {
      const { value, done } = await iterator.next()
      if (done) return undefined
      packed += (value as Buffer).length
      count((value as Buffer).length)
      return value as Buffer
    } catch (error) {
      throw fileProblem(error, name, 'read')
    }
  }
  try {
    const first = await next()
    if (!first) return
    async function* rest(): AsyncGenerator<Buffer, void, void> {
      for (let chunk: Buffer | undefined = first; chunk; chunk = await next()) yield chunk
    }
    if (first[0] !== 0x1f || first[1] !== 0x8b) {
      yield* rest()
      return
    }
    let size = 0
    for await (const chunk of gunzip(name, rest())) {
      size += chunk.length
      if (isBomb(size, packed))
        throw new GptloomError(
          'ERR_FORMAT',
          `${name} unpacks to more than ${MOST_UNPACKED} times its size: no text does. ` +
            'Unpack it first if it is meant.',
        )
      yield chunk
    }
  } finally {
    await iterator.return?.()
  }
}

async function* gunzip(name: string, packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const unpack = createGunzip({ chunkSize: CHUNK })
  let cause: unknown
  const ended = new Promise<void>((resolve) => {
    pipeline(Readable.from(packed), unpack, (error) => {
      cause = error
      resolve()
    })
  })
  try {
    for await (const chunk of unpack) yield chunk as Buffer
  } catch (error) {
    await ended
    const first = cause ?? error
    if (first instanceof GptloomError) throw first
    const why = (first as Error).message
    throw new GptloomError('ERR_FORMAT', `${name} is damaged: it cannot be unpacked (${why})`, {
      cause: first,
    })
  } finally {
    unpack.destroy()
  }
}

/** Bytes up to the last character that is complete. */
function wholeCharacters(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) break
    if (byte < 0xc0) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return length > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}

function checkStart(name: string, bytes: Buffer): void {
  const start = bytes.toString('latin1', 0, 4)
  if (start.startsWith('\xff\xfe') || start.startsWith('\xfe\xff'))
    throw new GptloomError(
      'ERR_DATA',
      `${name} is UTF-16 text. Convert it: iconv -f UTF-16 -t UTF-8`,
    )
}

function notUtf8(name: string, bytes: Buffer, offset: number, line: number): GptloomError {
  // The longest beginning that is UTF-8.
  let low = 0
  let high = bytes.length
  while (low < high) {
    const middle = (low + high + 1) >> 1
    const end = wholeCharacters(bytes.subarray(0, middle))
    if (isUtf8(bytes.subarray(0, end))) low = middle
    else high = middle - 1
  }
  const at = wholeCharacters(bytes.subarray(0, low))
  for (let i = bytes.indexOf(10); i >= 0 && i < at; i = bytes.indexOf(10, i + 1)) line++
  const byte = (bytes[at] ?? 0).toString(16).toUpperCase().padStart(2, '0')
  return new GptloomError(
    'ERR_DATA',
    `${name} is not UTF-8 text: byte 0x${byte} at offset ${offset + at}, line ${line}. ` +
      'Convert the file, for example from Windows-1252: iconv -f WINDOWS-1252 -t UTF-8',
  )
}
