// Where a training step's time goes on the CPU, op by op: on one thread and on all.
import { parameterCount, resolveModel } from '../../lib/models/index.js'
import type { Ran } from '../../lib/tensor/binding.js'
import { Cores } from '../targets/cores.js'
import { percent } from '../targets/row.js'
import { trainingCases } from '../targets/steps.js'
import { training } from './models.js'
import type { Shape } from './models.js'
import { columns } from './text.js'

/** All calls of an op on shapes. */
export interface Line {
  /** `matmul of [2, 8, 4], [2, 8, 4], [4, 4]` */
  op: string
  /** A step. */
  calls: number
  seconds: number
  /** Of one call; 0 where nothing is known. */
  work: { amount: number; unit: 'GFLOP/s' | 'GB/s' }
}

export interface Profile {
  /** Of a step, whole; medians, as are those of its parts. */
  seconds: number
  lines: Line[]
  /** The device waits: for its next op, and from a step's last op to the next one's first. */
  between: number
  around: number
  /** JavaScript enqueues a step in so long, while the device works. */
  enqueued: number
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!
const sizeOf = (shape: number[]) => shape.reduce((a, b) => a * b, 1)
/** Bytes that an op moves for each element of the first tensor of its name. */
const moved: Record<string, number> = {
  ...{ fill: 4, copy: 8, add: 12, layernorm: 8, 'layernorm backward': 16 },
  ...{ embedding: 12, 'embedding backward': 24 },
}

/** FLOPs or bytes of a call; its name tells the shapes, but for the parameters of the optimizer's ops. */
export function workOf(op: string, parameters: number): Line['work'] {
  const [name] = op.split(' of ') as [string]
  const shapes = [...op.matchAll(/\[([\d, ]*)\]/g)].map(([, sizes]) =>
    sizes!.split(', ').map(Number),
  )
  const sizes = shapes.map(sizeOf)
  const flops = (amount: number) => ({ amount, unit: 'GFLOP/s' as const })
  const bytes = (amount: number) => ({ amount, unit: 'GB/s' as const })
  // Each of M, N and K is a side of two of the three matrices.
  if (name.startsWith('matmul')) return flops(2 * Math.sqrt(sizes[0]! * sizes[1]! * sizes[2]!))
  if (name === 'linear crossentropy') return flops(6 * sizes[0]! * shapes[1]![0]!)
  if (name.startsWith('attention')) {
    // Of the causal half: two products forward, five backward. The last tensor holds q, k and v.
    const [B, T, C] = shapes.at(-1)! as [number, number, number]
    return flops(((name === 'attention' ? 2 : 5) * B * T * (T + 1) * C) / 3)
  }
  if (name === 'norm') return bytes(4 * parameters)
  if (name === 'adamw') return bytes(28 * parameters)
  return bytes((moved[name] ?? 0) * (sizes[0] ?? 0))
}

/** What `steps` steps of the same ops noted, as one. */
export function linesOf(
  ran: Ran[],
  steps: number,
  parameters: number,
): Pick<Profile, 'lines' | 'between' | 'around'> {
  const each = ran.length / steps
  const [first, ...others] = Array.from({ length: steps }, (_, i) =>
    ran.slice(i * each, (i + 1) * each),
  ) as [Ran[], ...Ran[][]]
  const all = [first, ...others]
  const lines = new Map<string, Line>()
  first.forEach(({ what }, i) => {
    const op = what.replace(/ on [A-Z].*$/, '')
    const line = lines.get(op) ?? { op, calls: 0, seconds: 0, work: workOf(op, parameters) }
    line.calls++
    line.seconds += median(all.map((step) => step[i]!.end - step[i]!.start))
    lines.set(op, line)
  })
  const gaps = all.map((step) =>
    step.slice(1).reduce((sum, op, i) => sum + op.start - step[i]!.end, 0),
  )
  const rests = others.map((step, i) => step[0]!.start - all[i]!.at(-1)!.end)
  return {
    lines: [...lines.values()].sort((a, b) => b.seconds - a.seconds),
    between: median(gaps),
    around: rests.length ? median(rests) : 0,
  }
}

async function profile(cores: Cores, shape: Shape, threads: number): Promise<Profile> {
  const device = cores.device(threads)
  const step = training(device, 'float32', shape.name, shape)
  const run = async () => {
    const start = performance.now()
    const done = step.run()
    const enqueued = performance.now()
    await done
    return [performance.now() - start, enqueued - start] as const
  }
  for (let i = 0; i < 3; i++) await run()
  const [once] = await run()
  const steps = cores.tiny ? 2 : Math.max(3, Math.min(50, Math.ceil(2000 / once)))
  await device.idle() // what follows a step's loss runs on
  device.native.watch(true)
  const times: (readonly [number, number])[] = []
  for (let i = 0; i < steps; i++) times.push(await run())
  await device.idle()
  const ran = device.native.watch(false)
  step.dispose()
  device.native.trim()
  const parameters = parameterCount(resolveModel(shape.model, shape.vocabulary))
  return {
    seconds: median(times.map(([whole]) => whole)) / 1e3,
    enqueued: median(times.map(([, enqueued]) => enqueued)) / 1e3,
    ...linesOf(ran, steps, parameters),
  }
}

const ms = (seconds: number) => (1e3 * seconds).toPrecision(3)

/** One thread and all side by side, which have the same ops. */
export function profileText(name: string, profiles: Map<number, Profile>): string {
  const all = [...profiles.values()]
  const head = [...profiles.keys()].flatMap((threads) => [
    `ms, ${threads} thread${threads > 1 ? 's' : ''}`,
    'share',
    'rate',
  ])
  const row = (
    label: string,
    calls: string,
    seconds: (profile: Profile) => number,
    work?: Line['work'],
  ) => [
    label,
    calls,
    ...all.flatMap((each) => {
      const own = seconds(each)
      const rate = work?.amount
        ? `${((Number(calls) * work.amount) / own / 1e9).toPrecision(3)} ${work.unit}`
        : ''
      return [ms(own), percent(own / each.seconds), rate]
    }),
    all.length > 1 ? (seconds(all[0]!) / seconds(all.at(-1)!)).toFixed(2) : '',
  ]
  const rows = all[0]!.lines.map(({ op, calls, work }) =>
    row(op, String(calls), ({ lines }) => lines.find((line) => line.op === op)!.seconds, work),
  )
  rows.push(
    row('waiting for the next op', '', ({ between }) => between),
    row('from the last op to the next step', '', ({ around }) => around),
    row('whole step', '', ({ seconds }) => seconds),
    row('JavaScript, meanwhile', '', ({ enqueued }) => enqueued),
  )
  return `${name}\n${columns([['', 'calls', ...head, 'times'], ...rows])}`
}

/** Profiles of the training cases whose names match, as tables. */
export async function profileSteps(only: RegExp, tiny: boolean): Promise<string[]> {
  const cores = new Cores(tiny)
  const texts: string[] = []
  try {
    for (const [shape] of trainingCases(tiny)) {
      if (!only.test(shape.name)) continue
      const profiles = new Map<number, Profile>()
      for (const threads of cores.threads)
        profiles.set(threads, await profile(cores, shape, threads))
      texts.push(profileText(shape.name, profiles))
    }
  } finally {
    cores.close()
  }
  return texts
}
