// What reads Parquet, in a thread of its own: see parquet.ts.
import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import * as zlib from 'node:zlib'
import type { FileMetaData, SchemaTree } from 'hyparquet'
import { GptloomError } from '../../errors.js'
import { guarded, readFully } from '../../files.js'
import { damaged } from './parquet.js'
import { FileProblem } from './problem.js'
import { BATCH } from './reader.js'

/** Bytes, unpacked, of the rows that are held at a time. */
const SLICE = 64 << 20
/** What no honest file has in one row group: rows and unpacked bytes. */
const GROUP_ROWS = 20_000_000
const GROUP_BYTES = 8 * 2 ** 30
const PAGE_BYTES = 512 << 20
/** Bytes of the footer, which is held whole. */
const FOOTER = 256 << 20

type Library = typeof import('hyparquet')

/** The names of a Parquet file's columns. */
export async function scanNames(path: string): Promise<string[]> {
  return withFile(path, async ({ hyparquet, metadata }) =>
    hyparquet.parquetSchema(metadata).children.map(({ element }) => String(element.name)),
  )
}

/**
 * Reads the rows of a Parquet file, a part of a row group at a time.
 *
 * @throws FileProblem when the file is damaged
 */
export async function* scanRows(
  path: string,
  columns?: readonly string[],
): AsyncGenerator<unknown[]> {
  const opened = await openParquet(path)
  try {
    const { hyparquet, metadata, file } = opened
    let start = 0
    for (const group of metadata.row_groups) {
      const rows = Number(group.num_rows)
      await checkPages(opened, group)
      const slices = Math.max(1, Math.min(rows, Math.ceil(Number(group.total_byte_size) / SLICE)))
      const size = Math.ceil(rows / slices)
      for (let at = 0; at < rows; at += size) {
        const part = hyparquet.parquetReadObjects({
          file,
          metadata,
          compressors: COMPRESSORS,
          ...(columns && { columns: [...columns] }),
          rowStart: start + at,
          rowEnd: start + Math.min(rows, at + size),
        })
        const objects = await named(part)
        for (let i = 0; i < objects.length; i += BATCH) yield objects.slice(i, i + BATCH).map(plain)
      }
      start += rows
    }
  } catch (error) {
    throw asDamage(error)
  } finally {
    await opened.handle.close()
  }
}

interface Opened {
  hyparquet: Library
  handle: FileHandle
  file: { byteLength: number; slice: (start: number, end?: number) => Promise<ArrayBuffer> }
  metadata: FileMetaData
}

async function withFile<T>(path: string, use: (opened: Opened) => Promise<T>): Promise<T> {
  const opened = await openParquet(path)
  try {
    return await named(use(opened))
  } finally {
    await opened.handle.close()
  }
}

async function openParquet(path: string): Promise<Opened> {
  const hyparquet = await import('hyparquet')
  const handle = await guarded(path, 'read', open(path, 'r'))
  try {
    const { size } = await guarded(path, 'read', handle.stat())
    const file = {
      byteLength: size,
      async slice(start: number, end = size): Promise<ArrayBuffer> {
        const length = Math.min(end, size) - start
        if (!(start >= 0 && length >= 0)) throw new Error('it points outside of the file')
        const bytes = new Uint8Array(length)
        await guarded(path, 'read', readFully(handle, bytes, start))
        return bytes.buffer
      },
    }
    const tail = new DataView(await file.slice(Math.max(0, size - 8)))
    if (tail.byteLength < 8 || tail.getUint32(0, true) > FOOTER)
      throw damaged('its end is no footer')
    const metadata = await named(hyparquet.parquetMetadataAsync(file))
    for (const { num_rows: rows, total_byte_size: bytes } of metadata.row_groups) {
      const fits = Number(rows) >= 0 && rows <= GROUP_ROWS && bytes >= 0 && bytes <= GROUP_BYTES
      if (!fits) throw damaged(`a row group has ${rows} rows in ${bytes} bytes`)
    }
    return { hyparquet, handle, file, metadata }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/**
 * Walks over the headers of a group's pages before they are unpacked: what they say of themselves
 * must fit the group, or a few bytes could ask for any amount of memory.
 */
async function checkPages(
  { hyparquet, file, metadata }: Opened,
  { columns, num_rows: rows }: FileMetaData['row_groups'][number],
): Promise<void> {
  const { parquetHeader } = await import('hyparquet/src/column.js')
  const schema = hyparquet.parquetSchema(metadata)
  for (const { meta_data: column } of columns) {
    if (!column) continue
    const start = Number(column.dictionary_page_offset || column.data_page_offset)
    const end = start + Number(column.total_compressed_size)
    const most = Number(column.num_values)
    // Were this found while other columns are being read, their failures would reach nobody and end
    // the process.
    let node: SchemaTree | undefined = schema
    for (const name of column.path_in_schema) {
      node = node?.children.find(({ element }) => element.name === name)
    }
    if (!node || !(start >= 0 && end >= start && end <= file.byteLength)) {
      throw damaged('a column is not where it should be')
    }
    // Lists have more values than rows; a thousand in each are more than any conversation has.
    if (!(most >= 0 && most <= 1000 * Math.max(1000, Number(rows))))
      throw damaged('too many values')
    let values = 0
    for (let at = start; at < end - 1;) {
      const head = await named(file.slice(at, Math.min(end, at + (64 << 10))))
      const reader = { view: new DataView(head), offset: 0 }
      const header = await named((async () => parquetHeader(reader))())
      const count = (header.data_page_header ?? header.data_page_header_v2)?.num_values ?? 0
      values += count
      const entries = header.dictionary_page_header?.num_values ?? 0
      const fits = count >= 0 && values <= most && entries >= 0 && entries <= most
      const size = header.compressed_page_size
      if (!fits || !(size >= 0) || !(header.uncompressed_page_size <= PAGE_BYTES)) {
        throw damaged('a page does not fit its row group')
      }
      at += reader.offset + size
    }
  }
}

/** Names what goes wrong in reading; what the file system says stays. */
async function named<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (error) {
    throw asDamage(error)
  }
}

function asDamage(error: unknown): unknown {
  if (error instanceof GptloomError || error instanceof FileProblem) return error
  return damaged(String((error as Error)?.message ?? error))
}

/** Numbers instead of BigInt, lists instead of typed arrays, all through a row. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (ArrayBuffer.isView(value)) return undefined
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

type Decompress = (bytes: Uint8Array, length: number) => Uint8Array
type Sync = (bytes: Uint8Array, options: { maxOutputLength: number }) => Buffer

function bounded(unpack: Sync): Decompress {
  return (bytes, length) => unpack(bytes, { maxOutputLength: Math.max(1, length) })
}

const zstd = (zlib as unknown as { zstdDecompressSync?: Sync }).zstdDecompressSync
const COMPRESSORS: Readonly<Record<string, Decompress>> = {
  GZIP: bounded(zlib.gunzipSync),
  BROTLI: bounded(zlib.brotliDecompressSync),
  ...(zstd && { ZSTD: bounded(zstd) }),
}
