// One run at a time writes to an output folder: two would mix their checkpoints.
import {
  constants,
  copyFile,
  link,
  readFile,
  readdir,
  rm,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { GptloomError } from '../errors.js'
import { guarded } from '../files.js'

/** What the names of locks in an output folder begin with; a number follows. */
export const LOCK = '.training.lock'

const NAME = /^\.training\.lock\.(\d+)$/

interface Holder {
  pid: number
  host: string
  /** When the process started, by the kernel's clock; null where it does not tell. */
  started: string | null
}

let counter = 0

/**
 * Takes an output folder for this run. A lock whose process is gone does not count: whoever is the
 * first to make the lock of the next number has the folder.
 * @returns gives the folder back; never throws
 * @throws GptloomError ERR_OUTPUT_IN_USE naming the process that holds it
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const dead = await deadLocks(folder)
  const number = Math.max(0, ...dead) + 1
  const path = join(folder, `${LOCK}.${number}`)
  const own = join(folder, `${LOCK}.${process.pid}.${counter++}.tmp`)
  const release = () => rm(path, { force: true }).catch(() => {})
  await guarded(folder, 'write', writeFile(own, JSON.stringify(await identity(process.pid))))
  try {
    // Somebody else was faster: now there is a living one.
    if (!(await guarded(folder, 'write', place(own, path)))) return await lockFolder(folder)
  } finally {
    await unlink(own).catch(() => {})
  }
  try {
    // Others may have come and gone since this looked, and one come again under a lower number.
    await deadLocks(folder, number)
  } catch (error) {
    await release()
    throw error
  }
  for (const old of dead) await rm(join(folder, `${LOCK}.${old}`), { force: true }).catch(() => {})
  return release
}

/** The numbers of the locks in a folder, all of which are dead; throws when one lives. */
async function deadLocks(folder: string, own?: number): Promise<number[]> {
  const names = await guarded(folder, 'read', readdir(folder))
  const numbers = names.flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number)
  for (const number of numbers)
    if (number !== own) await refuseLiving(folder, join(folder, `${LOCK}.${number}`))
  return numbers
}

/** Makes `path` a copy of `own` unless there is one already; tells whether it did. */
async function place(own: string, path: string): Promise<boolean> {
  try {
    // A link appears with its contents or not at all. Some disks have no links.
    await link(own, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw error
      return copyFile(own, path, constants.COPYFILE_EXCL)
    })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function refuseLiving(folder: string, path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const holder = parse(text)
  if (!holder || (holder.host === hostname() && !(await lives(holder)))) return
  const where = holder.host === hostname() ? '' : ` on ${holder.host}`
  const remedy = where ? `. If that run is over, remove ${path}` : ''
  throw new GptloomError(
    'ERR_OUTPUT_IN_USE',
    `Another run (process ${holder.pid}${where}) is writing to ${folder}: ` +
      `wait for it, stop it, or choose another folder${remedy}`,
  )
}

function parse(text: string): Holder | undefined {
  try {
    const { pid, host, started } = JSON.parse(text) as Holder
    return Number.isSafeInteger(pid) && typeof host === 'string'
      ? { pid, host, started }
      : undefined
  } catch {
    return undefined
  }
}

async function identity(pid: number): Promise<Holder> {
  return { pid, host: hostname(), started: (await inspect(pid))?.started ?? null }
}

async function lives({ pid, started }: Holder): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const found = await inspect(pid)
  if (!found || started === null) return true
  // Numbers are used again, in containers soon; and one whose parent never asks stays as a zombie.
  return found.started === started && !'ZX'.includes(found.state)
}

/** A process's state, and when it started in clock ticks after which boot; undefined without /proc. */
async function inspect(pid: number): Promise<{ state: string; started: string } | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    // The second field, a name in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0]!, started: `${boot.trim()}/${fields[19]}` }
  } catch {
    return undefined
  }
}
