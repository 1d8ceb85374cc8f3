import type { Problem } from '../record.js'
import type { Chunks } from './input.js'
import { cut, problem } from './problem.js'

/** A line without its end. `bytes` live until the next batch is asked for. */
export interface Line {
  /** From 1. */
  number: number
  bytes: Buffer
  /** Bytes that the line has, where they are more than allowed; `bytes` has only the first then. */
  tooLong?: number
}

const EMPTY = Buffer.alloc(0)

/** Bytes kept of a line that is too long. */
const KEPT = 200

/**
 * Cuts bytes into lines at LF or CRLF, a batch for each piece read. Memory is bounded by `limit`,
 * the longest line allowed in bytes, however long a line is.
 */
export async function* splitLines(chunks: Chunks, limit: number): AsyncGenerator<Line[]> {
  let number = 1
  let held: Buffer[] = [] // the start of a line that goes on
  let size = 0 // of it; its bytes are not all kept once it is over the limit
  const hold = (piece: Buffer) => {
    if (piece.length === 0) return
    size += piece.length
    if (size <= limit) held.push(Buffer.from(piece))
    else held = [Buffer.from(Buffer.concat([...held, piece.subarray(0, KEPT)]).subarray(0, KEPT))]
  }
  const finish = (end: Buffer): Line => {
    if (size > 0) {
      hold(end)
      end = held.length === 1 ? held[0]! : Buffer.concat(held)
    } else size = end.length
    const line: Line = { number: number++, bytes: trimEnd(end) }
    if (size > limit) Object.assign(line, { tooLong: size, bytes: end.subarray(0, KEPT) })
    held = []
    size = 0
    return line
  }
  for await (const chunk of chunks) {
    const batch: Line[] = []
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      if (end === start && size === 0) batch.push({ number: number++, bytes: EMPTY })
      else batch.push(finish(chunk.subarray(start, end)))
      start = end + 1
    }
    hold(chunk.subarray(start))
    if (batch.length > 0) yield batch
  }
  if (size > 0) yield [finish(EMPTY)]
}

/** A number of bytes for people. */
export function showBytes(bytes: number): string {
  return bytes < 1 << 20 ? `${bytes} bytes` : `${(bytes / (1 << 20)).toFixed(1)} MiB`
}

function trimEnd(bytes: Buffer): Buffer {
  return bytes[bytes.length - 1] === 13 ? bytes.subarray(0, -1) : bytes
}

/** Lines put together again, in one piece of memory however many there are. */
export class LineBuffer {
  #bytes = Buffer.alloc(1024)
  /** Bytes so far, with a line end for each line. */
  size = 0

  add(line: Buffer): void {
    const size = this.size + line.length + 1
    if (size > this.#bytes.length) {
      const larger = Buffer.alloc(2 * size)
      this.#bytes.copy(larger, 0, 0, this.size)
      this.#bytes = larger
    }
    line.copy(this.#bytes, this.size)
    this.#bytes[size - 1] = 10
    this.size = size
  }

  /** What was added, which lives until the next is; nothing is left. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.size)
    this.size = 0
    return bytes
  }
}

/** The problem of a row that is longer than allowed, shown by its start; `size` where it is known. */
export function tooLong(start: Buffer, limit: number, size?: number): Problem {
  const what = size === undefined ? 'The row' : `The line of ${showBytes(size)}`
  const message = `${what} is longer than allowed: ${showBytes(limit)} at most`
  return problem('too-long', message, {
    text: cut(start.toString('utf8', 0, KEPT)),
    hint: 'Split it into rows, or raise maxRowBytes if the memory allows it.',
  })
}
