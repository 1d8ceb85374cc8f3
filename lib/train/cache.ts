// Prepared data that is kept for the next run on the same data with the same options.
import { createHash } from 'node:crypto'
import {
  access,
  constants as fs,
  copyFile,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
} from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { RECORD, findSources } from '../data/index.js'
import { PIECE, guarded, makeFolder } from '../files.js'
import { version } from '../package.js'
import { pathsOf } from './check.js'
import type { Settings } from './options.js'
import { shapeOf } from './output.js'

/** What is made of data, and the tokenizer that goes with it, which a run keeps elsewhere. */
const DATA = /^(examples\..+|ledger\.jsonl)$/
const TOKENIZER = /^(tokenizer\.json|vocab\.json|merges\.txt|tokenizer_config\.json)$/

/**
 * The folder of the cache for what these settings make of these data, by a hash of the contents of all
 * files; undefined where that cannot be told, or no cache is wanted.
 */
export async function cacheEntry(settings: Settings): Promise<string | undefined> {
  const { cache, data, privacy, tokenizer, model, validation, seed } = settings
  const paths = pathsOf(data)
  // A program's own finder of names may change without a trace.
  const opaque =
    typeof privacy === 'object' && (privacy.names || privacy.pseudonyms || privacy.rules?.length)
  if (cache === undefined || !paths || paths.includes('-') || opaque) return undefined
  // Now, before any work: a folder that cannot be made is no place to keep it.
  await guarded(cache, 'create', makeFolder(resolve(cache)))
  await guarded(cache, 'write', access(cache, fs.W_OK))
  const hash = createHash('sha256')
  const vocabulary = typeof tokenizer === 'object' && 'encode' in tokenizer
  const options = { ...shapeOf(settings), model, validation, seed }
  const given = vocabulary ? tokenizer.files() : tokenizer
  hash.update(JSON.stringify([version, options, given, paths]))
  for (const { kind, path } of await findSources(paths)) {
    if (kind !== 'file') return undefined
    const { size } = await guarded(path, 'read', stat(path))
    hash.update(`\n${path} ${size}\n`)
    const file = await guarded(path, 'read', open(path, 'r'))
    try {
      const piece = Buffer.alloc(Math.min(PIECE, 1 << 20))
      for (;;) {
        const { bytesRead } = await guarded(path, 'read', file.read(piece, 0, piece.length))
        if (bytesRead === 0) break
        hash.update(piece.subarray(0, bytesRead))
      }
    } finally {
      await file.close()
    }
  }
  return join(cache, hash.digest('hex').slice(0, 32))
}

/**
 * Copies prepared data into the cache, with the tokenizer, or out of it, without. In a folder that is
 * there already the record comes last, so that it never describes files that are not whole.
 */
export async function copyPrepared(
  from: string,
  to: string,
  { tokenizer = false } = {},
): Promise<void> {
  const temporary = `${to}.${process.pid}.tmp`
  await guarded(temporary, 'create', mkdir(temporary, { recursive: true, mode: 0o700 }))
  try {
    for (const name of await guarded(from, 'read', readdir(from))) {
      if (!DATA.test(name) && !(tokenizer && TOKENIZER.test(name))) continue
      const call = copyFile(join(from, name), join(temporary, name), fs.COPYFILE_FICLONE)
      await guarded(join(temporary, name), 'write', call)
    }
    const names = (await readdir(temporary)).sort(
      (a, b) => Number(a === RECORD) - Number(b === RECORD),
    )
    await guarded(to, 'create', mkdir(to, { recursive: true, mode: 0o700 }))
    for (const name of names)
      await guarded(to, 'write', rename(join(temporary, name), join(to, name)))
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}
