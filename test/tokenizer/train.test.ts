import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { gpt2Tokenizer, trainTokenizer } from '../../lib/tokenizer/index.js'
import { mobyDick, random, randomCuts, randomString, streamed } from './strings.js'

const next = random(4)

/** The printable names of the 256 bytes as GPT-2 orders them, from its own files. */
const gpt2 = await gpt2Tokenizer()
const names = Object.entries<number>(JSON.parse(gpt2.files()['vocab.json']!))
  .sort(([, a], [, b]) => a - b)
  .slice(0, 256)
  .map(([name]) => name)
const order = gpt2.tokens.slice(0, 256)

/**
 * Sennrich's algorithm as in the paper: count all pairs anew for every merge. Returns merges by
 * name.
 */
function naive(text: string, merges: number, minFrequency: number): string[] {
  const pattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu
  const nameOfByte = new Map(order.map((token, id) => [token.charCodeAt(0), names[id]!]))
  const counts = new Map<string, number>()
  for (const [word] of text.matchAll(pattern)) counts.set(word, (counts.get(word) ?? 0) + 1)
  const words = [...counts].map(([word, count]) => ({
    parts: Array.from(Buffer.from(word), (byte) => nameOfByte.get(byte)!),
    count,
  }))
  const ids = new Map(names.map((name, id) => [name, id]))
  const learned: string[] = []
  while (ids.size < 256 + merges) {
    const pairs = new Map<string, number>()
    for (const { parts, count } of words) {
      for (let i = 1; i < parts.length; i++) {
        const pair = `${parts[i - 1]} ${parts[i]}`
        pairs.set(pair, (pairs.get(pair) ?? 0) + count)
      }
    }
    const idsOf = (pair: string) =>
      pair.split(' ').map((name) => ids.get(name)!) as [number, number]
    const [best] = [...pairs]
      .filter(([, count]) => count >= minFrequency)
      .sort(([a, m], [b, n]) => n - m || idsOf(a)[0] - idsOf(b)[0] || idsOf(a)[1] - idsOf(b)[1])
    if (best === undefined) break
    learned.push(best[0])
    const [left, right] = best[0].split(' ') as [string, string]
    if (!ids.has(left + right)) ids.set(left + right, ids.size)
    for (const { parts } of words) {
      for (let i = 0; i + 1 < parts.length; i++) {
        if (parts[i] === left && parts[i + 1] === right) parts.splice(i, 2, left + right)
      }
    }
  }
  return learned
}

function mergesOf(tokenizer: { files(): Record<string, string> }): string[] {
  return tokenizer.files()['merges.txt']!.split('\n').slice(1, -1)
}

test('merges equal those of a naive trainer on prose', async () => {
  const text = mobyDick.slice(30000, 60000)
  const trained = await trainTokenizer([text], { size: 256 + 250 + 1 })
  assert.equal(mergesOf(trained), naive(text, 250, 2))
  assert.is(trained.kind, 'bpe')
  assert.is(trained.size, 507)
  assert.is(trained.endOfText, 506)
})

test('merges equal those of a naive trainer on texts full of ties and overlaps', async () => {
  for (let i = 0; i < 150; i++) {
    const letters = ['a', 'b', 'c', ' ', 'é', '漢'].slice(0, 1 + next(6))
    // Lines of up to 225 characters: words longer than 256 are counted in pieces.
    const text = Array.from({ length: 1 + next(12) }, () =>
      Array.from({ length: next(26) }, () =>
        letters[next(letters.length)]!.repeat(1 + next(next(3) ? 2 : 9)),
      ).join(''),
    ).join('\n')
    const minFrequency = 1 + next(3)
    const trained = await trainTokenizer([text], { size: 257 + 40, minFrequency })
    assert.equal(mergesOf(trained), naive(text, 40, minFrequency), JSON.stringify(text))
  }
})

test('what it was trained on is encoded by the merges that were learned', async () => {
  const trained = await trainTokenizer([mobyDick], { size: 8192 })
  assert.is(trained.size, 8192)
  const ids = trained.encode(mobyDick)
  assert.ok(ids.length < mobyDick.length / 3.5, `${ids.length} ids`)
  assert.is(trained.decode(ids), mobyDick)
  for (let i = 0; i < 3000; i++) {
    const text = randomString(next)
    assert.is(trained.decode(trained.encode(text)), text.toWellFormed())
    assert.is(trained.decode(trained.encode(text, { special: true })), text.toWellFormed())
    assert.equal(streamed(trained, randomCuts(text, 3, next)), Array.from(trained.encode(text)))
  }
})

