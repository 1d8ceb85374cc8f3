import { tooLong } from './lines.js'
import type { Chunks } from './input.js'
import { cut, problem } from './problem.js'
import { BATCH } from './reader.js'
import type { Raw } from './reader.js'
import { DEPTH, parseValue } from './value.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const LIST = 0x5b
const LIST_END = 0x5d
const OBJECT = 0x7b
const OBJECT_END = 0x7d
const NEWLINE = 0x0a

/** Bytes that the name of a list may have, with the blanks before and behind its colon. */
const LONGEST_NAME = 1000

/**
 * Reads a JSON file element by element: the elements of the list that it is, those of the list
 * under the name `list` in the object that it is, or the objects that it has one after another.
 * Only one element is held in memory.
 *
 * Where brackets do not match or a string is never closed, the element is a problem, and reading
 * goes on at the next place that begins as the first element did (`{"id":` and whatever blanks the
 * file has there). Commas between elements may be missing or too many.
 */
export async function* readJson(
  chunks: Chunks,
  limit: number,
  list?: string,
): AsyncGenerator<Raw[]> {
  const elements = new Elements(limit, list)
  for await (const chunk of chunks) {
    elements.add(chunk)
    for (let full = true; full;) {
      const batch = elements.next()
      if (batch.length > 0) yield batch
      full = batch.length === BATCH
    }
    elements.drop()
  }
  for (let batch = elements.last(); batch.length > 0; batch = elements.last()) yield batch
}

/**
 * Where the scanner is. outside: before the list; between: where an element may start; inside: in
 * one; scalar: in one that is no object, list or text; skipping: looking for an element that
 * begins as the first did; after: behind the list; done: nothing more is of interest.
 */
type Mode = 'outside' | 'between' | 'inside' | 'scalar' | 'skipping' | 'after' | 'done'

class Elements {
  #mode: Mode
  #held: Buffer = Buffer.alloc(0)
  #at = 0 // next byte of held to look at
  #start = 0 // of the element in held
  #line = 1 // of the byte at #at
  #startLine = 1
  #stack: number[] = []
  #inString = false
  #last = 0 // the last byte that was neither blank nor inside of a string
  #key = -1 // where the last string began
  #inList = false
  #opener: Buffer | undefined
  #found: Raw[] = []

  constructor(
    private readonly limit: number,
    private readonly list?: string,
  ) {
    this.#mode = list === undefined ? 'between' : 'outside'
  }

  add(chunk: Buffer): void {
    this.#held = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk
  }

  /** Up to BATCH elements of what was added; fewer only when it has no others. */
  next(): Raw[] {
    this.#scan()
    return this.#take()
  }

