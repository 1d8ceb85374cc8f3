import { once } from 'node:events'
import type { Worker } from 'node:worker_threads'
import { GptloomError } from '../../errors.js'
import type { ErrorCode } from '../../errors.js'
import { startThread } from '../../thread.js'
import type { Problem } from '../record.js'
import { FileProblem, problem } from './problem.js'
import type { Raw } from './reader.js'

/** Seconds in which the thread must give its next rows; 64 MiB take a few on a slow machine. */
const PATIENCE = 60
/** Memory of the thread, in MiB. */
const MEMORY = 2048

/** What the thread is asked for. */
export interface ScanRequest {
  path: string
  what: 'names' | 'rows'
  columns?: readonly string[]
}

/** What it answers; nothing behind the last rows. */
export type ScanAnswer =
  | { values: unknown[] }
  | { problem: Problem }
  | { error: { code: ErrorCode; message: string } }
  | undefined

/** The names of a Parquet file's columns. */
export async function parquetNames(path: string, patience = PATIENCE): Promise<string[]> {
  for await (const names of ask(path, 'names', undefined, patience)) return names as string[]
  return []
}

/**
 * Reads a Parquet file with the package hyparquet. There are no lines. Compression: none, Snappy,
 * gzip, Brotli, and Zstandard where Node has it (22.15).
 *
 * It runs in a thread of its own, which is ended when it takes too much time or memory: what a
 * damaged file says of itself can keep a reader of this format busy for ever.
 *
 * @param columns the columns wanted; all when left out
 * @param patience seconds to wait for the next rows
 * @throws GptloomError('ERR_DATA') when hyparquet is not installed; FileProblem when the file is
 *   damaged
 */
export async function* readParquet(
  path: string,
  columns?: readonly string[],
  patience = PATIENCE,
): AsyncGenerator<Raw[]> {
  for await (const values of ask(path, 'rows', columns, patience)) {
    yield values.map((value) => ({ line: 0, record: { value } }))
  }
}

async function* ask(
  path: string,
  what: ScanRequest['what'],
  columns: readonly string[] | undefined,
  patience: number,
): AsyncGenerator<unknown[]> {
  await checkLibrary(path)
  const request: ScanRequest = { path, what, ...(columns && { columns }) }
  const limits = { maxOldGenerationSizeMb: MEMORY }
  const worker = startThread('data/formats/serve', request, limits)
  try {
    for (;;) {
      const answer = await nextAnswer(worker, patience)
      if (answer === undefined) return
      if ('problem' in answer) throw new FileProblem(answer.problem)
      if ('error' in answer) throw new GptloomError(answer.error.code, answer.error.message)
      yield answer.values
    }
  } finally {
    await worker.terminate()
  }
}

async function nextAnswer(worker: Worker, patience: number): Promise<ScanAnswer> {
  const signal = AbortSignal.timeout(patience * 1000)
  const ended = new AbortController()
  const either = { signal: AbortSignal.any([signal, ended.signal]) }
  const exit = once(worker, 'exit', either).then(() => {
    throw new Error('its reader stopped')
  })
  try {
    const message = once(worker, 'message', either) // rejects at the event 'error' too
    worker.postMessage('next')
    const [answer] = (await Promise.race([message, exit])) as [ScanAnswer]
    return answer
  } catch (error) {
    const message = (error as Error)?.message ?? String(error)
    throw damaged(signal.aborted ? `nothing was read in ${patience} s` : message)
  } finally {
    exit.catch(() => {})
    ended.abort()
  }
}

async function checkLibrary(path: string): Promise<void> {
  try {
    await import('hyparquet')
  } catch (error) {
    const message = `Reading ${path} needs the package hyparquet. Install it: npm install hyparquet`
    throw new GptloomError('ERR_DATA', message, { cause: error })
  }
}

/** The problem of a file that is no Parquet, or damaged. */
export function damaged(what: string): FileProblem {
  return new FileProblem(
    problem('format', `The Parquet file is damaged, or uses what cannot be read: ${what}`, {
      hint: 'Write it again, with Snappy or no compression.',
    }),
  )
}
