// Whole files: read, changed and written as they stream by.
import { stat } from 'node:fs/promises'
import { Readable, pipeline } from 'node:stream'
import { createGzip } from 'node:zlib'
import { GptloomError, outOfRange, wrongType } from '../errors.js'
import { writeFileAtomic } from '../files.js'
import { CsvSplitter, JsonSplitter, PlainSplitter } from './parts.js'
import type { Part, Splitter } from './parts.js'
import type { Pseudonyms } from './pseudonyms.js'
import { openSource, readPieces } from './reader.js'
import { Scrubber } from './scrubber.js'
import type { ScrubOptions } from './scrubber.js'
import { TextScrubber } from './stream.js'
import { Summary } from './summary.js'
import type { KindSummary } from './summary.js'

export const formats = ['text', 'jsonl', 'json', 'csv', 'tsv'] as const
export type Format = (typeof formats)[number]

/** What scrubFile() takes. */
export interface ScrubFileOptions extends ScrubOptions {
  /** Default: by the name of the input without .gz; text where that says nothing. */
  format?: Format
  /** Whether a file that is there already is replaced. Never the input. Default false. */
  overwrite?: boolean
  /** Is told of the bytes read so far. */
  onProgress?: (bytes: number) => void
}

/** What scrubFile() found and did. */
export interface ScrubReport {
  format: Format
  /** Read, as they stand in the file. */
  bytes: number
  /** Line ends of the input, outside of quoted fields. */
  rows: number
  /** Rows (of text: lines) left out since something in them has the operator 'drop'. */
  dropped: number
  /** Rows that are not what the format says: they were treated as plain text. */
  malformed: number
  /** How many things were found. */
  findings: number
  kinds: KindSummary[]
  /** Found where it had to stay: in names of fields, and as numbers outside of strings. */
  left: KindSummary[]
  seconds: number
}

/** How texts change on their way: by a search, or back. */
interface Change {
  /** Whether rows may have to go. */
  mayDrop: boolean
  value(text: string, label: string): Changed | Promise<Changed>
  /** For a text in parts; undefined while nothing is ready. */
  open(): { push(text: string, last: boolean): Promise<Changed | undefined> }
  fixed(text: string, label: string): void
}

interface Changed {
  text: string
  drop: boolean
}

/**
 * Scrubs a file: text, or JSON Lines, JSON, CSV and TSV, in which only the texts change. It may be
 * compressed with gzip, and the output is where its name ends in .gz. Memory does not grow with the
 * file, but for pseudonyms: about 200 bytes for each different text that has one.
 *
 * @param input a path, or '-' for standard input
 * @param output a path, or '-' for standard output; it appears when it is whole
 * @throws GptloomError('ERR_OUTPUT_EXISTS') when the output is there already or is the input,
 *   ERR_FILE when the file system refuses, ERR_DATA or ERR_FORMAT when the input cannot be read
 */
export async function scrubFile(
  input: string,
  output: string,
  options: ScrubFileOptions = {},
): Promise<ScrubReport> {
  const { format: given, overwrite, onProgress, ...rest } = options
  const started = performance.now()
  const scrubber = new Scrubber(rest)
  const format = chooseFormat(input, given)
  if (scrubber.mayDrop && format === 'json')
    throw outOfRange(
      'a format with rows (jsonl, csv, text) where rows are dropped',
      'format',
      format,
    )
  const summary = new Summary()
  const left = new Summary()
  let dropped = 0
  const change: Change = {
    mayDrop: scrubber.mayDrop && format !== 'text',
    value(text, label) {
      const count = (result: {
        text: string
        drop: boolean
        findings: Parameters<Summary['add']>[1]
      }) => {
        summary.add(text, result.findings)
        return result
      }
      if (!scrubber.names) return count(scrubber.scrub(text, label))
      return scrubber.scrubLater(text, label).then(count)
    },
    open() {
      const stream = new TextScrubber(scrubber, format === 'text')
      return {
        async push(text, last) {
          const piece = await stream.push(text, last)
          if (!piece) return undefined
          summary.add(piece.source, piece.findings)
          dropped += piece.dropped
          return { text: piece.text, drop: scrubber.drops(piece.findings) }
        },
      }
    },
    fixed: (text, label) => left.add(text, scrubber.finder.findLabelled(text, label)),
  }
  const counts = await convert(input, output, format, change, { overwrite, onProgress })
  return {
    format,
    ...counts,
    dropped: dropped + counts.dropped,
    findings: summary.total,
    kinds: summary.kinds,
    left: left.kinds,
    seconds: (performance.now() - started) / 1000,
  }
}

