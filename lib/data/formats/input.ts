// Bytes of files, gzip and streams, in pieces, with a look at the first ones.
import { open } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { GptloomError } from '../../errors.js'
import { MOST_UNPACKED, guarded, isBomb, readFully } from '../../files.js'
import { hasMark } from '../text.js'
import { FileProblem, problem } from './problem.js'

/** Bytes handed on at a time. */
const CHUNK = 256 << 10
/** Bytes that are looked at to tell the format, and more where the first line does not end in them. */
export const HEAD = 256 << 10

/** A source of bytes, opened when it is first iterated. A piece lives until the next is asked for. */
export type Chunks = AsyncIterable<Buffer>

/**
 * Reads a file to the end that it had when it was opened, so that one that grows all the time ends.
 *
 * @throws GptloomError('ERR_FILE')
 */
export async function* fileChunks(
  path: string,
  onBytes: (count: number) => void = () => {},
): AsyncGenerator<Buffer, void, void> {
  const file = await guarded(path, 'read', open(path, 'r'))
  try {
    const { size } = await guarded(path, 'read', file.stat())
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, Math.max(1, size)))
    for (let offset = 0; offset < size;) {
      const into = buffer.subarray(0, Math.min(buffer.length, size - offset))
      const count = await guarded(path, 'read', readFully(file, into, offset))
      if (count === 0) return
      offset += count
      onBytes(count)
      yield into.subarray(0, count)
    }
  } finally {
    await file.close()
  }
}

/** Unpacks gzip. What is cut off, damaged or made to fill memory throws a FileProblem. */
export async function* gunzipped(chunks: Chunks): AsyncGenerator<Buffer, void, void> {
  const unpack = createGunzip({ chunkSize: CHUNK })
  // Pieces are copied: zlib works on one while the next is read into the same memory.
  const packed = Readable.from(
    (async function* () {
      for await (const chunk of chunks) yield Buffer.from(chunk)
    })(),
    { highWaterMark: 1 },
  )
  pipeline(packed, unpack, () => {}) // errors come out of the loop below
  let bytes = 0
  try {
    for await (const chunk of unpack as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (isBomb(bytes, unpack.bytesWritten)) throw bomb(bytes)
      yield chunk
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (!code.startsWith('Z_')) throw error
    const cutOff = code === 'Z_BUF_ERROR'
    throw new FileProblem(
      problem('gzip', `The gzip file is ${cutOff ? 'cut off' : 'damaged'} (${String(code)})`, {
        hint: 'Rows up to here were read. Fetch or pack the file again: gzip -t checks it.',
      }),
    )
  }
}

function bomb(bytes: number): FileProblem {
  const size = `${Math.floor(bytes / (1 << 20))} MiB`
  return new FileProblem(
    problem(
      'gzip',
      `The gzip file unpacks to over ${MOST_UNPACKED} times its size (${size} so far)`,
      {
        hint: 'No text packs so well. If it is meant, unpack it first: gunzip FILE',
      },
    ),
  )
}

/** Bytes whose first ones were looked at; can be iterated once. Must be iterated or closed. */
export class Input {
  private constructor(
    /** The first bytes, or all; without a byte order mark, which the pieces do not have either. */
    readonly head: Buffer,
    /** Whether there are no others. */
    readonly complete: boolean,
    private readonly rest: AsyncIterator<Buffer, unknown>,
    /** What went wrong behind the head: thrown once that has been read. */
    private readonly failure?: FileProblem,
  ) {}

  /**
   * Takes the first bytes; gzip is unpacked whatever the name says.
   * @param most bytes of a first line that are taken, for the names in it
   */
  static async open(chunks: Chunks, most = HEAD): Promise<Input> {
    const input = await Input.#peek(chunks, most)
    if (input.head[0] !== 0x1f || input.head[1] !== 0x8b) return input
    return Input.#peek(gunzipped(input), most)
  }

  static async #peek(chunks: Chunks, most: number): Promise<Input> {
    const iterator = chunks[Symbol.asyncIterator]()
    const pieces: Buffer[] = []
    let size = 0
    let done = false
    let hasLine = false
    let failure: FileProblem | undefined
    while (size < HEAD || (!hasLine && size < most)) {
      const next = await iterator.next().catch((error: unknown) => {
        if (!(error instanceof FileProblem) || size === 0) throw error
        failure = error
        return { done: true, value: undefined } as const
      })
      done = next.done === true
      if (next.done) break
      const piece: unknown = next.value
      if (!(piece instanceof Uint8Array)) {
        await iterator.return?.()
        throw new GptloomError('ERR_DATA', 'A stream of bytes gave something else than bytes')
      }
      pieces.push(Buffer.from(piece))
      size += piece.length
      hasLine ||= piece.includes(10)
    }
    const head = Buffer.concat(pieces)
    return new Input(head.subarray(hasMark(head) ? 3 : 0), done, iterator, failure)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    try {
      if (this.head.length > 0) yield this.head
      if (this.failure) throw this.failure
      if (this.complete) return
      for (;;) {
        const next = await this.rest.next()
        if (next.done) return
        yield next.value
      }
    } finally {
      await this.close()
    }
  }

  /** Lets go of the file when the rest is not wanted. */
  async close(): Promise<void> {
    await this.rest.return?.()
  }
}
