// The images of the kernels as they are built, and images of parts of them, changed.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { kernelFolder } from '../../lib/tensor/gpu.js'
import { edited, kernelsOf } from '../ptx/sites.js'
import type { Edit } from '../ptx/sites.js'

interface Original {
  /** The PTX of the image. */
  text: string
  /** Where its kernels begin and end. */
  kernels: Map<string, [number, number]>
}

const originals = new Map<string, Original>()

export function original(family: string): Original {
  let found = originals.get(family)
  if (!found) {
    const whole = readFileSync(path.join(kernelFolder, `${family}.fatbin`), 'latin1')
    const begin = whole.search(/^\.version /m)
    const end = whole.indexOf('\0', begin)
    const text = whole.slice(begin, end < 0 ? undefined : end)
    found = { text, kernels: kernelsOf(text) }
    originals.set(family, found)
  }
  return found
}

/** A fat binary of the family's PTX with these edits, less the kernels that are not wanted. */
export function imageOf(family: string, wanted: Set<string>, edits: Edit[] = []): Buffer {
  const { text, kernels } = original(family)
  const parts: Buffer[] = []
  let last = 0
  for (const [name, [begin, end]] of kernels) {
    parts.push(Buffer.from(text.slice(last, begin), 'latin1'))
    if (wanted.has(name)) {
      const kernel = Buffer.from(text.slice(begin, end), 'latin1')
      const own = edits.filter(({ from }) => from >= begin && from < end)
      parts.push(edited(kernel, own, begin))
    }
    last = end
  }
  parts.push(Buffer.from(text.slice(last), 'latin1'), Buffer.alloc(8))
  const payload = Buffer.concat(parts)
  // Header and one entry, as the addon and the emulator read them.
  const head = Buffer.alloc(16 + 64)
  head.writeUInt32LE(0xba55ed50, 0)
  head.writeUInt16LE(1, 4)
  head.writeUInt16LE(16, 6)
  head.writeBigUInt64LE(BigInt(64 + payload.length), 8)
  head.writeUInt16LE(1, 16) // PTX
  head.writeUInt16LE(0x0101, 18)
  head.writeUInt32LE(64, 20)
  head.writeBigUInt64LE(BigInt(payload.length), 24)
  head.writeUInt32LE(80, 44) // compute_80
  return Buffer.concat([head, payload])
}
