// How telephone numbers are written: the international plan (ITU-T E.164) and national habits.
import type { Country } from './kinds.js'
import type { Groups } from './numbers.js'

// Country codes of one and two digits; all others have three (ITU-T E.164, list of assigned codes).
const ONE_OR_TWO = new Set(
  `1 7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64
  65 66 81 82 84 86 90 91 92 93 94 95 98`.split(/\s+/),
)
const THREE = /^(?:2[1-69]\d|3[578]\d|42\d|50\d|59\d|6[79]\d|80[08]|85\d|88[0268]|9[679]\d|99[2-8])/

// Digits after the country code, least and most; [6, 12] for all others.
const LENGTHS: Record<string, readonly [number, number]> = {
  '1': [10, 10], '7': [10, 10], '30': [10, 10], '31': [9, 9], '32': [8, 9], '33': [9, 9],
  '34': [9, 9], '351': [9, 9], '353': [7, 9], '358': [6, 11], '39': [8, 11], '41': [9, 9],
  '43': [7, 12], '44': [9, 10], '45': [8, 8], '46': [7, 10], '47': [8, 8], '48': [9, 9],
  '49': [7, 11], '420': [9, 9], '55': [10, 11], '61': [9, 9], '81': [9, 10], '86': [10, 11],
  '91': [10, 10],
} // prettier-ignore
const OPEN = 40
const CLOSE = 41
const SPACE = 32

/**
 * How many groups an international number takes, 0 when it is none.
 *
 * @param prefix digits before the country code: 2 for "00"
 */
export function internationalEnd(text: string, groups: Groups, prefix: number): number {
  const first = text.slice(groups.starts[0]! + prefix, groups.ends[0]!)
  const code =
    [first[0]!, first.slice(0, 2)].find((code) => ONE_OR_TWO.has(code)) ?? first.slice(0, 3)
  if (!ONE_OR_TWO.has(code) && !(code.length === 3 && THREE.test(code))) return 0
  const [least, most] = LENGTHS[code] ?? [6, 12]
  let digits = -code.length - prefix
  let count = 0
  for (let n = 0; n < groups.count; n++) {
    const size = groups.ends[n]! - groups.starts[n]!
    // The 0 that is dialled within the country only: +44 (0)20
    const dropped = n > 0 && groups.gaps[n - 1] === OPEN && size === 1 && groups.gaps[n] === CLOSE
    if (!dropped) digits += size
    if (digits > most || (size === 1 && digits > least && groups.gaps[n - 1] === SPACE)) break
    if (digits >= least) count = n + 1
  }
  return count
}

/**
 * How many groups a number takes that begins with the 0 of an area code, or that a word announced;
 * 0 when it is too short or too long.
 */
export function zeroLed(groups: Groups, announced: boolean): number {
  let count = 0
  for (let n = 0; n < groups.count; n++) {
    const total = groups.totals[n]!
    // Once it is long enough only what goes on in the same way belongs to it.
    if (n > 1 && groups.totals[n - 1]! >= 9 && groups.gaps[n - 1] !== groups.gaps[n - 2]) break
    if (total > (announced ? 15 : 12)) break
    if (total >= (announced ? 7 : 8)) count = n + 1
  }
  return count
}

/** North America: area and exchange begin with 2 to 9 and do not end in 11. */
function american(digits: string): boolean {
  return /^1?[2-9](?!11)\d\d[2-9](?!11)\d{6}$/.test(digits)
}
const begins = (pattern: RegExp) => (digits: string) => pattern.test(digits)

/** Forms that do not begin with the 0 of an area code, or that are surer than those that do. */
export const nationalForms: readonly {
  country: Country
  shapes: Readonly<Record<string, number>>
  valid: (digits: string) => boolean
}[] = [
  {
    country: 'US',
    shapes: {
      '3)3-4': 0.8,
      '3)3.4': 0.75,
      '3)3 4': 0.75,
      '3-3-4': 0.65,
      '3.3.4': 0.6,
      '3 3 4': 0.5,
      '3 3-4': 0.65,
      '1-3-3-4': 0.75,
      '1 3 3 4': 0.6,
      '1.3.3.4': 0.65,
      '1(3)3-4': 0.8,
      '10': 0.2,
    },
    valid: american,
  },
  {
    country: 'FR',
    shapes: { '2 2 2 2 2': 0.75, '2.2.2.2.2': 0.75, '2-2-2-2-2': 0.75 },
    valid: begins(/^0[1-9]/),
  },
  {
    country: 'BE',
    shapes: { '4 2 2 2': 0.7, '3 2 2 2': 0.7, '2 3 2 2': 0.7 },
    valid: begins(/^0[1-9]/),
  },
  {
    country: 'GB',
    shapes: { '3 4 4': 0.7, '5 6': 0.65, '4 3 4': 0.65, '5 3 3': 0.6 },
    valid: begins(/^0[12378]/),
  },
  {
    country: 'ES',
    shapes: { '3 3 3': 0.5, '3 2 2 2': 0.65, '2 3 2 2': 0.65, '9': 0.2 },
    valid: begins(/^(?:[67]|[89][1-8])/),
  },
  {
    country: 'PL',
    shapes: { '3 3 3': 0.5, '3-3-3': 0.55, '2 3 2 2': 0.6, '9': 0.15 },
    valid: begins(/^[1-8]/),
  },
  { country: 'PT', shapes: { '3 3 3': 0.5, '9': 0.2 }, valid: begins(/^(?:9[1236]|2[1-9])/) },
  {
    country: 'IT',
    shapes: { '3 3 4': 0.55, '3 7': 0.55, '3 6': 0.5, '3-7': 0.55, '10': 0.25 },
    valid: begins(/^3[2-9]/),
  },
]
