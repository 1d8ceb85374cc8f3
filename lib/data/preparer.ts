// Rows prepared on several threads.
import { Scrubber } from '../privacy/index.js'
import type { ScrubOptions } from '../privacy/index.js'
import { Preparer } from './clean.js'
import type { PrepareBatches, PreparedRows } from './clean.js'
import { Crew, answer } from './crew.js'
import type { Row } from './record.js'
import { LeftIn, exampleScrubber } from './scrub.js'

/** Scrubbing as data; left out where nothing is scrubbed. */
export interface ScrubSetup {
  privacy: ScrubOptions
  only: 'chats' | 'all'
}

interface Setup {
  scrub: ScrubSetup | undefined
  common: Int32Array
}

/** What a helper found in plain text, which it counts apart. */
type Prepared = PreparedRows & { left?: ReturnType<LeftIn['drain']> }

/**
 * As CleanOptions has it, with so many threads beside the calling one; with none where the rows must be
 * prepared here: with the caller's own functions and rules, and with stand-ins, of which there is one table.
 * @param left told what is left in plain text
 */
export function prepareWith(
  helpers: number,
  scrub: ScrubSetup | undefined,
  left: LeftIn,
): PrepareBatches {
  const isAlone = scrub !== undefined && !canCross(scrub.privacy)
  return async function* (batches, here, common) {
    const setup: Setup = { scrub, common }
    const task = { module: 'data/preparer', setup }
    const crew = new Crew<readonly Row[], Prepared>(here, task, isAlone ? 0 : helpers)
    for await (const prepared of crew.map(batches)) {
      left.count(prepared.left ?? [])
      yield prepared
    }
  }
}

export function canCross({ names, pseudonyms, rules, operator }: ScrubOptions): boolean {
  const operators = typeof operator === 'object' ? Object.values(operator) : [operator]
  const hasTable = operators.includes('hash') || operators.includes('pseudonym')
  return !names && !pseudonyms && !rules?.length && !hasTable
}

/** The work of a helper. */
export function serve({ scrub, common }: Setup): void {
  const left = new LeftIn()
  const scrubber = scrub && exampleScrubber(new Scrubber(scrub.privacy), scrub.only, left)
  const preparer = new Preparer(scrubber, common)
  answer(async (rows: readonly Row[]): Promise<Prepared> => {
    const prepared = await preparer.prepare(rows)
    return { ...prepared, left: left.drain() }
  })
}
