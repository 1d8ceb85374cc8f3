import type { Problem, ProblemCode } from '../record.js'

/** Longest piece of a row that is shown. */
const SHOWN = 80

/** A problem; `text` is cut to what may be shown. */
export function problem(
  code: ProblemCode,
  message: string,
  more: Omit<Problem, 'code' | 'message'> = {},
): Problem {
  const text = more.text === undefined ? {} : { text: cut(more.text) }
  return { code, message, ...more, ...text }
}

/** Whether what a parser gave is a problem. Nothing else that parsers give has a `code`. */
export function isProblem(value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'code')
}

/** The start of a text, at most 80 characters. */
export function cut(text: string): string {
  if (text.length <= SHOWN) return text
  // Not between the halves of a character.
  return text.slice(0, SHOWN - 3).replace(/[\ud800-\udbff]$/, '') + '...'
}

/** The type of a value in the words of JSON, for messages. */
export function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'string') return value.trim() ? 'text' : 'an empty text'
  if (typeof value === 'number' || typeof value === 'bigint') return `the number ${value}`
  return typeof value === 'boolean' ? String(value) : `a ${typeof value}`
}

/** The file cannot be read any further; the readers' entry makes it the file's last row. */
export class FileProblem extends Error {
  constructor(
    readonly problem: Problem,
    readonly line = 0,
  ) {
    super(problem.message)
  }
}
