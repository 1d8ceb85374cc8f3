// Measures of answers, against figures worked out by hand and those of the papers.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { answerMetrics, words } from '../../lib/evaluate/answers.js'
import fc from '../properties.js'

type Name = keyof typeof answerMetrics
const score = (name: Name, ...pairs: [answer: string, reference: string][]) => {
  const rows = pairs.map(([answer, reference]) => answerMetrics[name].row(answer, reference))
  return answerMetrics[name].of(rows[0]!.map((_, k) => rows.reduce((sum, row) => sum + row[k]!, 0)))
}
const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-12, `${a} ${b}`)

test('words: lower case, signs apart, scripts without spaces by letter', () => {
  assert.equal(words("It's 3.5 Euro, naïve!"), [
    'it',
    "'",
    's',
    '3',
    '.',
    '5',
    'euro',
    ',',
    'naïve',
    '!',
  ])
  assert.equal(words('東京は大きい'), ['東', '京', 'は', '大', 'き', 'い'])
  assert.equal(words('Cafe\u0301'), ['café'])
  assert.equal(words(' \n'), [])
})

test('exact match: but for space', () => {
  assert.is(score('exactMatch', [' It  is\nso. ', 'It is so.'], ['it is so.', 'It is so.']), 0.5)
})

test('F1: words in common, as often as both have them', () => {
  // 2 of 3 words and 2 of 4: 2 * 2 / (3 + 4).
  near(score('f1', ['the the cat', 'the cat sat down']), 4 / 7)
  assert.is(score('f1', ['', '']), 1)
  assert.is(score('f1', ['', 'a']), 0)
})

test("ROUGE-L: Lin's example", () => {
  // Lin 2004, section 3.1: LCS 3 of 4 words, and 2 of 4.
  near(score('rougeL', ['police kill the gunman', 'police killed the gunman']), 3 / 4)
  near(score('rougeL', ['the gunman kill police', 'police killed the gunman']), 2 / 4)
})

test("BLEU: Papineni's clipping, the brevity penalty, and sums over rows", () => {
  // Papineni et al. 2002, example 2: 2 of 7 unigrams count.
  assert.equal(
    answerMetrics.bleu.row('the the the the the the the', 'The cat is on the mat').slice(0, 2),
    [2, 7],
  )
  assert.is(score('bleu', ['the the the the', 'The cat is on the mat']), 0)
  assert.is(score('bleu', ['', 'a b']), 0)
  near(score('bleu', ['a b c d e', 'a b c d e']), 1)
  // Matches 5/6, 3/5, 2/4, 1/3 of n-grams, as long as the reference.
  const expected = ((5 / 6) * (3 / 5) * (2 / 4) * (1 / 3)) ** (1 / 4)
  near(score('bleu', ['a b c d x f', 'a b c d e f']), expected)
  // Half as long: exp(1 - 8/4).
  near(score('bleu', ['a b c d', 'a b c d e f g h']), Math.exp(-1))
  // No answer has four words: three orders count, over both rows.
  near(score('bleu', ['a b c', 'a b c'], ['a b', 'a x']), ((4 / 5) * (2 / 3) * 1) ** (1 / 3))
})

test('JSON: only where the reference is', () => {
  near(score('json', ['{"a":1}', '{"b":2}'], ['{', '[1]'], ['{}', 'no']), 1 / 2)
  assert.is(score('json', ['1', '{}']), 0)
})

test('the longest common subsequence, by brute force', () => {
  const word = fc.constantFrom('a', 'b', 'c')
  const list = fc.array(word, { minLength: 1, maxLength: 7 })
  const longest = (a: string[], b: string[]): number =>
    a.length === 0 || b.length === 0
      ? 0
      : a[0] === b[0]
        ? 1 + longest(a.slice(1), b.slice(1))
        : Math.max(longest(a.slice(1), b), longest(a, b.slice(1)))
  fc.assert(
    fc.property(list, list, (a, b) => {
      near(score('rougeL', [a.join(' '), b.join(' ')]), (2 * longest(a, b)) / (a.length + b.length))
    }),
    { numRuns: 200 },
  )
})

test.run()
