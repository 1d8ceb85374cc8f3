import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openPrepared, prepareText } from '../../lib/data/prepare.js'
import type { PrepareOptions, Prepared, PrepareProgress } from '../../lib/data/prepare.js'
import { AbortError, GptloomError } from '../../lib/errors.js'

let folder = ''
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'gptloom-prepare-'))
})
test.after.each(() => rmSync(folder, { recursive: true, force: true }))

/**
 * Bytes are tokens 0-255; after a byte that is 3 modulo 4 the next byte joins it: token
 * 256 + 256 * a + b. So tokens have unlike lengths, pieces of text cut them, and characters are
 * cut by tokens.
 */
function pairs(endOfText?: number): PrepareOptions['tokenizer'] {
  const stream = () => {
    let held = -1
    return {
      push(text: string) {
        const bytes = Buffer.from(text)
        const ids = new Int32Array(bytes.length + 1)
        let n = 0
        for (const byte of bytes) {
          if (held >= 0) ids[n++] = 256 + held * 256 + byte
          else if (byte % 4 !== 3) ids[n++] = byte
          held = held < 0 && byte % 4 === 3 ? byte : -1
        }
        return ids.slice(0, n)
      },
      end: () => (held < 0 ? new Int32Array(0) : Int32Array.of(held)),
    }
  }
  const bytesOf = (id: number) => (id < 256 ? [id] : [(id - 256) >> 8, (id - 256) & 255])
  const decodeBytes = (ids: Iterable<number>) => Uint8Array.from([...ids].flatMap(bytesOf))
  return { stream, decodeBytes, endOfText, size: 256 + 65536 + 1 }
}
const END = 256 + 65536

async function tokensOf({ file }: Prepared): Promise<Int32Array> {
  return file.read(0, file.count, new Int32Array(file.count))
}

test('several documents: separated, split, every byte counted', async () => {
  const texts = ['first ©\r\n'.repeat(9001), 'zweites größeres 𝄞 '.repeat(10_007), 'c']
  const data = join(folder, 'data')
  mkdirSync(data)
  const marks = ['', '\uFEFF', '']
  texts.forEach((text, i) => writeFileSync(join(data, `${i}.txt`), marks[i] + text))
  const seen: PrepareProgress[] = []
  const onProgress = (progress: PrepareProgress) => {
    seen.push(progress)
  }
  const tokenizer = pairs(END)
  const prepared = await prepareText({
    data,
    tokenizer,
    folder: join(folder, 'a', 'b'),
    validation: 0.3,
    context: 17,
    onProgress,
  })
  const tokens = await tokensOf(prepared)
  // The oracle encodes each whole text at once.
  const expected: number[] = []
  for (const [i, text] of texts.entries()) {
    if (i > 0) expected.push(END)
    const encoder = pairs().stream()
    for (const id of encoder.push(text)) expected.push(id)
    for (const id of encoder.end()) expected.push(id)
  }
  assert.equal(tokens, Int32Array.from(expected))
  assert.equal([prepared.documents, prepared.tokens], [3, expected.length])
  const split = Math.floor(expected.length * 0.7)
  const bytesIn = (ids: number[]) => tokenizer.decodeBytes(ids.filter((id) => id !== END)).length
  const [first, second] = [expected.slice(0, split), expected.slice(split)]
  assert.equal(prepared.train, { start: 0, end: split, bytes: bytesIn(first) })
  assert.equal(prepared.validation, { start: split, end: tokens.length, bytes: bytesIn(second) })
  const total = Buffer.byteLength(texts.join(''))
  assert.is(prepared.train.bytes + prepared.validation.bytes, total)
  assert.is(prepared.file.bytes, total)
  assert.equal(readdirSync(join(folder, 'a', 'b')).sort(), ['text.json', 'text.tokens'])
  const { bytes, totalBytes, tokens: written, file } = seen.at(-1)!
  assert.equal([bytes, totalBytes, written], [total, total + 3, expected.length])
  assert.is(file, join(data, '2.txt'))
  assert.ok(seen.every((progress, i) => i === 0 || progress.bytes >= seen[i - 1]!.bytes))
  await prepared.file.close()

  const again = await openPrepared(join(folder, 'a', 'b'))
  for (const key of ['train', 'validation', 'documents', 'tokens'] as const) {
    assert.equal(again[key], prepared[key])
  }
  assert.equal(await tokensOf(again), tokens)
  await again.file.close()
})

test('without an end of text, documents follow one another; one document gets none', async () => {
  writeFileSync(join(folder, 'a.txt'), 'ab')
  writeFileSync(join(folder, 'b.txt'), 'de')
  const data = [join(folder, 'a.txt'), join(folder, 'b.txt')]
  const joined = await prepareText({ data, tokenizer: pairs(), folder, validation: 0 })
  assert.equal([...(await tokensOf(joined))], [97, 98, 100, 101])
  assert.equal(joined.validation, { start: 4, end: 4, bytes: 0 })
  await joined.file.close()
  const one = await prepareText({ data: data[0]!, tokenizer: pairs(END), folder, validation: 0 })
  assert.equal([...(await tokensOf(one))], [97, 98])
  await one.file.close()
})

