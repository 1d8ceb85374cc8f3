// From clean rows to a file of examples and the ledger of what became of each row.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AbortError, GptloomError } from '../errors.js'
import { guarded, readJson, writeFileAtomic } from '../files.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { Crew } from './crew.js'
import { ExampleFile, ExampleWriter } from './examples.js'
import type { ExampleOrigin } from './examples.js'
import { Ledger } from './ledger.js'
import { Numbers } from './numbers.js'
import type { LedgerSummary } from './ledger.js'
import type { Origin } from './record.js'
import type { RenderSettings } from './render.js'
import type { Spool } from './spool.js'
import { Splitter } from './split.js'
import type { SplitOptions } from './split.js'
import { RowTokenizer, packSettings } from './tokenize.js'
import type { Tokenized, TokenizedRow } from './tokenize.js'

export interface EncodeOptions extends RenderSettings {
  spool: Spool
  tokenizer: Tokenizer
  /** Where examples.* and ledger.jsonl are put; made when it is not there. */
  folder: string
  split: SplitOptions
  signal?: AbortSignal
  /** For each source the number of the path that led to it; kept for later. */
  pathOf?: (file: string) => number
  /** Told what was decided on the way. */
  onNotice?: (message: string) => void
  /** Called from time to time with the rows done. */
  onProgress?: (done: number) => void
  /** Threads that tokenize beside the calling one, default 0. What comes out is the same. */
  helpers?: number
}

/** Examples ready for training. */
export interface EncodedExamples {
  file: ExampleFile
  ledger: LedgerSummary
  /** The sources that origins name by their number. */
  sources: string[]
  /** For each source the number of the path that led to it, -1 for none. */
  paths: number[]
  /** The context that examples were cut to. */
  context: number
  /** How many rows were conversations. */
  chats: number
}

const NAME = 'examples'
/** Written last: examples without it are not whole. */
export const RECORD = 'examples.json'

/**
 * Tokenizes rows, splits them and keeps the ledger.
 * @throws GptloomError ERR_DATA when nothing is left to learn from, or, as asked, for the first row
 *   that is too long; ERR_FILE; AbortError. Nothing is left behind then.
 */
export async function encodeExamples(options: EncodeOptions): Promise<EncodedExamples> {
  const { tokenizer, folder, split, signal } = options
  await guarded(folder, 'create', mkdir(folder, { recursive: true }))
  const writer = await ExampleWriter.create(folder, NAME, tokenizer.size)
  const ledger = await Ledger.open(join(folder, 'ledger.jsonl'))
  const encoder = new Encoder(options, writer, ledger)
  try {
    let done = 0
    for await (const tokenized of tokenizeAll(options)) {
      if (signal?.aborted)
        throw new AbortError('Stopped while the rows were encoded', undefined, {
          cause: signal.reason,
        })
      await encoder.add(tokenized)
      options.onProgress?.((done += tokenized.rows.length))
    }
    const parts = encoder.splitter.finish(split)
    checkParts(parts, ledger.summary, split.fraction)
    await writer.finish(encoder.bytes, parts)
    for (const message of aboutSplit(encoder.splitter, split, parts.length))
      options.onNotice?.(message)
    const sources = [...encoder.sources.keys()]
    const record = {
      version: 1,
      context: options.context,
      chats: encoder.chats,
      sources,
      paths: sources.map((file) => options.pathOf?.(file) ?? -1),
      ledger: await ledger.finish(),
    }
    await writeFileAtomic(join(folder, RECORD), JSON.stringify(record, null, 2) + '\n')
    return await openExamples(folder)
  } finally {
    encoder.close()
    await writer.abort()
    await ledger.abort()
  }
}

/**
 * Opens what encodeExamples has made.
 * @throws GptloomError ERR_FILE when it is not there, ERR_FORMAT when it is damaged
 */
export async function openExamples(folder: string): Promise<EncodedExamples> {
  const path = join(folder, RECORD)
  const record = (await readJson(path)) as Partial<EncodedExamples> & { version?: number }
  const { version, sources, paths, context, chats, ledger } = record ?? {}
  const isWhole =
    Array.isArray(sources) &&
    Array.isArray(paths) &&
    Number.isSafeInteger(context) &&
    Number.isSafeInteger(chats) &&
    Number.isSafeInteger(ledger?.rows)
  if (version !== 1 || !isWhole)
    throw new GptloomError('ERR_FORMAT', `${path} does not describe the examples beside it`)
  const file = await ExampleFile.open(folder, NAME)
  return {
    file,
    ledger: ledger!,
    sources: sources!,
    paths: paths!,
    context: context!,
    chats: chats!,
  }
}

