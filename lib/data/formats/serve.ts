// The thread that reads a Parquet file: gives a batch each time it is asked.
import { parentPort } from 'node:worker_threads'
import { GptloomError } from '../../errors.js'
import type { ScanAnswer, ScanRequest } from './parquet.js'
import { FileProblem } from './problem.js'
import { scanNames, scanRows } from './scan.js'

/** Answers until the file ends or fails. */
export function serve(request: ScanRequest): void {
  const batches = answers(request)
  parentPort!.on('message', () => {
    void batches.next().then(({ value }) => parentPort!.postMessage(value))
  })
}

async function* answers({ path, what, columns }: ScanRequest): AsyncGenerator<ScanAnswer> {
  try {
    if (what === 'names') yield { values: await scanNames(path) }
    else for await (const values of scanRows(path, columns)) yield { values }
  } catch (error) {
    if (error instanceof FileProblem) yield { problem: error.problem }
    else if (error instanceof GptloomError) {
      yield { error: { code: error.code, message: error.message } }
    } else throw error // ends the thread, which its owner hears of
  }
}
