import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DuplicateFinder } from '../../lib/data/duplicates.js'
import type { DuplicateOptions } from '../../lib/data/duplicates.js'
import { Fingerprinter, commonShingles, fingerprints } from '../../lib/data/fingerprint.js'
import { Random } from '../../lib/random.js'
import { timesPlainLoop } from '../processor.js'

const random = new Random(11)
const vocabulary = Array.from({ length: 3000 }, (_, i) => `w${i.toString(36)}`)
const sentence = (n: number) =>
  Array.from({ length: n }, () => vocabulary[random.integer(vocabulary.length)]!)

/** The Jaccard similarity of the sets of word 5-grams, by the definition. */
function jaccard(a: string[], b: string[]): number {
  const grams = (words: string[]) =>
    new Set(words.slice(4).map((_, i) => words.slice(i, i + 5).join(' ')))
  const [x, y] = [grams(a), grams(b)]
  const common = [...x].filter((gram) => y.has(gram)).length
  return common / (x.size + y.size - common)
}

/** A DuplicateFinder of single texts. */
class TextFinder {
  readonly #finder: DuplicateFinder
  #fingerprinter = new Fingerprinter()

  constructor(options?: DuplicateOptions) {
    this.#finder = new DuplicateFinder(options)
  }

  look(texts: readonly string[]): void {
    this.#fingerprinter = new Fingerprinter(commonShingles(texts))
  }

  add(text: string, number: number, answer = '') {
    const prints = fingerprints(1)
    this.#fingerprinter.take(text, answer, prints, 0)
    return this.#finder.add(prints, 0, number)
  }
}

test('the same text but for white space is exact; letter case and marks are near', () => {
  const finder = new TextFinder()
  const text = 'The parcel came on Monday, two days late, and the box was wet inside.'
  assert.is(finder.add(text, 10), undefined)
  assert.equal(finder.add(`  ${text.replaceAll(' ', ' \n')}\t`, 11), { kind: 'exact', of: 10 })
  assert.equal(finder.add(text.toUpperCase().replaceAll(',', ' -'), 12), { kind: 'near', of: 10 })
  assert.is(finder.add('The parcel came', 13), undefined)
  assert.is(finder.add('The parcel cams', 14), undefined)
  assert.equal(finder.add('The parcel came', 15), { kind: 'exact', of: 13 })
  assert.is(finder.add('', 16), undefined)
  assert.equal(finder.add(' \n', 17), { kind: 'exact', of: 16 })
})

test('pairs above the similarity are found, pairs well below are not', () => {
  let found = 0
  let above = 0
  let wrong = 0
  let below = 0
  for (let i = 0; i < 600; i++) {
    const a = sentence(40 + random.integer(200))
    const b = a.map((word) =>
      random.uniform() < (i % 30) / 300 ? vocabulary[random.integer(3000)]! : word,
    )
    const similarity = jaccard(a, b)
    const finder = new TextFinder()
    finder.add(a.join(' '), 0)
    const is = finder.add(b.join(' '), 1) !== undefined
    if (similarity >= 0.9) {
      above++
      found += Number(is)
    } else if (similarity < 0.6) {
      below++
      wrong += Number(is)
    }
  }
  console.log(
    `${found} of ${above} pairs above 0.9 found, ${wrong} of ${below} below 0.6 taken for one`,
  )
  assert.ok(above > 50 && below > 50)
  assert.ok(found >= 0.97 * above)
  assert.ok(wrong <= 0.01 * below)
})

test('among many texts none is taken for another, and each copy is found', () => {
  const finder = new TextFinder()
  const texts = Array.from({ length: 20_000 }, () => sentence(60).join(' '))
  for (const [i, text] of texts.entries()) assert.is(finder.add(text, i), undefined)
  for (let i = 0; i < texts.length; i += 97) {
    assert.equal(finder.add(texts[i]!, 1e6), { kind: 'exact', of: i })
    assert.equal(finder.add(`Hi. ${texts[i]!}`, 1e6 + i), { kind: 'near', of: i })
  }
})

test('text that many share does not make them alike, and near duplicates agree in their answer', () => {
  const instruction = sentence(160).join(' ')
  const texts = Array.from({ length: 50 }, () => `${instruction} ${sentence(8).join(' ')}`)
  const unaware = new TextFinder()
  assert.ok(texts.filter((text, i) => unaware.add(text, i)).length > 40)
  const finder = new TextFinder()
  finder.look(texts)
  for (const [i, text] of texts.entries()) assert.is(finder.add(text, i), undefined)
  assert.equal(finder.add(texts[3]!, 99), { kind: 'exact', of: 3 })

  const answered = new TextFinder()
  const question = sentence(80)
  const alike = [...question.slice(0, -1), 'other'].join(' ')
  assert.is(answered.add(question.join(' '), 0, 'yes'), undefined)
  assert.is(answered.add(alike, 1, 'no'), undefined)
  assert.equal(answered.add(`${alike} so`, 2, 'yes'), { kind: 'near', of: 0 })
})

test('where words are not parted by spaces, characters are compared', () => {
  const texts = {
    Chinese:
      '我上周在你们店里买的蓝色水壶今天收到了，可是盖子漏水，而且盒子也是湿的。请问可以换一个新的吗？',
    Japanese:
      '先週そちらのお店で買った青いケトルが今日届きましたが、ふたから水が漏れます。交換できますか。',
    Thai: 'กาน้ำสีฟ้าที่ฉันซื้อจากร้านของคุณเมื่อสัปดาห์ที่แล้วมาถึงวันนี้แต่ฝามีน้ำรั่วขอเปลี่ยนใหม่ได้ไหม',
  }
  for (const [language, text] of Object.entries(texts)) {
    const finder = new TextFinder()
    assert.is(finder.add(text, 1), undefined)
    assert.equal(finder.add(`${text}了`, 2), { kind: 'near', of: 1 }, language)
    // Other words in the first half of it.
    const other = [...text].map((letter, i) => (i < text.length / 2 && i % 3 === 0 ? '水' : letter))
    assert.is(finder.add(other.join(''), 3), undefined, language)
  }
  const emoji = new TextFinder()
  assert.is(emoji.add('👍', 1), undefined)
  assert.is(emoji.add('🎉', 2), undefined)
})

test('a text costs no more than 80 plain loops over its letters', async () => {
  const text = Array.from({ length: 2000 }, () => sentence(100).join(' '))
  const times = await timesPlainLoop(text.join(''), () => {
    const finder = new TextFinder()
    text.forEach((one, i) => finder.add(one, i))
  })
  console.log(`${times.toFixed(1)} times a plain loop`)
  assert.ok(times < 80, `${times} times`)
})

test.run()
