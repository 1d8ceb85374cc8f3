import type { Stats } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { GptloomError, wrongType } from '../errors.js'
import { guarded } from '../files.js'
import { readText } from './text.js'

/** What is taken from folders. A file that is named itself may have any name. */
const EXTENSIONS = ['.txt', '.md']

/** One file of text. `text` can be read once, piece by piece. */
export interface TextDocument {
  readonly file: string
  readonly index: number
  readonly text: AsyncIterable<string>
}

/** Files of text in a fixed order, read one after another; can be iterated again and again. */
export interface TextSource extends AsyncIterable<TextDocument> {
  readonly files: readonly { readonly path: string; readonly bytes: number }[]
  /** Sum of the files' sizes. */
  readonly bytes: number
}

/**
 * Finds the text under a path or several: files, and folders with everything named .txt or .md
 * below them. Files of one folder are ordered by their path below it, compared by character code,
 * so that the order is the same on every machine. Hidden files and empty ones are skipped, and so
 * is what symbolic links would make appear twice.
 *
 * @throws GptloomError('ERR_FILE') when a path is missing or cannot be read, ERR_DATA when there is
 *   no text; reading the documents throws ERR_DATA where a file is not UTF-8
 */
export async function openText(paths: string | readonly string[]): Promise<TextSource> {
  const list = typeof paths === 'string' ? [paths] : paths
  if (!Array.isArray(list) || list.some((path) => typeof path !== 'string' || !path)) {
    throw wrongType('a path or a list of paths', 'data', paths)
  }
  if (list.length === 0) throw wrongType('a path or a list of paths', 'data', paths)
  const files: { path: string; bytes: number }[] = []
  for (const path of list) {
    const found = await guarded(path, 'read', stat(path))
    files.push(...(found.isDirectory() ? await listFolder(path) : [checkFile(path, found)]))
  }
  return {
    files,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    async *[Symbol.asyncIterator]() {
      for (const [index, { path }] of files.entries()) {
        yield { file: path, index, text: readText(path) }
      }
    },
  }
}

function checkFile(path: string, found: Stats): { path: string; bytes: number } {
  if (found.isFIFO())
    throw new GptloomError(
      'ERR_DATA',
      `${path} is a pipe, and text is read more than once: save it to a file first`,
    )
  if (!found.isFile()) throw new GptloomError('ERR_DATA', `${path} is neither a file nor a folder`)
  if (found.size === 0) throw new GptloomError('ERR_DATA', `${path} is empty`)
  return { path, bytes: found.size }
}

interface Walk {
  /** Whether a file of this name is looked for. */
  wants: (name: string) => boolean
  files: { path: string; bytes: number }[]
  /** Real paths met so far: what makes loops of links end. */
  seen: Set<string>
  empty: number
  /** Extensions of the files left out, for the message. */
  others: Map<string, number>
}

async function listFolder(folder: string): Promise<{ path: string; bytes: number }[]> {
  return walkFolder(folder, EXTENSIONS, (name) => EXTENSIONS.includes(extensionOf(name)))
}

function extensionOf(name: string): string {
  return extname(name).toLowerCase()
}

/**
 * The files of a folder and below that are wanted, ordered by their paths; hidden and empty ones
 * and what symbolic links would make appear twice are left out.
 *
 * @param kinds what is wanted, for the message
 * @throws GptloomError('ERR_DATA') when there are none
 */
export async function walkFolder(
  folder: string,
  kinds: readonly string[],
  wants: (name: string) => boolean,
): Promise<{ path: string; bytes: number }[]> {
  const walk: Walk = { wants, files: [], seen: new Set(), empty: 0, others: new Map() }
  await visit(folder, walk)
  if (walk.files.length === 0) {
    const others = [...walk.others].map(([extension, count]) => `${count} ${extension}`)
    const what = [
      ...(walk.empty ? [`${walk.empty} empty`] : []),
      ...others.slice(0, 6),
      ...(others.length > 6 ? ['more'] : []),
    ]
    const found = what.length > 0 ? `found only: ${what.join(', ')}` : 'found no files'
    const wanted = `looked for ${listed(kinds)} files in it and below`
    throw new GptloomError('ERR_DATA', `No text in ${folder}: ${wanted}, ${found}`)
  }
  const keyed = walk.files.map((file) => ({ file, key: file.path.replaceAll('\\', '/') }))
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ file }) => file)
}

function listed(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} and ${words[words.length - 1]}`
}

async function visit(folder: string, walk: Walk): Promise<void> {
  if (!(await isNew(folder, walk))) return
  const entries = await guarded(folder, 'read', readdir(folder, { withFileTypes: true }))
  // Sorted here too: which of two links to one file counts must not depend on the disk's order.
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.')) continue
    const path = join(folder, entry.name)
    const extension = extensionOf(entry.name)
    const isWanted = walk.wants(entry.name)
    // A broken link matters only when it should have been text.
    const found = isWanted
      ? await guarded(path, 'read', stat(path))
      : entry.isSymbolicLink()
        ? await stat(path).catch(() => null)
        : entry
    if (found?.isDirectory()) await visit(path, walk)
    else if (!isWanted) count(walk.others, extension || 'without extension')
    else if (found?.isFile()) await addFile(path, (found as Stats).size, walk)
  }
}

async function addFile(path: string, bytes: number, walk: Walk): Promise<void> {
  if (bytes === 0) walk.empty++
  else if (await isNew(path, walk)) walk.files.push({ path, bytes })
}

async function isNew(path: string, { seen }: Walk): Promise<boolean> {
  const real = await guarded(path, 'read', realpath(path))
  return seen.size < seen.add(real).size
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
