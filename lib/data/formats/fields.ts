// Reading named fields out of untrusted records.
import type { Example, Message, Problem } from '../record.js'
import { isProblem, problem, typeName } from './problem.js'

export type Fields = Readonly<Record<string, unknown>>

/** A field that the record has itself: names such as `constructor` and `__proto__` mean nothing. */
export function field(record: Fields, name: string): unknown {
  return Object.hasOwn(record, name) ? record[name] : undefined
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The problem of a row that should be an object. */
export function notObject(value: unknown): Problem {
  return problem('row', `Expected an object, found ${typeName(value)}`, {
    hint: 'Each row must be an object: {"name": value, ...}.',
  })
}

/** Text that must be there and say something; `path` names it in messages. */
export function text(value: unknown, path: string): string | Problem {
  if (typeof value === 'string' && value.trim() !== '') return value
  return problem(
    value === undefined ? 'missing-key' : 'content',
    value === undefined ? `No ${path}` : `Expected text for ${path}, found ${typeName(value)}`,
    { hint: hintFor(value) },
  )
}

function hintFor(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return 'Write it in quotes, as text.'
  if (typeof value === 'string' || value === null) return 'Fill it in, or leave the row out.'
  return value === undefined ? 'Add it, or leave the row out.' : 'It must be text in quotes.'
}

/** Text that may be missing, null or empty: undefined then. */
export function optionalText(value: unknown, path: string): string | undefined | Problem {
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value === 'string') return value.trim() === '' ? undefined : value
  return text(value, path) as Problem
}

/** Names under which rows say what they belong to, the widest group first. */
export const GROUPS = [
  'group',
  'customer_id',
  'customer',
  'user_id',
  'thread_id',
  'conversation_id',
  'session_id',
  'ticket_id',
]

/** Names under which rows say when they were written. */
export const TIMES = ['time', 'timestamp', 'created_at', 'date']

/** Adds the group and the time that the record names. A time that is none is left out. */
export function withOrigin(record: Fields, example: Example | Problem): Example | Problem {
  if (isProblem(example)) return example
  for (const name of GROUPS) {
    const value = field(record, name)
    if (typeof value !== 'number' && typeof value !== 'bigint' && typeof value !== 'string')
      continue
    if (value !== '') {
      example.group = String(value)
      break
    }
  }
  for (const name of TIMES) {
    const time = toTime(field(record, name))
    if (time !== undefined) {
      example.time = time
      break
    }
  }
  return example
}

const ISO =
  /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?\s?(?:Z|UTC|[+-]\d\d:?\d\d)?)?$/

/**
 * Milliseconds since 1970 of a Date, an ISO 8601 text (UTC where it names no zone), or a number of
 * seconds or milliseconds, told apart by size: seconds stay below 1e11 until the year 5138.
 */
export function toTime(value: unknown): number | undefined {
  if (value instanceof Date) return validTime(value.getTime())
  if (typeof value === 'bigint') value = Number(value)
  if (typeof value === 'string' && /^\d{9,13}(?:\.\d{1,9})?$/.test(value)) value = Number(value)
  if (typeof value === 'number') return validTime(value < 1e11 ? value * 1000 : value)
  if (typeof value !== 'string' || !ISO.test(value)) return undefined
  let iso = value
    .replace(' ', 'T')
    .replace(',', '.')
    .replace(/\s?UTC$/, 'Z')
    .replace(' ', '')
  if (/T/.test(iso) && !/(?:Z|[+-]\d\d:?\d\d)$/.test(iso)) iso += 'Z'
  return validTime(Date.parse(iso.replace(/([+-]\d\d)(\d\d)$/, '$1:$2')))
}

function validTime(time: number): number | undefined {
  return Number.isFinite(time) && time > 0 && time < 8.64e15 ? Math.round(time) : undefined
}

/** A chat of these messages, if there is something in it to learn. */
export function chat(messages: Message[]): Example | Problem {
  const assistant = messages.filter(({ role }) => role === 'assistant')
  if (assistant.length === 0) {
    return problem('no-assistant', 'No message is from the assistant', {
      text: messages.map(({ role }) => role).join(', '),
      hint: 'What the assistant says is what is learned: add its answer, or leave the row out.',
    })
  }
  if (assistant.some(({ learn }) => learn !== false)) return { kind: 'chat', messages }
  return problem(
    'no-assistant',
    'Every message of the assistant has weight 0: nothing is learned',
    {
      hint: 'Give at least one of them weight 1, or leave the row out.',
    },
  )
}
