// CSV as in RFC 4180, streamed, with the mistakes of real files found row by row.
import { isUtf8 } from 'node:buffer'
import type { Problem } from '../record.js'
import type { Chunks } from './input.js'
import { tooLong } from './lines.js'
import { FileProblem, problem } from './problem.js'
import { BATCH } from './reader.js'
import type { Raw } from './reader.js'
import { notUtf8 } from './value.js'

const QUOTE = 0x22
const NEWLINE = 0x0a
const RETURN = 0x0d
/** More columns than any table has; a header of so many is no header. */
const COLUMNS = 10_000

/** The fields of one row, or what is wrong with it. */
interface TableRow {
  line: number
  fields: string[] | Problem
}

export interface TableOptions {
  delimiter: string
  /** Longest row in bytes. */
  limit: number
  /** Names of the columns of a table that has no row of names. */
  names?: readonly string[]
}

/**
 * Reads a table whose first row names the columns; each row becomes an object without prototype,
 * so that a column may have any name. Rows end at LF or CRLF, blank lines count for nothing, a
 * field in quotes may hold delimiters, line ends and doubled quotes.
 *
 * A row whose quotes do not match is a problem, and the line behind its first one is the next row.
 */
export async function* readTable(chunks: Chunks, options: TableOptions): AsyncGenerator<Raw[]> {
  let names = options.names
  for await (const rows of tableRows(chunks, options)) {
    const batch: Raw[] = []
    for (const { line, fields } of rows) {
      if (!names) names = header(fields, line)
      else if (!Array.isArray(fields)) batch.push({ line, record: fields })
      else batch.push({ line, record: toRecord(fields, names) })
    }
    if (batch.length > 0) yield batch
  }
}

function header(fields: string[] | Problem, line: number): string[] {
  if (!Array.isArray(fields)) throw new FileProblem(fields, line)
  const names = fields.map((name) => name.trim())
  const twice = names.find((name, i) => name && names.indexOf(name) !== i)
  const message =
    names.length > COLUMNS
      ? `The first row has ${names.length} columns; ${COLUMNS} is the most`
      : twice !== undefined && `Two columns are named ${JSON.stringify(twice)}`
  if (!message) return names
  const hint = 'The first row must name the columns, each once.'
  throw new FileProblem(problem('columns', message, { text: fields.join(','), hint }), line)
}

function toRecord(fields: string[], names: readonly string[]): Raw['record'] {
  // Spreadsheets leave delimiters behind the last column.
  while (fields.length > names.length && fields[fields.length - 1] === '') fields.pop()
  if (fields.length !== names.length) {
    const count = (n: number) => `${n} ${n === 1 ? 'field' : 'fields'}`
    return problem('fields', `Expected ${count(names.length)}, found ${count(fields.length)}`, {
      text: fields.join(' | '),
      hint: 'A field with a delimiter, quote or line end in it must stand in double quotes.',
    })
  }
  const value = Object.create(null) as Record<string, string>
  for (let i = 0; i < names.length; i++) if (names[i]) value[names[i]!] = fields[i]!
  return { value }
}

/** The rows of a table as they are, the first one too. */
export async function* tableRows(
  chunks: Chunks,
  { delimiter, limit }: Pick<TableOptions, 'delimiter' | 'limit'>,
): AsyncGenerator<TableRow[]> {
  const mark = delimiter.charCodeAt(0)
  let bytes: Buffer = Buffer.alloc(0)
  let at = 0
  let line = 1
  let skipping = false // in the rest of a line that is too long
  const cutRows = (last: boolean): TableRow[] => {
    const rows: TableRow[] = []
    if (skipping) {
      const end = bytes.indexOf(NEWLINE, at)
      skipping = end < 0
      at = skipping ? bytes.length : end + 1
      if (!skipping) line++
    }
    while (at < bytes.length && rows.length < BATCH) {
      const row = findRow(bytes, at, mark, limit, last)
      if (!row) break
      const broken = row.broken && brokenRow(bytes, at, row, limit)
      const fields = broken ?? toFields(bytes.subarray(at, row.end), delimiter)
      if (fields) rows.push({ line, fields })
      line += row.lines
      at = row.next
      skipping = broken !== undefined && row.lines === 0 && !last
    }
    return rows
  }
  for await (const chunk of chunks) {
    bytes = at < bytes.length ? Buffer.concat([bytes.subarray(at), chunk]) : chunk
    at = 0
    for (let full = true; full;) {
      const rows = cutRows(false)
      if (rows.length > 0) yield rows
      full = rows.length === BATCH
    }
    bytes = Buffer.from(bytes.subarray(at)) // a copy, for the piece lives until the next
    at = 0
  }
  for (let rows = cutRows(true); rows.length > 0; rows = cutRows(true)) yield rows
}

