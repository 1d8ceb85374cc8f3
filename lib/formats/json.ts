import { readFile, stat } from 'node:fs/promises'
import { GptloomError } from '../errors.js'
import { guarded } from '../files.js'
import { parseJson } from '../json.js'

/** The largest text file of a model that is read, in bytes. */
const MAX_BYTES = 1 << 26

/** The bytes of a file that has no reason to be large. */
export async function readSmall(path: string): Promise<Buffer> {
  const found = await guarded(path, 'open', stat(path))
  if (!found.isFile()) {
    throw new GptloomError('ERR_FILE', `Cannot open ${path}: it is not a regular file`)
  }
  if (found.size > MAX_BYTES) {
    throw new GptloomError(
      'ERR_FORMAT',
      `${path} is ${found.size} bytes long, expected at most ${MAX_BYTES}`,
    )
  }
  return guarded(path, 'read', readFile(path))
}

/** The value of such a file of JSON. */
export async function readSmallJson(path: string): Promise<unknown> {
  return parseJson(await readSmall(path), path)
}
