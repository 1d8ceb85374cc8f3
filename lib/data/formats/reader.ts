// What readers share: a reader turns bytes into records, a shape turns a record into an example.
import type { Example, Origin, Problem, Row } from '../record.js'
import type { Parsed } from './value.js'
import { cut, isProblem, problem } from './problem.js'

/** Rows made at most before they are handed on: a piece of bytes may have any number of them. */
export const BATCH = 1024

/** A record of a file, or what is wrong with it. */
export interface Raw {
  /** From 1; 0 where there are no lines. */
  line: number
  record: Parsed
}

/** Turns a parsed record into an example. Never throws, whatever the record is. */
export type Shape = (record: unknown) => Example | Problem

/** Numbers the rows of one file. */
export class Rows {
  /** Rows given so far. */
  count = 0
  /** Line of the last one. */
  line = 0

  constructor(readonly file: string) {}

  give(line: number, outcome: Example | Problem): Row {
    const origin: Origin = { file: this.file, line, row: ++this.count }
    this.line = line
    return isProblem(outcome) ? { origin, problem: outcome } : { origin, example: outcome }
  }

  raw({ line, record }: Raw, shape: Shape): Row {
    return this.give(line, isProblem(record) ? record : shaped(record.value, shape))
  }
}

/** A record from code may throw where it is read, by a getter or as a proxy: that costs the row only. */
export function shaped<T>(value: unknown, shape: (value: unknown) => T | Problem): T | Problem {
  try {
    return shape(value)
  } catch (error) {
    return problem('row', `The record cannot be read: ${reasonOf(error)}`)
  }
}

/** What is thrown may be as hostile as the record. */
function reasonOf(error: unknown): string {
  try {
    return cut(String((error as Error | undefined)?.message ?? error))
  } catch {
    return 'reading it throws'
  }
}
