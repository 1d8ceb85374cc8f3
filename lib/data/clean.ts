// From rows as they were read to rows fit to learn from: personal data taken out, duplicates found.
import { DuplicateFinder } from './duplicates.js'
import type { DuplicateOptions } from './duplicates.js'
import { Fingerprinter, commonShingles, fingerprints } from './fingerprint.js'
import type { Fingerprints } from './fingerprint.js'
import { brokenEntry } from './ledger.js'
import type { LedgerEntry } from './ledger.js'
import { Numbers } from './numbers.js'
import type { Example, Origin, Row } from './record.js'

/** Takes personal data out of an example, or says that it must not be learned from at all. */
export type Scrub = (example: Example) => Scrubbed | Promise<Scrubbed>

/** A row without personal data, and what was found in it. */
export interface Scrubbed {
  example: Example
  /** What was taken out, by kind; left out when that is nothing. */
  redacted?: Record<string, number>
  /** The kind for which the row is dropped. */
  drop?: string
}

export interface CleanOptions {
  scrub?: Scrub
  /** What is done with duplicates: 'drop' (the default), or 'keep' them, on one side of a split. */
  duplicates?: 'drop' | 'keep'
  likeness?: DuplicateOptions
  /** Takes personal data out of what is said about broken rows. */
  scrubText?: (text: string) => string
  /** Prepares batches in their order, some as `here` does and some on other threads, with the same result. */
  prepare?: PrepareBatches
}

export type PrepareBatches = (
  batches: AsyncIterable<readonly Row[]>,
  here: (rows: readonly Row[]) => Promise<PreparedRows>,
  common: Int32Array,
) => AsyncIterable<PreparedRows>

/** Rows that are looked at for what all of them share, before the first is compared. */
const LOOKED_AT = 500

/** Cleans rows in their order. */
export async function* cleanRows(
  batches: AsyncIterable<readonly Row[]>,
  options: CleanOptions = {},
): AsyncGenerator<CleanRow[], void, void> {
  const cleaner = new Cleaner(options)
  const { prepare = prepareHere } = options
  const whole = gathered(batches, LOOKED_AT)
  try {
    const { value: first } = await whole.next()
    if (!first) return
    cleaner.look(first)
    yield cleaner.decide(first, await cleaner.prepare(first))
    const held: (readonly Row[])[] = []
    const here = (rows: readonly Row[]) => cleaner.prepare(rows)
    for await (const prepared of prepare(holding(whole, held), here, cleaner.common))
      yield cleaner.decide(held.shift()!, prepared)
  } finally {
    await whole.return()
    cleaner.close()
  }
}

async function* prepareHere(
  ...[batches, here]: Parameters<PrepareBatches>
): AsyncGenerator<PreparedRows, void, void> {
  for await (const rows of batches) yield await here(rows)
}

/** Batches, the first of at least so many rows. */
async function* gathered(
  batches: AsyncIterable<readonly Row[]>,
  least: number,
): AsyncGenerator<readonly Row[], void, void> {
  let first: Row[] | undefined = []
  for await (const batch of batches) {
    if (!first) {
      yield batch
      continue
    }
    first.push(...batch)
    if (first.length < least) continue
    yield first
    first = undefined
  }
  if (first) yield first
}

/** Passes batches on, and keeps each until it is taken from `held`. */
async function* holding<T>(batches: AsyncIterable<T>, held: T[]): AsyncGenerator<T, void, void> {
  for await (const batch of batches) {
    held.push(batch)
    yield batch
  }
}

/** A row fit to learn from, or the ledger's line of one that is not. */
export type CleanRow =
  | {
      origin: Origin
      example: Example
      redacted?: Record<string, number>
      /** Number, among the clean rows, of an earlier one that this repeats. */
      like?: number
    }
  | { entry: LedgerEntry }

/** What can be found out about each row of a batch without any other. */
export interface PreparedRows extends Fingerprints {
  /** What scrubbing has changed, by the place of the row. */
  scrubbed: Map<number, Scrubbed>
}

/** The part of cleaning that needs no order. */
export class Preparer {
  readonly #fingerprinter: Fingerprinter

  constructor(
    private readonly scrub: Scrub | undefined,
    common?: Int32Array,
  ) {
    this.#fingerprinter = new Fingerprinter(common)
  }

