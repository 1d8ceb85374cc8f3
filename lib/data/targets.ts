// The files that a check writes must not be the data, nor anything else that is there.
import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { GptloomError, checkPath, outOfRange } from '../errors.js'
import { exists } from '../files.js'
import { findSources } from './formats/find.js'
import { toPaths } from './read.js'
import type { Data } from './read.js'

/**
 * Refuses to write over data, over another file unless `overwrite` says so, and both to one file.
 * @throws RangeError; GptloomError ERR_OUTPUT_EXISTS, and what findSources throws
 */
export async function checkTargets(
  data: Data,
  { fix, ledger, overwrite }: { fix?: string; ledger?: string; overwrite?: boolean },
): Promise<void> {
  const targets = Object.entries({ fix, ledger }).filter(([, path]) => path !== undefined)
  if (targets.length === 0) return
  for (const [name, path] of targets) checkPath('the path of a file', name, path)
  const [first, second] = await Promise.all(targets.map(([, path]) => realPath(path!)))
  if (first === second) throw outOfRange('another file than that of fix', 'ledger', ledger)
  const sources = (await findSources(toPaths(data) ?? [])).filter(({ kind }) => kind !== 'stdin')
  const read = await Promise.all(sources.map(({ path }) => realPath(path)))
  for (const [i, target] of [first!, second].entries()) {
    if (target === undefined) continue
    const path = targets[i]![1]!
    // A source may be a folder, of which any file is read.
    if (read.some((source) => target === source || target.startsWith(source + sep)))
      throw refused(path, 'belongs to the data, which would be lost: choose another name')
    if (!overwrite && (await exists(path)))
      throw refused(
        path,
        'exists already: choose another name, or replace it with `overwrite: true`',
      )
  }
}

function refused(path: string, why: string): GptloomError {
  return new GptloomError('ERR_OUTPUT_EXISTS', `${path} ${why}`)
}

/** Where a path leads, also to a file that is not there yet. */
async function realPath(path: string): Promise<string> {
  const folder = () => realpath(dirname(path)).catch(() => resolve(dirname(path)))
  return realpath(path).catch(async () => join(await folder(), basename(path)))
}
