// The cache that the hub's own tools have, shared with them:
//   models--org--name/refs/REVISION              the commit that a branch or tag was at last
//   models--org--name/blobs/HASH                 each file once, by its hash
//   models--org--name/snapshots/COMMIT/NAME      links to the blobs
import { copyFile, mkdir, readFile, readdir, rename, symlink, unlink } from 'node:fs/promises'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { outOfRange } from '../errors.js'
import { exists, guarded, writeFileAtomic } from '../files.js'
import { readSmallJson } from '../formats/json.js'
import { shardNames } from '../formats/shards.js'

const COMMIT = /^[0-9a-f]{40}$/

/** Whether a text could be the name of a model on a hub: 'gpt2' or 'openai-community/gpt2'. */
export function isRepository(name: string): boolean {
  return name.length <= 96 && /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/.test(name)
}

/** Where the models lie: HF_HUB_CACHE, or hub/ in HF_HOME, or ~/.cache/huggingface/hub. */
export function defaultCache(env: NodeJS.ProcessEnv = process.env): string {
  if (env.HF_HUB_CACHE) return env.HF_HUB_CACHE
  if (env.HF_HOME) return join(env.HF_HOME, 'hub')
  return join(env.XDG_CACHE_HOME || join(os.homedir(), '.cache'), 'huggingface', 'hub')
}

/** The folders of one model in the cache. */
export class Repository {
  readonly folder: string

  /** @throws RangeError for names that no model can have */
  constructor(
    readonly name: string,
    cache: string,
  ) {
    if (!isRepository(name)) throw outOfRange('a name such as openai-community/gpt2', 'repo', name)
    this.folder = join(cache, `models--${name.replace('/', '--')}`)
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit)
  }

  blob(hash: string): string {
    return join(this.folder, 'blobs', hash)
  }

  /** The commit that a revision was at when it was last asked for. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision
    const text = await readFile(this.#ref(revision), 'utf8').catch(() => '')
    return COMMIT.test(text.trim()) ? text.trim() : undefined
  }

  async remember(revision: string, commit: string): Promise<void> {
    if (revision === commit) return
    const path = this.#ref(revision)
    await guarded(path, 'create', mkdir(dirname(path), { recursive: true }))
    await writeFileAtomic(path, commit)
  }

  #ref(revision: string): string {
    return join(this.folder, 'refs', ...checkRevision(revision).split('/'))
  }

  /** Makes a blob appear under a name in a snapshot. */
  async link(commit: string, name: string, hash: string): Promise<void> {
    const path = join(this.snapshot(commit), name)
    await guarded(path, 'create', mkdir(dirname(path), { recursive: true }))
    await unlink(path).catch(() => {}) // a link whose blob is gone
    try {
      await symlink(join('..', '..', 'blobs', hash), path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return // another process was faster
      await guarded(path, 'write', copyFile(this.blob(hash), path)) // a disk without links
    }
  }

  /**
   * Takes what has arrived of a blob, so that no other process writes to it: the name of a file of our
   * own, which is empty or holds the beginning.
   */
  async claim(hash: string): Promise<string> {
    const folder = join(this.folder, 'blobs')
    await guarded(folder, 'create', mkdir(folder, { recursive: true }))
    const own = `${this.blob(hash)}.${process.pid}.${claims++}.incomplete`
    for (const name of await guarded(folder, 'read', readdir(folder))) {
      const match = /^([0-9a-f]+)(?:\.(\d+)\.\d+)?\.incomplete$/.exec(name)
      if (match?.[1] !== hash || (match[2] !== undefined && isAlive(Number(match[2])))) continue
      if (
        await rename(join(folder, name), own).then(
          () => true,
          () => false,
        )
      )
        break
    }
    return own
  }

  /** Leaves what has arrived for the next time. */
  async release(hash: string, own: string): Promise<void> {
    await rename(own, `${this.blob(hash)}.incomplete`).catch(() => {})
  }
}

let claims = 0

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** @throws RangeError for revisions that could leave the folder */
export function checkRevision(revision: string): string {
  const sound = /^[\w.-]+(\/[\w.-]+)*$/.test(revision) && !/(^|\/)\.+(\/|$)/.test(revision)
  if (!sound || revision.length > 200) {
    throw outOfRange('a branch, tag or commit', 'revision', revision)
  }
  return revision
}

/** What describes a model; those that it has are fetched. */
const DESCRIPTIONS = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
  'merges.txt',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
]

const WEIGHTS = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
]

const ADAPTER = ['adapter_config.json', 'adapter_model.safetensors', 'adapter_model.bin']

/**
 * The files of a model that are read here, the weights last; undefined when it has none that can be.
 * Of an index the shards are still to be added.
 */
export function neededFiles(names: ReadonlySet<string>): string[] | undefined {
  const has = (name: string) => names.has(name)
  const weights = WEIGHTS.find(has)
  if (has('config.json') && weights) return [...DESCRIPTIONS.filter(has), weights]
  const adapter = ADAPTER.slice(1).find(has)
  return has(ADAPTER[0]!) && adapter ? [ADAPTER[0]!, adapter] : undefined
}

/** Whether a snapshot has all that is needed to read it. */
export async function isComplete(folder: string): Promise<boolean> {
  const names = new Set(await readdir(folder).catch(() => [] as string[]))
  const needed = neededFiles(names)
  if (!needed) return false
  for (const name of needed) {
    const path = join(folder, name)
    if (!(await exists(path))) return false
    if (!name.endsWith('.index.json')) continue
    const shards = await readSmallJson(path).then(
      (index) => shardNames(index, path),
      () => [''],
    )
    for (const shard of shards)
      if (!names.has(shard) || !(await exists(join(folder, shard)))) return false
  }
  return true
}
