// One JSON value: parsed, with everything that is wrong with it found.
import { isUtf8 } from 'node:buffer'
import { findProblem } from '../../json.js'
import type { Problem } from '../record.js'
import { firstInvalid } from '../text.js'
import { cut, isProblem, problem } from './problem.js'

/** Deepest nesting of lists and objects that is read. Messages with tool calls need under 20. */
export const DEPTH = 100

export type Parsed = { value: unknown } | Problem

/** Parses the JSON text of one row, UTF-8 without a byte order mark. */
export function parseValue(bytes: Buffer): Parsed {
  if (!isUtf8(bytes)) return notUtf8(bytes)
  const outline = measure(bytes)
  if (outline.depth > DEPTH) {
    const text = bytes.toString('utf8', 0, 200)
    const message = `Lists and objects stand ${outline.depth} deep in each other; ${DEPTH} is the most`
    return problem('depth', message, { text, hint: 'Flatten the row.' })
  }
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return syntaxProblem(text, (error as Error).message)
  }
  const state: Walk = { pairs: 0, lone: undefined, checks: text.includes('\\u') }
  walk(value, state)
  if (state.pairs !== outline.pairs) {
    const found = at(text, true)
    if (found) {
      const hint = 'Only one of the two can be meant: remove or rename the other.'
      return problem('duplicate-key', capital(found.what), { ...found.place, hint })
    }
  }
  if (state.lone !== undefined) return loneSurrogate(state.lone)
  return { value }
}

/** JSON that stands as text in a field of a table; a string that is not JSON stays what it is. */
export function parseNested(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value
  const parsed = parseValue(Buffer.from(value))
  return isProblem(parsed) ? value : parsed.value
}

/** Names and depth of the JSON in a text: cheap, and right only if it is JSON. */
function measure(bytes: Uint8Array): { depth: number; pairs: number } {
  let level = 0
  let depth = 0
  let pairs = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === 0x22) {
      for (i++; i < bytes.length; i++) {
        const inner = bytes[i]!
        if (inner === 0x5c) i++
        else if (inner === 0x22) break
      }
    } else if (byte === 0x3a) pairs++
    else if (byte === 0x7b || byte === 0x5b) {
      if (++level > depth) depth = level
    } else if (byte === 0x7d || byte === 0x5d) level--
  }
  return { depth, pairs }
}

interface Walk {
  pairs: number
  /** The first text with half a character in it. */
  lone: string | undefined
  checks: boolean
}

const LONE = /\p{Surrogate}/u

function walk(value: unknown, state: Walk): void {
  if (typeof value === 'string') {
    if (state.checks && state.lone === undefined && LONE.test(value)) state.lone = value
  } else if (Array.isArray(value)) {
    for (const item of value) walk(item, state)
  } else if (typeof value === 'object' && value !== null) {
    for (const key of Object.keys(value)) {
      state.pairs++
      walk((value as Record<string, unknown>)[key], state)
    }
  }
}

function loneSurrogate(text: string): Problem {
  const where = text.search(LONE)
  return problem('encoding', 'Half a character: a \\u escape of a pair stands alone', {
    text: text.slice(Math.max(0, where - 30), where) + '\ufffd',
    hint: 'The text was cut inside a character (an emoji, most often): cut it by whole characters.',
  })
}

export function notUtf8(bytes: Buffer): Problem {
  const where = firstInvalid(bytes)
  const before = bytes.toString('utf8', 0, where)
  const byte = bytes[where]!.toString(16).toUpperCase().padStart(2, '0')
  return problem('encoding', `Not UTF-8: byte 0x${byte}`, {
    ...place(before, before.length),
    text: before.slice(-30) + '\ufffd' + bytes.toString('utf8', where + 1, where + 30),
    hint: 'Convert the file, for example from Windows-1252: iconv -f WINDOWS-1252 -t UTF-8',
  })
}

/** Mistakes that people and programs make most, by what stands where JSON breaks off. */
const HINTS: readonly (readonly [found: RegExp, hint: string])[] = [
  [/^'/, "JSON takes double quotes. Python's str() writes single ones: write with json.dumps()."],
  [
    /^(None|True|False)\b/,
    'JSON spells null, true, false: write Python objects with json.dumps().',
  ],
  [/^(-?Infinity|NaN|undefined)\b/, 'JSON has no such value: write null, or leave the name out.'],
  [/^[\u201c\u201d\u2018\u2019]/, 'Quotes must be straight (") here: a word processor bent them.'],
  [/^\/[/*]/, 'JSON has no comments.'],
  [/^[}\]]/, 'Look for a comma too many before it, or a bracket that was never opened.'],
  [/^\{/, 'Look for a comma or a closing bracket missing before it.'],
  [/^[A-Za-z_]\w*\s*:/, 'Names need double quotes.'],
  [/^,\s*$/, 'Each line must be one whole object, without a comma after it.'],
]

/** @param said what the parser said: shown where the place cannot be found */
function syntaxProblem(text: string, said: string): Problem {
  const found = at(text, false)
  if (!found) return problem('json', `Not valid JSON: ${cut(said)}`, { text })
  const rest = text.slice(found.position, found.position + 200)
  let hint = HINTS.find(([pattern]) => pattern.test(rest))?.[1]
  if (found.position >= text.trimEnd().length) hint = 'The row was cut off: write it again.'
  if (rest[0] === '"') hint = unclosed(rest)
  const { what, place } = found
  return problem('json', `Not valid JSON: ${what}`, { ...place, text: cut(rest), hint })
}

function unclosed(rest: string): string {
  // eslint-disable-next-line no-control-regex
  return /^"(?:[^"\\\u0000-\u001f]|\\.)*[\n\r\t]/.test(rest)
    ? 'A line end or tab inside of text must be written \\n or \\t.'
    : 'Look for a quote that is missing, or one inside of text that is not written \\".'
}

interface Found {
  position: number
  what: string
  place: { column: number; below?: number }
}

function at(text: string, unique: boolean): Found | undefined {
  try {
    const found = findProblem(text, unique)
    return found && { ...found, place: place(text, found.position) }
  } catch {
    return undefined // a string of megabytes was too much for the pattern of a string
  }
}

/** Line and column of a position, relative to the start of the row. */
function place(text: string, position: number): { column: number; below?: number } {
  const before = text.slice(0, position)
  const start = before.lastIndexOf('\n') + 1
  const column = [...before.slice(start)].length + 1
  return start === 0 ? { column } : { column, below: before.split('\n').length - 1 }
}

function capital(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1)
}
