// Counts ops and the ladder on the emulated GPU.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { kernelFolder, readManifest } from '../../lib/tensor/gpu.js'
import type { Emulated } from './emulated.js'
import { figuresOf, misses, occupancy, sum, worse } from './figures.js'
import type { Counts, Figures, Kernel, Launch } from './figures.js'
import { buildLadder, imageOf, ladderNeeds, launchRung, rungs } from './ladder.js'
import { ops } from './ops.js'
import { hasPtxas, registersOf } from './ptxas.js'

export interface Counted {
  name: string
  dtype: string
  /** Of the op; what changed, for a rung of the ladder. */
  shape: string
  /** The least bytes of the op. */
  least: number
  figures: Figures
  counts: Counts
  kernels: string[]
}

export interface Report {
  /** The nvcc that made the kernels. */
  toolkit: string
  kernels: Kernel[]
  ops: Counted[]
  ladder: (Counted & { family: string })[]
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const cache = path.join(root, 'build', 'counters')
const emulator = () => process.env.GPTLOOM_EMULATOR ?? path.join(root, 'build', 'emulator')

/** What is missing to count anything, as a sentence; null when nothing is. */
export function lacking(): string | null {
  if (!existsSync(path.join(emulator(), 'libcuda.so.1')))
    return 'there is no emulated GPU: cmake -S test/ptx -B build/emulator && cmake --build build/emulator'
  if (!readManifest()) return 'there are no kernels: npm run build:kernels'
  if (!hasPtxas()) return 'ptxas is not on the PATH'
  return null
}

/**
 * Counts the ops whose name and dtype match `pattern`, and with `ladder` the naive versions too, where
 * there is nvcc.
 */
export function count({ pattern = '', ladder = true } = {}): Report {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-counters-'))
  try {
    const file = path.join(folder, 'counters')
    const report: Report = { toolkit: readManifest()!.toolkit, kernels: [], ops: [], ladder: [] }
    const only = new RegExp(pattern, 'i')
    const found = [...emulated(pattern, file, 'bounds'), ...emulated(pattern, file, 'full')]
    for (const { name, dtype, launches } of inOrder(found)) {
      const { shape, least } = ops.find((op) => op.name === name && op.dtype === dtype)!
      const kernels = kernelsOf(launches, (kernel) => shippedImage(kernel))
      const counts = sum(launches)
      report.ops.push({
        ...{ name, dtype, shape, least, figures: figuresOf(counts, kernels, least), counts },
        kernels: kernels.map(({ name }) => name),
      })
      addAll(report.kernels, kernels)
    }
    if (ladder && !ladderNeeds()) report.ladder = climb(only, file)
    return report
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const shippedImage = (kernel: string) =>
  path.join(kernelFolder, `${kernel.slice(0, kernel.indexOf('_'))}.fatbin`)

type Checks = 'bounds' | 'full'

function emulated(pattern: string, file: string, checks: Checks): Emulated[] {
  writeFileSync(file, '')
  const program = path.join(root, 'bench', 'count', 'emulated.ts')
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', program, pattern],
    { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28, env: environment(file, checks) },
  )
  if (status !== 0) throw new Error(`The ops fail on the emulated GPU:\n${stderr}`)
  return JSON.parse(stdout.slice(stdout.lastIndexOf('\n[') + 1)) as Emulated[]
}

/** Checks but for bounds take time, and count different bytes beside what they check. */
function environment(file: string, checks: Checks): NodeJS.ProcessEnv {
  return {
    ...process.env,
    LD_LIBRARY_PATH: [emulator(), process.env.LD_LIBRARY_PATH].filter(Boolean).join(path.delimiter),
    EMULATOR_COUNTERS: file,
    EMULATOR_CHECKS: checks,
    EMULATOR_DEVICE: '8.0',
  }
}

function inOrder(found: Emulated[]): Emulated[] {
  const place = (of: Emulated) =>
    ops.findIndex((op) => op.name === of.name && op.dtype === of.dtype)
  return found.sort((a, b) => place(a) - place(b))
}

/** The kernels of some launches, each once. */
function kernelsOf(launches: Launch[], image: (kernel: string) => string): Kernel[] {
  const names = [...new Set(launches.map(({ kernel }) => kernel))]
  return names.map((name) => {
    const registers = registersOf(image(name), [name], cache).get(name)!
    const mine = launches.filter(({ kernel }) => kernel === name)
    const part = Math.min(...mine.map((launch) => occupancy(launch, registers.registers)))
    return { name, ...registers, occupancy: part }
  })
}

function addAll(all: Kernel[], more: Kernel[]): void {
  for (const kernel of more) {
    const same = all.find(({ name }) => name === kernel.name)
    if (!same) all.push(kernel)
    else same.occupancy = Math.min(same.occupancy, kernel.occupancy)
  }
}

function climb(only: RegExp, file: string): Report['ladder'] {
  buildLadder()
  const wanted = rungs.filter(({ of }) => only.test(`${of.name} ${of.dtype}`))
  return wanted.map((rung) => {
    writeFileSync(file, '')
    launchRung(rung, environment(file, 'bounds'))
    const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
    const launches = lines.map((line) => JSON.parse(line) as Launch)
    const { least } = ops.find(
      ({ name, dtype }) => name === rung.of.name && dtype === rung.of.dtype,
    )!
    const kernels = kernelsOf(launches, () => imageOf(rung))
    // As if the rung did the shipped op's work.
    const counts = sum(launches)
    for (const key of Object.keys(counts) as (keyof Counts)[])
      if (key !== 'launches') counts[key] = Math.round(counts[key] * rung.scale)
    return {
      ...{ family: rung.family, name: rung.name, dtype: rung.of.dtype, shape: rung.change, least },
      ...{ figures: figuresOf(counts, kernels, least), counts },
      kernels: kernels.map(({ name }) => name),
    }
  })
}

/** What got worse, as sentences; an op of `now` that `before` does not know is one too. */
export function compare(now: Report, before: Report): string[] {
  return now.ops.flatMap((op) => {
    const same = before.ops.find(({ name, dtype }) => name === op.name && dtype === op.dtype)
    const title = `${op.name} (${op.dtype})`
    return same
      ? worse(title, op.figures, same.figures)
      : [`${title} is not in counters.json: npm run counters -- --update`]
  })
}

/** The targets that are not met, as sentences. */
export function missed({ ops: counted }: Report): string[] {
  return counted.flatMap(({ name, dtype, figures }) => {
    const target = ops.find((op) => op.name === name && op.dtype === dtype)?.target
    return target ? misses(`${name} (${dtype})`, figures, target) : []
  })
}

/** As a file that reads well in a diff: a line an op. */
export function format({ toolkit, kernels, ops, ladder }: Report): string {
  const list = (of: object[]) => of.map((each) => `    ${JSON.stringify(each)}`).join(',\n')
  return (
    `{\n  "toolkit": "${toolkit}",\n  "kernels": [\n${list(kernels)}\n  ],\n` +
    `  "ops": [\n${list(ops)}\n  ],\n  "ladder": [\n${list(ladder)}\n  ]\n}\n`
  )
}
