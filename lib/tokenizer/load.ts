import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { GptloomError, show, wrongType } from '../errors.js'
import { BpeTokenizer } from './bpe.js'
import { nameOf, toBinary, tokenOf } from './bytes.js'
import { CharacterTokenizer } from './character.js'
import { CHARACTER_PATTERN, UNKNOWN } from './files.js'
import { MAX_MERGES, Merges } from './merges.js'
import type { Tokenizer } from './tokenizer.js'

/** Largest file that is read, in bytes; the largest vocabularies in use take a tenth of it. */
const MAX_BYTES = 2 ** 28

const MAX_SIZE = 2 ** 22

/** SHA-256 of GPT-2's token names in the order of their ids, then its merges, a line each. */
const GPT2_DIGEST = '9e52e2d09323136cf31fca11e3a80463fe013e9ccfa1c04ac36c8bb825af904d'

type Json = Record<string, unknown>

/** The vocabulary as a file states it, checked: names by id. */
interface Vocabulary {
  names: string[]
  ids: Map<string, number>
  special: Map<string, number>
}

/**
 * Reads a tokenizer from a model folder: tokenizer.json of a byte-level BPE or of our
 * character-level kind, or, without that file, vocab.json and merges.txt as GPT-2's folders have
 * them. The files are untrusted: everything in them is checked before it is used.
 * @throws {GptloomError} ERR_FILE when there is no tokenizer in the folder, ERR_FORMAT when a file
 * is damaged or of a kind that is not supported
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  if (typeof folder !== 'string') throw wrongType('the path of a folder', 'folder', folder)
  const path = join(folder, 'tokenizer.json')
  const text = await read(path)
  if (text !== undefined) return fromTokenizerJson(path, parse(path, text))
  const vocabularyPath = join(folder, 'vocab.json')
  const mergesPath = join(folder, 'merges.txt')
  const [vocabulary, merges] = await Promise.all([read(vocabularyPath), read(mergesPath)])
  if (vocabulary === undefined || merges === undefined) {
    throw new GptloomError(
      'ERR_FILE',
      `No tokenizer in ${folder}: expected tokenizer.json, or vocab.json and merges.txt`,
    )
  }
  const addedPath = join(folder, 'added_tokens.json')
  const added = parse(addedPath, (await read(addedPath)) ?? '{}')
  const entries = checkVocabulary(
    vocabularyPath,
    parse(vocabularyPath, vocabulary),
    Object.entries(added),
  )
  const pairs = mergesPairs(mergesPath, merges)
  // This older layout does not list special tokens: they are what no merge makes and what reads as
  // it is named.
  const made = new Set(pairs.map(([left, right]) => left + right))
  for (const [id, name] of entries.names.entries()) {
    const token = tokenOf(name)
    const verbatim = token === undefined || (token === name && name.length > 1)
    if (verbatim && !made.has(name)) entries.special.set(name, id)
  }
  return bpe(vocabularyPath, entries, mergesPath, pairs)
}

/**
 * A byte-level BPE from the parts that other files have it in.
 * @param names of all tokens, by id; those of bytes in GPT-2's printable letters
 * @param special those of the names that stand for themselves
 * @param merges 'left right' each, the first one first
 * @throws {GptloomError} ERR_FORMAT when they do not fit together
 */
export function bpeTokenizer(
  path: string,
  names: readonly string[],
  special: readonly string[],
  merges: readonly unknown[],
): BpeTokenizer {
  const ids = new Map(names.map((name, id) => [name, id]))
  if (ids.size !== names.length) throw damaged(path, 'two tokens have the same name')
  const marked = new Map(special.map((name) => [name, ids.get(name)!]))
  const pairs = merges.map((merge, index) => pairOf(path, `merge ${index}`, merge))
  return bpe(path, { names: [...names], ids, special: marked }, path, pairs)
}

