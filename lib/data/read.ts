// The entry to all readers: data of any kind in, numbered rows out.
import { isPromise, isUint8Array } from 'node:util/types'
import { GptloomError, wrongType } from '../errors.js'
import { detect, recordNames, rowFormat } from './formats/detect.js'
import type { Detected } from './formats/detect.js'
import { findSources } from './formats/find.js'
import type { Source } from './formats/find.js'
import { Input, fileChunks } from './formats/input.js'
import type { Chunks } from './formats/input.js'
import { notice, slackNotice } from './formats/notice.js'
import type { Notice } from './formats/notice.js'
import { asProblem, readBytes, shapeRows } from './formats/open.js'
import { MAX_ROW, checkOptions, checkSignal } from './formats/options.js'
import type { ReadOptions } from './formats/options.js'
import { FileProblem, problem } from './formats/problem.js'
import { Rows } from './formats/reader.js'
import type { Raw } from './formats/reader.js'
import { readSlack } from './helpdesk/slack.js'
import type { Row } from './record.js'

export type { Columns, Meaning } from './formats/columns.js'
export type { Container, Format } from './formats/detect.js'
export type { Notice } from './formats/notice.js'
export type { ReadOptions } from './formats/options.js'
export type { RowFormat } from './formats/shapes.js'

/**
 * Paths of files, folders and globs ('-' is standard input), records from code, or a stream of
 * bytes. A list of nothing but strings is a list of paths; texts come from any other iterable.
 */
export type Data = string | Iterable<unknown> | AsyncIterable<unknown>

/**
 * Reads rows from whatever people have: an example of each row, or what is wrong with it. A broken
 * row costs that row only; what is wrong with a whole file (unreadable, cut off, of no known
 * format) is its last row. Memory is bounded by maxRowBytes, not by the data. Each file is
 * recognised by itself.
 *
 * @throws TypeError or RangeError for mistakes in the options; GptloomError('ERR_FILE') when a path
 *   is missing or a folder cannot be read, ERR_DATA when a folder or glob has no data, or a package
 *   is not installed; AbortError; and what an iterable from code throws itself
 */
export async function* readRows(
  data: Data,
  options: ReadOptions = {},
): AsyncGenerator<Row, void, void> {
  for await (const batch of readBatches(data, options)) for (const row of batch) yield row
}

/** As readRows, with the rows in batches as they were read: a good deal faster for small rows. */
export async function* readBatches(
  data: Data,
  options: ReadOptions = {},
): AsyncGenerator<Row[], void, void> {
  checkOptions(options)
  const paths = toPaths(data)
  if (!paths) {
    yield* readIterable(data as Iterable<unknown>, options)
    return
  }
  const sources = await findSources(paths)
  const totalBytes = sources.reduce((sum, { bytes }) => sum + bytes, 0)
  let bytes = 0
  for (const source of sources) {
    const onBytes = (count: number) => {
      checkSignal(options.signal)
      bytes += count
      options.onProgress?.({ file: source.path, bytes, totalBytes })
    }
    yield* readSource(source, options, onBytes)
  }
}

/**
 * What a file is taken for by readRows, with the line that says so.
 *
 * @throws GptloomError('ERR_FILE') when it cannot be read, ERR_DATA when it cannot be told
 */
export async function detectFormat(
  path: string,
  options: Pick<ReadOptions, 'format' | 'columns'> = {},
): Promise<Notice> {
  checkOptions(options)
  const [source] = await findSources([path])
  if (source?.kind === 'slack') return slackNotice(source.path)
  if (source?.kind !== 'file') throw wrongType('the path of a file', 'path', path)
  let input: Input | undefined
  try {
    input = await Input.open(fileChunks(source.path), MAX_ROW)
    return notice(source.path, await detect(source.path, input.head, input.complete, options))
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error
    const { message, hint } = error.problem
    throw new GptloomError('ERR_DATA', `${path}: ${message}. ${hint ?? ''}`.trim())
  } finally {
    await input?.close()
  }
}

/** @returns undefined for records */
export function toPaths(data: Data): string[] | undefined {
  if (typeof data === 'string') return [data]
  const isIterable = typeof data === 'object' && data !== null
  if (!isIterable || !(Symbol.iterator in data || Symbol.asyncIterator in data)) {
    throw wrongType('paths or an iterable of records', 'data', data)
  }
  if (!Array.isArray(data) || data.some((item) => typeof item !== 'string')) return undefined
  if (data.length === 0) throw wrongType('at least one path or record', 'data', data)
  return data as string[]
}