function tokenizeAll(options: EncodeOptions): AsyncGenerator<Tokenized> {
  const { spool, helpers = 0 } = options
  const tokenizer = new RowTokenizer(options)
  const setup = packSettings(options)
  const task = { module: 'data/tokenize', setup }
  const work = (piece: Uint8Array) => tokenizer.tokenize(piece)
  return new Crew(work, task, setup ? helpers : 0).map(spool.pieces())
}

class Encoder {
  readonly splitter = new Splitter()
  /** Numbers of the sources by their names. */
  readonly sources = new Map<string, number>()
  /** Bytes of text that all tokens stand for. */
  bytes = 0
  chats = 0
  /**
   * One more than the example that each clean row gave first, 0 for none: the splitter counts examples,
   * and duplicates name rows.
   */
  readonly #firsts = new Numbers(Uint32Array)

  constructor(
    private readonly options: EncodeOptions,
    private readonly writer: ExampleWriter,
    private readonly ledger: Ledger,
  ) {}

  async add({ tokens, learn, parts, rows }: Tokenized): Promise<void> {
    let [part, at] = [0, 0]
    for (const row of rows) {
      const { entry } = row
      if (!row.clean) {
        await this.ledger.add(entry)
        continue
      }
      const first = this.writer.count
      this.#firsts.push(row.parts > 0 ? first + 1 : 0)
      if (entry.reason === 'too-long' && this.options.long === 'fail')
        throw new GptloomError('ERR_DATA', `${entry.file}, line ${entry.line}: ${entry.message}`)
      await this.ledger.add(entry)
      if (row.isChat && row.parts > 0) this.chats++
      for (const end = part + row.parts; part < end; part++) {
        const next = at + parts[3 * part]!
        this.bytes += parts[3 * part + 1]!
        await this.writer.add({
          tokens: tokens.subarray(at, next),
          learn: learn.subarray(at, next),
          origin: this.#origin(entry),
          learnedBytes: parts[3 * part + 2]!,
        })
        at = next
        this.#place(row, first)
      }
    }
  }

  #origin({ file, line, row }: Origin): ExampleOrigin {
    let source = this.sources.get(file)
    if (source === undefined) this.sources.set(file, (source = this.sources.size))
    return { source, line, row }
  }

  /** Tells the splitter of the part that was written last; `first` is the first one of its row. */
  #place({ group, time, like }: TokenizedRow, first: number): void {
    // What one row was split into stays together, and so does what repeats it.
    const isFirst = this.writer.count === first + 1
    const of = !isFirst ? first : like === undefined ? -1 : this.#firsts.get(like) - 1
    this.splitter.add({ group, time, ...(of >= 0 && { like: of }) })
  }

  /** Gives up what lies on disk; nothing can be added then. */
  close(): void {
    this.splitter.close()
    this.#firsts.close()
  }
}

/** What is to be said of a split. */
function aboutSplit(splitter: Splitter, { by, fraction }: SplitOptions, count: number): string[] {
  if (fraction === 0) return []
  if (splitter.single) return ['all rows belong to one group: the last of them validate']
  const { validation, groups, apart } = splitter.outcome
  const how = by === 'time' ? 'the newest' : 'drawn at random'
  const together = 'customer, thread or row, or nearly the same'
  const sides = apart === 0 ? 'none is on both sides' : `${apart} examples are on the other side`
  const belong =
    groups < count ? `${groups} groups (of one ${together}): ${sides}` : 'none belong together'
  return [
    ...(by === 'time' && splitter.timed === 0
      ? ['no row says when it was written: the last ones validate']
      : []),
    `${validation} of ${count} examples validate, ${how}; ${belong}`,
  ]
}

function checkParts(parts: Uint8Array, summary: LedgerSummary, fraction: number): void {
  const { rows, broken, dropped, duplicates } = summary
  const left = parts.filter((part) => part === 0).length
  if (left > 0 && (fraction === 0 || left < parts.length)) return
  const counts = [
    `${broken} broken`,
    `${dropped} left out`,
    `${duplicates} duplicates`,
    `${parts.length} to learn from`,
  ]
  const what = parts.length === 0 ? 'There is nothing to learn from' : 'There is too little data'
  const need =
    parts.length === 0 ? '' : ': validation needs a row of another group than those to learn from'
  const remedy = '`gptloom check` says what is wrong with each'
  throw new GptloomError(
    'ERR_DATA',
    `${what}${need}. Of ${rows} rows, ${counts.join(', ')}. ${remedy}`,
  )
}
