import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { ResourceLimits } from 'node:worker_threads'

// Run from its TypeScript source, a thread needs the loader of its own.
const START = `
  const { workerData } = require('node:worker_threads')
  const { module, data } = workerData
  const isSource = module.endsWith('.ts')
  const loaded = isSource ? import('tsx/esm/api').then(({ register }) => register()) : Promise.resolve()
  loaded.then(() => import(module)).then(({ serve }) => serve(data))
`

/**
 * Starts a thread that calls `serve(data)` of a module.
 * @param name the module, from this folder and without its extension: 'data/preparer'
 */
export function startThread(
  name: string,
  data: unknown,
  resourceLimits: ResourceLimits = {},
): Worker {
  const module = new URL(`${name}${extname(import.meta.url)}`, import.meta.url).href
  // What Node was started with (--input-type, --eval, --import) is for the main thread.
  return new Worker(START, {
    eval: true,
    execArgv: [],
    workerData: { module, data },
    resourceLimits,
  })
}