async function* readSource(
  source: Source,
  options: ReadOptions,
  onBytes: (count: number) => void,
): AsyncGenerator<Row[]> {
  if (source.kind === 'slack') return yield* readSlackFolder(source.path, options, onBytes)
  const file = source.kind === 'stdin' ? 'stdin' : source.path
  const chunks =
    source.kind === 'stdin' ? stdinChunks(options, onBytes) : fileChunks(source.path, onBytes)
  yield* readBytes(file, chunks, options, source.kind === 'file')
}

async function* stdinChunks(options: ReadOptions, onBytes: (count: number) => void): Chunks {
  for await (const chunk of (options.stdin ?? process.stdin) as AsyncIterable<Uint8Array>) {
    onBytes(chunk.length)
    yield Buffer.from(chunk)
  }
}

async function* readSlackFolder(
  folder: string,
  options: ReadOptions,
  onBytes: (count: number) => void,
): AsyncGenerator<Row[]> {
  const { agents, pause = 12, maxRowBytes: limit = MAX_ROW } = options
  options.onNotice?.(slackNotice(folder))
  const files = new Map<string, Rows>()
  const rowsOf = (file: string) => files.get(file) ?? files.set(file, new Rows(file)).get(file)!
  try {
    for await (const batch of readSlack(folder, { limit, pause, agents, onBytes })) {
      yield batch.map(({ file, line, outcome }) => rowsOf(file).give(line, outcome))
    }
  } catch (error) {
    const found = asProblem(error)
    if (!found) throw error
    yield [rowsOf(folder).give(found.line, found.problem)]
  }
}

/** Records that are held until the first ones have told what they are. */
const FIRST = 20
const BATCH = 256

async function* readIterable(
  data: Iterable<unknown> | AsyncIterable<unknown>,
  options: ReadOptions,
): AsyncGenerator<Row[]> {
  const file = 'records'
  const iterator =
    Symbol.asyncIterator in data ? data[Symbol.asyncIterator]() : data[Symbol.iterator]()
  const first: unknown[] = []
  let done = false
  try {
    while (!done && first.length < FIRST && !isUint8Array(first[0])) {
      const next = await take(iterator)
      if (next) first.push(next.value)
      else done = true
    }
    const all = rest(first, done, iterator, options.signal)
    if (isUint8Array(first[0])) {
      yield* readBytes('stream', bytesOf(all), options, false)
      done = true
    } else yield* readRecords(file, first, all, options)
    done = true
  } finally {
    if (!done) await iterator.return?.()
  }
}

async function* readRecords(
  file: string,
  first: readonly unknown[],
  all: AsyncIterable<Raw>,
  options: ReadOptions,
): AsyncGenerator<Row[]> {
  const rows = new Rows(file)
  let detected: Detected
  try {
    if (first.length === 0) throw new FileProblem(problem('empty', 'There are no records'))
    detected = rowFormat('jsonl', recordNames(first) ?? [], options)
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error
    yield [rows.give(0, error.problem)]
    return
  }
  options.onNotice?.(notice(file, detected))
  yield* shapeRows(inBatches(all), detected, rows, options.agents)
}

async function* bytesOf(all: AsyncIterable<Raw>): Chunks {
  for await (const { record } of all) yield (record as { value: Buffer }).value
}

async function* inBatches(all: AsyncIterable<Raw>): AsyncGenerator<Raw[]> {
  let batch: Raw[] = []
  for await (const raw of all) {
    batch.push(raw)
    if (batch.length < BATCH) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

async function* rest(
  first: readonly unknown[],
  done: boolean,
  iterator: Iterator<unknown> | AsyncIterator<unknown>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Raw> {
  for (const value of first) yield { line: 0, record: { value } }
  while (!done) {
    checkSignal(signal)
    const next = await take(iterator)
    if (!next) return
    yield { line: 0, record: next }
  }
}

/** The next value, in an object: a value that is awaited or yielded is asked for its `then`, and may throw. */
async function take(
  iterator: Iterator<unknown> | AsyncIterator<unknown>,
): Promise<{ value: unknown } | undefined> {
  const { done, value } = await iterator.next()
  if (done) return undefined
  return { value: isPromise(value) ? await value : (value as unknown) }
}
