// How near an answer is to the one that was wanted.
import type { Measure } from './bootstrap.js'

type Sums = readonly number[]
const ratio = ([part, whole]: Sums) => part! / whole!

/** What is measured of answers: the numbers that each row adds, and the figure that their sums make. */
export interface AnswerMetric extends Pick<Measure, 'of'> {
  row(answer: string, reference: string): number[]
}

/**
 * - exactMatch: the share of answers that are the reference, but for space
 * - f1: words in common (Rajpurkar et al. 2016), averaged over rows
 * - rougeL: the F measure of the longest common subsequence of words (Lin 2004), averaged over rows
 * - bleu: BLEU-4 of the whole (Papineni et al. 2002), with shorter n-grams only where no answer has four
 *   words
 * - json: of the rows whose reference is a JSON object or list, the share of answers that are JSON
 */
export const answerMetrics = {
  exactMatch: {
    of: ratio,
    row: (answer, reference) => [Number(spaced(answer) === spaced(reference)), 1],
  },
  f1: { of: ratio, row: (answer, reference) => [overlap(words(answer), words(reference)), 1] },
  rougeL: {
    of: ratio,
    row: (answer, reference) => {
      const [a, b] = [words(answer), words(reference)]
      return [harmonic(commonSubsequence(a, b), a.length, b.length), 1]
    },
  },
  bleu: { of: bleu, row: (answer, reference) => bleuCounts(words(answer), words(reference)) },
  json: {
    of: ratio,
    row: (answer, reference) => {
      const wanted = isStructure(reference)
      return [Number(wanted && isStructure(answer)), Number(wanted)]
    },
  },
} satisfies Record<string, AnswerMetric>

/** Words in lower case, and every other sign; letters of scripts without spaces one by one. */
export function words(text: string): string[] {
  const alone = '\\p{Script=Han}|\\p{Script=Hiragana}|\\p{Script=Katakana}|\\p{Script=Thai}'
  const word = new RegExp(
    `${alone}|(?:(?!${alone})[\\p{L}\\p{N}\\p{M}])+|[^\\s\\p{L}\\p{N}\\p{M}]`,
    'gu',
  )
  return text.normalize('NFC').toLowerCase().match(word) ?? []
}

function spaced(text: string): string {
  return text.normalize('NFC').trim().replace(/\s+/g, ' ')
}

function harmonic(common: number, a: number, b: number): number {
  if (a === 0 || b === 0) return Number(a === b)
  return (2 * common) / (a + b)
}

function counts(list: readonly string[]): Map<string, number> {
  const result = new Map<string, number>()
  for (const item of list) result.set(item, (result.get(item) ?? 0) + 1)
  return result
}

function inCommon(a: readonly string[], b: readonly string[]): number {
  const other = counts(b)
  let sum = 0
  for (const [item, n] of counts(a)) sum += Math.min(n, other.get(item) ?? 0)
  return sum
}

function overlap(a: readonly string[], b: readonly string[]): number {
  return harmonic(inCommon(a, b), a.length, b.length)
}

function commonSubsequence(a: readonly string[], b: readonly string[]): number {
  const row = new Uint32Array(b.length + 1)
  for (const word of a) {
    let diagonal = 0
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!
      row[j] = word === b[j - 1] ? diagonal + 1 : Math.max(above, row[j - 1]!)
      diagonal = above
    }
  }
  return row[b.length]!
}

const ORDERS = [1, 2, 3, 4]

function ngrams(list: readonly string[], n: number): string[] {
  return Array.from({ length: Math.max(0, list.length - n + 1) }, (_, i) =>
    list.slice(i, i + n).join(' '),
  )
}

/** Matches and n-grams of each order, then the lengths of answer and reference. */
function bleuCounts(a: readonly string[], b: readonly string[]): number[] {
  const pairs = ORDERS.flatMap((n) => {
    const grams = ngrams(a, n)
    return [inCommon(grams, ngrams(b, n)), grams.length]
  })
  return [...pairs, a.length, b.length]
}

function bleu(sums: Sums): number {
  const [length, wanted] = [sums[8]!, sums[9]!]
  const used = ORDERS.filter((n) => sums[2 * n - 1]! > 0)
  if (used.length === 0) return 0
  const logs = used.map((n) => Math.log(sums[2 * n - 2]! / sums[2 * n - 1]!))
  const brevity = Math.min(0, 1 - wanted / length)
  return Math.exp(brevity + logs.reduce((a, b) => a + b, 0) / used.length)
}

function isStructure(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null
  } catch {
    return false
  }
}
