import { setImmediate } from 'node:timers/promises'
import { AbortError, checkInteger, checkKeys, wrongType } from '../errors.js'
import { BpeTokenizer } from './bpe.js'
import { byteOrder, checkSpecial, toBinary } from './bytes.js'
import { Learner } from './learn.js'
import type { WordCounts } from './learn.js'
import { MAX_MERGES, Merges, grown } from './merges.js'
import { WordTable } from './table.js'
import { END_OF_TEXT } from './tokenizer.js'
import { WordStream, wordEnd } from './words.js'

/** Longest word that is counted whole, in UTF-16 code units. */
const LONGEST_WORD = 256

/** How long the event loop may stand still, in milliseconds. */
const TURN = 8

/** Words handled between two looks at the clock. */
const BATCH = 4096

/** Options of `trainTokenizer`. */
export interface TrainTokenizerOptions {
  /** Number of ids to reach, special tokens included: at least 256 and the special tokens. */
  size: number
  /**
   * Special tokens; they take the last ids, <|endoftext|> the very last. Default ['<|endoftext|>'].
   */
  special?: readonly string[]
  /** A pair that stands in the text fewer times than this is not merged. Default 2. */
  minFrequency?: number
  /**
   * Most distinct words held, default 2^21 (about 0.6 GB while the merges are learned). When a text
   * has more, the words seen once so far are forgotten, then those seen twice and so on until a
   * half remains, so that counts of rare words become too low. What is kept is the frequent words,
   * which the merges come from.
   */
  maxWords?: number
  /** Stops the training. */
  signal?: AbortSignal
  /**
   * Called from time to time with the number of characters read, then with the number of ids so
   * far.
   */
  onProgress?: (progress: { phase: 'count' | 'merge'; done: number }) => void
}

/**
 * Learns a byte-level BPE vocabulary (Sennrich, Haddow and Birch 2016, on GPT-2's bytes and words).
 * chunks are consecutive pieces of one text and may be cut anywhere; documents should end with a
 * line break, so that no word spans two. The ids are the 256 bytes in GPT-2's order, the merges in
 * the order in which they were learned, the special tokens. Of pairs with the same count the one
 * with the smaller left id is merged first, then the smaller right id. Words of more than 256
 * UTF-16 units (encoded data, mostly) are counted in pieces of that length. The same text gives the
 * same vocabulary, however it is cut. A text too small for the size gives fewer ids.
 * @throws {AbortError} when the signal says so
 */
export async function trainTokenizer(
  chunks: AsyncIterable<string> | Iterable<string>,
  options: TrainTokenizerOptions,
): Promise<BpeTokenizer> {
  if (typeof options !== 'object' || options === null) {
    throw wrongType('an object', 'options', options)
  }
  checkKeys('trainTokenizer options', options, [
    'size',
    'special',
    'minFrequency',
    'maxWords',
    'signal',
    'onProgress',
  ])
  const special = checkSpecial(options.special ?? [END_OF_TEXT])
  const room = 256 + special.length
  const size = checkInteger('size', options.size, room, room + MAX_MERGES)
  const minFrequency = checkInteger('minFrequency', options.minFrequency ?? 2)
  const maxWords = checkInteger('maxWords', options.maxWords ?? 2 ** 21, 1024, 2 ** 25)
  const turn = new Turn(options)
  const words = await count(chunks, maxWords, turn)
  return learn(words, size, special, minFrequency, turn)
}

async function count(
  chunks: AsyncIterable<string> | Iterable<string>,
  maxWords: number,
  turn: Turn,
): Promise<WordCounts> {
  const counter = new WordCounter(maxWords)
  const stream = new WordStream(2 ** 20)
  let done = 0
  const add = async (text: string) => {
    for (let from = 0; from < text.length;) {
      from = counter.add(text, from, Math.min(text.length, from + 2 ** 17))
      if (turn.over) await turn.next('count', done + from)
    }
    done += text.length
  }
  for await (const chunk of chunks) {
    if (typeof chunk !== 'string') throw wrongType('strings', 'chunks', chunk)
    await add(stream.push(chunk))
  }
  await add(stream.end())
  return counter.take(() => (turn.over ? turn.next('count', done) : undefined))
}