function fromTokenizerJson(path: string, file: Json): Tokenizer {
  const model = object(path, file.model, 'model')
  const added = file.added_tokens ?? []
  if (!Array.isArray(added)) {
    throw damaged(path, `expected an array for added_tokens, received ${show(added)}`)
  }
  const tokens = added.map((token, index): [string, unknown] => {
    const { content, id } = object(path, token, `added_tokens[${index}]`)
    if (typeof content !== 'string') {
      throw damaged(
        path,
        `expected a string for added_tokens[${index}].content, received ${show(content)}`,
      )
    }
    return [content, id]
  })
  const vocabulary = checkVocabulary(path, object(path, model.vocab, 'model.vocab'), tokens)
  if (file.normalizer != null) throw unsupported(path, 'normalizer', file.normalizer)
  // Older files state no type; a list of merges is then what tells a BPE.
  if (model.type === 'BPE' || (model.type === undefined && model.merges !== undefined)) {
    checkBpe(path, file, model)
    return bpe(path, vocabulary, path, jsonPairs(path, model.merges))
  }
  if (model.type === 'WordLevel') return character(path, file, model, vocabulary)
  throw unsupported(path, 'model.type', model.type)
}

function checkBpe(path: string, file: Json, model: Json): void {
  const before = object(path, file.pre_tokenizer, 'pre_tokenizer')
  if (before.type !== 'ByteLevel' || before.use_regex === false) {
    throw unsupported(path, 'pre_tokenizer', before.type)
  }
  if (before.add_prefix_space === true) {
    throw unsupported(path, 'pre_tokenizer.add_prefix_space', true)
  }
  for (const key of [
    'dropout',
    'continuing_subword_prefix',
    'end_of_word_suffix',
    'byte_fallback',
    'ignore_merges',
  ]) {
    if (model[key]) throw unsupported(path, `model.${key}`, model[key])
  }
}

function character(
  path: string,
  file: Json,
  model: Json,
  vocabulary: Vocabulary,
): CharacterTokenizer {
  const before = object(path, file.pre_tokenizer, 'pre_tokenizer')
  const pattern = object(path, before.pattern ?? {}, 'pre_tokenizer.pattern')
  if (
    before.type !== 'Split' ||
    before.behavior !== 'Isolated' ||
    pattern.Regex !== CHARACTER_PATTERN
  ) {
    throw unsupported(path, 'pre_tokenizer', before.type)
  }
  if (object(path, file.decoder, 'decoder').type !== 'Fuse') {
    throw unsupported(path, 'decoder', file.decoder)
  }
  if (model.unk_token !== UNKNOWN) throw unsupported(path, 'model.unk_token', model.unk_token)
  for (const name of vocabulary.names) {
    if (!vocabulary.special.has(name) && ([...name].length !== 1 || /\p{Surrogate}/u.test(name))) {
      throw damaged(
        path,
        `expected single characters or added tokens in model.vocab, received ${show(name)}`,
      )
    }
  }
  return new CharacterTokenizer(vocabulary.names, vocabulary.special)
}

/** Checks that names and ids answer to each other one to one and that the ids are 0 to size - 1. */
function checkVocabulary(path: string, vocabulary: Json, added: [string, unknown][]): Vocabulary {
  const all = new Map<string, unknown>(Object.entries(vocabulary))
  const special = new Map<string, number>()
  for (const [name, id] of added) {
    if (name === '' || /\p{Surrogate}/u.test(name)) {
      throw damaged(path, `the added token ${show(name)} is no text`)
    }
    if (all.has(name) && all.get(name) !== id) {
      throw damaged(
        path,
        `the added token ${show(name)} has the ids ${show(all.get(name))} and ${show(id)}`,
      )
    }
    all.set(name, id)
  }
  const size = all.size
  if (size === 0 || size > MAX_SIZE) {
    throw damaged(path, `expected 1 to ${MAX_SIZE} tokens, received ${size}`)
  }
  const names: string[] = new Array(size)
  const ids = new Map<string, number>()
  for (const [name, id] of all) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= size) {
      throw damaged(
        path,
        `expected ids from 0 to ${size - 1} for ${size} tokens, received ${show(id)} ` +
          `for the token ${show(name)}`,
      )
    }
    if (names[id] !== undefined) {
      throw damaged(path, `the tokens ${show(names[id])} and ${show(name)} share the id ${id}`)
    }
    names[id] = name
    ids.set(name, id)
  }
  for (const [name] of added) special.set(name, ids.get(name)!)
  return { names, ids, special }
}

