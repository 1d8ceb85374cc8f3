// Clean rows on disk, between reading them and tokenizing them: a vocabulary may have to be learned
// first, and a pipe can be read only once.
import { open, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { guarded } from '../files.js'
import { textOf } from './clean.js'
import type { CleanRow } from './clean.js'

/** Characters that are written, and bytes that are read, at a time. */
const PIECE = 1 << 18
let counter = 0

/** A temporary file of rows, written once and read any number of times. */
export class Spool {
  /** Rows of any kind. */
  total = 0
  /** Rows that are fit to learn from, and how many of them are conversations. */
  clean = 0
  chats = 0
  /** What is wrong with the first row that is not. */
  firstProblem: string | undefined
  /** Bytes of text in them. */
  bytes = 0
  #text = ''

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** @throws GptloomError ERR_FILE when the file system refuses */
  static async create(folder: string): Promise<Spool> {
    // A name that removeStale() knows, should this process be killed.
    const path = join(folder, `.rows.${process.pid}.${counter++}.tmp`)
    return new Spool(path, await guarded(path, 'write', open(path, 'wx+', 0o600)))
  }

  async add(rows: readonly CleanRow[]): Promise<void> {
    for (const row of rows) {
      this.#count(row)
      this.#text += JSON.stringify(row) + '\n'
      if (this.#text.length > PIECE) await this.flush()
    }
  }

  async flush(): Promise<void> {
    const bytes = Buffer.from(this.#text)
    this.#text = ''
    for (let done = 0; done < bytes.length;) {
      const call = this.file.write(bytes, done, bytes.length - done)
      done += (await guarded(this.path, 'write', call)).bytesWritten
    }
  }

  /** All rows, in the order in which they were added. */
  async *rows(): AsyncGenerator<CleanRow, void, void> {
    for await (const piece of this.pieces()) yield* rowsOf(piece)
  }

  /** All rows as they lie in the file: many in a piece, each in memory of its own. */
  async *pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    await this.flush()
    const read = Buffer.alloc(PIECE)
    let rest: Uint8Array[] = []
    for (let position = 0; ;) {
      const { bytesRead } = await guarded(
        this.path,
        'read',
        this.file.read(read, 0, PIECE, position),
      )
      if (bytesRead === 0) return
      position += bytesRead
      const end = read.subarray(0, bytesRead).lastIndexOf(10) + 1
      if (end > 0) {
        yield joined([...rest, read.subarray(0, end)])
        rest = []
      }
      rest.push(Uint8Array.from(read.subarray(end, bytesRead)))
    }
  }

  #count(row: CleanRow): void {
    this.total++
    if ('example' in row) {
      this.clean++
      if (row.example.kind === 'chat') this.chats++
      this.bytes += Buffer.byteLength(textOf(row.example))
    } else if (row.entry.message !== undefined) {
      const { file, line, row: number, message } = row.entry
      this.firstProblem ??= `${file}, ${line > 0 ? `line ${line}` : `row ${number}`}: ${message}`
    }
  }

  /** The text of every row that is fit to learn from. */
  async *texts(): AsyncGenerator<string, void, void> {
    for await (const row of this.rows()) if ('example' in row) yield textOf(row.example)
  }

  /** Removes the file. Never throws. */
  async remove(): Promise<void> {
    await this.file.close().catch(() => {})
    await unlink(this.path).catch(() => {})
  }
}

/** The rows of a piece. */
export function* rowsOf(piece: Uint8Array): Generator<CleanRow, void, void> {
  const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
  for (let from = 0, to; (to = bytes.indexOf(10, from)) >= 0; from = to + 1)
    yield JSON.parse(bytes.toString('utf8', from, to)) as CleanRow
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
