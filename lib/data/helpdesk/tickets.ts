// Tickets as Zendesk, Intercom and Freshdesk export them: one record is one thread.
import { missing } from '../formats/chat.js'
import { field, isFields, toTime } from '../formats/fields.js'
import type { Fields } from '../formats/fields.js'
import type { Example, Problem } from '../record.js'
import { cleanMail } from './clean.js'
import { htmlToText } from './html.js'
import { toChat } from './thread.js'
import type { Turn } from './thread.js'

/** An id, which exports give as a number or as text. */
function id(value: unknown): string | undefined {
  return typeof value === 'number' || (typeof value === 'string' && value)
    ? String(value)
    : undefined
}

/** The first of these fields that holds text; names that end in html are turned into text. */
function said(record: Fields, plain: readonly string[], html: readonly string[]): string {
  for (const name of plain) {
    const value = field(record, name)
    if (typeof value === 'string' && value.trim()) return cleanMail(value)
  }
  for (const name of html) {
    const value = field(record, name)
    if (typeof value === 'string' && value.trim()) return cleanMail(htmlToText(value))
  }
  return ''
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : []
}

/** Only what is JSON's own type can be compared: true, 'true' and 1 come from different exporters. */
function isFalse(value: unknown): boolean {
  return value === false || value === 0 || value === 'false'
}

function isTrue(value: unknown): boolean {
  return value === true || value === 1 || value === 'true'
}

/** When things were written, in milliseconds; those without a time keep their place. */
function byTime<T extends { time?: number }>(items: T[]): T[] {
  const timed = items.every(({ time }) => time !== undefined)
  return timed ? items.sort((a, b) => a.time! - b.time!) : items
}

/**
 * A Zendesk ticket with its `comments`: the requester is the user, everybody else the assistant,
 * internal notes (`public: false`) are left out.
 */
export function readZendesk(record: Fields): Example | Problem {
  const inner = field(record, 'ticket')
  const ticket = isFields(inner) ? { ...inner, ...record } : record
  const comments = field(ticket, 'comments')
  if (comments === undefined) return missing(record, 'comments')
  const asker = field(ticket, 'requester')
  const requester =
    id(field(ticket, 'requester_id')) ?? (isFields(asker) ? id(field(asker, 'id')) : id(asker))
  const entries = list(comments)
    .filter((comment) => !isFalse(field(comment, 'public')))
    .map((comment) => {
      const author = field(comment, 'author')
      const by =
        id(field(comment, 'author_id')) ?? (isFields(author) ? id(field(author, 'id')) : id(author))
      return {
        by,
        text: said(comment, ['plain_body', 'body'], ['html_body']),
        time: toTime(field(comment, 'created_at')),
      }
    })
  const first = byTime(entries)[0]
  const customer = requester ?? first?.by
  const turns = entries.map(({ by, text }): Turn => ({
    role: by === customer ? 'user' : 'assistant',
    text,
  }))
  const group = customer ?? id(field(ticket, 'id'))
  return toChat({ turns, group, time: toTime(field(ticket, 'created_at')) ?? first?.time })
}

/**
 * An Intercom conversation: `source` opens it, `conversation_parts` follow. Contacts, users and
 * leads are the user; admins, teammates and bots the assistant; notes are left out.
 */
export function readIntercom(record: Fields): Example | Problem {
  const parts = field(record, 'conversation_parts')
  if (parts === undefined) return missing(record, 'conversation_parts')
  const source = field(record, 'source') ?? field(record, 'conversation_message')
  const followed = list(isFields(parts) ? field(parts, 'conversation_parts') : parts)
  const entries = [...(isFields(source) ? [source] : []), ...followed].filter(
    (part) => field(part, 'part_type') !== 'note' && !isTrue(field(part, 'redacted')),
  )
  const turns = entries.map((part): Turn => {
    const author = field(part, 'author')
    const type = isFields(author) ? field(author, 'type') : undefined
    const isUser = typeof type === 'string' && ['user', 'lead', 'contact', 'visitor'].includes(type)
    return { role: isUser ? 'user' : 'assistant', text: said(part, [], ['body']) }
  })
  return toChat({
    turns,
    group: intercomCustomer(record, source) ?? id(field(record, 'id')),
    time: toTime(field(record, 'created_at')),
  })
}

function intercomCustomer(record: Fields, source: unknown): string | undefined {
  const contacts = field(record, 'contacts')
  const contact = list(isFields(contacts) ? field(contacts, 'contacts') : contacts)[0]
  const user = field(record, 'user')
  const author = isFields(source) ? field(source, 'author') : undefined
  const found = contact ?? (isFields(user) ? user : author)
  return isFields(found) ? id(field(found, 'id')) : undefined
}

/**
 * A Freshdesk ticket: the description opens it, `conversations` (API) or `notes` (account export)
 * follow. What came in is the user, what went out the assistant; private notes are left out.
 */
export function readFreshdesk(record: Fields): Example | Problem {
  const inner = field(record, 'helpdesk_ticket')
  const ticket = isFields(inner) ? inner : record
  const notes = field(ticket, 'conversations') ?? field(ticket, 'notes')
  if (notes === undefined) return missing(record, 'conversations')
  const requester = id(field(ticket, 'requester_id'))
  const entries = list(notes)
    .map((note) => {
      const inside = field(note, 'helpdesk_note') ?? field(note, 'note')
      return isFields(inside) ? inside : note
    })
    .filter((note) => !isTrue(field(note, 'private')) && !isTrue(field(note, 'deleted')))
    .map((note) => ({
      incoming: isIncoming(note, requester),
      text: said(note, ['body_text'], ['body_html', 'body']),
      time: toTime(field(note, 'created_at')),
    }))
  const turns: Turn[] = [
    { role: 'user', text: said(ticket, ['description_text'], ['description_html', 'description']) },
    ...byTime(entries).map(({ incoming, text }): Turn => ({
      role: incoming ? 'user' : 'assistant',
      text,
    })),
  ]
  const group = requester ?? id(field(ticket, 'id')) ?? id(field(ticket, 'display_id'))
  return toChat({ turns, group, time: toTime(field(ticket, 'created_at')) })
}

function isIncoming(note: Fields, requester: string | undefined): boolean {
  const incoming = field(note, 'incoming')
  if (isTrue(incoming) || isFalse(incoming)) return isTrue(incoming)
  return requester !== undefined && id(field(note, 'user_id')) === requester
}
