import type { Chunks } from '../formats/input.js'
import { LineBuffer, splitLines } from '../formats/lines.js'
import type { Example, Problem } from '../record.js'
import { cleanMail } from './clean.js'
import { parseMail } from './mail.js'
import type { Mail } from './mail.js'
import { Gathered, agentTest, toChat } from './thread.js'

/** Bytes of mails that wait for others of their thread, each with what its object takes. */
const HELD = 64 << 20
const OBJECT = 2000
/** Message ids that are remembered, to find the thread of an answer. */
const IDS = 200_000

export interface MboxOptions {
  /** Bytes kept of one mail; what is longer is attachments, most often. */
  limit: number
  agents?: readonly string[]
}

export interface ThreadRow {
  line: number
  outcome: Example | Problem
}

interface Entry {
  line: number
  mail: Mail
  thread: string
}

/**
 * Reads a mailbox in mbox form (RFC 4155 and the variants with >From). Mails that answer each
 * other, or else bear the same subject behind "Re:", are a thread and become one conversation in
 * the order of their dates. Automatic mails are left out.
 *
 * The sender of a thread's first mail is its user and everybody else the assistant, unless
 * `agents` says who the agents are.
 */
export async function* readMbox(
  chunks: Chunks,
  { limit, agents }: MboxOptions,
): AsyncGenerator<ThreadRow[]> {
  const gathered = new Gathered<Entry>(HELD)
  const threads = new ThreadIndex()
  const isAgent = agentTest(agents)
  for await (const { line, bytes } of cutMails(chunks, limit)) {
    const mail = parseMail(bytes)
    if (mail.automatic) continue
    mail.text = cleanMail(mail.text)
    const thread = threads.of(mail, line)
    mail.references = []
    const size = 2 * mail.text.length + OBJECT
    const full = gathered.add(thread, { line, mail, thread }, size)
    if (full.length > 0) yield full.map((entries) => toRow(entries, isAgent))
  }
  for (const entries of gathered.take()) yield [toRow(entries, isAgent)]
}

/** Finds the thread that a mail belongs to; forgets the oldest ids when there are too many. */
class ThreadIndex {
  readonly #threads = new Map<string, string>()

  of(mail: Mail, line: number): string {
    const subject = subjectOf(mail.subject)
    // An answer may have come before what it answers: then the own id is known already.
    const ids = [...(mail.id ? [mail.id] : []), ...mail.references]
    const known = ids.map((id) => this.#threads.get(id)).find((thread) => thread)
    const sameSubject = subject.isAnswer ? this.#threads.get(`subject ${subject.text}`) : undefined
    const thread = known ?? sameSubject ?? `mail ${line}`
    for (const id of ids.slice(0, 20)) if (!this.#threads.has(id)) this.#set(id, thread)
    if (subject.text) this.#set(`subject ${subject.text}`, thread)
    return thread
  }

  #set(key: string, thread: string): void {
    this.#threads.set(key, thread)
    if (this.#threads.size <= IDS) return
    this.#threads.delete(this.#threads.keys().next().value!)
  }
}

const ANSWER = /^\s*(?:re|aw|antw|sv|vs|fwd?|wg|tr|rv|rif|odp)(?:\[\d{1,3}\])?\s?:\s*/i

/** A subject without what answers put before it. */
function subjectOf(subject: string): { text: string; isAnswer: boolean } {
  let text = subject.slice(0, 500)
  for (let count = 0; count < 20 && ANSWER.test(text); count++) text = text.replace(ANSWER, '')
  const isAnswer = text.length < Math.min(500, subject.length)
  return { text: text.trim().toLowerCase(), isAnswer }
}

function toRow(entries: Entry[], isAgent: ReturnType<typeof agentTest>): ThreadRow {
  const line = entries[0]!.line
  const timed = entries.every(({ mail }) => mail.time !== undefined)
  if (timed) entries.sort((a, b) => a.mail.time! - b.mail.time!)
  const first = entries[0]!.mail
  const isUser = ({ from, name }: Mail) => (isAgent ? !isAgent([from, name]) : from === first.from)
  const customer = entries.find(({ mail }) => isUser(mail))?.mail
  const turns = entries.map(({ mail }) => ({
    role: isUser(mail) ? ('user' as const) : ('assistant' as const),
    text: mail.text,
  }))
  const group = customer?.from || entries[0]!.thread
  return { line, outcome: toChat({ turns, group, time: first.time }) }
}

/** "From " and an address or a dash, and the year of a date: what writes mailboxes puts it there. */
const FROM = /^From \S.{0,300}\d{4}|^From (?:-|MAILER-DAEMON)/
/** One with its whole date needs no empty line before it: some programs write none. */
const DATED = /^From \S{1,200}\s{1,4}[A-Z][a-z]{2} [A-Z][a-z]{2}\s{1,2}\d{1,2} \d\d:\d\d/

async function* cutMails(
  chunks: Chunks,
  limit: number,
): AsyncGenerator<{ line: number; bytes: Buffer }> {
  const held = new LineBuffer()
  let start = 0
  let wasBlank = true
  for await (const lines of splitLines(chunks, limit)) {
    for (const { number, bytes } of lines) {
      const mark = bytes[0] === 0x46 ? bytes.toString('latin1', 0, 400) : ''
      if ((wasBlank && FROM.test(mark)) || DATED.test(mark)) {
        if (held.size > 0) yield { line: start, bytes: held.take() }
        start = number
        wasBlank = false
        continue
      }
      wasBlank = bytes.length === 0
      if (wasBlank && start === 0) continue // before the first mail
      if (held.size > limit) continue
      const isEscaped = bytes[0] === 0x3e && /^>+From /.test(bytes.toString('latin1', 0, 20))
      held.add(isEscaped ? bytes.subarray(1) : bytes)
      if (start === 0) start = number
    }
  }
  if (held.size > 0) yield { line: start, bytes: held.take() }
}
