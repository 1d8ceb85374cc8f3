import { mkdir, open, readdir, readFile, rename, stat, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, dirname, isAbsolute, resolve } from 'node:path'
import { GptloomError } from './errors.js'
import { parseJson } from './json.js'

/** The most that is passed to one read or write call, in bytes. */
export const PIECE = 64 << 20

/**
 * Times its size that gzip may unpack to. Text packs to a third or a twentieth; one row over and over packs
 * 137 times and more, since deflate says 258 bytes of what stood up to 32 KB before in 2 to 15 bits.
 */
export const MOST_UNPACKED = 100
/** Small files of repeated rows are no attack. */
const UNPACKED_ANYWAY = 64 << 20

/** Whether what was unpacked so far was made to fill memory, a disk or an afternoon. */
export function isBomb(unpacked: number, packed: number): boolean {
  return unpacked > UNPACKED_ANYWAY && unpacked > MOST_UNPACKED * packed
}

/** What to do, and what happened, by the error codes of the operating system. */
const PROBLEMS: Record<string, readonly [what: string, remedy: string]> = {
  EACCES: ['permission denied', 'Check who owns it and its permissions, or choose another place.'],
  EBUSY: ['it is in use', 'Close the program that uses it and try again.'],
  EDQUOT: ['the disk quota is used up', 'Free some space or choose another disk.'],
  EEXIST: ['it exists already', 'Remove it or choose another name.'],
  EFBIG: ['it would be larger than the file system allows', 'Choose another disk.'],
  EIO: ['the disk reported an error', 'Check the disk; the data on it may be damaged.'],
  EISDIR: ['it is a folder, not a file', 'Give the path of a file.'],
  ELOOP: ['its symbolic links form a loop', 'Give the real path.'],
  EMFILE: ['too many files are open', 'Raise the limit (ulimit -n) or close some.'],
  ENAMETOOLONG: ['the name is too long', 'Choose a shorter one.'],
  ENFILE: ['too many files are open on this machine', 'Close some programs.'],
  ENOENT: ['there is no such file or folder', 'Check the path.'],
  ENOSPC: ['the disk is full', 'Free some space or choose another disk.'],
  ENOTDIR: ['a part of the path is a file, not a folder', 'Check the path.'],
  ENOTEMPTY: ['the folder is not empty', 'Empty it or choose another.'],
  EPERM: ['the operation is not permitted', 'Check its permissions, or choose another place.'],
  EROFS: ['the file system is read-only', 'Choose another disk.'],
}

/**
 * Turns an error of the file system into GptloomError('ERR_FILE') with the path, what happened and
 * what to do; the cause is kept. Errors that are none of the file system's are returned as they
 * are.
 *
 * @param verb what was being done, as in `Cannot <verb> <path>`
 */
export function fileProblem(error: unknown, path: string, verb: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (!(error instanceof Error) || error instanceof GptloomError) return error
  if (code === undefined || !('errno' in error || code.startsWith('ERR_FS_'))) return error
  const [what, remedy] = PROBLEMS[code] ?? [error.message, '']
  const place = isAbsolute(path) ? path : `${path} (${resolve(path)})`
  const message = `Cannot ${verb} ${place}: ${what}. ${remedy}`.trim()
  return new GptloomError('ERR_FILE', message, { cause: error })
}

/** Awaits a call of the file system and throws what fileProblem makes of its failure. */
export async function guarded<T>(path: string, verb: string, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    throw fileProblem(error, path, verb)
  }
}

/**
 * Fills `into` from a file at `position` (bytes), however short the single reads are.
 * @returns the number of bytes read: less than asked for only at the end of the file
 */
