// Weights in several files: an index names the file of each tensor.
import { dirname, join } from 'node:path'
import { GptloomError, show } from '../errors.js'
import type { SafetensorsData } from './dtypes.js'
import type { TensorInfo, TensorSource } from './elements.js'
import { readSmallJson } from './json.js'
import { openPytorch } from './pytorch.js'
import { openSafetensors } from './safetensors.js'

/** The most files a model may be split into. */
const MAX_SHARDS = 1000

// Plain names alone: an index must not reach out of its folder.
const NAME = /^[\w-][\w.-]*\.(safetensors|bin)$/

/**
 * The names of the files that an index lists.
 *
 * @param path the index, for messages
 * @throws GptloomError ERR_FORMAT when one is no plain name
 */
export function shardNames(index: unknown, path: string): string[] {
  return [...new Set(weightMap(index, path).values())]
}

function weightMap(index: unknown, path: string): Map<string, string> {
  const fail = (what: string) => new GptloomError('ERR_FORMAT', `${path}: ${what}`)
  const map = (index as { weight_map?: unknown } | null)?.weight_map
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw fail(`expected an object for weight_map, received ${show(map)}`)
  }
  const entries = Object.entries(map)
  for (const [tensor, file] of entries) {
    if (typeof file !== 'string' || !NAME.test(file) || file.length > 200) {
      throw fail(
        `expected the name of a file in the same folder for ${tensor}, received ${show(file)}`,
      )
    }
  }
  const count = new Set(Object.values(map)).size
  if (count === 0 || count > MAX_SHARDS) throw fail(`it lists ${count} files`)
  return new Map(entries)
}

/**
 * Opens all files of an index as one.
 *
 * @throws GptloomError ERR_FILE when one is missing, ERR_FORMAT
 */
export async function openShards(path: string): Promise<TensorSource> {
  const map = weightMap(await readSmallJson(path), path)
  const files = new Map<string, TensorSource>()
  const close = async () => {
    for (const file of files.values()) await file.close()
  }
  try {
    for (const name of new Set(map.values())) {
      const opener = name.endsWith('.bin') ? openPytorch : openSafetensors
      files.set(name, await opener(join(dirname(path), name)))
    }
    const tensors = new Map<string, TensorInfo>()
    for (const [tensor, name] of map) {
      const found = files.get(name)!.tensors.get(tensor)
      if (!found) {
        const where = join(dirname(path), name)
        throw new GptloomError(
          'ERR_FORMAT',
          `${where} holds no tensor ${show(tensor)}, which ${path} says is there`,
        )
      }
      tensors.set(tensor, found)
    }
    const read = (name: string): Promise<SafetensorsData> => files.get(map.get(name)!)!.read(name)
    return { path, tensors, read, close }
  } catch (error) {
    await close()
    throw error
  }
}
