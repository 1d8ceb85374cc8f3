import { isUtf8 } from 'node:buffer'
import type { Example, Problem } from '../record.js'
import type { Chunks } from './input.js'
import { LineBuffer, splitLines, tooLong } from './lines.js'
import { problem } from './problem.js'
import { notUtf8 } from './value.js'

/** Bytes after which a document is cut at the next empty line, and at any line at twice as many. */
const PIECE = 1 << 20

/**
 * Plain text: the file is one document. A long one becomes several, cut at paragraphs, that stay
 * on one side of a split. Line ends become LF.
 */
export async function* readDocument(
  chunks: Chunks,
  limit: number,
  file: string,
): AsyncGenerator<{ line: number; outcome: Example | Problem }[]> {
  const held = new LineBuffer()
  let start = 1
  let rows = 0
  const finish = (next: number) => {
    const outcome = toDocument(held.take().subarray(0, -1), file)
    const line = start
    start = next
    return outcome ? [{ line, outcome }] : []
  }
  for await (const lines of splitLines(chunks, limit)) {
    const batch: { line: number; outcome: Example | Problem }[] = []
    for (const { number, bytes, tooLong: long } of lines) {
      if (long !== undefined) {
        if (held.size > 0) batch.push(...finish(number + 1))
        start = number + 1
        batch.push({ line: number, outcome: tooLong(bytes, limit, long) })
        continue
      }
      held.add(bytes)
      if (held.size > 2 * PIECE || (held.size > PIECE && bytes.length === 0))
        batch.push(...finish(number + 1))
    }
    rows += batch.length
    if (batch.length > 0) yield batch
  }
  const last = held.size > 0 ? finish(0) : []
  if (last.length > 0) yield last
  else if (rows === 0) {
    const hint = 'Leave it out.'
    yield [{ line: 1, outcome: problem('empty', 'The file has nothing but blanks', { hint }) }]
  }
}

function toDocument(bytes: Buffer, file: string): Example | Problem | undefined {
  if (!isUtf8(bytes)) return notUtf8(bytes)
  const text = bytes.toString('utf8')
  const nul = text.indexOf('\0')
  if (nul >= 0) {
    const below = text.slice(0, nul).split('\n').length - 1
    return problem('nul', 'A NUL byte', {
      ...(below > 0 && { below }),
      text: text.slice(Math.max(0, nul - 30), nul),
      hint: 'The file is damaged, or no text at all.',
    })
  }
  return text.trim() === '' ? undefined : { kind: 'text', text, group: file }
}
