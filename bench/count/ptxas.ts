// Registers, spills and stack of kernels, as ptxas states them for sm_80.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export interface Registers {
  registers: number
  /** Bytes stored by spilling. */
  spills: number
  /** Bytes of local memory a thread. */
  stack: number
}

export const hasPtxas = () => spawnSync('ptxas', ['--version']).status === 0

/** The PTX inside a fat binary that is not compressed. */
export function ptxOf(image: string): string {
  const content = readFileSync(image, 'latin1')
  const begin = content.indexOf('.version ')
  const end = content.indexOf('\0', begin)
  if (begin < 0) throw new Error(`${image} holds no PTX that can be read`)
  return content.slice(begin, end < 0 ? undefined : end)
}

/** A module with some of its kernels only. */
export function withKernels(ptx: string, kernels: string[]): string {
  return ptx
    .split(/^(?=\.visible \.entry )/m)
    .map((part) => {
      const name = /^\.visible \.entry (\w+)/.exec(part)?.[1]
      if (name === undefined || kernels.includes(name)) return part
      return part.slice(endOfBody(part))
    })
    .join('')
}

// What follows the body of a kernel belongs to the next, or to all.
function endOfBody(part: string): number {
  let depth = 0
  for (const { 0: brace, index } of part.matchAll(/[{}]/g)) {
    depth += brace === '{' ? 1 : -1
    if (depth === 0) return index + 2
  }
  return part.length
}

/**
 * What ptxas says of kernels of an image. Answers are kept in a file of `cache`, by what was asked: a large
 * kernel takes seconds.
 */
export function registersOf(
  image: string,
  kernels: string[],
  cache: string,
): Map<string, Registers> {
  const ptx = ptxOf(image)
  mkdirSync(cache, { recursive: true })
  return new Map(
    kernels.map((kernel): [string, Registers] => {
      const module = withKernels(ptx, [kernel])
      const key = createHash('sha256').update(module).digest('hex').slice(0, 24)
      const kept = path.join(cache, `${kernel}.${key}.txt`)
      if (!existsSync(kept)) writeFileSync(kept, assemble(module))
      return [kernel, parse(readFileSync(kept, 'utf8'), kernel)]
    }),
  )
}

function assemble(ptx: string): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-ptxas-'))
  try {
    const file = path.join(folder, 'kernel.ptx')
    writeFileSync(file, ptx)
    const args = ['-arch=sm_80', '-O3', '-v', '-o', path.join(folder, 'kernel.cubin'), file]
    const { status, stderr } = spawnSync('ptxas', args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`ptxas fails:\n${stderr}`)
    return stderr
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Reads what `ptxas -v` prints of one kernel. */
export function parse(text: string, kernel: string): Registers {
  const number = (pattern: RegExp) => {
    const found = pattern.exec(text)?.[1]
    if (found === undefined) throw new Error(`ptxas says nothing of ${kernel}: ${text}`)
    return Number(found)
  }
  return {
    registers: number(/Used (\d+) registers/),
    spills: number(/(\d+) bytes spill stores/),
    stack: number(/(\d+) bytes stack frame/),
  }
}
