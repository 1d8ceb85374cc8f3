// From rows as they were read to rows fit to learn from: personal data taken out, duplicates found.
import { DuplicateFinder } from './duplicates.js'
import type { DuplicateOptions } from './duplicates.js'
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
}

/** Rows that are looked at for what all of them share, before the first is compared. */
const LOOKED_AT = 500

/** Cleans rows in their order. */
export async function* cleanRows(
  batches: AsyncIterable<readonly Row[]>,
  options: CleanOptions = {},
): AsyncGenerator<CleanRow[], void, void> {
  const cleaner = new Cleaner(options)
  let first: Row[] | undefined = []
  const clean = async (rows: readonly Row[]) => {
    const cleaned: CleanRow[] = []
    for (const row of rows) cleaned.push(await cleaner.clean(row))
    return cleaned
  }
  try {
    for await (const batch of batches) {
      if (!first) {
        yield await clean(batch)
        continue
      }
      first.push(...batch)
      if (first.length < LOOKED_AT) continue
      cleaner.look(first)
      yield await clean(first)
      first = undefined
    }
    if (!first) return
    cleaner.look(first)
    yield await clean(first)
  } finally {
    cleaner.close()
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

/** Cleans rows in their order. */
export class Cleaner {
  readonly #finder: DuplicateFinder
  /** Origins of clean rows, to name them: files with the first row of each stretch, lines and rows. */
  readonly #files: { file: string; first: number }[] = []
  readonly #lines = new Numbers(Uint32Array)
  readonly #rows = new Numbers(Uint32Array)

  constructor(private readonly options: CleanOptions = {}) {
    this.#finder = new DuplicateFinder(options.likeness)
  }

  /** Looks at the first rows for text that many of them share: it does not make rows alike. */
  look(rows: readonly Row[]): void {
    this.#finder.look(rows.flatMap((row) => ('example' in row ? [textOf(row.example)] : [])))
  }

  async clean(row: Row): Promise<CleanRow> {
    const { origin } = row
    if ('problem' in row) return { entry: this.#broken(brokenEntry(origin, row.problem)) }
    if (row.example.kind === 'preference') return { entry: setAside(origin) }
    const { scrub, duplicates = 'drop' } = this.options
    const scrubbed: Scrubbed = (await scrub?.(row.example)) ?? { example: row.example }
    const { example, redacted, drop } = scrubbed
    if (drop !== undefined) {
      const message = `It holds personal data of the kind ${drop}`
      return { entry: { ...origin, status: 'dropped', reason: 'personal-data', message } }
    }
    const found = this.#finder.add(textOf(example), this.#rows.length, answerOf(example))
    if (found && duplicates === 'drop') {
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
