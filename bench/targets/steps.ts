// Whole training steps, on one thread and on all in turns.
import { paces, time } from '../measure/clock.js'
import { four, gpt2, six, tinyShape, training } from '../measure/models.js'
import type { Shape } from '../measure/models.js'
import type { Cores } from './cores.js'
import { amount } from './row.js'
import type { Found, Row } from './row.js'

/** The cases, and the part of the FMA peak that each is to reach. */
const full: [Shape, number][] = [
  [gpt2(4, 64), 0.75],
  [gpt2(4, 256), 0.85],
  [gpt2(1, 1024), 0.82],
  [four, 0.6],
  [six, 0.82],
]
export const trainingCases = (tiny: boolean): [Shape, number][] =>
  tiny ? [[tinyShape, 0.5]] : full

export async function measureSteps(cores: Cores): Promise<Found> {
  const rows: Row[] = []
  for (const [shape, least] of trainingCases(cores.tiny)) {
    const pace = cores.tiny
      ? paces.tiny
      : { samples: shape.batch * shape.context > 1000 ? 3 : 7, sample: 0.3 }
    const cases = cores.threads.map((threads) => {
      const device = cores.device(threads)
      return { ...training(device, 'float32', shape.name, shape), device }
    })
    const times = await time(cores.device(), cases, pace, () => cores.measure(['fma']))
    for (const each of cases) each.dispose()
    for (const threads of cores.threads) cores.device(threads).native.trim()
    const { flops, tokens } = cases.at(-1)!
    const [one, all] = [times[0]!.seconds, times.at(-1)!.seconds]
    rows.push({
      name: `training step, ${shape.name}`,
      target: { least, unit: '%', of: 'FMA peak' },
      value: flops / all / cores.ceiling('fma', cores.all, pace.samples),
      detail: `${Math.round(tokens / all).toLocaleString('en-US')} tokens/s`,
    })
    if (cores.all === 2)
      rows.push({
        name: `training step, ${shape.name}, two threads over one`,
        target: { least: 1.9, unit: 'times' },
        value: one / all,
        detail: `${amount(1e3 * one, 'ms')}, ${amount(1e3 * all, 'ms')}`,
      })
  }
  return { ceilings: cores.ceilings(), rows }
}
