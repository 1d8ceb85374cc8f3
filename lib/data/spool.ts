// Clean rows on disk, between reading them and tokenizing them: a vocabulary may have to be learned
// first, and a pipe can be read only once.
import { open, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { guarded } from '../files.js'
import { textOf } from './clean.js'
import type { CleanRow } from './clean.js'

const PIECE = 1 << 20
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

  async add(row: CleanRow): Promise<void> {
    this.total++
    if ('example' in row) {
      this.clean++
      if (row.example.kind === 'chat') this.chats++
      this.bytes += Buffer.byteLength(textOf(row.example))
    } else if (row.entry.message !== undefined) {
      const { file, line, row: number, message } = row.entry
      this.firstProblem ??= `${file}, ${line > 0 ? `line ${line}` : `row ${number}`}: ${message}`
    }
    this.#text += JSON.stringify(row) + '\n'
    if (this.#text.length > PIECE) await this.flush()
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
    await this.flush()
    const piece = Buffer.alloc(PIECE)
    let rest: Buffer[] = []
    for (let position = 0; ;) {
      const call = this.file.read(piece, 0, PIECE, position)
      const { bytesRead } = await guarded(this.path, 'read', call)
      if (bytesRead === 0) return
      position += bytesRead
      let from = 0
      for (let to; (to = piece.indexOf(10, from)) >= 0 && to < bytesRead; from = to + 1) {
        const line = Buffer.concat([...rest, piece.subarray(from, to)])
        rest = []
        yield JSON.parse(line.toString()) as CleanRow
      }
      rest.push(Buffer.from(piece.subarray(from, bytesRead)))
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
