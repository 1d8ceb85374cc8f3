// What the rows of a file are: told from the names in them, and turned into examples.
import { readFreshdesk, readIntercom, readZendesk } from '../helpdesk/tickets.js'
import type { Example, Problem } from '../record.js'
import { readChat, readShareGpt } from './chat.js'
import { formatOf, guessColumns, rename } from './columns.js'
import type { Columns } from './columns.js'
import { isFields, notObject } from './fields.js'
import type { Fields } from './fields.js'
import { readAlpaca, readCompletion, readPreference, readText } from './pairs.js'
import type { Shape } from './reader.js'

const READERS = {
  chat: readChat,
  completion: readCompletion,
  preference: readPreference,
  alpaca: readAlpaca,
  sharegpt: readShareGpt,
  text: readText,
  zendesk: readZendesk,
  intercom: readIntercom,
  freshdesk: readFreshdesk,
} satisfies Record<string, (record: Fields) => Example | Problem>

/** What a row means, whatever file it stands in. */
export type RowFormat = SingleFormat | 'turns'
/** Of formats whose rows stand for themselves. */
type SingleFormat = keyof typeof READERS

export const ROW_FORMATS: readonly RowFormat[] = [
  ...(Object.keys(READERS) as SingleFormat[]),
  'turns',
]

/** Turns records of a format into examples. `columns` says which names stand for which. */
export function shapeOf(format: SingleFormat, columns?: Columns): Shape {
  const read = READERS[format]
  return (record) => {
    if (typeof record === 'string' && format === 'text') return readText(record)
    if (!isFields(record)) return notObject(record)
    return read(columns ? rename(record, columns) : record)
  }
}

export interface RowGuess {
  format: RowFormat
  /** Where the names are not the format's own. */
  columns?: Columns
}

/** The format of records that have these names; undefined where they tell nothing. */
export function guessRows(names: readonly string[]): RowGuess | undefined {
  const has = (...all: string[]) => all.every((name) => names.includes(name))
  if (has('conversation_parts')) return { format: 'intercom' }
  if (has('helpdesk_ticket')) return { format: 'freshdesk' }
  const isTicket = ['requester_id', 'requester', 'ticket', 'assignee_id', 'subject'].some((n) =>
    has(n),
  )
  if (has('comments') && isTicket) return { format: 'zendesk' }
  if (isTicket && (has('conversations') || has('notes'))) return { format: 'freshdesk' }
  if (has('conversation') && !has('messages') && guessColumns(names)?.format !== 'turns')
    return { format: 'sharegpt' }
  if (has('preferred_output', 'non_preferred_output')) return { format: 'preference' }
  const format = formatOf(names)
  return format && !isTextOfMore(names) ? { format } : guessColumns(names)
}

/** Texts with a label are guessed to be prompts, those that belong to a conversation its messages. */
function isTextOfMore(names: readonly string[]): boolean {
  return formatOf(names) === 'text' && guessColumns(names)?.format !== 'text'
}
