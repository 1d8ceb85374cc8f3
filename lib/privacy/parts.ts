// Files of records cut into what is text and what is structure, as they stream by: only the texts
// change, everything else is passed on as it stands.

export type Part =
  /** Structure: goes out as it is. */
  | { type: 'copy'; text: string }
  /** A text, with what it is called and how a new one is written in its place. */
  | { type: 'value'; raw: string; text: string; label: string; encode: (text: string) => string }
  /** A part of a text that is too long to be held; all parts up to the last are one text. */
  | { type: 'piece'; text: string; last: boolean; encode: (text: string) => string }
  /** What cannot be replaced without breaking the structure: a name of a field, a bare number. */
  | { type: 'fixed'; text: string; label: string }
  /** The end of a row. */
  | { type: 'row' }

export interface Splitter {
  /** Cuts the next part of the file; the last call has `last` set. */
  push(text: string, last: boolean): Part[]
  /** Rows that are not what the format says; their text is treated as plain text. */
  readonly malformed: number
  readonly rows: number
}

/** A text longer than this is not held as a whole, in UTF-16 units. */
export const LONGEST_VALUE = 1 << 20

/** Plain text: one piece after another. */
export class PlainSplitter implements Splitter {
  readonly malformed = 0
  rows = 0

  push(text: string, last: boolean): Part[] {
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.rows++
    return [{ type: 'piece', text, last, encode: (text) => text }]
  }
}

// All that stands outside of strings in JSON.
const BARE = /^[\s{}[\],:0-9.eE+\-truefalsn]*$/
const LONG_NUMBER = /\d{7}/
const LONGEST_GAP = 1 << 16

const MOST_LABELS = 10_000
const LONGEST_LABEL = 200

const encodeJson = (text: string) => JSON.stringify(text)
const encodeInner = (text: string) => JSON.stringify(text).slice(1, -1)
const asIs = (text: string) => text

/** JSON Lines and JSON: the strings but for the names of fields. */
export class JsonSplitter implements Splitter {
  malformed = 0
  rows = 0
  #held = ''
  #label = ''
  /** Within a string that is handed on in pieces. */
  #long = false
  #newline = -1

  push(text: string, last: boolean): Part[] {
    const buffer = this.#held + text
    const parts: Part[] = []
    let at = 0
    this.#newline = -1
    while (at < buffer.length) {
      const next = this.#long
        ? this.#longString(buffer, at, last, parts)
        : buffer[at] === '"'
          ? this.#string(buffer, at, last, parts)
          : this.#outside(buffer, at, last, parts)
      if (next < 0) break
      at = next
    }
    this.#held = buffer.slice(at)
    if (last && this.#long) {
      parts.push({ type: 'piece', text: '', last: true, encode: encodeInner })
      this.malformed++
    }
    return parts
  }

