import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CharacterTokenizer, characterTokenizer } from '../../lib/tokenizer/index.js'
import { mobyDick, random, randomCuts } from './strings.js'

// The characters of tinyshakespeare as printed in nanoGPT's data/shakespeare_char/prepare.py.
const shakespeare = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

test('tinyshakespeare has 65 ids in the order of its characters', async () => {
  const shuffled = shakespeare.split('').reverse().join('').repeat(3)
  const tokenizer = await characterTokenizer([shuffled])
  assert.is(tokenizer.kind, 'character')
  assert.is(tokenizer.size, 65)
  assert.is(tokenizer.endOfText, undefined)
  assert.equal(
    Array.from(tokenizer.encode(shakespeare)),
    Array.from({ length: 65 }, (_, id) => id),
  )
  // The first ids of tinyshakespeare, as nanoGPT's preparation of it writes them to train.bin.
  assert.equal(
    Array.from(tokenizer.encode('First Citizen:')),
    [18, 47, 56, 57, 58, 1, 15, 47, 58, 47, 64, 43, 52, 10],
  )
  assert.is(tokenizer.decode([46, 43, 50, 50, 53]), 'hello')
})

test('any text it was built from comes back', async () => {
  const text = mobyDick.slice(0, 100000) + 'é漢\u{1f600}\u{1f468}\u200d\u{1f469}\ufeff\u0085\0'
  const tokenizer = await characterTokenizer(randomCuts(text, 10, random(5)))
  assert.equal(
    tokenizer.names,
    [...new Set(text)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!),
  )
  const ids = tokenizer.encode(text)
  assert.is(ids.length, [...text].length)
  assert.is(tokenizer.decode(ids), text)
  assert.equal(Array.from(tokenizer.decodeBytes(tokenizer.encode('漢'))), [0xe6, 0xbc, 0xa2])
})

test('characters it lacks are named, all at once, with their places', async () => {
  const tokenizer = await characterTokenizer(['abc \u{1f44d}'])
  const error = await Promise.resolve()
    .then(() => tokenizer.encode('ab \u{1f44d}\u{1f600}éa\té'))
    .catch((reason) => reason)
  assert.is(error.code, 'ERR_INDEX')
  const missing = ['"\u{1f600}" (U+1F600) at character 5', '"é" (U+00E9) at character 6']
  assert.match(error.message, `lacks ${missing.join(', ')}, "\\t" (U+0009) at character 8.`)
  assert.throws(() => tokenizer.encode('zyxwvuts'), /and more/)
  assert.throws(() => tokenizer.decode([5]), /Expected token ids from 0 to 4, received 5/)
})

test('special tokens take the ids after the characters', async () => {
  const tokenizer = await characterTokenizer(['ab<'], { special: ['<|endoftext|>', '<unk>'] })
  assert.equal(tokenizer.names, ['<', 'a', 'b', '<unk>', '<|endoftext|>'])
  assert.is(tokenizer.endOfText, 4)
  assert.equal(Array.from(tokenizer.encode('a<|endoftext|>b', { special: true })), [1, 4, 2])
  assert.equal(Array.from(tokenizer.encode('a<z\u{1f600}\ud800')), [1, 0, 3, 3, 3])
  assert.is(tokenizer.decode([1, 4, 3]), 'a<|endoftext|><unk>')
})

test('a special token is text, and refused as such, unless asked for', async () => {
  const tokenizer = await characterTokenizer(['ab'], { special: ['<|endoftext|>'] })
  assert.throws(() => tokenizer.encode('a<|endoftext|>'), /lacks "<"/)
})

test('an empty text has an empty vocabulary', async () => {
  const tokenizer = await characterTokenizer([])
  assert.is(tokenizer.size, 0)
  assert.is(tokenizer.encode('').length, 0)
  assert.ok(tokenizer instanceof CharacterTokenizer)
})

test('wrong arguments are named', async () => {
  const refused = async (promise: Promise<unknown>, message: RegExp) => {
    const error = await promise.then(
      () => undefined,
      (reason) => reason,
    )
    assert.match(error?.message, message)
  }
  await refused(characterTokenizer([1 as never]), /Expected strings for chunks, received 1/)
  await refused(
    characterTokenizer(['a'], { special: ['b'] }),
    /Expected names of more than one character for special, received "b"/,
  )
  await refused(characterTokenizer(['a'], { unknown: true } as never), /Unknown option "unknown"/)
  assert.throws(
    () => new CharacterTokenizer(['a'], new Map()).encode(null as never),
    /Expected a string for text/,
  )
})

test.run()
