// What is counted of an op on the emulated GPU, and what is derived from the counts.
import type { Registers } from './ptxas.js'

/** One launch, as the emulator writes it: the fields that are used here. */
export interface Launch {
  kernel: string
  grid: [number, number, number]
  block: [number, number, number]
  staticShared: number
  dynamicShared: number
  localBytes: number
  warpInstructions: number
  globalRead: Traffic
  globalWrite: Traffic
  localRead: Traffic
  localWrite: Traffic
  shared: { wavefronts: number; bankConflicts: number }
  flops: { tensor: number; float32: number; float64: number; half: number }
}

interface Traffic {
  bytes: number
  sectors: number
  /** Counted under full checks only. */
  uniqueBytes: number
}

/** Sums over the launches of an op. */
export interface Counts {
  launches: number
  warpInstructions: number
  /** Bytes of the 32-byte sectors of global and local memory that were touched, each time they were. */
  sectorBytes: number
  /** Different bytes of global memory, summed over launches: as if the cache were perfect. */
  distinctBytes: number
  /** Bytes that lanes asked for. */
  askedBytes: number
  localBytes: number
  wavefronts: number
  bankConflicts: number
  tensorFlops: number
  otherFlops: number
}

/** What a kernel takes of a multiprocessor, by ptxas for sm_80. */
export interface Kernel extends Registers {
  name: string
  /** The part of an A100's resident warps that fit at once, 0 to 1. */
  occupancy: number
}

/** What is watched: each may get worse by 2 % before the test fails. */
export interface Figures {
  /** Bytes of sectors over the least that the op can move. */
  bytes: number
  /** Different bytes of each launch over the least: what comes from memory where a cache holds the rest. */
  distinct?: number
  /** Bytes asked for over bytes of sectors, at most 1: where nothing that is fetched goes unused. */
  sectorEfficiency: number
  /** Shared-memory wavefronts beyond those that the bytes take. */
  bankConflicts: number
  /** FLOPs on tensor cores over all. Only where there are products. */
  tensorShare?: number
  /** Bytes of registers spilled and of local arrays, in the worst kernel. */
  spills: number
  /** Of the worst kernel. */
  occupancy: number
  launches: number
  warpInstructions: number
}

export function sum(launches: Launch[]): Counts {
  const total = (of: (launch: Launch) => number) =>
    launches.reduce((sum, each) => sum + of(each), 0)
  const global = ({ globalRead, globalWrite }: Launch) => [globalRead, globalWrite]
  const local = ({ localRead, localWrite }: Launch) => [localRead, localWrite]
  const over = (parts: (launch: Launch) => Traffic[], field: keyof Traffic) =>
    total((launch) => parts(launch).reduce((sum, traffic) => sum + traffic[field], 0))
  return {
    launches: launches.length,
    warpInstructions: total((launch) => launch.warpInstructions),
    sectorBytes: 32 * (over(global, 'sectors') + over(local, 'sectors')),
    distinctBytes: over(global, 'uniqueBytes'),
    askedBytes: over(global, 'bytes') + over(local, 'bytes'),
    localBytes: over(local, 'bytes'),
    wavefronts: total(({ shared }) => shared.wavefronts),
    bankConflicts: total(({ shared }) => shared.bankConflicts),
    tensorFlops: total(({ flops }) => flops.tensor),
    otherFlops: total(({ flops }) => flops.float32 + flops.float64 + flops.half),
  }
}

/** @param least bytes that the op must move at least */
export function figuresOf(counts: Counts, kernels: Kernel[], least: number): Figures {
  const { tensorFlops, otherFlops } = counts
  return {
    bytes: rounded(counts.sectorBytes / least),
    ...(counts.distinctBytes > 0 ? { distinct: rounded(counts.distinctBytes / least) } : {}),
    sectorEfficiency: rounded(Math.min(1, counts.askedBytes / counts.sectorBytes)),
    bankConflicts: counts.bankConflicts,
    ...(tensorFlops > 0 ? { tensorShare: rounded(tensorFlops / (tensorFlops + otherFlops)) } : {}),
    spills: Math.max(...kernels.map(({ spills, stack }) => spills + stack)),
    occupancy: Math.min(...kernels.map(({ occupancy }) => occupancy)),
    launches: counts.launches,
    warpInstructions: counts.warpInstructions,
  }
}

/** Which figures are better high. */
const high = new Set<keyof Figures>(['sectorEfficiency', 'tensorShare', 'occupancy'])

/** Every figure that is worse than before by more than the part `slack`, as sentences. */
export function worse(name: string, now: Figures, before: Figures, slack = 0.02): string[] {
  return (Object.keys(before) as (keyof Figures)[]).flatMap((figure) => {
    const [is, was] = [now[figure] ?? 0, before[figure] ?? 0]
    const bad = high.has(figure) ? is < was * (1 - slack) : is > was * (1 + slack)
    return bad ? [`${name}: ${figure} is ${is}, and was ${was}`] : []
  })
}

/** A figure that must not be passed. */
export type Target = Partial<
  Record<'bytes' | 'distinct' | 'sectorEfficiency' | 'tensorShare', number>
> & {
  bankConflicts?: 0
}

/** The targets that figures miss, as sentences. */
export function misses(name: string, figures: Figures, target: Target): string[] {
  const wanted = { spills: 0, ...target } as Partial<Figures>
  return (Object.keys(wanted) as (keyof Figures)[]).flatMap((figure) => {
    const [is, limit] = [figures[figure] ?? 0, wanted[figure]!]
    const missed = high.has(figure) ? is < limit : is > limit
    return missed ? [`${name}: ${figure} is ${is}, the target is ${limit}`] : []
  })
}

export const rounded = (x: number) => Number(x.toPrecision(5))

/**
 * The part of an A100's 64 resident warps that fit on a multiprocessor at once: registers go to warps in
 * units of 256 and stay within one of four partitions of 16384; of 164 KB of shared memory, in units of
 * 128 bytes, each block takes 1 KB more than it asks for (CUDA's occupancy calculator).
 */
export function occupancy(
  { block, staticShared, dynamicShared }: Pick<Launch, 'block' | 'staticShared' | 'dynamicShared'>,
  registers: number,
): number {
  const warps = Math.ceil((block[0] * block[1] * block[2]) / 32)
  const perWarp = Math.ceil((registers * 32) / 256) * 256
  const shared = Math.ceil((staticShared + dynamicShared + 1024) / 128) * 128
  const blocks = Math.min(
    32,
    Math.floor(64 / warps),
    Math.floor((Math.floor(16384 / perWarp) * 4) / warps),
    Math.floor((164 * 1024) / shared),
  )
  return rounded((blocks * warps) / 64)
}