  /** As next, when nothing more will be added; none at the end. */
  last(): Raw[] {
    for (;;) {
      this.#scan()
      if (this.#found.length >= BATCH) return this.#take()
      if (this.#mode === 'scalar') this.#emit(this.#held.length)
      if (this.#mode !== 'inside') break
      this.#fail('The file ends inside of this row')
    }
    if (this.#mode === 'outside' || (this.#inList && this.#mode !== 'after')) this.#unclosed()
    return this.#take()
  }

  #unclosed(): void {
    if (this.#mode === 'done') return
    let message = 'The list is never closed'
    if (this.#mode === 'outside') message = `There is no list "${this.list}"`
    if (this.#mode === 'skipping') message = 'No row was found behind the broken one'
    const hint = 'The file was cut off, or a bracket is missing: rows up to here were read.'
    this.#found.push({ line: this.#line, record: problem('truncated', message, { hint }) })
    this.#mode = 'done'
  }

  #take(): Raw[] {
    const found = this.#found
    this.#found = []
    return found
  }

  /** Forgets what was read; what is kept is copied, for a piece lives until the next. */
  drop(): void {
    let keep = this.#at
    if (this.#mode === 'inside' || this.#mode === 'scalar') keep = this.#start
    if (this.#at - this.#key > LONGEST_NAME) this.#key = -1
    if (this.#mode === 'outside' && this.#key >= 0) keep = Math.min(keep, this.#key)
    if (this.#mode === 'done') keep = this.#held.length
    this.#held = Buffer.from(this.#held.subarray(keep))
    this.#at -= keep
    this.#start -= keep
    this.#key -= keep
  }

  #scan(): void {
    // The position of a string that ends in half an escape stays: then there is nothing to do.
    for (let before = -1; this.#at < this.#held.length && this.#mode !== 'done';) {
      const mode = this.#mode
      if (mode === 'between') this.#between()
      else if (mode === 'scalar') this.#scalar()
      else if (mode === 'skipping') this.#skip()
      else if (mode === 'after') this.#after()
      else this.#inside()
      if (this.#at === before && this.#mode === mode) return
      before = this.#at
    }
  }

  #between(): void {
    const byte = this.#held[this.#at]!
    if (byte === LIST_END && this.#inList) {
      this.#mode = this.list === undefined ? 'after' : 'done'
      this.#at++
    } else if (byte <= 0x20 || byte === COMMA) {
      if (byte === NEWLINE) this.#line++
      this.#at++
    } else if (byte === LIST && !this.#inList && this.#opener === undefined) {
      this.#inList = true
      this.#at++
    } else {
      this.#start = this.#at
      this.#startLine = this.#line
      this.#stack = []
      this.#last = 0
      this.#inString = false
      this.#mode = byte === OBJECT || byte === LIST || byte === QUOTE ? 'inside' : 'scalar'
    }
  }

  #after(): void {
    const byte = this.#held[this.#at]!
    if (byte === NEWLINE) this.#line++
    this.#at++
    if (byte <= 0x20) return
    const text = this.#held.toString('utf8', this.#at - 1, this.#at + 200)
    const hint = 'Only the list was read. For one object a line, leave the brackets [ ] out.'
    const record = problem('json', 'Something stands behind the end of the list', { text, hint })
    this.#found.push({ line: this.#line, record })
    this.#mode = 'done'
  }

  #scalar(): void {
    for (const held = this.#held; this.#at < held.length; this.#at++) {
      const byte = held[this.#at]!
      if (byte <= 0x20 || byte === COMMA || byte === LIST_END || byte === OBJECT) {
        // At least one byte, or a bracket that closes nothing would be looked at for ever.
        if (this.#at === this.#start) this.#at++
        return this.#emit(this.#at)
      }
      if (this.#at - this.#start > this.limit) return this.#fail('')
    }
  }

  /** Follows strings and brackets until the element ends, or in mode outside its list begins. */
  #inside(): void {
    const held = this.#held
    const stack = this.#stack
    const end = this.#mode === 'inside' ? this.#start + this.limit : Infinity
    let at = this.#at
    let last = this.#last
    while (at < held.length) {
      if (this.#inString) {
        at = this.#endOfString(at)
        if (this.#inString) break
        last = QUOTE
        if (stack.length === 0 && this.#mode === 'inside') return this.#emit(at)
        continue
      }
      if (at > end) break
      const byte = held[at]!
      if (byte === QUOTE) {
        this.#inString = true
        this.#key = this.#mode === 'outside' && stack.length === 1 ? at : -1
      } else if (byte === NEWLINE) this.#line++
      else if (byte === OBJECT || byte === LIST) {
        const inObject = stack[stack.length - 1] === OBJECT
        if ((inObject && last !== COLON) || stack.length > DEPTH) {
          this.#at = at
          return this.#fail(stack.length > DEPTH ? '' : 'a bracket is missing before here')
        }
        if (byte === LIST && this.#isList(stack, at)) return
        stack.push(byte)
      } else if (byte === OBJECT_END || byte === LIST_END) {
        if (stack.pop() !== byte - 2) {
          this.#at = at
          return this.#fail('a bracket closes that was never opened')
        }
        if (stack.length === 0 && this.#mode === 'inside') return this.#emit(at + 1)
      }
      if (byte > 0x20) last = byte
      at++
    }
    this.#at = at
    this.#last = last
    if (at > end) this.#fail('')
  }

  /** Whether the list that the object has under the wanted name begins here; then it is entered. */
  #isList(stack: number[], at: number): boolean {
    if (this.#mode !== 'outside' || stack.length !== 1 || this.#key < 0) return false
    const name = this.#held.toString('utf8', this.#key, at).replace(/\s*:\s*$/, '')
    if (name !== JSON.stringify(this.list)) return false
    this.#at = at + 1
    this.#mode = 'between'
    this.#inList = true
    return true
  }

  /**
   * Where the string that `at` stands in is over; #inString stays set when the end is not there
   * yet. A line end closes it too: JSON has none in strings, so the quote is missing.
   */
  #endOfString(at: number): number {
    const held = this.#held
    for (; at < held.length; at++) {
      const byte = held[at]!
      if (byte === QUOTE || byte === NEWLINE) {
        this.#inString = false
        return byte === QUOTE ? at + 1 : at
      }
      if (byte !== BACKSLASH) continue
      if (at + 1 === held.length) return at
      if (held[at + 1] !== NEWLINE) at++
    }
    return at
  }

  #emit(end: number): void {
    const bytes = this.#held.subarray(this.#start, end)
    const record = bytes.length > this.limit ? tooLong(bytes, this.limit) : parseValue(bytes)
    if ('value' in record) this.#opener ??= openerOf(bytes)
    this.#found.push({ line: this.#startLine, record })
    this.#at = end
    this.#mode = 'between'
  }

  /** The element cannot be followed: reports it and looks for the next behind its start. */
  #fail(what: string): void {
    const bytes = this.#held.subarray(this.#start, Math.min(this.#at + 1, this.#held.length))
    if (this.#mode === 'outside') {
      this.#mode = 'done'
      const record = problem('json', `Not valid JSON: ${what}`, { text: bytes.toString('utf8') })
      this.#found.push({ line: this.#line, record })
      return
    }
    this.#opener ??= openerOf(bytes)
    this.#found.push({ line: this.#startLine, record: this.#broken(bytes, what) })
    this.#at = this.#start + 1
    this.#line = this.#startLine
    this.#mode = 'skipping'
  }

  #broken(bytes: Buffer, what: string) {
    if (bytes.length > this.limit) return tooLong(bytes, this.limit)
    const record = parseValue(bytes)
    if (!('value' in record)) return record
    return problem('json', `Not valid JSON: ${what}`, { text: cut(bytes.toString('utf8')) })
  }

  #skip(): void {
    const held = this.#held
    const next = this.#opener ? held.indexOf(this.#opener, this.#at) : -1
    // Left for the next piece: what might be the start of an opener.
    const rest = this.#opener ? this.#opener.length - 1 : 0
    const end = next >= 0 ? next : Math.max(this.#at, held.length - rest)
    for (let i = held.indexOf(NEWLINE, this.#at); i >= 0 && i < end;) {
      this.#line++
      i = held.indexOf(NEWLINE, i + 1)
    }
    if (next >= 0) this.#mode = 'between'
    this.#at = end
  }
}

/** How an element begins: from its bracket to its first colon. */
function openerOf(bytes: Buffer): Buffer | undefined {
  const match = /^\{\s*"[^"\\]{1,100}"\s*:/.exec(bytes.toString('latin1', 0, 400))
  return match ? Buffer.from(bytes.subarray(0, match[0].length)) : undefined
}