function mergesPairs(path: string, text: string): [string, string][] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const pairs: [string, string][] = []
  for (const [index, line] of lines.entries()) {
    if (index === 0 && line.startsWith('#version')) continue
    pairs.push(pairOf(path, `line ${index + 1}`, line.replace(/\r$/, '')))
  }
  return pairs
}

function jsonPairs(path: string, merges: unknown): [string, string][] {
  if (!Array.isArray(merges)) {
    throw damaged(path, `expected an array for model.merges, received ${show(merges)}`)
  }
  return merges.map((merge, index) => pairOf(path, `model.merges[${index}]`, merge))
}

function pairOf(path: string, where: string, merge: unknown): [string, string] {
  const parts = typeof merge === 'string' ? merge.split(' ') : merge
  if (Array.isArray(parts) && parts.length === 2) {
    const [left, right] = parts
    if (typeof left === 'string' && typeof right === 'string' && left !== '' && right !== '') {
      return [left, right]
    }
  }
  throw damaged(path, `${where}: expected two tokens, received ${show(merge)}`)
}

function bpe(
  path: string,
  { names, ids, special }: Vocabulary,
  mergesPath: string,
  pairs: [string, string][],
): BpeTokenizer {
  const tokens = names.map((name) => {
    const token = special.has(name) ? toBinary(name) : tokenOf(name)
    if (token === undefined) throw damaged(path, `the token ${show(name)} is not made of bytes`)
    return token
  })
  for (let byte = 0; byte < 256; byte++) {
    const name = nameOf(String.fromCharCode(byte))
    if (!ids.has(name) || special.has(name)) {
      throw damaged(path, `the vocabulary lacks the byte ${byte} (${show(name)})`)
    }
  }
  if (pairs.length > MAX_MERGES) {
    throw damaged(mergesPath, `expected at most ${MAX_MERGES} merges, received ${pairs.length}`)
  }
  const merges = new Merges()
  for (const [left, right] of pairs) {
    for (const name of [left, right, left + right]) {
      if (ids.has(name) && !special.has(name)) continue
      throw damaged(
        mergesPath,
        `the merge of ${show(left)} and ${show(right)} needs the token ${show(name)}, which ` +
          `is ${special.has(name) ? 'an added token' : 'not in the vocabulary'}`,
      )
    }
    if (!merges.add(ids.get(left)!, ids.get(right)!, ids.get(left + right)!)) {
      throw damaged(mergesPath, `the merge of ${show(left)} and ${show(right)} stands there twice`)
    }
  }
  return new BpeTokenizer(isGpt2(names, pairs) ? 'gpt2' : 'bpe', tokens, merges, special)
}

function isGpt2(names: readonly string[], pairs: readonly [string, string][]): boolean {
  if (pairs.length !== 50000 || names.length < 50257) return false
  const lines = [...names.slice(0, 50257), ...pairs.map((pair) => pair.join(' '))]
  return createHash('sha256').update(lines.join('\n')).digest('hex') === GPT2_DIGEST
}

/** The text of a file, or undefined when there is none. */
async function read(path: string): Promise<string | undefined> {
  try {
    const found = await stat(path)
    if (!found.isFile()) throw new GptloomError('ERR_FILE', `${path} is not a file`)
    if (found.size > MAX_BYTES) {
      throw damaged(path, `expected at most ${MAX_BYTES} bytes, received ${found.size}`)
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path))
  } catch (error) {
    if (error instanceof GptloomError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') throw damaged(path, 'expected UTF-8 text')
    throw new GptloomError('ERR_FILE', `${path} cannot be read: ${message}`, { cause: error })
  }
}

function parse(path: string, text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new GptloomError('ERR_FORMAT', `${path}: ${(cause as Error).message}`, { cause })
  }
  return object(path, value, 'the file')
}

function object(path: string, value: unknown, name: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw damaged(path, `expected an object for ${name}, received ${show(value)}`)
}

function damaged(path: string, what: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path}: ${what}`)
}

function unsupported(path: string, name: string, value: unknown): GptloomError {
  const shown = show((value as { type?: unknown } | null)?.type ?? value)
  return damaged(
    path,
    `${name} ${shown} is not supported; byte-level BPE as in GPT-2 and gptloom's ` +
      'character-level tokenizers are',
  )
}