const LONGEST_STAND_IN = 512

/**
 * Puts the originals back in the place of their stand-ins: what scrubFile() did with the operator
 * 'pseudonym', for who has the key file.
 *
 * @throws as scrubFile()
 */
export async function reverseFile(
  input: string,
  output: string,
  pseudonyms: Pseudonyms,
  options: Pick<ScrubFileOptions, 'format' | 'overwrite' | 'onProgress'> = {},
): Promise<{ bytes: number; rows: number; malformed: number }> {
  const change: Change = {
    mayDrop: false,
    value: (text) => ({ text: pseudonyms.reverse(text), drop: false }),
    open() {
      let held = ''
      return {
        async push(text, last) {
          held += text
          if (!last && held.length < 2 * LONGEST_STAND_IN) return undefined
          // Nothing that is whole after a line end or far before the end can be cut.
          const end = last ? held.length : cutOutside(held, pseudonyms)
          const ready = held.slice(0, end)
          held = held.slice(end)
          return { text: pseudonyms.reverse(ready), drop: false }
        },
      }
    },
    fixed() {},
  }
  const format = chooseFormat(input, options.format)
  const { bytes, rows, malformed } = await convert(input, output, format, change, options)
  return { bytes, rows, malformed }
}

/** A place well before the end that lies in no stand-in. */
function cutOutside(text: string, pseudonyms: Pseudonyms): number {
  const near = text.length - LONGEST_STAND_IN
  for (let at = near; at > near - LONGEST_STAND_IN; at--) {
    if (!/\s/.test(text[at]!)) continue
    const around = text.slice(Math.max(0, at - LONGEST_STAND_IN), at + LONGEST_STAND_IN)
    const split = Math.min(at, LONGEST_STAND_IN)
    const parts =
      pseudonyms.reverse(around.slice(0, split)) + pseudonyms.reverse(around.slice(split))
    if (parts === pseudonyms.reverse(around)) return at
  }
  return near
}

function chooseFormat(input: string, given: unknown): Format {
  if (given !== undefined) {
    if (!(formats as readonly unknown[]).includes(given))
      throw outOfRange(`one of ${formats.join(', ')}`, 'format', given)
    return given as Format
  }
  const extension = /\.(\w+)(?:\.gz)?$/i.exec(input)?.[1]?.toLowerCase()
  if (extension === 'ndjson') return 'jsonl'
  return formats.find((format) => format === extension) ?? 'text'
}

function splitterFor(format: Format): Splitter {
  if (format === 'text') return new PlainSplitter()
  if (format === 'csv') return new CsvSplitter()
  return format === 'tsv' ? new CsvSplitter('\t') : new JsonSplitter()
}

const FLUSH = 1 << 18
const LONGEST_ROW = 1 << 24

/** Collects what goes out, and takes back the row that turns out to be dropped. */
class Rows {
  dropped = 0
  #ready: string[] = []
  #row: string[] = []
  #rowLength = 0
  #length = 0
  #drop = false

  constructor(readonly mayDrop: boolean) {}

