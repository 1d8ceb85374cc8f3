// From rows as they were read to rows fit to learn from: personal data taken out, duplicates found.
import { DuplicateFinder } from './duplicates.js'
import type { DuplicateOptions } from './duplicates.js'
import { brokenEntry } from './ledger.js'
import type { LedgerEntry } from './ledger.js'
import { Numbers } from './numbers.js'
import type { Example, Origin, Row } from './record.js'

/** Takes personal data out of an example, or says that it must not be learned from at all. */
export type Scrub = (example: Example) => Scrubbed | Promise<Scrubbed>

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

  async clean(row: Row): Promise<CleanRow> {
    const { origin } = row
    if ('problem' in row) return { entry: brokenEntry(origin, row.problem) }
    if (row.example.kind === 'preference') return { entry: setAside(origin) }
    const { scrub, duplicates = 'drop' } = this.options
    const scrubbed: Scrubbed = (await scrub?.(row.example)) ?? { example: row.example }
    const { example, redacted, drop } = scrubbed
    if (drop !== undefined) {
      const message = `It holds personal data of the kind ${drop}`
      return { entry: { ...origin, status: 'dropped', reason: 'personal-data', message } }
    }
    const found = this.#finder.add(textOf(example), this.#rows.length)
    if (found && duplicates === 'drop') {
      const of = this.#origin(found.of)
      return { entry: { ...origin, status: 'duplicate', of, likeness: found.kind } }
    }
    this.#remember(origin)
    return { origin, example, redacted, like: found?.of }
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
