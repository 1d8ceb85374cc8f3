// Reads bytes in pieces of any size, for the tests of readers.
import * as assert from 'uvu/assert'
import { readRows } from '../../../lib/data/read.js'
import type { Notice, ReadOptions } from '../../../lib/data/read.js'
import type { Example, Problem, Row } from '../../../lib/data/record.js'

/** Bytes in pieces that are overwritten once the next is asked for, as the contract allows. */
export async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Buffer> {
  const piece = Buffer.alloc(size)
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size)
    piece.set(part)
    yield piece.subarray(0, part.length)
    piece.fill(0x21)
  }
}

/** All rows of a text, with a check that they are numbered without gaps, file by file. */
export async function collect(
  data: Parameters<typeof readRows>[0],
  options: ReadOptions = {},
): Promise<Row[]> {
  const rows: Row[] = []
  const counts = new Map<string, number>()
  for await (const row of readRows(data, options)) {
    const expected = (counts.get(row.origin.file) ?? 0) + 1
    assert.is(row.origin.row, expected, 'rows are numbered in order')
    counts.set(row.origin.file, expected)
    assert.is('example' in row, !('problem' in row), 'an example or a problem')
    rows.push(row)
  }
  return rows
}

export async function collectText(
  text: string | Uint8Array,
  options: ReadOptions = {},
  size = 1 << 16,
): Promise<Row[]> {
  return collect(pieces(Buffer.from(text as string), size), options)
}

/** The first row's example. */
export async function example(text: string, options: ReadOptions = {}): Promise<Example> {
  const [row] = await collectText(text, options)
  assert.ok(row && 'example' in row, `expected an example: ${JSON.stringify(row)}`)
  return (row as { example: Example }).example
}

/** The first row's problem. */
export async function problemOf(text: string, options: ReadOptions = {}): Promise<Problem> {
  const [row] = await collectText(text, options)
  assert.ok(row && 'problem' in row, `expected a problem: ${JSON.stringify(row)}`)
  return (row as { problem: Problem }).problem
}

/** What a row came to, in short: 'line:text' or 'line:!code'. */
export function brief(rows: readonly Row[]): string[] {
  return rows.map((row) => {
    if ('problem' in row) return `${row.origin.line}:!${row.problem.code}`
    const { example } = row
    const said =
      example.kind === 'text'
        ? example.text
        : example.kind === 'completion'
          ? `${example.prompt}>${example.completion}`
          : example.messages.map(({ content }) => content).join('>')
    return `${row.origin.line}:${said}`
  })
}

/** The notices of a run. */
export async function notices(
  data: Parameters<typeof readRows>[0],
  options: ReadOptions = {},
): Promise<Notice[]> {
  const found: Notice[] = []
  await collect(data, { ...options, onNotice: (notice) => found.push(notice) })
  return found
}
