export { defaultCache, isRepository } from './cache.js'
export { DEFAULT_ENDPOINT, cachedModel, download } from './download.js'
export type { DownloadOptions, DownloadProgress } from './download.js'