async function learn(
  words: WordCounts,
  size: number,
  special: readonly string[],
  minFrequency: number,
  turn: Turn,
): Promise<BpeTokenizer> {
  const tokens = byteOrder.map((byte) => String.fromCharCode(byte))
  const ids = new Map(tokens.map((token, id) => [token, id]))
  for (const name of special) ids.set(toBinary(name), -1)
  const merges = new Merges()
  const learner = new Learner(words)
  for (let word = 0; word < words.counts.length; word += BATCH) {
    learner.enter(word, Math.min(word + BATCH, words.counts.length))
    if (turn.over) await turn.next('merge', tokens.length)
  }
  while (tokens.length + special.length < size) {
    if (turn.over) await turn.next('merge', tokens.length)
    const best = learner.best()
    if (best === undefined || best.count < minFrequency) break
    const token = tokens[best.left]! + tokens[best.right]!
    let id = ids.get(token)
    if (id === -1) {
      // the name of a special token is never made by merges
      learner.exclude(best.left, best.right)
      continue
    }
    if (id === undefined) {
      id = tokens.push(token) - 1
      ids.set(token, id)
    }
    // Two pairs may spell the same token; it has one id, and both merges lead to it.
    merges.add(best.left, best.right, id)
    learner.merge(best.left, best.right, id)
  }
  const first = tokens.length
  return new BpeTokenizer(
    'bpe',
    [...tokens, ...special.map(toBinary)],
    merges,
    new Map(special.map((name, index) => [name, first + index])),
  )
}

/** Counts words, forgetting the rarest when there are too many. */
class WordCounter {
  private readonly table = new WordTable()
  private counts = new Float64Array(1024)

  constructor(private readonly maxWords: number) {}

  /** Counts the words of text that start in [from, to) and returns where the last of them ends. */
  add(text: string, from: number, to: number): number {
    const { table } = this
    while (from < to) {
      const end = wordEnd(text, from)
      while (from < end) {
        const stop = end - from > LONGEST_WORD ? pieceEnd(text, from) : end
        const word = table.add(text, from, stop)
        if (word >= this.counts.length) this.grow()
        this.counts[word]!++
        from = stop
        // The second bound is on memory: on average 16 code units a word.
        if (table.size > this.maxWords || table.length > 16 * this.maxWords) this.prune()
      }
    }
    return from
  }

  /** The words in UTF-8, a byte by its id. */
  async take(pause: () => Promise<void> | undefined): Promise<WordCounts> {
    const byteIds = new Int32Array(256)
    for (const [id, byte] of byteOrder.entries()) byteIds[byte] = id
    const { size } = this.table
    const starts = new Int32Array(size + 1)
    let symbols = new Int32Array(2 * this.table.length)
    let at = 0
    for (let word = 0; word < size; word++) {
      const bytes = Buffer.from(this.table.word(word), 'utf8')
      if (at + bytes.length > symbols.length) symbols = grown(symbols, 2 * (at + bytes.length))
      for (const byte of bytes) symbols[at++] = byteIds[byte]!
      starts[word + 1] = at
      if (word % BATCH === 0) await pause()
    }
    return { symbols: symbols.slice(0, at), starts, counts: this.counts.subarray(0, size) }
  }

  private prune(): void {
    const { table, counts } = this
    const [size, length] = [table.size, table.length]
    for (let rarest = 1; 2 * table.size > size || 2 * table.length > length; rarest++) {
      let kept = 0
      table.filter((word) => {
        const keep = counts[word]! > rarest
        if (keep) counts[kept++] = counts[word]!
        return keep
      })
      counts.fill(0, kept)
    }
  }

  private grow(): void {
    const counts = new Float64Array(2 * this.counts.length)
    counts.set(this.counts)
    this.counts = counts
  }
}

/** End of the piece of a long word that starts at `from`, never within a surrogate pair. */
function pieceEnd(text: string, from: number): number {
  const end = from + LONGEST_WORD
  return text.codePointAt(end - 1)! > 0xffff ? end - 1 : end
}

/** Gives way to the event loop from time to time. */
class Turn {
  private start = performance.now()

  constructor(private readonly options: Pick<TrainTokenizerOptions, 'signal' | 'onProgress'>) {}

  get over(): boolean {
    return performance.now() - this.start > TURN
  }

  async next(phase: 'count' | 'merge', done: number): Promise<void> {
    this.options.onProgress?.({ phase, done })
    await setImmediate()
    const { signal } = this.options
    if (signal?.aborted) {
      throw new AbortError('The training of the tokenizer was stopped', undefined, {
        cause: signal.reason,
      })
    }
    this.start = performance.now()
  }
}
