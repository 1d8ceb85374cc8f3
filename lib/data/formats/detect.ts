// Tells what a file is from its name and its first bytes.
import { isWhatsApp, guessOrder } from '../helpdesk/whatsapp.js'
import type { DateOrder } from '../helpdesk/whatsapp.js'
import { signature } from '../text.js'
import { unknownColumn } from './columns.js'
import type { Columns } from './columns.js'
import { isFields } from './fields.js'
import { HEAD } from './input.js'
import { tableRows } from './csv.js'
import { readJson } from './json.js'
import { parquetNames } from './parquet.js'
import { FileProblem, isProblem, problem } from './problem.js'
import { ROW_FORMATS, guessRows } from './shapes.js'
import type { RowFormat } from './shapes.js'
import { formatOf } from './columns.js'
import { namesAtStart } from './names.js'
import { shaped } from './reader.js'
import { parseValue } from './value.js'

/** How a file is laid out. */
export type Container = 'jsonl' | 'json' | 'csv' | 'tsv' | 'parquet' | Whole
/** Formats that are a layout and a meaning at once. */
export type Whole = 'document' | 'mbox' | 'whatsapp' | 'slack'

/**
 * What may be asked for: a layout (the meaning of rows is told from their names), or a meaning
 * (the layout is told from the file).
 */
export type Format = Container | RowFormat

export const CONTAINERS: readonly Container[] = [
  'jsonl',
  'json',
  'csv',
  'tsv',
  'parquet',
  'document',
  'mbox',
  'whatsapp',
  'slack',
]
export const FORMATS: readonly Format[] = [...CONTAINERS, ...ROW_FORMATS]

/** What a file was found to be. */
export interface Detected {
  container: Container
  /** What its rows mean. */
  format: RowFormat | Whole
  /** What columns were taken for, where their names are not the format's own. */
  columns?: Columns
  /** Between the fields of a table. */
  delimiter?: string
  /** Names of a table's columns where it has none of its own: their numbers. */
  names?: readonly string[]
  /** The name of the list that holds the rows, in a JSON file that is an object. */
  list?: string
  /** The order of the dates in a chat. */
  dates?: DateOrder
  /** Whether the meaning was guessed from names that are not the format's own. */
  guessed: boolean
}

export interface Wanted {
  format?: Format
  columns?: Columns
}

/** Rows that are looked at for their names. */
const LOOKED_AT = 20

/**
 * Decides by the name of a file and its first bytes.
 *
 * @param head the first bytes, unpacked; all when `complete`
 * @throws FileProblem when it cannot be told, or cannot be read at all
 */
export async function detect(
  name: string,
  head: Buffer,
  complete: boolean,
  wanted: Wanted = {},
): Promise<Detected> {
  const container = await findContainer(name, head, complete, wanted)
  switch (container) {
    case 'jsonl':
      return rowFormat(container, lineNames(head, complete), wanted)
    case 'json':
      // One without line ends may have come with far more than it takes.
      return jsonFormat(head.subarray(0, HEAD), wanted)
    case 'csv':
    case 'tsv':
      return tableFormat(container, head, complete, wanted)
    case 'parquet':
      return rowFormat(container, await parquetNames(name), wanted)
    case 'whatsapp': {
      const lines = headLines(head, complete)
      return { container, format: container, dates: guessOrder(lines), guessed: true }
    }
    default:
      return { container, format: container, guessed: false }
  }
}

const BY_EXTENSION: Readonly<Record<string, Container>> = {
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  json: 'json',
  csv: 'csv',
  tsv: 'tsv',
  tab: 'tsv',
  parquet: 'parquet',
  mbox: 'mbox',
  eml: 'mbox',
  md: 'document',
  markdown: 'document',
  txt: 'document',
  text: 'document',
}