  add(text: string): void {
    if (!this.mayDrop) {
      this.#ready.push(text)
      this.#length += text.length
      return
    }
    this.#row.push(text)
    this.#rowLength += text.length
    if (this.#rowLength > LONGEST_ROW)
      throw new GptloomError(
        'ERR_DATA',
        `A row of more than ${LONGEST_ROW >> 20} MB cannot be dropped as a whole: use another operator`,
      )
  }

  /** Lets the row that is under way go; where rows stay, lines have gone before. */
  drop(): void {
    this.#drop = this.mayDrop
  }

  end(): void {
    if (!this.mayDrop) return
    if (this.#drop) this.dropped++
    else {
      this.#ready.push(...this.#row)
      this.#length += this.#rowLength
    }
    this.#row = []
    this.#rowLength = 0
    this.#drop = false
  }

  /** What is ready, once it is enough or all that comes. */
  take(all: boolean): Buffer | undefined {
    if (this.#length === 0 || (!all && this.#length < FLUSH)) return undefined
    const bytes = Buffer.from(this.#ready.join(''))
    this.#ready = []
    this.#length = 0
    return bytes
  }
}

interface ConvertOptions {
  overwrite?: boolean
  onProgress?: (bytes: number) => void
}

async function convert(
  input: string,
  output: string,
  format: Format,
  change: Change,
  { overwrite = false, onProgress }: ConvertOptions,
): Promise<{ bytes: number; rows: number; malformed: number; dropped: number }> {
  if (typeof input !== 'string' || input === '') throw wrongType('a path', 'input', input)
  if (typeof output !== 'string' || output === '') throw wrongType('a path', 'output', output)
  const source = await openSource(input)
  const splitter = splitterFor(format)
  const rows = new Rows(change.mayDrop)
  let bytes = 0
  async function* contents(): AsyncGenerator<Buffer, void, void> {
    const count = (read: number) => {
      bytes += read
      onProgress?.(bytes)
    }
    const run = new Run(change, rows)
    for await (const text of readPieces(source, count)) {
      for (const part of splitter.push(text, false)) {
        const busy = run.take(part)
        if (busy) await busy
      }
      const ready = rows.take(false)
      if (ready) yield ready
    }
    for (const part of splitter.push('', true)) await run.take(part)
    rows.end()
    const ready = rows.take(true)
    if (ready) yield ready
  }
  try {
    if (output !== '-') await checkOutput(input, output, overwrite)
    const packed = /\.gz$/i.test(output) ? gzip(contents()) : contents()
    if (output === '-') await writeOut(packed)
    else await writeFileAtomic(output, packed)
  } finally {
    if (source.bytes instanceof Readable && source.bytes !== process.stdin) source.bytes.destroy()
  }
  return { bytes, rows: splitter.rows, malformed: splitter.malformed, dropped: rows.dropped }
}

/** Parts one after another, with the text that is under way. */
class Run {
  #text: ReturnType<Change['open']> | undefined

  constructor(
    readonly change: Change,
    readonly rows: Rows,
  ) {}

  /** A promise where there is something to wait for: for most parts there is not. */
  take(part: Part): Promise<void> | undefined {
    const { change, rows } = this
    if (part.type === 'copy') rows.add(part.text)
    else if (part.type === 'row') rows.end()
    else if (part.type === 'fixed') change.fixed(part.text, part.label)
    else if (part.type === 'value') {
      const result = change.value(part.text, part.label)
      if (result instanceof Promise) return result.then((changed) => this.#add(part, changed))
      this.#add(part, result)
    } else return this.#piece(part)
    return undefined
  }

  #add(part: Extract<Part, { type: 'value' }>, { text, drop }: Changed): void {
    if (drop) this.rows.drop()
    this.rows.add(text === part.text ? part.raw : part.encode(text))
  }

  async #piece({ text, last, encode }: Extract<Part, { type: 'piece' }>): Promise<void> {
    this.#text ??= this.change.open()
    const result = await this.#text.push(text, last)
    if (result?.drop) this.rows.drop()
    if (result) this.rows.add(encode(result.text))
    if (last) this.#text = undefined
  }
}

async function checkOutput(input: string, output: string, overwrite: boolean): Promise<void> {
  const there = await stat(output).catch(() => undefined)
  if (!there) return
  const from = input === '-' ? undefined : await stat(input)
  if (from && from.dev === there.dev && from.ino === there.ino)
    throw new GptloomError(
      'ERR_OUTPUT_EXISTS',
      `${output} is the input itself, which is never overwritten. Choose another name.`,
    )
  if (!overwrite)
    throw new GptloomError(
      'ERR_OUTPUT_EXISTS',
      `${output} exists already. Choose another name or pass \`overwrite: true\`.`,
    )
}

function gzip(contents: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const pack = createGzip()
  pipeline(Readable.from(contents), pack, () => {})
  return pack
}

async function writeOut(contents: AsyncIterable<Buffer>): Promise<void> {
  for await (const bytes of contents) {
    if (!process.stdout.write(bytes))
      await new Promise((resolve) => process.stdout.once('drain', resolve))
  }
}
