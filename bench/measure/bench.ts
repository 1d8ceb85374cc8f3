// The bench as a function: what npm run bench prints, and npm run gpu-check puts into its report.
import type { Device, Dtype } from '../../lib/tensor/index.js'
import { ceilings } from './ceilings.js'
import type { Ceilings } from './ceilings.js'
import { paces, time } from './clock.js'
import { kernelCases } from './kernels.js'
import type { Opener, WorkCase } from './kernels.js'
import { generateCases, scaleCases, trainCases } from './models.js'
import type { Sizes, TokenCase } from './models.js'

export const groups = ['kernels', 'train', 'generate', 'scale'] as const
export type Group = (typeof groups)[number]

export interface Result {
  group: Group
  name: string
  dtype: Dtype
  /** Of one run: the median of the samples. */
  seconds: number
  spread: number
  /** A second, where the case has any. */
  flops: number
  bytes: number
  tokens: number
  /** Of the ceiling that is nearer: FLOPs or bytes. */
  fraction: number
  bound: 'FLOPs' | 'bytes'
  /** Of a case that is one of several sizes. */
  sizes?: Sizes
}

export interface Bench {
  device: string
  ceilings: Ceilings
  results: Result[]
  /** Cases that the device has no memory for. */
  skipped: { name: string; reason: string }[]
}

export interface BenchOptions {
  groups?: readonly Group[]
  /** Cases whose name it matches. */
  only?: RegExp
  tiny?: boolean
  /** Called before each group. */
  progress?(what: string): void
}

export async function bench(device: Device, options: BenchOptions = {}): Promise<Bench> {
  const { only = /(?:)/, tiny = false, progress = () => {} } = options
  const pace = tiny ? paces.tiny : paces.full
  progress('ceilings')
  const measured = await ceilings(device, pace, tiny)
  const results: Result[] = []
  const skipped: Bench['skipped'] = []
  for (const group of options.groups ?? groups) {
    for (const dtype of device.dtypes) {
      const openers = casesOf(group, device, tiny)
      const wanted = openers.filter((each) => each.dtype === dtype && only.test(each.name))
      if (wanted.length === 0) continue
      progress(`${group} (${dtype})`)
      const cases: (WorkCase | TokenCase)[] = []
      try {
        for (const each of wanted) {
          const opened = await fitting(device, each)
          if ('reason' in opened) skipped.push(opened)
          else cases.push(opened)
        }
        const times = await time(device, cases, pace)
        times.forEach((each, i) => results.push(resultOf(group, cases[i]!, each, measured)))
      } finally {
        for (const each of cases) each.dispose()
      }
    }
  }
  return { device: device.name, ceilings: measured, results, skipped }
}

/** The case, after it has run once, or why it has no room beside those before it. */
export async function fitting<C extends WorkCase>(
  device: Device,
  { name, open }: Opener<C>,
): Promise<C | { name: string; reason: string }> {
  let opened: C | undefined
  try {
    opened = open()
    await opened.run()
    await device.idle()
    return opened
  } catch (error) {
    opened?.dispose()
    if ((error as { code?: string }).code !== 'ERR_OUT_OF_MEMORY') throw error
    return { name, reason: (error as Error).message }
  }
}

function casesOf(group: Group, device: Device, tiny: boolean): Opener<WorkCase | TokenCase>[] {
  if (group === 'kernels') return kernelCases(device, tiny)
  if (group === 'scale') return scaleCases(device, tiny)
  return group === 'train' ? trainCases(device, tiny) : generateCases(device, tiny)
}

function resultOf(
  group: Group,
  work: WorkCase | TokenCase,
  { name, seconds, spread }: { name: string; seconds: number; spread: number },
  { flops, bandwidth, read = bandwidth }: Ceilings,
): Result {
  const { dtype } = work
  const byFlops = work.flops / seconds / flops[dtype]!
  // Weights are only read.
  const byBytes = work.bytes / seconds / (group === 'generate' ? read : bandwidth)
  return {
    ...{ group, name, dtype, seconds, spread },
    flops: work.flops / seconds,
    bytes: work.bytes / seconds,
    tokens: 'tokens' in work ? work.tokens / seconds : 0,
    fraction: Math.max(byFlops, byBytes),
    bound: byFlops > byBytes ? 'FLOPs' : 'bytes',
    ...('sizes' in work && work.sizes ? { sizes: work.sizes } : {}),
  }
}