test('too short: the numbers are said and nothing is left', async () => {
  writeFileSync(join(folder, 'a.txt'), 'a'.repeat(99))
  const options = { data: join(folder, 'a.txt'), tokenizer: pairs(), folder: join(folder, 'out') }
  for (const [context, validation, fits] of [
    [8, 0.1, true],
    [9, 0.1, true],
    [10, 0.1, false],
    [98, 0, true],
    [99, 0, false],
    [49, 0.5, false],
  ] as const) {
    const result = await prepareText({ ...options, context, validation }).catch((e: unknown) => e)
    if (fits) {
      await (result as Prepared).file.close()
      rmSync(options.folder, { recursive: true })
      continue
    }
    assert.is((result as GptloomError).code, 'ERR_DATA')
    const split = Math.floor(99 * (1 - validation))
    assert.match((result as Error).message, `99 tokens, ${split} of them for training`)
    assert.match((result as Error).message, `at least ${context + 1}, one more than the context`)
    assert.equal(readdirSync(options.folder), [])
  }
})

test('bad text, bad options and a signal leave nothing', async () => {
  const path = join(folder, 'a.txt')
  const out = join(folder, 'out')
  writeFileSync(path, Buffer.concat([Buffer.alloc(200_000, 'a'), Buffer.of(0xff)]))
  const options = { data: path, tokenizer: pairs(), folder: out }
  const bad = (await prepareText(options).catch((error: unknown) => error)) as GptloomError
  assert.match(bad.message, /byte 0xFF at offset 200000/)
  assert.equal(readdirSync(out), [])
  const missing = await prepareText({ ...options, data: out + 'x' }).catch((e: unknown) => e)
  assert.is((missing as GptloomError).code, 'ERR_FILE')
  for (const validation of [-0.1, 1, NaN]) {
    const error = await prepareText({ ...options, validation }).catch((reason: unknown) => reason)
    assert.instance(error, RangeError)
  }
  writeFileSync(path, 'a'.repeat(500_000))
  const controller = new AbortController()
  const reason = new Error('enough')
  const onProgress = ({ bytes }: PrepareProgress) => {
    if (bytes > 100_000) controller.abort(reason)
  }
  const stopped = (await prepareText({ ...options, signal: controller.signal, onProgress }).catch(
    (error: unknown) => error,
  )) as AbortError
  assert.instance(stopped, AbortError)
  assert.is(stopped.name, 'AbortError')
  assert.is(stopped.cause, reason)
  assert.equal(readdirSync(out), [])
})

test('openPrepared refuses what does not fit together', async () => {
  writeFileSync(join(folder, 'a.txt'), 'a'.repeat(99))
  const prepared = await prepareText({ data: join(folder, 'a.txt'), tokenizer: pairs(), folder })
  await prepared.file.close()
  const record = JSON.parse(readFileSync(join(folder, 'text.json'), 'utf8')) as Prepared
  const { train, validation } = record
  for (const wrong of [
    null,
    7,
    [],
    {},
    { ...record, train: null },
    { ...record, tokens: 98 },
    { ...record, train: { ...train, end: 88 } },
    { ...record, train: { ...train, start: -1 } },
    { ...record, validation: { ...validation, bytes: 11 } },
    { ...record, validation: { ...validation, start: '89' } },
  ]) {
    writeFileSync(join(folder, 'text.json'), JSON.stringify(wrong))
    const error = (await openPrepared(folder).catch((reason: unknown) => reason)) as GptloomError
    assert.is(error.code, 'ERR_FORMAT')
    assert.match(error.message, /does not describe the text\.tokens beside it/)
  }
})

test('memory does not grow with the text', async () => {
  const block = Buffer.from('Memory is bounded, whatever comes: ü€.\n'.repeat(25_000)) // 1 MB
  const grow = (name: string, blocks: number) => {
    const file = openSync(join(folder, name), 'w')
    for (let i = 0; i < blocks; i++) writeSync(file, block)
    closeSync(file)
    return join(folder, name)
  }
  const peak = async (data: string) => {
    let most = 0
    const onProgress = () => {
      ;(globalThis as { gc?: () => void }).gc!() // garbage is no part of what is kept
      most = Math.max(most, process.memoryUsage.rss())
    }
    const prepared = await prepareText({ data, tokenizer: pairs(END), folder, onProgress })
    await prepared.file.close()
    return most / 2 ** 20
  }
  const small = await peak(grow('small.txt', 8))
  const large = await peak(grow('large.txt', 50))
  console.log(`\npeak of 8 MB of text ${small.toFixed()} MB, of 50 MB ${large.toFixed()} MB`)
  // 42 MB more of text are 50 MB of strings and 100 MB of tokens, were they kept.
  assert.ok(large - small < 40, `grew by ${(large - small).toFixed()} MB`)
})

test.run()
