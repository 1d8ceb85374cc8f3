import type { Chunks } from './input.js'
import { splitLines, tooLong } from './lines.js'
import type { Raw } from './reader.js'
import { parseValue } from './value.js'

/** One JSON value a line; blank lines count for nothing. */
export async function* readJsonl(chunks: Chunks, limit: number): AsyncGenerator<Raw[]> {
  for await (const lines of splitLines(chunks, limit)) {
    const batch: Raw[] = []
    for (const { number: line, bytes, tooLong: size } of lines) {
      if (size !== undefined) batch.push({ line, record: tooLong(bytes, limit, size) })
      else if (!isBlank(bytes)) batch.push({ line, record: parseValue(bytes) })
    }
    if (batch.length > 0) yield batch
  }
}

export function isBlank(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte !== 32 && byte !== 9 && byte !== 13) return false
  return true
}
