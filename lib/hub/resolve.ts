import { GptloomError } from '../errors.js'
import { exists } from '../files.js'
import { isRepository } from './cache.js'
import { cachedModel, download } from './download.js'
import type { DownloadOptions } from './download.js'

export interface ResolveOptions extends DownloadOptions {
  /** Whether a model that the cache does not hold is fetched. Default false. */
  download?: boolean
}

/**
 * Where a model lies on this disk: the path itself, or the cache's folder of a model that is named as
 * on a hub. Nothing is asked of a network unless `download` says so.
 * @throws GptloomError ERR_FILE for a model that is neither here nor in the cache; what download() throws
 */
export async function resolveModelPath(
  name: string,
  { download: fetch = false, ...options }: ResolveOptions = {},
): Promise<string> {
  // What is no name of a model is a path, of which the reader says what is wrong with it.
  if ((await exists(name)) || !isRepository(name)) return name
  const { revision, cache } = options
  const cached = await cachedModel(name, { revision, cache })
  if (cached !== undefined) return cached
  if (fetch) return download(name, options)
  throw new GptloomError(
    'ERR_FILE',
    `${name} is no folder, and no model of that name is in the cache: check the path, or fetch the ` +
      'model from the hub with `download: true`',
  )
}
