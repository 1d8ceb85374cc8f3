// What every reader makes of a row, whatever file it came from.

/** Who speaks. 'tool' is the result of a tool that the assistant called. */
export type Role = 'system' | 'user' | 'assistant' | 'tool'

/** One message of a conversation. Tool calls are part of the content, as text. */
export interface Message {
  role: Role
  content: string
  /** The speaker, where the source names one. */
  name?: string
  /** Whether an assistant's message is learned from; OpenAI's `weight`. Default true. */
  learn?: boolean
}

/** A conversation; what the assistant says is learned. */
export interface Chat {
  kind: 'chat'
  messages: Message[]
}

/** A prompt and what should follow it; the completion is learned. */
export interface Completion {
  kind: 'completion'
  prompt: string
  completion: string
}

/** Text of its own, learned whole. */
export interface Document {
  kind: 'text'
  text: string
}

/** Two answers to the same conversation, one of them preferred. */
export interface Preference {
  kind: 'preference'
  messages: Message[]
  chosen: string
  rejected: string
}

/** One example to learn from. */
export type Example = (Chat | Completion | Document | Preference) & {
  /** Customer, thread or whatever must not stand on both sides of a split. */
  group?: string
  /** When it was written, in milliseconds since 1970, for a split by time. */
  time?: number
}

/** Where a row stands. */
export interface Origin {
  /** Path of the file, or what its source is called. */
  file: string
  /** Line that the row starts on, from 1; 0 where lines mean nothing (Parquet, iterables). */
  line: number
  /**
   * The row's number in its file, from 1 and without gaps: JSON element, table row, thread. Broken
   * rows and what went wrong with the file itself are counted too.
   */
  row: number
}

/**
 * The kinds of mistakes that readers report. `gzip`, `file`, `format`, `columns` with row 1 and
 * `truncated` end their file; all others cost one row.
 *
 * - row: `json` syntax, `duplicate-key`, `depth`, `too-long`, `encoding`, `nul`, `quote`, `fields`,
 *   `row` (not an object)
 * - meaning: `missing-key`, `role`, `content`, `no-assistant`, `no-user`, `weight`, `time`, `empty`
 * - file: `file`, `gzip`, `format`, `columns`, `truncated`
 */
export type ProblemCode =
  | 'columns'
  | 'content'
  | 'depth'
  | 'duplicate-key'
  | 'empty'
  | 'encoding'
  | 'fields'
  | 'file'
  | 'format'
  | 'gzip'
  | 'json'
  | 'missing-key'
  | 'no-assistant'
  | 'no-user'
  | 'nul'
  | 'quote'
  | 'role'
  | 'row'
  | 'time'
  | 'too-long'
  | 'truncated'
  | 'weight'

/** What is wrong with a row, and what can be done. */
export interface Problem {
  /** Names the kind of mistake; later stages add kinds of their own. */
  code: ProblemCode | (string & {})
  /** One sentence: what was expected and what was found. */
  message: string
  /** Column in the row's line, from 1, in characters; where it is known. */
  column?: number
  /** Lines below the row's first one that the mistake stands; 0 when left out. */
  below?: number
  /** The offending text, cut to at most 80 characters. */
  text?: string
  /** What to do about it. */
  hint?: string
}

/** A row as a reader gives it: an example, or what is wrong with it. Never both. */
export type Row = { origin: Origin; example: Example } | { origin: Origin; problem: Problem }
