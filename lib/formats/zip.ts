// The directory of a zip archive (APPNOTE.TXT 6.3.10) whose files are stored without compression, as
// PyTorch writes them. Nothing is unpacked: a file of the archive is a range of it.
import type { FileHandle } from 'node:fs/promises'
import { GptloomError, show } from '../errors.js'
import { readPiece } from './elements.js'

/** A file in the archive: its bytes lie at `offset` from the start of the archive. */
export interface ZipEntry {
  readonly offset: number
  readonly length: number
}

const LOCAL = 0x04034b50
const CENTRAL = 0x02014b50
const END = 0x06054b50
const END64 = 0x06064b50
const LOCATOR64 = 0x07064b50

/** The largest directory that is read, in bytes; that of GPT-2 XL with its optimizer is a tenth. */
const MAX_DIRECTORY = 1 << 22
const LONGEST_END = 22 + 65535

interface Directory {
  offset: number
  length: number
  count: number
}

/**
 * The files of an archive by name. Every range has been checked to lie inside the archive, and none
 * overlap.
 *
 * @throws GptloomError ERR_FORMAT when the archive is damaged or its files are compressed
 */
export async function readZip(
  file: FileHandle,
  path: string,
  size: number,
): Promise<Map<string, ZipEntry>> {
  const read = async (offset: number, length: number): Promise<Buffer> => {
    if (offset < 0 || length < 0 || offset + length > size) {
      throw problem(path, 'its directory points beyond the end')
    }
    const bytes = await readPiece(file, path, offset, length)
    if (bytes.length < length) throw problem(path, 'it became shorter while it was read')
    return bytes
  }
  const directory = await findDirectory(read, path, size)
  if (directory.length > MAX_DIRECTORY) {
    throw problem(path, `its directory claims ${directory.length} bytes`)
  }
  const entries = parseDirectory(await read(directory.offset, directory.length), directory, path)
  const result = new Map<string, ZipEntry>()
  let end = 0
  for (const { name, header, length } of entries.sort((a, b) => a.header - b.header)) {
    const local = await read(header, 30)
    const offset = header + 30 + local.readUInt16LE(26) + local.readUInt16LE(28)
    if (local.readUInt32LE() !== LOCAL || local.readUInt16LE(8) !== 0) {
      throw problem(path, `${show(name)} is not where the directory says`)
    }
    if (header < end) throw problem(path, `${show(name)} overlaps the file before it`)
    end = offset + length
    if (end > directory.offset) throw problem(path, `${show(name)} is cut off`)
    if (result.has(name)) throw problem(path, `the name ${show(name)} stands twice`)
    result.set(name, { offset, length })
  }
  return result
}

type Read = (offset: number, length: number) => Promise<Buffer>

async function findDirectory(read: Read, path: string, size: number): Promise<Directory> {
  const start = Math.max(0, size - LONGEST_END)
  const tail = await read(start, size - start)
  // Backwards: the last mark whose comment ends with the archive.
  for (let at = tail.length - 22; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END || at + 22 + tail.readUInt16LE(at + 20) !== tail.length) {
      continue
    }
    const found = {
      offset: tail.readUInt32LE(at + 16),
      length: tail.readUInt32LE(at + 12),
      count: tail.readUInt16LE(at + 10),
    }
    const large = found.offset === 0xffffffff || found.length === 0xffffffff
    if (!large && found.count !== 0xffff) return found
    const locator = await read(start + at - 20, 20)
    if (locator.readUInt32LE() !== LOCATOR64) return found
    const end = await read(safe(locator.readBigUInt64LE(8), path), 56)
    if (end.readUInt32LE() !== END64) throw problem(path, 'its zip64 directory is missing')
    return {
      offset: safe(end.readBigUInt64LE(48), path),
      length: safe(end.readBigUInt64LE(40), path),
      count: safe(end.readBigUInt64LE(32), path),
    }
  }
  throw problem(path, 'it has no directory: it is cut off, or no zip archive')
}

function parseDirectory(bytes: Buffer, { count }: Directory, path: string) {
  const entries: { name: string; header: number; length: number }[] = []
  for (let at = 0; at < bytes.length;) {
    if (at + 46 > bytes.length || bytes.readUInt32LE(at) !== CENTRAL) {
      throw problem(path, 'its directory is damaged')
    }
    const nameEnd = at + 46 + bytes.readUInt16LE(at + 28)
    const extraEnd = nameEnd + bytes.readUInt16LE(at + 30)
    const next = extraEnd + bytes.readUInt16LE(at + 32)
    if (next > bytes.length) throw problem(path, 'its directory is damaged')
    const name = bytes.toString('utf8', at + 46, nameEnd)
    if (bytes.readUInt16LE(at + 10) !== 0) {
      throw problem(path, `${show(name)} is compressed, which PyTorch never does`)
    }
    const extra = zip64(bytes.subarray(nameEnd, extraEnd))
    const wide = (field: number): number => {
      const value = bytes.readUInt32LE(at + field)
      if (value !== 0xffffffff) return value
      const large = extra.shift()
      if (large === undefined) throw problem(path, `${show(name)} has no zip64 size`)
      return safe(large, path)
    }
    const length = wide(24) // the order of the fields in the zip64 record
    const stored = wide(20)
    const header = wide(42)
    if (stored !== length) throw problem(path, `${show(name)} claims two sizes`)
    entries.push({ name, header, length })
    at = next
  }
  if (entries.length !== count) {
    throw problem(path, `its directory claims ${count} files and lists ${entries.length}`)
  }
  return entries
}

/** The numbers of the zip64 record among the extra fields of an entry. */
function zip64(extra: Buffer): bigint[] {
  for (let at = 0; at + 4 <= extra.length;) {
    const end = at + 4 + extra.readUInt16LE(at + 2)
    if (end > extra.length) return []
    if (extra.readUInt16LE(at) === 1) {
      const count = Math.min(3, (end - at - 4) >> 3)
      return Array.from({ length: count }, (_, i) => extra.readBigUInt64LE(at + 4 + 8 * i))
    }
    at = end
  }
  return []
}

function safe(value: bigint, path: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw problem(path, `it claims ${value} bytes`)
  return Number(value)
}

function problem(path: string, what: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path} is not a valid zip archive: ${what}`)
}
