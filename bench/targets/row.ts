// A target and what was measured of it.
import type { Ceilings } from '../measure/ceilings.js'

type Unit = '%' | 'times' | 'GB' | 'ms'

export interface Row {
  name: string
  /** What is asked for: at least or at most so much. */
  target: { least?: number; most?: number; unit: Unit; of?: string }
  /** In the target's unit; percents as fractions. */
  value: number
  /** The same in units of its own, or what the value is made of. */
  detail: string
}

/** The targets of one group, measured in one run. */
export interface Measured {
  date: string
  commit: string
  machine: string
  device: string
  /** By the number of threads. */
  ceilings: Record<number, Partial<Ceilings>>
  rows: Row[]
  /** Tables of all figures, where the rows are the least of many. */
  tables?: { head: string[]; rows: string[][] }[]
}

/** What a group measures, to be dated by who asked for it. */
export type Found = Pick<Measured, 'ceilings' | 'rows' | 'tables'>

export const met = ({ target: { least = -Infinity, most = Infinity }, value }: Row) =>
  value >= least && value <= most

export function amount(value: number, unit: Unit): string {
  if (unit === '%') return `${(100 * value).toFixed(1)} %`
  return `${digits(value)} ${unit}`
}

/** Three digits, or all of those before the point. */
export const digits = (value: number) =>
  value < 1000 ? value.toPrecision(3) : Math.round(value).toLocaleString('en-US')

export function targetText({ target: { least, most, unit, of } }: Row): string {
  const bound = amount((least ?? most)!, unit).replace('.0 %', ' %')
  return `at ${least === undefined ? 'most' : 'least'} ${bound}${of ? ` of ${of}` : ''}`
}

export const percent = (value: number) => amount(value, '%')
export const giga = (rate: number, unit: string) => `${(rate / 1e9).toPrecision(3)} ${unit}`