interface Extent {
  /** Behind the row's last byte. */
  end: number
  /** Where the next row starts. */
  next: number
  /** Line ends up to there; 0 for a line whose end was not found. */
  lines: number
  broken?: Broken
}

/** A quote that is not closed, something behind a closing quote, too many bytes; and where. */
interface Broken {
  kind: 'open' | 'behind' | 'long'
  at: number
}

/** The row that starts at `start`; undefined when its end is not there yet. */
function findRow(
  bytes: Buffer,
  start: number,
  delimiter: number,
  limit: number,
  last: boolean,
): Extent | undefined {
  const stop = Math.min(bytes.length, start + limit + 1)
  const ended = last || bytes.length > start + limit // nothing more can be waited for
  let lines = 0
  let fieldStart = true
  for (let at = start; at < stop; at++) {
    const byte = bytes[at]!
    if (byte === NEWLINE) return { end: trimmed(bytes, start, at), next: at + 1, lines: lines + 1 }
    if (byte !== QUOTE || !fieldStart) {
      fieldStart = byte === delimiter
      continue
    }
    const opened = at
    for (at++; at < stop; at++) {
      if (bytes[at] === NEWLINE) lines++
      else if (bytes[at] === QUOTE && bytes[at + 1] !== QUOTE) break
      else if (bytes[at] === QUOTE) at++
    }
    if (at + 2 >= bytes.length && !ended) return undefined
    if (at >= stop) return firstLine(bytes, start, { kind: 'open', at: opened })
    const behind = bytes[at + 1]
    const isEnd = behind === RETURN && (bytes[at + 2] ?? NEWLINE) === NEWLINE
    if (behind !== undefined && behind !== delimiter && behind !== NEWLINE && !isEnd) {
      return firstLine(bytes, start, { kind: 'behind', at: at + 1 })
    }
    fieldStart = false
  }
  if (!ended) return undefined
  if (bytes.length > start + limit) return firstLine(bytes, start, { kind: 'long', at: stop })
  return { end: trimmed(bytes, start, stop), next: stop, lines }
}

/** A broken row is its first line, whatever it was meant to be. */
function firstLine(bytes: Buffer, start: number, broken: Broken): Extent {
  const end = bytes.indexOf(NEWLINE, start)
  if (end < 0) return { end: bytes.length, next: bytes.length, lines: 0, broken }
  return { end: trimmed(bytes, start, end), next: end + 1, lines: 1, broken }
}

function trimmed(bytes: Buffer, start: number, end: number): number {
  return end > start && bytes[end - 1] === RETURN ? end - 1 : end
}

function brokenRow(bytes: Buffer, start: number, row: Extent, limit: number): Problem {
  const { kind, at } = row.broken!
  const line = bytes.subarray(start, row.end)
  if (kind === 'long' || line.length > limit) return tooLong(line, limit)
  const before = bytes.toString('utf8', start, at)
  const column = [...before.slice(before.lastIndexOf('\n') + 1)].length + 1
  const below = before.split('\n').length - 1
  const message =
    kind === 'open'
      ? 'A quote is opened here and never closed'
      : 'Something stands behind the quote that closes a field'
  const hint =
    kind === 'open'
      ? 'Close the quote. The lines below were read as rows of their own.'
      : 'A quote inside of a field in quotes is written twice (""). The next line was read as a row.'
  const text = bytes.toString('utf8', Math.max(start, at - 20), at + 60).split('\n', below + 1)
  return problem('quote', message, { column, ...(below > 0 && { below }), text: text.pop(), hint })
}

function toFields(bytes: Buffer, delimiter: string): string[] | Problem | undefined {
  if (!isUtf8(bytes)) return notUtf8(bytes)
  const text = bytes.toString('utf8')
  if (text.trim() === '') return text.includes(delimiter) ? text.split(delimiter) : undefined
  const nul = text.indexOf('\0')
  if (nul >= 0) {
    const hint = 'The file is damaged, or no text at all.'
    return problem('nul', 'A NUL byte', { column: nul + 1, text: text.slice(0, nul), hint })
  }
  if (!text.includes('"')) return text.split(delimiter)
  const fields: string[] = []
  for (let at = 0; ; at++) {
    let end: number
    if (text[at] === '"') {
      end = at + 1
      while (text[end] !== undefined && (text[end] !== '"' || text[end + 1] === '"')) {
        end = text[end] === '"' ? end + 2 : end + 1
        const next = text.indexOf('"', end)
        end = next < 0 ? text.length : next
      }
      fields.push(text.slice(at + 1, end).replaceAll('""', '"'))
      end++
    } else {
      end = text.indexOf(delimiter, at)
      if (end < 0) end = text.length
      fields.push(text.slice(at, end))
    }
    if (end >= text.length) return fields
    at = end
  }
}
