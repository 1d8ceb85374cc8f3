import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AbortError, GptloomError, checkInteger, checkNumber } from '../errors.js'
import { guarded, readJson, writeFileAtomic } from '../files.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { openText } from './sources.js'
import type { TextSource } from './sources.js'
import { TokenFile, TokenWriter } from './tokens.js'

/** Tokens [start, end) of a token file, and the bytes of the text that they stand for. */
export interface TokenRange {
  readonly start: number
  readonly end: number
  readonly bytes: number
}

/** A corpus ready for training: one token file and the two parts of it. */
export interface Prepared {
  readonly file: TokenFile
  readonly train: TokenRange
  readonly validation: TokenRange
  readonly documents: number
  readonly tokens: number
}

/** How far prepareText is. */
export interface PrepareProgress {
  readonly file: string
  /** Bytes of text encoded so far, and of all files. */
  readonly bytes: number
  readonly totalBytes: number
  readonly tokens: number
}

export interface PrepareOptions {
  /** A file, a folder, or several: see openText. */
  data: string | readonly string[]
  tokenizer: Pick<Tokenizer, 'stream' | 'endOfText' | 'size' | 'decodeBytes'>
  /** Where text.tokens and text.json are put; made when it is not there. */
  folder: string
  /**
   * The share of the tokens, at the end, that is kept for validation: 0 to below 1, default 0.1.
   */
  validation?: number
  /** Context length of the model: each part must hold one window of it and a target. */
  context?: number
  signal?: AbortSignal
  onProgress?: (progress: PrepareProgress) => void
}

/**
 * Encodes text into `<folder>/text.tokens`, in memory that does not grow with the text. Documents
 * (files) are separated by the tokenizer's end-of-text token when it has one; none follows the
 * last. The first tokens are for training and the last for validation. `<folder>/text.json` records
 * the parts, and openPrepared opens both again.
 *
 * @throws GptloomError('ERR_DATA') when the text is not UTF-8 or too short, ERR_FILE when the file
 *   system refuses; AbortError when the signal stops it. Nothing is left behind then.
 */
export async function prepareText(options: PrepareOptions): Promise<Prepared> {
  const { tokenizer, folder, context = 1 } = options
  const validation = checkNumber('validation', options.validation ?? 0.1, 0, 1 - 2 ** -53)
  checkInteger('context', context)
  checkSignal(options.signal)
  const source = await openText(options.data)
  await guarded(folder, 'create', mkdir(folder, { recursive: true }))
  const path = join(folder, 'text.tokens')
  const byteLength = lengthTable(tokenizer)
  const writer = await TokenWriter.create(path, tokenizer.size)
  let encoded: { documents: number; bytes: number }
  let split: number
  try {
    encoded = await encode(source, options, writer, byteLength)
    split = Math.floor(writer.count * (1 - validation))
    checkParts(split, writer.count, context, validation)
    checkSignal(options.signal)
    await writer.finish(encoded.bytes)
  } finally {
    await writer.abort()
  }
  const file = await TokenFile.open(path)
  try {
    const rest = await sumBytes(file, split, byteLength)
    const record = {
      version: 1,
      tokens: file.count,
      documents: encoded.documents,
      train: { start: 0, end: split, bytes: encoded.bytes - rest },
      validation: { start: split, end: file.count, bytes: rest },
    }
    await writeFileAtomic(join(folder, 'text.json'), JSON.stringify(record, null, 2) + '\n')
    const { train, validation, documents, tokens } = record
    return { file, train, validation, documents, tokens }
  } catch (error) {
    await file.close()
    throw error
  }
}

/**
 * Opens what prepareText has made.
 *
 * @throws GptloomError('ERR_FILE') when it is not there, ERR_FORMAT when it is damaged
 */
export async function openPrepared(folder: string): Promise<Prepared> {
  const path = join(folder, 'text.json')
  const record = (await readJson(path)) as Partial<Prepared> | null
  const file = await TokenFile.open(join(folder, 'text.tokens'))
  const { train, validation, documents, tokens } = record ?? {}
  const fits =
    isRange(train) &&
    isRange(validation) &&
    train.start === 0 &&
    train.end === validation.start &&
    validation.end === tokens &&
    tokens === file.count &&
    train.bytes + validation.bytes === file.bytes &&
    Number.isSafeInteger(documents)
  if (fits) return { file, train, validation, documents: documents!, tokens }
  await file.close()
  throw new GptloomError('ERR_FORMAT', `${path} does not describe the text.tokens beside it`)
}

function isRange(range: TokenRange | undefined): range is TokenRange {
  return [range?.start, range?.end, range?.bytes].every((n) => Number.isSafeInteger(n) && n! >= 0)
}

async function encode(
  source: TextSource,
  { tokenizer, signal, onProgress }: PrepareOptions,
  writer: TokenWriter,
  byteLength: (tokens: Int32Array) => number,
): Promise<{ documents: number; bytes: number }> {
  let bytes = 0
  for await (const { file, index, text } of source) {
    const add = async (tokens: Int32Array) => {
      checkSignal(signal)
      bytes += byteLength(tokens)
      await writer.write(tokens)
      onProgress?.({ file, bytes, totalBytes: source.bytes, tokens: writer.count })
    }
    if (index > 0 && tokenizer.endOfText !== undefined) {
      await writer.write(Int32Array.of(tokenizer.endOfText))
    }
    const encoder = tokenizer.stream()
    for await (const piece of text) await add(encoder.push(piece))
    await add(encoder.end())
  }
  return { documents: source.files.length, bytes }
}

function checkParts(split: number, count: number, context: number, validation: number): void {
  const rest = count - split
  if (split > context && (rest > context || validation === 0)) return
  const counted = count === 1 ? '1 token' : `${count} tokens`
  throw new GptloomError(
    'ERR_DATA',
    `The text is too short: ${counted}, ${split} of them for training and ${rest} for ` +
      `validation, but each part needs at least ${context + 1}, one more than the context. ` +
      'Use more text or a smaller context.',
  )
}

/** Counts the bytes of text that tokens stand for; the end of a document stands for none. */
function lengthTable(tokenizer: PrepareOptions['tokenizer']): (tokens: Int32Array) => number {
  const lengths = new Int32Array(tokenizer.size).fill(-1)
  if (tokenizer.endOfText !== undefined) lengths[tokenizer.endOfText] = 0
  return (tokens) => {
    let sum = 0
    for (const token of tokens) {
      if (lengths[token] === -1) lengths[token] = tokenizer.decodeBytes([token]).length
      sum += lengths[token]!
    }
    return sum
  }
}

async function sumBytes(
  file: TokenFile,
  start: number,
  byteLength: (tokens: Int32Array) => number,
): Promise<number> {
  const piece = new Int32Array(1 << 16)
  let sum = 0
  for (let at = start; at < file.count; at += piece.length) {
    const length = Math.min(piece.length, file.count - at)
    await file.read(at, length, piece)
    sum += byteLength(piece.subarray(0, length))
  }
  return sum
}

function checkSignal(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return
  throw new AbortError('Stopped while the text was prepared', undefined, { cause: signal.reason })
}
