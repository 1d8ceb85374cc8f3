import {
  bytesOf,
  checkEncode,
  checkSpecial,
  splitSpecial,
  streamDecoder,
  textOf,
  toBinary,
} from './bytes.js'
import { bpeFiles } from './files.js'
import { grown } from './merges.js'
import type { Merges } from './merges.js'
import { WordTable } from './table.js'
import { END_OF_TEXT } from './tokenizer.js'
import type { EncodeOptions, StreamDecoder, StreamEncoder, Tokenizer } from './tokenizer.js'
import { WordStream, wordEnd } from './words.js'

/** Longer words, in UTF-16 code units, are rare and are not remembered. */
const LONGEST_REMEMBERED = 64

/** Ids of a text for which room is kept for the next. */
const LONGEST_HELD = 1 << 16

/** When so many words or ids of words are remembered, all are forgotten: at most some 40 MB. */
const MOST_WORDS = 1 << 17
const MOST_IDS = 1 << 20

/**
 * Byte-level BPE as in GPT-2 (Radford et al. 2019; Sennrich et al. 2016): the text is cut into
 * words, the UTF-8 bytes of a word are merged pair by pair in the order of the merges' ranks. It
 * encodes every text and `decode(encode(text))` is the text, lone surrogates as U+FFFD.
 */
export class BpeTokenizer implements Tokenizer {
  readonly size: number
  readonly endOfText: number | undefined
  private readonly byteIds = new Int32Array(256)
  private readonly table = new WordTable()
  /** The ids of remembered word w are ids[starts[w], starts[w + 1]). */
  private starts = new Int32Array(1024)
  private readonly ids = new IdList()
  private symbols = new Int32Array(256)
  /** What encode() gathers; a copy of it is given away. */
  private readonly out = new IdList()

  /**
   * @param tokens by id, as binary strings, special tokens included; every single byte is among
   * them
   * @param merges in terms of these ids
   */
  constructor(
    readonly kind: 'gpt2' | 'bpe',
    readonly tokens: readonly string[],
    readonly merges: Merges,
    readonly special: ReadonlyMap<string, number>,
  ) {
    this.size = tokens.length
    this.endOfText = special.get(END_OF_TEXT)
    const specialIds = new Set(special.values())
    for (const [id, token] of tokens.entries()) {
      if (token.length === 1 && !specialIds.has(id)) this.byteIds[token.charCodeAt(0)] = id
    }
  }

  encode(text: string, options?: EncodeOptions): Int32Array {
    const withSpecial = checkEncode(text, options)
    const { out } = this
    out.length = 0
    if (!withSpecial) this.append(text, out)
    else
      splitSpecial(
        text,
        this.special,
        (plain) => this.append(plain, out),
        (id) => out.push(id),
      )
    return out.take()
  }

  stream(): StreamEncoder {
    const words = new WordStream()
    return {
      push: (text) => {
        checkEncode(text, undefined)
        return this.encode(words.push(text))
      },
      end: () => this.encode(words.end()),
    }
  }

  decode(ids: Iterable<number>): string {
    return textOf(ids, this.tokens)
  }

  decodeBytes(ids: Iterable<number>): Uint8Array {
    return bytesOf(ids, this.tokens)
  }

  decoder(): StreamDecoder {
    return streamDecoder(this.tokens)
  }

  files(): Record<string, string> {
    return bpeFiles(this)
  }

  /**
   * This vocabulary with more special tokens, which take the next ids; names it has already are
   * left as they are.
   */
  withSpecial(names: readonly string[]): BpeTokenizer {
    const added = checkSpecial(names).filter((name) => !this.special.has(name))
    for (const name of added) {
      if (this.tokens.includes(toBinary(name))) {
        throw new RangeError(
          `Expected names that are no tokens yet for special, received ${JSON.stringify(name)}`,
        )
      }
    }
    const special = new Map(this.special)
    for (const [index, name] of added.entries()) special.set(name, this.size + index)
    return new BpeTokenizer(
      this.kind,
      [...this.tokens, ...added.map(toBinary)],
      this.merges,
      special,
    )
  }

  private append(text: string, out: IdList): void {
    const { table, ids } = this
    for (let from = 0, to; from < text.length; from = to) {
      to = wordEnd(text, from)
      if (to - from > LONGEST_REMEMBERED) {
        this.merge(text.slice(from, to), out)
        continue
      }
      if (table.size === MOST_WORDS || ids.length > MOST_IDS) this.forget()
      const known = table.size
      const word = table.add(text, from, to)
      if (word === known) {
        this.merge(text.slice(from, to), ids)
        if (word + 2 > this.starts.length) this.starts = grown(this.starts, 2 * this.starts.length)
        this.starts[word + 1] = ids.length
      }
      out.copy(ids, this.starts[word]!, this.starts[word + 1]!)
    }
  }

  private forget(): void {
    this.table.clear()
    this.ids.length = 0
  }

  /** Appends the ids of one word. */
  private merge(word: string, out: IdList): void {
    const bytes = Buffer.from(word, 'utf8')
    const { length } = bytes
    const symbols = length <= this.symbols.length ? this.symbols : new Int32Array(length)
    for (let i = 0; i < length; i++) symbols[i] = this.byteIds[bytes[i]!]!
    out.append(symbols, this.merges.apply(symbols, length))
  }
}

/** A growing list of ids. */
class IdList {
  length = 0
  private values = new Int32Array(1024)

  push(id: number): void {
    this.reserve(1)
    this.values[this.length++] = id
  }

  append(ids: Int32Array, count: number): void {
    this.reserve(count)
    this.values.set(count === ids.length ? ids : ids.subarray(0, count), this.length)
    this.length += count
  }

  copy(from: IdList, start: number, end: number): void {
    this.reserve(end - start)
    for (let i = start; i < end; i++) this.values[this.length++] = from.values[i]!
  }

  /** A copy of the list; the memory of a very long one is let go. */
  take(): Int32Array {
    const taken = this.values.slice(0, this.length)
    if (this.length > LONGEST_HELD) this.values = new Int32Array(1024)
    return taken
  }

  private reserve(count: number): void {
    const needed = this.length + count
    if (needed > this.values.length) {
      this.values = grown(this.values, Math.max(needed, 2 * this.values.length))
    }
  }
}
