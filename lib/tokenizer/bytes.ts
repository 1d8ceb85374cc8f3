import { GptloomError, checkKeys, show, wrongType } from '../errors.js'
import { END_OF_TEXT } from './tokenizer.js'
import type { EncodeOptions, StreamDecoder } from './tokenizer.js'

// Tokens are held as binary strings: one character of code 0 to 255 a byte. Files name them by
// GPT-2's printable stand-ins instead (Radford et al. 2019, encoder.py, bytes_to_unicode): a byte
// that is a printable character of Latin-1 stands for itself, the other 68 are U+0100 onwards in
// order.

const byteCharacters: string[] = []
const characterBytes = new Map<string, string>()
let standIns = 0
for (let byte = 0; byte < 256; byte++) {
  const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  const character = String.fromCharCode(printable ? byte : 256 + standIns++)
  byteCharacters.push(character)
  characterBytes.set(character, String.fromCharCode(byte))
}

/** The 256 bytes in the order of their ids in GPT-2, which is the order of their stand-ins. */
export const byteOrder: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte).sort(
  (a, b) => byteCharacters[a]!.charCodeAt(0) - byteCharacters[b]!.charCodeAt(0),
)

/** The printable name of a token. */
export function nameOf(token: string): string {
  let name = ''
  for (let i = 0; i < token.length; i++) name += byteCharacters[token.charCodeAt(i)]!
  return name
}

/**
 * The token of a printable name, or undefined when the name holds a character that stands for no
 * byte.
 */
export function tokenOf(name: string): string | undefined {
  let token = ''
  for (const character of name) {
    const byte = characterBytes.get(character)
    if (byte === undefined) return undefined
    token += byte
  }
  return token
}

/** The UTF-8 bytes of text as a binary string. */
export function toBinary(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** The bytes of ids by a vocabulary of binary strings. */
export function bytesOf(ids: Iterable<number>, tokens: readonly string[]): Uint8Array {
  const parts: string[] = []
  for (const id of ids) parts.push(tokenAt(id, tokens))
  return new Uint8Array(Buffer.from(parts.join(''), 'latin1'))
}

/** The text of ids by a vocabulary of binary strings. */
export function textOf(ids: Iterable<number>, tokens: readonly string[]): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytesOf(ids, tokens))
}

/** A decoder of ids one by one by a vocabulary of binary strings. */
export function streamDecoder(tokens: readonly string[]): StreamDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return {
    push: (id) => decoder.decode(Buffer.from(tokenAt(id, tokens), 'latin1'), { stream: true }),
    end: () => decoder.decode(),
  }
}

function tokenAt(id: number, tokens: readonly string[]): string {
  const token = tokens[id]
  if (token !== undefined) return token
  throw new GptloomError(
    'ERR_INDEX',
    `Expected token ids from 0 to ${tokens.length - 1}, received ${show(id)}`,
  )
}

/**
 * Checks the arguments of `encode`; true when special tokens in the text are to be taken as such.
 */
export function checkEncode(text: unknown, options: EncodeOptions | undefined): boolean {
  if (typeof text !== 'string') throw wrongType('a string', 'text', text)
  if (options === undefined) return false
  checkKeys('encode options', options, ['special'])
  const { special = false } = options
  if (typeof special !== 'boolean') throw wrongType('a boolean', 'special', special)
  return special
}

/** Checks names of special tokens: well-formed, not empty, no name twice. */
export function checkSpecial(special: unknown): string[] {
  if (!Array.isArray(special)) throw wrongType('an array of strings', 'special', special)
  for (const name of special) {
    if (typeof name !== 'string' || name === '' || /\p{Surrogate}/u.test(name)) {
      throw wrongType('non-empty, well-formed strings', 'special', name)
    }
  }
  const twice = special.find((name, index) => special.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new TypeError(`Expected different names for special, received ${show(twice)} twice`)
  }
  return special
    .filter((name) => name !== END_OF_TEXT)
    .concat(special.includes(END_OF_TEXT) ? [END_OF_TEXT] : [])
}

/**
 * Calls plain for each stretch of text between special tokens and token for each of these, in
 * order.
 */
export function splitSpecial(
  text: string,
  special: ReadonlyMap<string, number>,
  plain: (text: string) => void,
  token: (id: number) => void,
): void {
  // Longest first: where one name begins with another, the longer one is meant.
  const names = [...special.keys()].sort((a, b) => b.length - a.length)
  const pattern = names.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|')
  if (names.length === 0) return plain(text)
  let from = 0
  for (const match of text.matchAll(new RegExp(pattern, 'gu'))) {
    if (match.index > from) plain(text.slice(from, match.index))
    token(special.get(match[0])!)
    from = match.index + match[0].length
  }
  if (from < text.length) plain(text.slice(from))
}
