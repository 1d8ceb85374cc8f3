// From the bytes of one file to its rows.
import { GptloomError } from '../../errors.js'
import { readMbox } from '../helpdesk/mbox.js'
import type { ThreadRow } from '../helpdesk/mbox.js'
import { readTurns } from '../helpdesk/turns.js'
import { readWhatsApp } from '../helpdesk/whatsapp.js'
import type { Problem, Row } from '../record.js'
import { readTable } from './csv.js'
import { detect } from './detect.js'
import type { Detected } from './detect.js'
import { readDocument } from './document.js'
import { Input } from './input.js'
import type { Chunks } from './input.js'
import { readJson } from './json.js'
import { readJsonl } from './jsonl.js'
import { notice } from './notice.js'
import { MAX_ROW } from './options.js'
import type { ReadOptions } from './options.js'
import { readParquet } from './parquet.js'
import { FileProblem, problem } from './problem.js'
import { Rows } from './reader.js'
import type { Raw } from './reader.js'
import { shapeOf } from './shapes.js'
import type { RowFormat } from './shapes.js'

/** Rows of one stream of bytes. What ends it early becomes its last row. */
export async function* readBytes(
  file: string,
  chunks: Chunks,
  options: ReadOptions,
  isFile: boolean,
): AsyncGenerator<Row[]> {
  const rows = new Rows(file)
  let input: Input | undefined
  try {
    input = await Input.open(chunks, options.maxRowBytes ?? MAX_ROW)
    if (options.format === 'slack') throw new FileProblem(notSlack())
    // Parquet is read from its end: it takes a file, and as it is.
    const isPacked = /\.gz$/i.test(file)
    if ((!isFile || isPacked) && input.head.toString('latin1', 0, 4) === 'PAR1') {
      throw new FileProblem(
        problem('format', 'Parquet cannot be read from a stream', {
          hint: 'Save it as a file and give its path, not packed with gzip.',
        }),
      )
    }
    const detected = await detect(file, input.head, input.complete, options)
    options.onNotice?.(notice(file, detected))
    yield* readDetected(file, input, detected, options, rows)
  } catch (error) {
    const found = asProblem(error)
    if (!found) throw error
    yield [rows.give(found.line, found.problem)]
  } finally {
    await input?.close()
  }
}

/** What may go wrong with a file; nothing when it is no matter of the file. */
export function asProblem(error: unknown): { line: number; problem: Problem } | undefined {
  if (error instanceof FileProblem) return error
  if (!(error instanceof GptloomError) || error.code !== 'ERR_FILE') return undefined
  return {
    line: 0,
    problem: problem('file', error.message, { hint: 'The other files were read.' }),
  }
}

function notSlack(): Problem {
  const hint = 'Unpack the .zip and give the folder, which has channels.json in it.'
  return problem('format', 'A Slack export is a folder, not a file', { hint })
}

async function* readDetected(
  file: string,
  input: Input,
  detected: Detected,
  options: ReadOptions,
  rows: Rows,
): AsyncGenerator<Row[]> {
  const { container, delimiter = ',', names, list, columns } = detected
  const limit = options.maxRowBytes ?? MAX_ROW
  const { agents, pause = 12 } = options
  const wanted = columns && Object.values(columns).map(String)
  switch (container) {
    case 'jsonl':
      return yield* shapeRows(readJsonl(input, limit), detected, rows, agents)
    case 'json':
      return yield* shapeRows(readJson(input, limit, list), detected, rows, agents)
    case 'csv':
    case 'tsv':
      return yield* shapeRows(readTable(input, { delimiter, limit, names }), detected, rows, agents)
    case 'parquet':
      await input.close()
      return yield* shapeRows(readParquet(file, wanted), detected, rows, agents)
    case 'mbox':
      return yield* giveRows(readMbox(input, { limit, agents }), rows)
    case 'whatsapp': {
      const order = detected.dates ?? 'dmy'
      return yield* giveRows(readWhatsApp(input, { limit, order, pause, agents }), rows)
    }
    default:
      return yield* giveRows(readDocument(input, limit, file), rows)
  }
}

/** Records as rows of their meaning. */
export async function* shapeRows(
  batches: AsyncIterable<Raw[]>,
  { format, columns }: Detected,
  rows: Rows,
  agents?: readonly string[],
): AsyncGenerator<Row[]> {
  if (format === 'turns') return yield* giveRows(readTurns(batches, columns, agents), rows)
  const shape = shapeOf(format as Exclude<RowFormat, 'turns'>, columns)
  for await (const batch of batches) yield batch.map((raw) => rows.raw(raw, shape))
}

async function* giveRows(batches: AsyncIterable<ThreadRow[]>, rows: Rows): AsyncGenerator<Row[]> {
  for await (const batch of batches)
    yield batch.map(({ line, outcome }) => rows.give(line, outcome))
}
