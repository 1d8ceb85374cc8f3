import { dirname, join } from 'node:path'
import { GptloomError, checkKeys, checkNumber, outOfRange, wrongType } from '../errors.js'
import { readSmallJson } from '../formats/json.js'
import { shardNames } from '../formats/shards.js'
import { fetchFile } from './blob.js'
import { Repository, checkRevision, defaultCache, isComplete, neededFiles } from './cache.js'
import { Passing, checkStatus, readJsonAnswer, request, withRetries } from './http.js'
import type { Session } from './http.js'

/** The hub that is asked when neither an option nor HF_ENDPOINT names another. */
export const DEFAULT_ENDPOINT = 'https://huggingface.co'

/** How far a download is. */
export interface DownloadProgress {
  file: string
  /** Bytes of the file that have arrived, those of earlier attempts included. */
  received: number
  /** The file's size in bytes. */
  size: number
  /** Which file of how many, from 1; an index of shards adds files when it has been read. */
  index: number
  files: number
}

export interface DownloadOptions {
  /** A branch, tag or commit. Default 'main'. */
  revision?: string
  /** The hub's address. Default: HF_ENDPOINT, or DEFAULT_ENDPOINT. */
  endpoint?: string
  /** Sent to the hub alone. Default: HF_TOKEN. */
  token?: string
  /** The cache's folder. Default: HF_HUB_CACHE, hub/ in HF_HOME, or ~/.cache/huggingface/hub. */
  cache?: string
  onProgress?: (progress: DownloadProgress) => void
  /** Stops the download with AbortError; what has arrived is kept. */
  signal?: AbortSignal
  /** Milliseconds before the second attempt; doubled for each further one. Default 500. */
  retryDelay?: number
}

const OPTIONS = [
  'revision',
  'endpoint',
  'token',
  'cache',
  'onProgress',
  'signal',
  'retryDelay',
] as const

/**
 * The folder of a model that the cache holds whole, or undefined. Asks no hub.
 *
 * @throws RangeError for a name or revision that cannot be
 */
export async function cachedModel(
  repo: string,
  options: Pick<DownloadOptions, 'revision' | 'cache'> = {},
): Promise<string | undefined> {
  const { revision = 'main', cache = defaultCache() } = options
  const repository = new Repository(repo, cache)
  const commit = await repository.commitOf(checkRevision(revision))
  if (commit === undefined) return undefined
  const folder = repository.snapshot(commit)
  return (await isComplete(folder)) ? folder : undefined
}

/**
 * Fetches what is needed of a model into the cache and returns its folder there. Goes on where an
 * earlier download stopped; every file is checked against its hash before it appears. When the hub
 * cannot be reached, or HF_HUB_OFFLINE is set, a model that the cache holds whole is taken as it is.
 *
 * @param repo 'openai-community/gpt2'
 * @throws TypeError, RangeError for options that cannot be; GptloomError ERR_HUB when the hub refuses
 *   or sends something else, ERR_FILE when the disk is full; AbortError
 */
export async function download(repo: string, options: DownloadOptions = {}): Promise<string> {
  const { session, repository, revision, onProgress } = resolve(repo, options)
  const offline = /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '')
  const kept = await cachedModel(repo, { revision, cache: dirname(repository.folder) })
  if (offline) {
    if (kept !== undefined) return kept
    throw new GptloomError('ERR_HUB', `${repo} is not in the cache, and HF_HUB_OFFLINE is set`)
  }
  let listing: Listing
  try {
    listing = await list(session, repo, revision)
  } catch (error) {
    const unreachable = error instanceof GptloomError && error.cause instanceof Passing
    if (unreachable && kept !== undefined) return kept
    throw error
  }
  const folder = repository.snapshot(listing.commit)
  const files = neededFiles(listing.names)
  if (!files) {
    throw new GptloomError(
      'ERR_HUB',
      `${repo} holds no model that can be read: expected config.json with model.safetensors or ` +
        'pytorch_model.bin',
    )
  }
  for (let i = 0; i < files.length; i++) {
    const name = files[i]!
    const report = (received: number, size: number) =>
      onProgress?.({ file: name, received, size, index: i + 1, files: files.length })
    await fetchFile(session, repository, listing.commit, name, report)
    const path = join(folder, name)
    if (name.endsWith('.index.json')) files.push(...shardNames(await readSmallJson(path), path))
  }
  await repository.remember(revision, listing.commit)
  return folder
}

function resolve(repo: string, options: DownloadOptions) {
  checkKeys('the download options', options, OPTIONS)
  const {
    revision = 'main',
    cache = defaultCache(),
    signal,
    onProgress,
    retryDelay = 500,
  } = options
  const endpoint = (options.endpoint ?? process.env.HF_ENDPOINT) || DEFAULT_ENDPOINT
  if (!/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : '')) {
    throw outOfRange('an address of http or https', 'endpoint', endpoint)
  }
  if (typeof repo !== 'string')
    throw wrongType('a name such as openai-community/gpt2', 'repo', repo)
  const token = (options.token ?? process.env.HF_TOKEN)?.trim() || undefined
  if (token && !/^[\x21-\x7e]+$/.test(token))
    throw new TypeError('Expected a token of ASCII letters')
  const session: Session = {
    endpoint: endpoint.replace(/\/+$/, ''),
    token,
    signal,
    retryDelay: checkNumber('retryDelay', retryDelay, 0),
  }
  return {
    session,
    repository: new Repository(repo, cache),
    revision: checkRevision(revision),
    onProgress,
  }
}

interface Listing {
  commit: string
  names: Set<string>
}

async function list(session: Session, repo: string, revision: string): Promise<Listing> {
  const url = `${session.endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}`
  const json = await withRetries(session, repo, async () => {
    const answer = await request(session, url)
    checkStatus(answer, revision === 'main' ? repo : `${repo} at ${revision}`)
    return (await readJsonAnswer(answer, repo)) as Record<string, unknown> | null
  })
  const { sha, siblings } = json ?? {}
  if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings)) {
    throw new GptloomError('ERR_HUB', `What the hub says of ${repo} has no commit or no files`)
  }
  const names = siblings.map((item: { rfilename?: unknown } | null) => item?.rfilename)
  return { commit: sha, names: new Set(names.filter((name) => typeof name === 'string')) }
}
