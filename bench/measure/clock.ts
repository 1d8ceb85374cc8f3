// Times work on a device: cases take turns, so that a machine that slows down slows all of them.
import type { Device } from '../../lib/tensor/index.js'

export interface Case {
  name: string
  /** Enqueues the work once. May be asynchronous where the work itself has to wait. */
  run(): void | Promise<void>
  /** Where it runs, when that is not the device of all cases. */
  device?: Device
  dispose(): void
}

export interface Time {
  name: string
  /** Seconds a run, the median of all samples. */
  seconds: number
  /** Half the distance between the quartiles, over the median. */
  spread: number
}

export interface Pace {
  /** Samples of each case. */
  samples: number
  /** Seconds that a sample lasts at least: it holds as many runs as that takes. */
  sample: number
}

/** Enough to tell 5 % apart on a machine that does nothing else; or only enough to run. */
export const paces = {
  full: { samples: 7, sample: 0.1 },
  tiny: { samples: 2, sample: 0 },
} satisfies Record<string, Pace>

/**
 * Times cases. Work is enqueued many times between two waits for the device, so that a GPU is not asked
 * for the time of a launch.
 * @param between called after each turn of all cases
 */
export async function time(
  device: Device,
  cases: Case[],
  pace: Pace,
  between: () => void = () => {},
): Promise<Time[]> {
  const counts: number[] = []
  for (const each of cases) {
    let once = await repeat(device, each, 1) // memory is taken, kernels are loaded
    if (device.kind !== 'cpu' || once < 1) {
      await repeat(device, each, 2) // what repeats may become a graph
      once = await repeat(device, each, 1)
    }
    counts.push(Math.max(1, Math.min(1000, Math.ceil(pace.sample / once))))
  }
  const samples: number[][] = cases.map(() => [])
  for (let i = 0; i < pace.samples; i++) {
    for (const [k, each] of cases.entries())
      samples[k]!.push((await repeat(device, each, counts[k]!)) / counts[k]!)
    between()
  }
  return cases.map(({ name }, k) => ({ name, ...middle(samples[k]!) }))
}

async function repeat(device: Device, each: Case, count: number): Promise<number> {
  const start = performance.now()
  for (let i = 0; i < count; i++) await each.run()
  await (each.device ?? device).idle()
  return (performance.now() - start) / 1000
}

/** The median, and half the distance between the quartiles over it. */
export function middle(samples: number[]): { seconds: number; spread: number } {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (part: number) => {
    const place = part * (sorted.length - 1)
    const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!]
    return low + (high - low) * (place - Math.floor(place))
  }
  return { seconds: at(0.5), spread: (at(0.75) - at(0.25)) / 2 / at(0.5) }
}
