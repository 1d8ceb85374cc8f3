import { GptloomError, checkKeys, show, wrongType } from '../errors.js'
import {
  bytesOf,
  checkEncode,
  checkSpecial,
  splitSpecial,
  streamDecoder,
  textOf,
  toBinary,
} from './bytes.js'
import { UNKNOWN, characterFiles } from './files.js'
import { END_OF_TEXT } from './tokenizer.js'
import type { EncodeOptions, StreamDecoder, StreamEncoder, Tokenizer } from './tokenizer.js'

const REPLACEMENT = 0xfffd

/**
 * One id a character (Unicode code point). A text with a character outside the vocabulary is
 * refused, since a model has nothing to say about a character it never saw and dropping it in
 * silence would change the text; a vocabulary that holds the special token <unk> reads such
 * characters as that.
 */
export class CharacterTokenizer implements Tokenizer {
  readonly kind = 'character'
  readonly size: number
  readonly endOfText: number | undefined
  private readonly tokens: readonly string[]
  private readonly ids = new Map<number, number>()
  /** The ids of the code points below 128; -1 for none. */
  private readonly ascii = new Int32Array(128).fill(-1)
  private readonly unknown: number | undefined

  /**
   * @param names by id: a character, or the name of a special token
   * @param special special tokens by name, each at its place in names
   */
  constructor(
    readonly names: readonly string[],
    readonly special: ReadonlyMap<string, number>,
  ) {
    this.size = names.length
    this.endOfText = special.get(END_OF_TEXT)
    this.unknown = special.get(UNKNOWN)
    this.tokens = names.map(toBinary)
    for (const [id, name] of names.entries()) {
      if (special.has(name)) continue
      const codePoint = name.codePointAt(0)!
      this.ids.set(codePoint, id)
      if (codePoint < 128) this.ascii[codePoint] = id
    }
  }

  encode(text: string, options?: EncodeOptions): Int32Array {
    const withSpecial = checkEncode(text, options)
    const out = new Int32Array(text.length)
    let length = 0
    const append = (plain: string) => {
      length = this.append(plain, out, length, text)
    }
    if (!withSpecial) append(text)
    else
      splitSpecial(text, this.special, append, (id) => {
        out[length++] = id
      })
    return length === out.length ? out : out.slice(0, length)
  }

  stream(): StreamEncoder {
    let held = ''
    return {
      push: (text) => {
        checkEncode(text, undefined)
        const whole = held + text
        const cut = /[\ud800-\udbff]$/.test(whole) ? whole.length - 1 : whole.length
        held = whole.slice(cut)
        return this.encode(whole.slice(0, cut))
      },
      end: () => {
        const rest = held
        held = ''
        return this.encode(rest)
      },
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
    return characterFiles(this)
  }

  private append(text: string, out: Int32Array, length: number, whole: string): number {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      let id = code < 128 ? this.ascii[code]! : -1
      if (id < 0) {
        const codePoint = wellFormed(text.codePointAt(i)!)
        if (codePoint > 0xffff) i++
        id = this.ids.get(codePoint) ?? this.unknown ?? -1
        if (id < 0) throw this.refusal(whole)
      }
      out[length++] = id
    }
    return length
  }

  /** Names every character that is missing at once, so that the text can be mended in one go. */
  private refusal(text: string): GptloomError {
    const missing = new Map<number, number>()
    let position = 0
    for (const character of text) {
      const codePoint = wellFormed(character.codePointAt(0)!)
      if (!this.ids.has(codePoint) && !missing.has(codePoint)) missing.set(codePoint, position)
      position++
      if (missing.size > 5) break
    }
    const list = [...missing]
      .slice(0, 5)
      .map(
        ([codePoint, at]) =>
          `${show(String.fromCodePoint(codePoint))} (U+${hex(codePoint)}) at character ${at + 1}`,
      )
    return new GptloomError(
      'ERR_INDEX',
      `The character-level vocabulary of ${this.size} ids lacks ` +
        `${list.join(', ')}${missing.size > 5 ? ' and more' : ''}. Remove or replace what is ` +
        'missing, or train with a byte-level tokenizer, which knows every character',
    )
  }
}

/** Options of `characterTokenizer`. */
export interface CharacterOptions {
  /**
   * Special tokens, which take the ids after the characters; '<unk>' among them stands for unknown
   * characters.
   */
  special?: readonly string[]
}

/**
 * The character-level vocabulary of a text, the characters in the order of their code points.
 * chunks are consecutive pieces of the text and may be cut anywhere.
 */
export async function characterTokenizer(
  chunks: AsyncIterable<string> | Iterable<string>,
  options: CharacterOptions = {},
): Promise<CharacterTokenizer> {
  checkKeys('characterTokenizer options', options, ['special'])
  const special = checkSpecial(options.special ?? [])
  const single = special.find((name) => [...name].length === 1)
  if (single !== undefined) throw wrongType('names of more than one character', 'special', single)
  const seen = new Uint8Array(0x110000)
  let held = ''
  for await (const chunk of chunks) {
    if (typeof chunk !== 'string') throw wrongType('strings', 'chunks', chunk)
    const whole = held + chunk
    const cut = /[\ud800-\udbff]$/.test(whole) ? whole.length - 1 : whole.length
    held = whole.slice(cut)
    collect(whole, cut, seen)
  }
  collect(held, held.length, seen)
  const names: string[] = []
  for (let codePoint = 0; codePoint < seen.length; codePoint++) {
    if (seen[codePoint]) names.push(String.fromCodePoint(codePoint))
  }
  const first = names.length
  return new CharacterTokenizer(
    [...names, ...special],
    new Map(special.map((name, i) => [name, first + i])),
  )
}

function collect(text: string, end: number, seen: Uint8Array): void {
  for (let i = 0; i < end; i++) {
    const code = text.charCodeAt(i)
    if ((code & 0xf800) !== 0xd800) {
      seen[code] = 1
    } else {
      const codePoint = wellFormed(text.codePointAt(i)!)
      seen[codePoint] = 1
      if (codePoint > 0xffff) i++
    }
  }
}

/** A lone surrogate counts as U+FFFD, which is what it would become in a file. */
function wellFormed(codePoint: number): number {
  return (codePoint & ~0x7ff) === 0xd800 ? REPLACEMENT : codePoint
}

function hex(codePoint: number): string {
  return codePoint.toString(16).toUpperCase().padStart(4, '0')
}
