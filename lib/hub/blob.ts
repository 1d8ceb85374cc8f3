// One file of a model: what it must be, what of it has arrived, and its check.
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { open, rename, statfs } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { GptloomError, show } from '../errors.js'
import { exists, guarded, syncFolder } from '../files.js'
import type { Repository } from './cache.js'
import { Passing, checkStatus, request, withRetries } from './http.js'
import type { Answer, Session } from './http.js'

/** What a file must be. */
interface Expected {
  /** SHA-256 of files in large storage, the others' git blob hash: the blob's name too. */
  hash: string
  size: number
}

type Report = (received: number, size: number) => void

/**
 * Makes a file of a model appear in its snapshot, checked against its hash.
 *
 * @throws GptloomError ERR_HUB, ERR_FILE, AbortError; what has arrived is kept
 */
export async function fetchFile(
  session: Session,
  repository: Repository,
  commit: string,
  name: string,
  report: Report,
): Promise<void> {
  if (await exists(join(repository.snapshot(commit), name))) return
  const { name: repo } = repository
  const what = `${name} of ${repo}`
  const url = `${session.endpoint}/${repo}/resolve/${commit}/${encodeURIComponent(name)}`
  const expected = await withRetries(session, what, () => describe(session, url, what))
  const blob = repository.blob(expected.hash)
  if (!(await exists(blob))) {
    const own = await repository.claim(expected.hash)
    try {
      await checkRoom(own, expected.size, what)
      await fetchBlob(session, url, own, expected, what, report)
      await guarded(blob, 'write', rename(own, blob))
      await guarded(blob, 'write', syncFolder(dirname(blob)))
    } finally {
      await repository.release(expected.hash, own)
    }
  }
  await repository.link(commit, name, expected.hash)
}

// The hub answers for a file in large storage with where it lies and what it is; that place is not
// asked.
async function describe(session: Session, url: string, what: string): Promise<Expected> {
  const linked = (headers: Headers) => headers.has('x-linked-etag')
  const answer = await request(session, url, { method: 'HEAD', follow: (h) => !linked(h) })
  const { headers, drop } = answer
  drop()
  if (!linked(headers)) checkStatus(answer, what)
  const hash = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '')
    .replace(/^W\//, '')
    .replace(/^"(.*)"$/, '$1')
  const length = headers.get('x-linked-size') ?? headers.get('content-length') ?? ''
  const size = /^\d{1,15}$/.test(length) ? Number(length) : NaN
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash) || Number.isNaN(size)) {
    throw new GptloomError(
      'ERR_HUB',
      `${session.endpoint} does not say what ${what} must be (hash ${show(hash)}, size ` +
        `${show(length)}), so that it could not be checked`,
    )
  }
  return { hash, size }
}

async function checkRoom(path: string, size: number, what: string): Promise<void> {
  const { bavail, bsize } = await guarded(path, 'write', statfs(dirname(path)))
  const here = await open(path, 'a')
  const { size: had } = await here.stat()
  await here.close()
  const missing = size - had
  if (missing <= bavail * bsize) return
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`
  throw new GptloomError(
    'ERR_FILE',
    `Cannot write ${path}: ${what} needs ${gigabytes(missing)} more, the disk has ` +
      `${gigabytes(bavail * bsize)}. Free some space or choose another disk (HF_HOME).`,
  )
}

async function fetchBlob(
  session: Session,
  url: string,
  path: string,
  expected: Expected,
  what: string,
  report: Report,
): Promise<void> {
  const file = await guarded(path, 'write', open(path, 'a+'))
  try {
    const arrived = await Arrived.of(file, path, expected)
    const resumed = arrived.length > 0
    const fetchRest = () => withRetries(session, what, (progressed) => receive(arrived, progressed))
    const receive = async (into: Arrived, progressed: () => void): Promise<void> => {
      report(into.length, expected.size)
      if (into.length === expected.size) return
      const answer = await request(session, url, { range: into.length })
      if (answer.status === 416) {
        answer.drop()
        await into.restart()
        throw new Passing('the hub has no such range')
      }
      checkStatus(answer, what)
      if (answer.status !== 206 || startOf(answer) !== into.length) await into.restart()
      for await (const piece of answer.body) {
        if (into.length + piece.length > expected.size) {
          await into.restart()
          answer.drop()
          throw new Passing(`more than ${expected.size} bytes came`)
        }
        if (await into.write(piece)) progressed()
        report(into.length, expected.size)
      }
      if (into.length < expected.size) throw new Passing('the connection was cut')
    }
    await fetchRest()
    if (resumed && arrived.digest() !== expected.hash) {
      // The beginning was of something else: once more, from the first byte.
      await arrived.restart()
      await fetchRest()
    }
    const hash = arrived.digest()
    if (hash !== expected.hash) {
      await arrived.restart()
      throw new GptloomError(
        'ERR_HUB',
        `${what} is not what ${session.endpoint} says it must be: its hash is ${hash}, expected ` +
          `${expected.hash}. It was removed; try again, and ask another HF_ENDPOINT if it stays so`,
      )
    }
    await guarded(path, 'write', file.sync())
  } finally {
    await file.close()
  }
}

function startOf({ headers }: Answer): number {
  return Number(/^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1] ?? NaN)
}

/** A file that grows, and the hash of what it holds. */
class Arrived {
  length = 0
  #most = 0
  #hash: Hash

  private constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly expected: Expected,
  ) {
    this.#hash = this.#begin()
  }

  static async of(file: FileHandle, path: string, expected: Expected): Promise<Arrived> {
    const arrived = new Arrived(file, path, expected)
    const { size } = await guarded(path, 'read', file.stat())
    if (size > expected.size) await arrived.restart()
    else {
      const piece = Buffer.alloc(1 << 20)
      for (let at = 0; at < size;) {
        const call = file.read(piece, 0, piece.length, at)
        const { bytesRead } = await guarded(path, 'read', call)
        if (bytesRead === 0) break
        arrived.#hash.update(piece.subarray(0, bytesRead))
        at = arrived.length = at + bytesRead
      }
    }
    return arrived
  }

  #begin(): Hash {
    const { hash, size } = this.expected
    if (hash.length === 64) return createHash('sha256')
    return createHash('sha1').update(`blob ${size}\0`) // as git names a file
  }

  /** Appends; whether there is now more than there ever was. */
  async write(piece: Uint8Array): Promise<boolean> {
    for (let done = 0; done < piece.length;) {
      const call = this.file.write(piece, done)
      done += (await guarded(this.path, 'write', call)).bytesWritten
    }
    this.#hash.update(piece)
    this.length += piece.length
    const further = this.length > this.#most
    this.#most = Math.max(this.#most, this.length)
    return further
  }

  async restart(): Promise<void> {
    await guarded(this.path, 'write', this.file.truncate(0))
    this.#hash = this.#begin()
    this.length = 0
  }

  digest(): string {
    return this.#hash.copy().digest('hex')
  }
}
