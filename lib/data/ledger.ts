// The ledger: what became of every row.
import { AtomicFile } from '../files.js'
import type { Origin, Problem } from './record.js'

/**
 * What became of a row: learned from; the same as an earlier one; left out though it is sound; or
 * broken.
 */
export type Status = 'kept' | 'duplicate' | 'dropped' | 'broken'

/** One row's line in the ledger. */
export interface LedgerEntry extends Origin {
  status: Status
  /** Its last turns, or the end of its text, were cut off. */
  cut?: true
  /** It became this many examples. */
  split?: number
  /** What was taken out, by kind. */
  redacted?: Record<string, number>
  /** The row that it repeats. */
  of?: Origin
  /** Whether it is the same as that one or nearly so. */
  likeness?: 'exact' | 'near'
  /** Why it was left out, or what is wrong with it: a name for programs, and a sentence. */
  reason?: string
  message?: string
  column?: number
  /** The offending text. */
  text?: string
  /** What to do about it. */
  hint?: string
}

/** A ledger in figures; kept, duplicates, dropped and broken add up to rows. */
export interface LedgerSummary {
  rows: number
  kept: number
  duplicates: number
  dropped: number
  broken: number
  /** Of the kept rows. */
  cut: number
  split: number
  redacted: number
  /** Examples that the kept rows gave. */
  examples: number
  /** Things taken out of kept rows, by kind. */
  redactions: Record<string, number>
  /** Dropped and broken rows, by reason. */
  reasons: Record<string, number>
}

const PIECE = 1 << 16

/** Counts rows and, given a path, writes a line of JSON for each. */
export class Ledger {
  readonly #counts: LedgerSummary = {
    rows: 0,
    kept: 0,
    duplicates: 0,
    dropped: 0,
    broken: 0,
    cut: 0,
    split: 0,
    redacted: 0,
    examples: 0,
    // Kinds are whatever rules call them.
    redactions: Object.create(null) as Record<string, number>,
    reasons: Object.create(null) as Record<string, number>,
  }
  #text = ''

  private constructor(private readonly file: AtomicFile | undefined) {}

  /** @throws GptloomError ERR_FILE when the file system refuses */
  static async open(path?: string): Promise<Ledger> {
    return new Ledger(path === undefined ? undefined : await AtomicFile.create(path))
  }

  async add(entry: LedgerEntry): Promise<void> {
    this.#count(entry)
    if (!this.file) return
    this.#text += JSON.stringify(entry) + '\n'
    if (this.#text.length > PIECE) await this.#flush()
  }

  get summary(): LedgerSummary {
    const { redactions, reasons, ...counts } = this.#counts
    return { ...counts, redactions: { ...redactions }, reasons: { ...reasons } }
  }

  /** Makes the file appear. */
  async finish(): Promise<LedgerSummary> {
    await this.#flush()
    await this.file?.commit()
    return this.summary
  }

  /** Gives up; does nothing after finish(). Never throws. */
  async abort(): Promise<void> {
    await this.file?.abort()
  }

  #count({ status, cut, split, redacted, reason }: LedgerEntry): void {
    const counts = this.#counts
    counts.rows++
    counts[status === 'duplicate' ? 'duplicates' : status]++
    if (reason !== undefined) counts.reasons[reason] = (counts.reasons[reason] ?? 0) + 1
    if (status !== 'kept') return
    for (const [kind, n] of Object.entries(redacted ?? {}))
      counts.redactions[kind] = (counts.redactions[kind] ?? 0) + n
    counts.examples += split ?? 1
    if (cut) counts.cut++
    if (split !== undefined) counts.split++
    if (redacted) counts.redacted++
  }

  async #flush(): Promise<void> {
    const text = this.#text
    this.#text = ''
    await this.file?.write(Buffer.from(text))
  }
}

/** The line of a row that a reader found broken. */
export function brokenEntry(origin: Origin, problem: Problem): LedgerEntry {
  const { code, message, below = 0, ...rest } = problem
  const line = origin.line > 0 ? origin.line + below : 0
  return { ...origin, line, status: 'broken', reason: code, message, ...rest }
}
