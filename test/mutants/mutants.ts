// The mutants of the kernels that ship, with names that outlive edits of other lines.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { isWait, sitesOf } from '../ptx/sites.js'
import type { Edit, Place, Site } from '../ptx/sites.js'
import { original } from './images.js'

export interface Mutant {
  /** `family: function: line of the source [what is dropped]`, for barriers and waits the kernel too. */
  name: string
  family: string
  /** The kernels that the edits are of. */
  kernels: string[]
  edits: Edit[]
}

const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))))
const sources = new Map<string, string[]>()

/** A line of the source, without spaces at its ends and comment, and the function that it is in. */
function lineAt({ file, line }: Place): { text: string; within: string } {
  let lines = sources.get(file)
  if (!lines) {
    lines = readFileSync(path.join(root, file), 'utf8').split('\n')
    sources.set(file, lines)
  }
  const text = lines[line - 1]!.trim().replace(/\s*(\/\/.*|\\)$/, '')
  for (let at = line - 1; at >= 0; at--) {
    if (!/^(?!#|\/\/|template)\w/.test(lines[at]!)) continue
    const head = `${lines[at]} ${lines[at + 1]}`.replace(/__\w+__\(.*?\)/, '')
    const name = /\b(?!__)(\w+)\(/.exec(head)?.[1]
    if (name) return { text, within: name }
  }
  return { text, within: path.basename(file) }
}

function nameOf(family: string, { kind, place, caller, kernels }: Site): string {
  const { text, within } = lineAt(place)
  const plain = `${family}: ${within}: ${text} [${kind}]`
  if (!isWait(kind)) return plain
  const from = caller ? ` < ${lineAt(caller).within}: ${lineAt(caller).text}` : ''
  return `${plain}${from} in ${[...kernels.keys()].join()}`
}

const before = (a?: Place, b?: Place) =>
  (a?.file ?? '').localeCompare(b?.file ?? '') ||
  (a?.line ?? 0) - (b?.line ?? 0) ||
  (a?.column ?? 0) - (b?.column ?? 0)

/**
 * Every mutant of a family. Sites whose names are the same are numbered in their order.
 * @param each conditions too are dropped in one kernel at a time
 */
export function mutantsOf(family: string, each = false): Mutant[] {
  const sites = sitesOf(original(family).text).sort(
    (a, b) => before(a.place, b.place) || before(a.caller, b.caller),
  )
  const counts = new Map<string, number>()
  return sites.flatMap((site) => {
    const plain = nameOf(family, site)
    const number = (counts.get(plain) ?? 0) + 1
    counts.set(plain, number)
    const name = number > 1 ? `${plain} #${number}` : plain
    const kernels = [...site.kernels]
    if (!each || kernels.length === 1) {
      const edits = kernels.flatMap(([, edits]) => edits)
      return [{ name, family, kernels: kernels.map(([kernel]) => kernel), edits }]
    }
    return kernels.map(([kernel, edits]) => ({
      name: `${name} in ${kernel}`,
      family,
      kernels: [kernel],
      edits,
    }))
  })
}