test('the vocabulary does not depend on how the text is cut', async () => {
  const text =
    mobyDick.slice(0, 200000) + Array.from({ length: 300 }, () => randomString(next)).join('')
  const whole = (await trainTokenizer([text], { size: 2000 })).files()
  async function* cuts() {
    yield* randomCuts(text, 50, next)
  }
  assert.equal((await trainTokenizer(cuts(), { size: 2000 })).files(), whole)
})

test('special tokens come last, <|endoftext|> at the very end', async () => {
  const special = ['<|endoftext|>', '<|user|>', '<|assistant|>']
  const trained = await trainTokenizer([mobyDick.slice(0, 50000)], { size: 400, special })
  assert.equal(
    [...trained.special],
    [
      ['<|user|>', 397],
      ['<|assistant|>', 398],
      ['<|endoftext|>', 399],
    ],
  )
  assert.equal(Array.from(trained.encode('<|user|><|endoftext|>', { special: true })), [397, 399])
  assert.is((await trainTokenizer([mobyDick], { size: 256, special: [] })).endOfText, undefined)
})

test('no merge makes the name of a special token', async () => {
  const trained = await trainTokenizer(['the the the the then then'], {
    size: 300,
    special: ['the'],
  })
  const vocabulary = JSON.parse(trained.files()['vocab.json']!)
  assert.is(vocabulary.the, trained.size - 1)
  assert.equal(Array.from(trained.encode('the', { special: true })), [trained.size - 1])
  assert.not.ok(trained.encode('the').includes(trained.size - 1))
})

test('a small text gives fewer ids, an empty one the bytes alone', async () => {
  assert.is((await trainTokenizer(['abab'], { size: 1000 })).size, 256 + 1 + 1)
  const empty = await trainTokenizer([], { size: 1000 })
  assert.is(empty.size, 257)
  assert.is(empty.decode(empty.encode('Ünï')), 'Ünï')
})

test('with a cap on words the frequent ones are still learned', async () => {
  const text: string[] = []
  for (let i = 0; i < 40000; i++) {
    text.push(
      ' ',
      next(3) ? ['whale', 'ship', 'harpoon', 'ocean'][next(4)]! : next(1e9).toString(36),
    )
  }
  const capped = await trainTokenizer(text, { size: 300, maxWords: 1024 })
  for (const word of [' whale', ' ship', ' harpoon', ' ocean']) {
    assert.is(capped.encode(word).length, 1)
  }
  const long = await trainTokenizer(['x'.repeat(1e6), ' whale whale', 'é'.repeat(1e6)], {
    size: 270,
    maxWords: 1024,
  })
  assert.is(long.decode(long.encode('xéwhale')), 'xéwhale')
})

test('training stops when it is told to, and leaves the event loop free', async () => {
  const controller = new AbortController()
  let turns = 0
  const timer = setInterval(() => {
    if (++turns === 3) controller.abort()
  }, 1)
  async function* endless() {
    for (;;) yield mobyDick
  }
  const error = await trainTokenizer(endless(), { size: 1000, signal: controller.signal }).then(
    () => undefined,
    (reason) => reason,
  )
  clearInterval(timer)
  assert.is(error?.name, 'AbortError')
  assert.is(turns >= 3, true)
})

test('progress goes from counting to merging', async () => {
  const seen: { phase: string; done: number }[] = []
  await trainTokenizer([mobyDick], { size: 5000, onProgress: (progress) => seen.push(progress) })
  const phases = seen.map(({ phase }) => phase)
  assert.ok(phases.includes('count') && phases.includes('merge'))
  assert.is(phases.lastIndexOf('count') < phases.indexOf('merge'), true)
  for (let i = 1; i < seen.length; i++) {
    if (seen[i]!.phase === seen[i - 1]!.phase) assert.ok(seen[i]!.done >= seen[i - 1]!.done)
  }
})

test('wrong arguments are named', async () => {
  const refused = async (options: unknown, message: RegExp, chunks: unknown = ['a']) => {
    const error = await trainTokenizer(chunks as string[], options as { size: number }).then(
      () => undefined,
      (reason) => reason,
    )
    assert.ok(error instanceof Error)
    assert.match(error.message, message)
  }
  await refused(undefined, /Expected an object for options, received undefined/)
  await refused({ size: 256 }, /Expected an integer from 257 to \d+ for size, received 256/)
  await refused({ size: 300, specials: [] }, /Unknown option "specials".*did you mean "special"/)
  await refused(
    { size: 300, special: 'x' },
    /Expected an array of strings for special, received "x"/,
  )
  await refused({ size: 300, minFrequency: 0 }, /for minFrequency, received 0/)
  await refused({ size: 300 }, /Expected strings for chunks, received 7/, [7])
})

test.run()
