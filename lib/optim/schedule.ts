import { checkInteger, checkNumber, outOfRange, show } from '../errors.js'

/** The learning rate of step 0, 1, 2 ... */
export type Schedule = (step: number) => number

/** The kinds of schedule(). */
export const scheduleNames = ['constant', 'linear', 'cosine', 'wsd'] as const

/** The shape of a schedule(). */
export interface ScheduleOptions {
  /**
   * After the warm-up: 'constant'; 'linear' or 'cosine' (Loshchilov & Hutter 2017) down towards
   * minimum; 'wsd', warmup-stable-decay (Hu et al. 2024): constant, then linear over the last `decay`
   * steps.
   */
  kind: (typeof scheduleNames)[number]
  /** The rate at the end of the warm-up. */
  peak: number
  /** What the rate falls to: reached when the last step is done, and kept from there. Default 0. */
  minimum?: number
  /** Steps of linear rise, from peak / (warmup + 1); the step after them has the peak. Default 0. */
  warmup?: number
  /** All steps, the warm-up included. */
  steps: number
  /** For 'wsd': steps of the fall. Default a fifth of all. */
  decay?: number
}

/** A learning rate for every step: a linear warm-up, then a fall. */
export function schedule(options: ScheduleOptions): Schedule {
  const {
    kind,
    peak,
    minimum = 0,
    warmup = 0,
    steps,
    decay = Math.ceil(options.steps / 5),
  } = options
  if (!scheduleNames.includes(kind)) {
    throw outOfRange(`one of ${scheduleNames.map(show).join(', ')}`, 'schedule', kind)
  }
  checkNumber('learningRate', peak, 0)
  checkNumber('minLearningRate', minimum, 0, Math.max(peak, 0))
  checkInteger('warmup', warmup, 0)
  checkInteger('steps', steps)
  checkInteger('decay', decay, 0)
  const fall = kind === 'wsd' ? Math.max(warmup, steps - decay) : warmup
  return (step) => {
    if (step < warmup) return (peak * (step + 1)) / (warmup + 1)
    if (kind === 'constant' || step < fall) return peak
    const done = Math.min(1, (step - fall) / Math.max(1, steps - fall))
    const share = kind === 'cosine' ? 0.5 * (1 + Math.cos(Math.PI * done)) : 1 - done
    return minimum + (peak - minimum) * share
  }
}
