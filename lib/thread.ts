import { basename } from 'node:path'
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
  // The bundle has the modules of threads in its own folder.
  const file = import.meta.url.endsWith('.ts') ? `${name}.ts` : `${basename(name)}.js`
  const module = new URL(file, import.meta.url).href
  // What Node was started with (--input-type, --eval, --import) is for the main thread.
  return new Worker(START, {
    eval: true,
    execArgv: [],
    workerData: { module, data },
    resourceLimits,
  })
}