export async function readFully(
  file: FileHandle,
  into: Uint8Array,
  position: number,
): Promise<number> {
  let done = 0
  while (done < into.length) {
    const length = Math.min(PIECE, into.length - done)
    const { bytesRead } = await file.read(into, done, length, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

// Temporary files that this process has open; removeStale leaves them alone.
const live = new Set<string>()
let counter = 0

/**
 * A file that appears under its name only when it is whole: written under a temporary name in the
 * same folder, flushed, renamed, and the folder flushed. Until commit() a file that had the name
 * before is untouched. Call abort() in a finally block: it removes the temporary file, and does
 * nothing after commit().
 *
 * @throws GptloomError('ERR_FILE') from every method when the file system refuses
 */
export class AtomicFile {
  /** Bytes written one after another so far. */
  position = 0
  #open = true

  private constructor(
    readonly path: string,
    readonly temporary: string,
    private readonly file: FileHandle,
  ) {}

  static async create(path: string): Promise<AtomicFile> {
    // The name is cut since a long one must leave room for the rest: 255 bytes are the limit of
    // most disks.
    const name = `.${basename(path).slice(0, 50)}.${process.pid}.${counter++}.tmp`
    const temporary = resolve(dirname(path), name)
    live.add(temporary)
    try {
      return new AtomicFile(path, temporary, await open(temporary, 'w'))
    } catch (error) {
      live.delete(temporary)
      throw fileProblem(error, path, 'write')
    }
  }

  /** Appends bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    const start = this.position
    this.position += bytes.length
    await this.writeAt(bytes, start)
  }

  /** Writes bytes at a place of their own, for a header that is known last. */
  async writeAt(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0
    while (done < bytes.length) {
      const length = Math.min(PIECE, bytes.length - done)
      const call = this.file.write(bytes, done, length, position + done)
      done += (await guarded(this.path, 'write', call)).bytesWritten
    }
  }

  /** Makes the file appear under its name, safe against a loss of power once this returns. */
  async commit(): Promise<void> {
    await guarded(this.path, 'write', this.file.sync())
    await this.#close()
    await guarded(this.path, 'write', rename(this.temporary, this.path))
    live.delete(this.temporary)
    await guarded(this.path, 'write', syncFolder(dirname(this.path)))
  }

  /** Gives up: removes the temporary file. Never throws. */
  async abort(): Promise<void> {
    if (!live.has(this.temporary)) return
    await this.#close().catch(() => {})
    await unlink(this.temporary).catch(() => {})
    live.delete(this.temporary)
  }

  async #close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await guarded(this.path, 'write', this.file.close())
  }
}

/**
 * Writes a file that is never seen half-written: see AtomicFile. An error thrown by `contents`
 * while it is read reaches the caller as it is, and the file that was there before stays.
 *
 * @throws GptloomError('ERR_FILE') when the file system refuses
 */
export async function writeFileAtomic(
  path: string,
  contents: string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  if (typeof contents === 'string') contents = Buffer.from(contents)
  const file = await AtomicFile.create(path)
  try {
    if (contents instanceof Uint8Array) await file.write(contents)
    else for await (const piece of contents) await file.write(piece)
    await file.commit()
  } finally {
    await file.abort()
  }
}

/** Flushes the entries of a folder, so that a rename survives a loss of power. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return // it opens no folders; NTFS keeps a journal
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } catch (error) {
    // Some network file systems cannot flush a folder: then the rename is as safe as they make it.
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (!['EINVAL', 'ENOTSUP', 'ENOSYS', 'EPERM'].includes(code)) throw error
  } finally {
    await handle.close()
  }
}

const TEMPORARY = /^\..*\.(\d+)\.\d+\.tmp$/s
const DAY = 24 * 3600 * 1000

/**
 * Removes the temporary files that killed runs left in a folder: those whose process is gone. A
 * folder that does not exist holds none.
 *
 * @returns the names removed
 */
export async function removeStale(folder: string): Promise<string[]> {
  const removed: string[] = []
  let names: string[]
  try {
    names = await readdir(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return removed
    throw fileProblem(error, folder, 'read')
  }
  for (const name of names) {
    const path = resolve(folder, name)
    const match = TEMPORARY.exec(name)
    if (!match || live.has(path) || !(await isStale(path, Number(match[1])))) continue
    await unlink(path).then(
      () => removed.push(name),
      () => {},
    )
  }
  return removed
}

async function isStale(path: string, pid: number): Promise<boolean> {
  if (pid === process.pid) return true // not a live one: an earlier process had our number
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
  // Numbers are used again, in containers soon; nobody keeps a file open for a day without writing
  // to it.
  return stat(path).then(
    (found) => Date.now() - found.mtimeMs > DAY,
    () => false,
  )
}

/**
 * Reads a JSON file (UTF-8, a byte order mark is ignored).
 *
 * @throws GptloomError('ERR_FILE') when it cannot be read, ERR_FORMAT with line and column when it
 *   is not JSON
 */
export async function readJson(path: string): Promise<unknown> {
  const bytes = await guarded(path, 'read', readFile(path))
  return parseJson(bytes, path)
}

/** Whether a file or folder is there. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/**
 * Makes a folder and those above it, one by one: Node's own way of doing so never ends below /proc,
 * and says of a read-only disk that the folder does not exist.
 */
export async function makeFolder(path: string): Promise<void> {
  if (!(await exists(dirname(path)))) await makeFolder(dirname(path))
  await mkdir(path).catch(async (error: NodeJS.ErrnoException) => {
    // Somebody else may have made it meanwhile.
    const found = await stat(path).catch(() => null)
    if (error.code !== 'EEXIST' || !found?.isDirectory()) throw error
  })
}
