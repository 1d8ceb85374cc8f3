// Which column means what: as the user says, or guessed from the names.
import { checkKeys, nearest, wrongType } from '../../errors.js'
import { GROUPS, TIMES, field } from './fields.js'
import type { Fields } from './fields.js'
import type { RowFormat } from './shapes.js'

/** What a column may be used for. */
export const MEANINGS = [
  'messages',
  'conversations',
  'prompt',
  'completion',
  'instruction',
  'input',
  'output',
  'system',
  'history',
  'chosen',
  'rejected',
  'text',
  'thread',
  'role',
  'group',
  'time',
] as const

export type Meaning = (typeof MEANINGS)[number]

/**
 * Names the column for what a row needs, as in { prompt: 'question', completion: 'answer' }. For a
 * table without a row of names: its number, from 1.
 */
export type Columns = { readonly [meaning in Meaning]?: string | number }

/** What each format cannot do without, the first that fits is meant. */
const NEEDS: readonly (readonly [format: RowFormat, meanings: readonly Meaning[]])[] = [
  ['chat', ['messages']],
  ['sharegpt', ['conversations']],
  ['preference', ['chosen', 'rejected']],
  ['alpaca', ['instruction', 'output']],
  ['completion', ['prompt', 'completion']],
  ['turns', ['thread', 'role', 'text']],
  ['text', ['text']],
]

/** The format of rows that have these meanings. */
export function formatOf(meanings: readonly string[]): RowFormat | undefined {
  return NEEDS.find(([, needs]) => needs.every((meaning) => meanings.includes(meaning)))?.[0]
}

/**
 * Checks what the user says of columns.
 * @throws TypeError
 */
export function checkColumns(columns: Columns): void {
  if (typeof columns !== 'object' || columns === null) {
    throw wrongType("names of columns, as in { text: 'body' },", 'columns', columns)
  }
  checkKeys('columns', columns, MEANINGS)
  for (const [meaning, name] of Object.entries(columns)) {
    if (typeof name === 'string' && name) continue
    if (typeof name === 'number' && Number.isInteger(name) && name > 0) continue
    throw wrongType("a column's name, or its number from 1,", `columns.${meaning}`, name)
  }
  if (formatOf(Object.keys(columns))) return
  const wanted = NEEDS.map(([, needs]) => needs.join(' and ')).join('; ')
  throw wrongType(`one of these: ${wanted};`, 'columns', Object.keys(columns))
}

const LABELS = ['label', 'category', 'intent', 'class', 'sentiment', 'topic', 'tag']
/** Other names of what a row needs, in lower case; tried in this order. */
const PAIRS: readonly (readonly [prompt: readonly string[], completion: readonly string[]])[] = [
  [
    ['prompt', 'question', 'query', 'user', 'customer', 'user_message', 'customer_message'],
    ['completion', 'answer', 'response', 'reply', 'assistant', 'agent', 'bot', 'agent_reply'],
  ],
  [
    ['input', 'source', 'article', 'document'],
    ['output', 'target', 'summary', 'highlights'],
  ],
  [['text', 'sentence', 'message', 'content', 'review'], LABELS],
]
/** What a message belongs to, and who wrote it. */
const THREADS = [
  'thread',
  'conversation_id',
  'thread_id',
  'chat_id',
  'dialog_id',
  'dialogue_id',
  'session_id',
  'ticket_id',
  'case_id',
  'conversation',
  'ticket',
]
const ROLES = [
  'role',
  'speaker',
  'sender',
  'author',
  'from',
  'sender_type',
  'author_type',
  'author_role',
  'direction',
  'sender_name',
  'author_name',
]
const TEXTS = [
  'text',
  'content',
  'body',
  'message',
  'message_text',
  'utterance',
  'document',
  'review',
  'article',
  'markdown',
]

/**
 * Guesses what columns mean from their names, whatever their case.
 * @returns undefined where the names tell nothing
 */
export function guessColumns(
  names: readonly string[],
): { format: RowFormat; columns: Columns } | undefined {
  const named = new Map(
    names.map((name) => [
      name
        .trim()
        .toLowerCase()
        .replace(/[\s-]+/g, '_'),
      name,
    ]),
  )
  const columns: { [meaning in Meaning]?: string } = {}
  for (const meaning of MEANINGS) {
    const name = named.get(meaning)
    if (name !== undefined && meaning !== 'text') columns[meaning] = name
  }
  const set = (meaning: Meaning, candidates: readonly string[]) => {
    const found = candidates.find((candidate) => named.has(candidate))
    if (found !== undefined) columns[meaning] = named.get(found)!
    return found !== undefined
  }
  set('group', GROUPS)
  set('time', TIMES)
  if (columns.instruction !== undefined) {
    set('output', ['output', 'response', 'answer', 'completion'])
    set('input', ['input', 'context'])
  }
  let format = formatOf(Object.keys(columns))
  const has = (list: readonly string[]) => list.some((name) => named.has(name))
  // Messages with a label are there to be told apart.
  if (!format && has(THREADS) && has(ROLES) && has(TEXTS) && !has(LABELS)) {
    for (const [meaning, names] of [
      ['thread', THREADS],
      ['role', ROLES],
      ['text', TEXTS],
    ] as const)
      set(meaning, names)
    format = 'turns'
  }
  if (!format) {
    const pair = PAIRS.find(([prompts, completions]) => has(prompts) && has(completions))
    if (pair) {
      set('prompt', pair[0])
      set('completion', pair[1])
    } else set('text', TEXTS)
    format = formatOf(Object.keys(columns))
  }
  return format && { format, columns: keep(format, columns) }
}

const USED: Record<RowFormat, readonly Meaning[]> = {
  chat: ['messages'],
  sharegpt: ['conversations', 'system'],
  preference: ['prompt', 'chosen', 'rejected'],
  alpaca: ['instruction', 'input', 'output', 'system', 'history'],
  completion: ['prompt', 'completion', 'system'],
  text: ['text'],
  turns: ['thread', 'role', 'text'],
  zendesk: [],
  intercom: [],
  freshdesk: [],
}

function keep(format: RowFormat, columns: { [meaning in Meaning]?: string }): Columns {
  const used = [...USED[format], 'group', 'time'] as Meaning[]
  return Object.fromEntries(
    used.flatMap((m) => (columns[m] === undefined ? [] : [[m, columns[m]]])),
  )
}

/** What a record has under the names of the columns, by what they mean. */
export function rename(record: Fields, columns: Columns): Fields {
  const renamed: Record<string, unknown> = {}
  for (const meaning of MEANINGS) {
    const name = columns[meaning]
    if (name === undefined) continue
    const value = field(record, String(name))
    if (value !== undefined) renamed[meaning] = value
  }
  return renamed
}

/** The first column that the user names and the table does not have, with the nearest it has. */
export function unknownColumn(columns: Columns, names: readonly string[]): string | undefined {
  for (const name of Object.values(columns)) {
    if (typeof name !== 'string' || names.includes(name)) continue
    const near = nearest(name, names)
    const meant = near ? ` Did you mean ${JSON.stringify(near)}?` : ''
    const has = names.slice(0, 20).join(', ')
    return `There is no column ${JSON.stringify(name)}: the columns are ${has}.${meant}`
  }
  return undefined
}