  async prepare(rows: readonly Row[]): Promise<PreparedRows> {
    const prints = fingerprints(rows.length)
    const scrubbed = new Map<number, Scrubbed>()
    for (const [i, row] of rows.entries()) {
      if ('problem' in row || row.example.kind === 'preference') continue
      const result = this.scrub?.(row.example)
      const clean = result instanceof Promise ? await result : result
      if (clean && (clean.redacted || clean.drop !== undefined)) scrubbed.set(i, clean)
      if (clean?.drop !== undefined) continue
      const example = clean?.example ?? row.example
      this.#fingerprinter.take(textOf(example), answerOf(example), prints, i)
    }
    return { ...prints, scrubbed }
  }
}

/** Cleans rows in their order. */
export class Cleaner {
  /** Text that many of the first rows share: it does not make rows alike. */
  common: Int32Array = new Int32Array(0)
  readonly #finder: DuplicateFinder
  #preparer: Preparer
  /** Origins of clean rows, to name them: files with the first row of each stretch, lines and rows. */
  readonly #files: { file: string; first: number }[] = []
  readonly #lines = new Numbers(Uint32Array)
  readonly #rows = new Numbers(Uint32Array)

  constructor(private readonly options: CleanOptions = {}) {
    this.#finder = new DuplicateFinder(options.likeness)
    this.#preparer = new Preparer(options.scrub)
  }

  /** Looks at the first rows for what many of them share. */
  look(rows: readonly Row[]): void {
    const texts = rows.flatMap((row) => ('example' in row ? [textOf(row.example)] : []))
    this.common = commonShingles(texts)
    this.#preparer = new Preparer(this.options.scrub, this.common)
  }

  async clean(row: Row): Promise<CleanRow> {
    return this.decide([row], await this.prepare([row]))[0]!
  }

  prepare(rows: readonly Row[]): Promise<PreparedRows> {
    return this.#preparer.prepare(rows)
  }

  /** Rows that were prepared, each compared with those before. */
  decide(rows: readonly Row[], prepared: PreparedRows): CleanRow[] {
    return rows.map((row, i) => this.#decide(row, prepared, i))
  }

  #decide(row: Row, prepared: PreparedRows, i: number): CleanRow {
    const { origin } = row
    if ('problem' in row) return { entry: this.#broken(brokenEntry(origin, row.problem)) }
    if (row.example.kind === 'preference') return { entry: setAside(origin) }
    const { example, redacted, drop } = prepared.scrubbed.get(i) ?? { example: row.example }
    if (drop !== undefined) {
      const message = `It holds personal data of the kind ${drop}`
      return { entry: { ...origin, status: 'dropped', reason: 'personal-data', message } }
    }
    const found = this.#finder.add(prepared, i, this.#rows.length)
    if (found && this.options.duplicates !== 'keep') {
      const of = this.#origin(found.of)
      return { entry: { ...origin, status: 'duplicate', of, likeness: found.kind } }
    }
    this.#remember(origin)
    return { origin, example, redacted, like: found?.of }
  }

  /** Gives up what lies on disk; nothing can be cleaned then. */
  close(): void {
    this.#finder.close()
    this.#lines.close()
    this.#rows.close()
  }

  #broken(entry: LedgerEntry): LedgerEntry {
    const { scrubText } = this.options
    if (!scrubText) return entry
    const { message, text } = entry
    return {
      ...entry,
      ...(message !== undefined && { message: scrubText(message) }),
      ...(text !== undefined && { text: scrubText(text) }),
    }
  }

  #remember({ file, line, row }: Origin): void {
    if (this.#files.at(-1)?.file !== file) this.#files.push({ file, first: this.#rows.length })
    this.#lines.push(line)
    this.#rows.push(row)
  }

  #origin(number: number): Origin {
    let [low, high] = [0, this.#files.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.#files[middle]!.first <= number) low = middle
      else high = middle
    }
    const { file } = this.#files[low]!
    return { file, line: this.#lines.get(number), row: this.#rows.get(number) }
  }
}

function setAside(origin: Origin): LedgerEntry {
  return {
    ...origin,
    status: 'dropped',
    reason: 'preference',
    message: 'Rows with a chosen and a rejected answer are not learned from yet',
    hint: 'Make a conversation of the chosen answer',
  }
}

/** All that is said in an example, as one text. */
export function textOf(example: Example): string {
  if (example.kind === 'text') return example.text
  if (example.kind === 'completion') return `${example.prompt}\n${example.completion}`
  const messages = example.messages.map(({ content }) => content)
  if (example.kind === 'preference') messages.push(example.chosen, example.rejected)
  return messages.join('\n')
}

/** What is learned of an example, where it is a part of it. */
function answerOf(example: Example): string {
  if (example.kind === 'completion') return example.completion
  if (example.kind !== 'chat') return ''
  const answers = example.messages.filter(({ role }) => role === 'assistant')
  return answers.map(({ content }) => content).join('\n')
}