async function findContainer(
  name: string,
  head: Buffer,
  complete: boolean,
  { format, columns }: Wanted,
): Promise<Container> {
  if (head.length === 0)
    throw new FileProblem(problem('empty', 'The file is empty', { hint: 'Leave it out.' }))
  const isParquet = head.toString('latin1', 0, 4) === 'PAR1'
  const known = signature(head)
  if (known && !isParquet) throw notReadable(`This is ${known}`)
  const asked = CONTAINERS.find((container) => container === format)
  const extension = /\.([a-z]+)$/.exec(name.toLowerCase().replace(/\.gz$/, ''))?.[1] ?? ''
  const named = Object.hasOwn(BY_EXTENSION, extension) ? BY_EXTENSION[extension] : undefined
  const container = isParquet ? 'parquet' : (asked ?? named)
  if (container === 'parquet') {
    if (isParquet) return container
    throw notReadable('This is no Parquet file: it does not begin with PAR1')
  }
  if (asked) return asked
  if (isBinary(head, container)) throw notReadable('This is no text: it has NUL bytes')
  const start = head.toString('utf8', 0, 100).trimStart()[0]
  if (container === 'jsonl' || container === 'json') {
    return start === '[' || !isLines(head, container) ? 'json' : 'jsonl'
  }
  if (container && extension !== 'txt' && extension !== 'text') return container
  if (isWhatsApp(headLines(head, complete).filter((line) => line.trim()))) return 'whatsapp'
  // Rows of a known meaning are asked for, so this is no running text.
  const hasRows = columns !== undefined || format !== undefined
  if (container && !hasRows) return container
  if (start === '{' || (start === '[' && /^\s*\[\s*[[{"\]]/.test(head.toString('utf8', 0, 1000)))) {
    return start === '[' || !isLines(head, container) ? 'json' : 'jsonl'
  }
  if (/^From \S/.test(head.toString('latin1', 0, 10))) return 'mbox'
  if (hasRows || (await isTable(head, complete))) return 'csv'
  return 'document'
}

function notReadable(message: string): FileProblem {
  return new FileProblem(problem('format', message, { hint: 'Give it as text, CSV or JSON.' }))
}

/** A NUL in a document says that it is none; rows are checked one by one, unless many have some. */
function isBinary(head: Buffer, container: Container | undefined): boolean {
  const start = head.subarray(0, 8000)
  let nuls = 0
  for (const byte of start) if (byte === 0) nuls++
  const isRows =
    container !== 'document' && (container || /^\s*[[{]/.test(start.toString('latin1')))
  return nuls > (isRows ? start.length / 20 : 0)
}

/** Whether JSON stands in lines: the first one that has something in it is whole, and not alone. */
function isLines(head: Buffer, named: Container | undefined): boolean {
  const text = head.toString('utf8').trim()
  const end = text.indexOf('\n')
  // One line alone may be an export with all rows in it.
  if (end < 0) return named === 'jsonl'
  return isWhole(text.slice(0, end)) || !/^\s*[[{]?\s*$/.test(text.slice(0, end))
}

function isWhole(line: string): boolean {
  return !isProblem(parseValue(Buffer.from(line.trim())))
}

/** The lines of the head that are whole. */
function headLines(head: Buffer, complete: boolean): string[] {
  const lines = head.toString('utf8').split(/\r?\n/)
  if (!complete && lines.length > 1) lines.pop()
  return lines
}

/** The names in the first rows; those of the first come first. */
function lineNames(head: Buffer, complete: boolean): string[] | 'text' {
  const records: unknown[] = []
  for (const line of headLines(head, complete)) {
    if (records.length >= LOOKED_AT) break
    const parsed = line.trim() ? parseValue(Buffer.from(line)) : undefined
    if (parsed && !isProblem(parsed)) records.push(parsed.value)
  }
  return recordNames(records) ?? namesAtStart(head.toString('utf8')).map(({ name }) => name)
}

/** @returns undefined when no record has names that can be read */
export function recordNames(records: readonly unknown[]): string[] | 'text' | undefined {
  if (typeof records[0] === 'string') return 'text'
  const names = new Set(
    records.flatMap((record) => {
      // What cannot be read says what is wrong with it as a row.
      const found = shaped(record, (value) => (isFields(value) ? Object.keys(value) : []))
      return isProblem(found) ? [] : found.slice(0, 1000)
    }),
  )
  return names.size > 0 ? [...names] : undefined
}

async function firstElements(head: Buffer, list?: string): Promise<unknown[]> {
  const records: unknown[] = []
  const chunks = (async function* () {
    yield head
  })()
  for await (const batch of readJson(chunks, head.length, list)) {
    for (const { record } of batch) if (!isProblem(record)) records.push(record.value)
    if (records.length >= LOOKED_AT) break
  }
  return records.slice(0, LOOKED_AT)
}

/** Rows of a JSON file: the elements of its list, or its objects, or of a list in its object. */
async function jsonFormat(head: Buffer, wanted: Wanted): Promise<Detected> {
  const text = head.toString('utf8')
  const isList = text.trimStart()[0] === '['
  const names = namesAtStart(text)
  if (!isList) {
    const own = guessRows(names.map(({ name }) => name))
    // Exports are objects with a list in them; only conversations could be a row of its own.
    for (const { name, opens } of own && own.format !== 'sharegpt' ? [] : names) {
      if (!opens) continue
      const found = recordNames(await firstElements(head, name))
      if (!found || found === 'text') continue
      const isTurn = found.includes('from') || found.includes('role') || found.includes('value')
      if (isTurn || (!guessRows(found) && !wanted.columns)) continue
      return { ...rowFormat('json', found, wanted), list: name }
    }
  }
  const found = recordNames(await firstElements(head))
  return rowFormat('json', found ?? names.map(({ name }) => name), wanted)
}

async function tableFormat(
  container: 'csv' | 'tsv',
  head: Buffer,
  complete: boolean,
  wanted: Wanted,
): Promise<Detected> {
  const delimiter = container === 'tsv' ? '\t' : guessDelimiter(head)
  const first = (await firstRows(head, complete, delimiter))[0] ?? ['']
  const numbered = Object.values(wanted.columns ?? {}).some((name) => typeof name === 'number')
  const names = numbered ? first.map((_, i) => String(i + 1)) : first.map((name) => name.trim())
  const detected = rowFormat(container, names, wanted)
  return { ...detected, delimiter, ...(numbered && { names }) }
}

async function firstRows(head: Buffer, complete: boolean, delimiter: string): Promise<string[][]> {
  const chunks = (async function* () {
    yield head
  })()
  const rows: string[][] = []
  for await (const batch of tableRows(chunks, { delimiter, limit: head.length })) {
    for (const { fields } of batch) {
      if (!Array.isArray(fields) && rows.length === 0) throw new FileProblem(fields, 1)
      if (Array.isArray(fields)) rows.push(fields)
    }
    break // what comes after the whole rows is one that was cut off
  }
  return complete || rows.length < 2 ? rows : rows.slice(0, -1)
}

const DELIMITERS = [',', ';', '\t', '|']

/** The delimiter that the first line has most of, outside of quotes. */
function guessDelimiter(head: Buffer): string {
  const line = head
    .toString('utf8', 0, 64 << 10)
    .trimStart()
    .split('\n', 1)[0]!
  const bare = line.replace(/"[^"]*"/g, '')
  const counts = DELIMITERS.map((delimiter) => bare.split(delimiter).length)
  return DELIMITERS[counts.indexOf(Math.max(...counts))]!
}

/** Whether text without a telling name is a table: names that mean something, rows of one width. */
async function isTable(head: Buffer, complete: boolean): Promise<boolean> {
  const delimiter = guessDelimiter(head)
  const rows = await firstRows(head, complete, delimiter).catch(() => [])
  const [names, ...others] = rows
  if (!names || names.length < 2 || others.length === 0) return false
  const fits = others.slice(0, LOOKED_AT).every((row) => row.length === names.length)
  return fits && guessRows(names) !== undefined
}

/** What rows with these names mean, unless the user says so. */
export function rowFormat(
  container: Container,
  names: readonly string[] | 'text',
  { format, columns }: Wanted,
): Detected {
  const asked = ROW_FORMATS.find((row) => row === format)
  if (names === 'text') return { container, format: asked ?? 'text', guessed: false }
  if (columns) {
    const unknown = names.length > 0 && unknownColumn(columns, names)
    if (unknown) {
      throw new FileProblem(problem('columns', unknown, { hint: 'Name columns as the file does.' }))
    }
    return { container, format: asked ?? formatOf(Object.keys(columns))!, columns, guessed: false }
  }
  const isTable = container === 'csv' || container === 'tsv' || container === 'parquet'
  // A table of one column has only one thing to learn from.
  const only = isTable && names.length === 1 && names[0] ? names[0] : undefined
  const guess =
    guessRows(names) ?? (only ? { format: 'text' as const, columns: { text: only } } : undefined)
  if (asked && guess?.format !== asked) return { container, format: asked, guessed: false }
  if (guess) return { container, ...guess, guessed: guess.columns !== undefined }
  const found =
    names.length > 0 ? `names: ${names.slice(0, 20).join(', ')}` : 'no names in the first rows'
  throw new FileProblem(
    problem('format', `Cannot tell what the rows mean: ${found}`, {
      hint:
        'Say which are the prompt and the answer, or the text: ' +
        "columns: { prompt: '...', completion: '...' }",
    }),
  )
}
