import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { characterTokenizer, gpt2Tokenizer } from '../../lib/tokenizer/index.js'
import { safeCut, wordEnd } from '../../lib/tokenizer/words.js'
import { processorSeconds } from '../processor.js'
import { mobyDick, random, randomCuts, randomString, streamed } from './strings.js'

const gpt2 = await gpt2Tokenizer()
const next = random(3)

// GPT-2's pattern with \s written out as Unicode's White_Space.
const pattern = new RegExp(
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|" +
    '\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+',
  'gu',
)

function words(text: string): string[] {
  const found: string[] = []
  for (let from = 0, to; from < text.length; from = to) {
    to = wordEnd(text, from)
    found.push(text.slice(from, to))
  }
  return found
}

test('words are cut as by the pattern of GPT-2', () => {
  for (let i = 0; i < 20000; i++) {
    const text =
      randomString(next) + (next(4) ? '' : '\u0085\ufeff '.repeat(next(4))) + randomString(next)
    assert.equal(words(text), text.match(pattern) ?? [], JSON.stringify(text))
  }
})

test('a safe cut changes no word, whatever stands around', () => {
  for (let i = 0; i < 20000; i++) {
    const text = randomString(next)
    const cut = safeCut(text)
    const [before, after] = [randomString(next), randomString(next)]
    const [left, right] = [before + text.slice(0, cut), text.slice(cut) + after]
    if (cut > 0) {
      assert.equal([...words(left), ...words(right)], words(left + right), JSON.stringify(text))
    }
  }
})

test('an encoded stream equals the whole, wherever it is cut', () => {
  for (let i = 0; i < 4000; i++) {
    const text = randomString(next) + randomString(next)
    const cuts = randomCuts(text, 1 + next(5), next)
    assert.equal(streamed(gpt2, cuts), Array.from(gpt2.encode(text)), JSON.stringify(cuts))
  }
  for (const mean of [1, 100, 100000]) {
    assert.equal(
      streamed(gpt2, randomCuts(mobyDick, mean, next)),
      Array.from(gpt2.encode(mobyDick)),
    )
  }
})

test('a stream holds back no more than a word of normal text', () => {
  const stream = gpt2.stream()
  let returned = ''
  let most = 0
  for (let at = 0; at < mobyDick.length; at += 1000) {
    returned += gpt2.decode(stream.push(mobyDick.slice(at, at + 1000)))
    most = Math.max(most, Math.min(at + 1000, mobyDick.length) - returned.length)
  }
  assert.ok(most < 300, String(most)) // the table of contents has long runs of spaces
  assert.is(returned + gpt2.decode(stream.end()), mobyDick)
})

test('a long word in small pieces takes no quadratic time', async () => {
  const seconds = await processorSeconds(() => {
    for (const letter of ['a', ' ', '\u{1f600}']) {
      const text = letter.repeat(300000)
      assert.equal(streamed(gpt2, randomCuts(text, 3, next)), Array.from(gpt2.encode(text)))
    }
  })
  assert.ok(seconds < 5, `${seconds} s`)
})

test('a stream can be used again after its end', () => {
  const stream = gpt2.stream()
  stream.push('Hello')
  stream.end()
  stream.push('x')
  assert.equal(stream.end(), gpt2.encode('x'))
})

test('a decoded stream equals the whole and splits no character', async () => {
  const character = await characterTokenizer([mobyDick])
  for (const tokenizer of [gpt2, character]) {
    for (let i = 0; i < 2000; i++) {
      // Any ids, not only those of a text: most runs of bytes are not UTF-8.
      const ids =
        i % 2 && tokenizer === gpt2
          ? Array.from(gpt2.encode(randomString(next)))
          : Array.from({ length: next(20) }, () =>
              next(next(2) ? tokenizer.size : Math.min(256, tokenizer.size)),
            )
      const decoder = tokenizer.decoder()
      const parts = [...ids.map((id) => decoder.push(id)), decoder.end()]
      assert.is(parts.join(''), tokenizer.decode(ids), ids.join())
      for (const part of parts) assert.is(part, part.toWellFormed())
    }
  }
})

test('a streaming decoder waits for the end of a character', () => {
  const decoder = gpt2.decoder()
  const parts = Array.from(gpt2.encode('\ufeff漢👍'), (id) => decoder.push(id))
  assert.is(parts.join(''), '\ufeff漢👍')
  assert.not.ok(parts.some((part) => part.includes('\ufffd')))
  const [half] = gpt2.encode('漢')
  assert.is(decoder.push(half!), '')
  assert.is(decoder.end(), '\ufffd')
  assert.is(decoder.push(15496), 'Hello')
})

test('a character-level stream joins surrogate pairs', async () => {
  const text = 'a\u{1f600}b\ud83d'
  const character = await characterTokenizer(['a\ud83d', '\ude00b', '\ud83d'])
  assert.equal(character.names, ['a', 'b', '\ufffd', '\u{1f600}'])
  assert.equal(streamed(character, text.split('')), [0, 3, 1, 2])
  assert.equal(Array.from(character.encode(text)), [0, 3, 1, 2])
})

test.run()