  /** The next line end, Infinity for none: looked for once, not once a string. */
  #lineEnd(buffer: string, at: number): number {
    if (this.#newline < at) {
      const found = buffer.indexOf('\n', at)
      this.#newline = found < 0 ? Infinity : found
    }
    return this.#newline
  }

  #outside(buffer: string, at: number, last: boolean, parts: Part[]): number {
    const quote = buffer.indexOf('"', at)
    let end = quote < 0 ? buffer.length : quote
    // A number may go on in what comes next.
    if (quote < 0 && !last && end - at < LONGEST_GAP) return -1
    const newline = this.#lineEnd(buffer, at)
    if (newline < end) end = newline + 1
    const text = buffer.slice(at, end)
    if (!BARE.test(text)) {
      this.malformed++
      parts.push({ type: 'value', raw: text, text, label: '', encode: asIs })
    } else {
      parts.push({ type: 'copy', text })
      if (LONG_NUMBER.test(text)) parts.push({ type: 'fixed', text, label: this.#label })
    }
    if (text.includes('}')) this.#label = ''
    if (text.endsWith('\n')) this.#endRow(parts)
    return end
  }

  #endRow(parts: Part[]): void {
    this.rows++
    this.#label = ''
    parts.push({ type: 'row' })
  }

  #string(buffer: string, at: number, last: boolean, parts: Part[]): number {
    const close = closingQuote(buffer, at + 1)
    const newline = this.#lineEnd(buffer, at)
    const end = Math.min(newline, buffer.length)
    if (newline < (close < 0 ? Infinity : close) || (close < 0 && last)) {
      // No string of JSON holds a line end: it was never closed.
      this.malformed++
      const text = buffer.slice(at, end)
      parts.push({ type: 'value', raw: text, text, label: this.#label, encode: asIs })
      return end
    }
    if (close < 0) {
      if (buffer.length - at < LONGEST_VALUE) return -1
      this.#long = true
      parts.push({ type: 'copy', text: '"' })
      return at + 1
    }
    let after = close + 1
    while (after < buffer.length && ' \t\r\n'.includes(buffer[after]!)) after++
    if (after === buffer.length && !last && after - close < LONGEST_GAP) return -1
    const raw = buffer.slice(at, close + 1)
    const text = decode(raw)
    if (buffer[after] === ':') {
      this.#label = text ?? raw
      parts.push({ type: 'copy', text: raw }, { type: 'fixed', text: this.#label, label: '' })
    } else if (text === undefined) {
      this.malformed++
      parts.push({ type: 'value', raw, text: raw, label: this.#label, encode: asIs })
    } else parts.push({ type: 'value', raw, text, label: this.#label, encode: encodeJson })
    return close + 1
  }

  #longString(buffer: string, at: number, last: boolean, parts: Part[]): number {
    let end = closingQuote(buffer, at)
    const newline = this.#lineEnd(buffer, at)
    const isBroken = newline < (end < 0 ? buffer.length : end)
    if (isBroken) end = newline
    const isLast = end >= 0
    if (!isLast) end = last ? buffer.length : wholeEscapes(buffer, at)
    if (end === at && !isLast) return -1
    const raw = buffer.slice(at, end)
    const text = decode(`"${raw}"`)
    if (text === undefined || isBroken) this.malformed++
    parts.push({
      type: 'piece',
      text: text ?? raw,
      last: isLast,
      encode: text === undefined ? asIs : encodeInner,
    })
    if (isLast) this.#long = false
    // The quote opens nothing: it is passed on here.
    if (isLast && !isBroken) parts.push({ type: 'copy', text: '"' })
    return isLast && !isBroken ? end + 1 : end
  }
}

/** The next quote that no backslash escapes, -1 for none. */
function closingQuote(buffer: string, from: number): number {
  for (let at = buffer.indexOf('"', from); at >= 0; at = buffer.indexOf('"', at + 1)) {
    let slashes = 0
    while (at - slashes > from && buffer.charCodeAt(at - slashes - 1) === 92) slashes++
    if (slashes % 2 === 0) return at
  }
  return -1
}

/** The end of the buffer, or the place before an escape sequence that may not be complete. */
function wholeEscapes(buffer: string, from: number): number {
  const end = buffer.length
  // A pair of surrogates has twelve characters: the second half must not stand alone.
  for (let at = Math.max(from, end - 12); at < end; at++) {
    if (buffer.charCodeAt(at) !== 92) continue
    let slashes = 0
    while (at - slashes - 1 >= from && buffer.charCodeAt(at - slashes - 1) === 92) slashes++
    return at - slashes
  }
  return end
}

function decode(raw: string): string | undefined {
  try {
    return JSON.parse(raw) as string
  } catch {
    return undefined
  }
}

/** CSV and TSV: every field, quoted or not (RFC 4180). The first row names the columns. */
export class CsvSplitter implements Splitter {
  malformed = 0
  rows = 0
  #held = ''
  #delimiter: string
  #labels: string[] = []
  #column = 0
  #long = false

  /** @param delimiter default: the one of , ; tab | that the first row has most of */
  constructor(delimiter = '') {
    this.#delimiter = delimiter
  }

  push(text: string, last: boolean): Part[] {
    const buffer = this.#held + text
    const parts: Part[] = []
    let at = 0
    if (this.#delimiter === '') {
      if (!last && !buffer.includes('\n') && buffer.length < LONGEST_VALUE) {
        this.#held = buffer
        return parts
      }
      this.#delimiter = guessDelimiter(buffer)
    }
    while (at < buffer.length || (last && this.#long)) {
      const next = this.#long
        ? this.#longField(buffer, at, last, parts)
        : buffer[at] === '"'
          ? this.#quoted(buffer, at, last, parts)
          : this.#plain(buffer, at, last, parts)
      if (next < 0) break
      at = this.#structure(buffer, next, parts)
    }
    this.#held = buffer.slice(at)
    return parts
  }

  /** Passes delimiters and line ends on. */
  #structure(buffer: string, at: number, parts: Part[]): number {
    const start = at
    while (at < buffer.length && !this.#long) {
      const c = buffer[at]!
      if (c === this.#delimiter) this.#column++
      else if (c !== '\n' && c !== '\r') break
      at++
      if (c !== '\n') continue
      parts.push({ type: 'copy', text: buffer.slice(start, at) })
      this.#column = 0
      this.rows++
      parts.push({ type: 'row' })
      return at
    }
    if (at > start) parts.push({ type: 'copy', text: buffer.slice(start, at) })
    return at
  }

  #field(raw: string, text: string, encode: (text: string) => string, parts: Part[]): void {
    // A file without a line end is one row of as many fields as it likes.
    if (this.rows === 0 && this.#column < MOST_LABELS)
      this.#labels[this.#column] = text.slice(0, LONGEST_LABEL)
    // The first row is treated as all others: where no row names the columns it holds data.
    const label = this.rows === 0 ? '' : (this.#labels[this.#column] ?? '')
    parts.push({ type: 'value', raw, text, label, encode })
  }

  #plain(buffer: string, at: number, last: boolean, parts: Part[]): number {
    let end = at
    const delimiter = this.#delimiter.charCodeAt(0)
    for (; end < buffer.length; end++) {
      const code = buffer.charCodeAt(end)
      if (code === delimiter || code === 10 || code === 13) break
    }
    if (end === buffer.length && !last) {
      if (end - at < LONGEST_VALUE) return -1
      return this.#begin(false, at)
    }
    const raw = buffer.slice(at, end)
    if (raw) this.#field(raw, raw, this.#written, parts)
    return end
  }

  readonly #written = (text: string): string =>
    /["\r\n]/.test(text) || text.includes(this.#delimiter) ? quoted(text) : text

  #quoted(buffer: string, at: number, last: boolean, parts: Part[]): number {
    const close = fieldEnd(buffer, at + 1)
    const isOpen = close < 0 || (close === buffer.length - 1 && !last)
    if (isOpen && (last || buffer.length - at >= LONGEST_VALUE)) {
      parts.push({ type: 'copy', text: '"' })
      return this.#begin(true, at + 1)
    }
    if (isOpen) return -1
    const raw = buffer.slice(at, close + 1)
    this.#field(raw, raw.slice(1, -1).replaceAll('""', '"'), quoted, parts)
    // What follows the closing quote up to the delimiter is a field of its own making.
    return close + 1
  }

  #longQuoted = false

  #begin(isQuoted: boolean, at: number): number {
    this.#long = true
    this.#longQuoted = isQuoted
    return at
  }

  #longField(buffer: string, at: number, last: boolean, parts: Part[]): number {
    let end = this.#longQuoted ? fieldEnd(buffer, at) : this.#plainEnd(buffer, at)
    // A quote at the very end may be the first of two.
    const isLast = end >= 0 && (last || end < buffer.length - 1)
    if (!isLast) {
      end = buffer.length
      if (!last && this.#longQuoted) while (end > at && buffer[end - 1] === '"') end--
      if (end === at && !last) return -1
    }
    const raw = buffer.slice(at, end)
    const encode = this.#longQuoted ? (text: string) => text.replaceAll('"', '""') : asIs
    const text = this.#longQuoted ? raw.replaceAll('""', '"') : raw
    parts.push({ type: 'piece', text, last: isLast || last, encode })
    if (!isLast && !last) return end
    this.#long = false
    if (this.#longQuoted && isLast) {
      parts.push({ type: 'copy', text: '"' })
      return end + 1
    }
    if (this.#longQuoted) this.malformed++
    return end
  }

  #plainEnd(buffer: string, at: number): number {
    const marks = [this.#delimiter, '\n', '\r'].map((mark) => buffer.indexOf(mark, at))
    const found = marks.filter((place) => place >= 0)
    return found.length > 0 ? Math.min(...found) : -1
  }
}

const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`

/** The quote that ends a field: one that no other follows. -1 for none. */
function fieldEnd(buffer: string, from: number): number {
  for (let at = buffer.indexOf('"', from); at >= 0; at = buffer.indexOf('"', at + 2)) {
    if (buffer[at + 1] !== '"') return at
  }
  return -1
}

function guessDelimiter(buffer: string): string {
  const line = buffer
    .slice(0, 1 << 14)
    .replace(/"(?:[^"]|"")*"/g, '')
    .split('\n')[0]!
  const marks = [',', ';', '\t', '|']
  const counts = marks.map((mark) => line.split(mark).length)
  return marks[counts.indexOf(Math.max(...counts))]!
}
