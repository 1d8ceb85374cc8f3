// Figures over rows with their intervals, by the bootstrap (Efron & Tibshirani 1993, chapter 13).
import { Random } from '../random.js'

/** A figure that is a function of sums over rows. */
export interface Measure {
  /** What each row adds to the sums: all of one length. */
  readonly rows: readonly (readonly number[])[]
  readonly better: 'lower' | 'higher'
  of(sums: readonly number[]): number
}

/** A figure and its 95 % interval. */
export interface Figure {
  value: number
  low: number
  high: number
}

/** What comparing two models on the same rows comes to, by a paired bootstrap interval. */
export type Verdict = 'better' | 'no difference' | 'worse'

/** The figure of another model on the same rows, and how far this one's is from it. */
export interface Compared {
  base: number
  /** This model's figure less the base's, with the 95 % interval of that difference. */
  difference: number
  low: number
  high: number
  /** What the interval says: 'no difference' when it holds 0. */
  verdict: Verdict
}

// More rows than this are gathered into so many groups first: what is drawn then are groups, which
// says the same of the spread and costs no more for a million rows.
const GROUPS = 2000

// Keeps these random numbers apart from others of the same seed: 'boot' in ASCII.
const STREAM = 0x626f6f74

/** Draws samples of rows: the same ones for all figures that have as many. */
export class Bootstrap {
  readonly #samples = new Map<number, Uint32Array[]>()

  /** @param resamples how many samples are drawn */
  constructor(
    readonly resamples: number,
    readonly seed: number,
  ) {}

  /** A figure with its interval. */
  estimate(measure: Measure): Figure {
    const groups = gathered(measure.rows)
    const values = this.#drawn(groups.length).map((sample) => measure.of(total(groups, sample)))
    return { value: measure.of(total(groups)), ...interval(values) }
  }

  /**
   * Two models' figures on the same rows: each sample draws the same rows of both, so that what makes
   * rows easy or hard for both does not count.
   */
  compare(measure: Measure, base: Measure): Compared {
    const [ours, theirs] = [gathered(measure.rows), gathered(base.rows)]
    const difference = (sample?: Uint32Array) =>
      measure.of(total(ours, sample)) - base.of(total(theirs, sample))
    const { low, high } = interval(this.#drawn(ours.length).map(difference))
    const [good, bad] = measure.better === 'lower' ? [high < 0, low > 0] : [low > 0, high < 0]
    return {
      base: base.of(total(theirs)),
      difference: difference(),
      low,
      high,
      verdict: good ? 'better' : bad ? 'worse' : 'no difference',
    }
  }

  #drawn(count: number): Uint32Array[] {
    let samples = this.#samples.get(count)
    if (samples) return samples
    samples = Array.from({ length: this.resamples }, (_, i) => {
      const random = new Random(this.seed, STREAM, i)
      return new Uint32Array(count).map(() => random.integer(count))
    })
    this.#samples.set(count, samples)
    return samples
  }
}

function gathered(rows: Measure['rows']): number[][] {
  if (rows.length <= GROUPS) return rows as number[][]
  const groups = Array.from({ length: GROUPS }, () => rows[0]!.map(() => 0))
  for (const [i, row] of rows.entries()) {
    const group = groups[i % GROUPS]!
    for (let k = 0; k < row.length; k++) group[k]! += row[k]!
  }
  return groups
}

function total(groups: readonly (readonly number[])[], sample?: Uint32Array): number[] {
  const sums = groups[0]!.map(() => 0)
  for (let i = 0; i < groups.length; i++) {
    const row = groups[sample ? sample[i]! : i]!
    for (let k = 0; k < sums.length; k++) sums[k]! += row[k]!
  }
  return sums
}

/** The 2.5 % and 97.5 % quantiles. A sample that drew nothing to measure says nothing. */
function interval(values: readonly number[]): { low: number; high: number } {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b)
  const at = (share: number) => {
    const place = share * (sorted.length - 1)
    const [below, above] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!]
    return below === above ? below : below + (place % 1) * (above - below)
  }
  return sorted.length === 0 ? { low: NaN, high: NaN } : { low: at(0.025), high: at(0.975) }
}
