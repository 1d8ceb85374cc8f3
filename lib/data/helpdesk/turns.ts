// Tables with one message a row: chat logs, and what databases of support give out.
import type { Columns } from '../formats/columns.js'
import { rename } from '../formats/columns.js'
import { isFields, notObject, text, withOrigin } from '../formats/fields.js'
import { isProblem, problem } from '../formats/problem.js'
import { shaped } from '../formats/reader.js'
import type { Raw } from '../formats/reader.js'
import type { Problem, Role } from '../record.js'
import type { ThreadRow } from './mbox.js'
import { Gathered, agentTest, toChat } from './thread.js'

/** Bytes of messages that wait for others of their conversation, each with what its object takes. */
const HELD = 32 << 20
const OBJECT = 300

interface Said {
  line: number
  role: string
  text: string
  group?: string
  time?: number
}

/**
 * Gathers messages into conversations by `thread`, in the order of their times where all have one. The
 * conversation touched last but long ago is given out when 32 MB wait: what follows of it later is
 * another one, of the same group.
 *
 * `role` may say what somebody is (customer, agent, inbound ...) or who: where nobody is called a
 * customer, the first name is the user, and all others are the assistant, unless `agents` says who the
 * agents are.
 */
export async function* readTurns(
  batches: AsyncIterable<Raw[]>,
  columns: Columns = {},
  agents?: readonly string[],
): AsyncGenerator<ThreadRow[]> {
  const gathered = new Gathered<Said>(HELD)
  const isAgent = agentTest(agents)
  for await (const batch of batches) {
    const rows: ThreadRow[] = []
    for (const { line, record } of batch) {
      const found = isProblem(record)
        ? record
        : shaped(record.value, (value) => toSaid(value, line, columns))
      if (isProblem(found)) rows.push({ line, outcome: found })
      else {
        const size = 2 * found.said.text.length + OBJECT
        for (const full of gathered.add(found.thread, found.said, size))
          rows.push(toRow(full, isAgent))
      }
    }
    if (rows.length > 0) yield rows
  }
  for (const all of gathered.take()) yield [toRow(all, isAgent)]
}

function toSaid(
  value: unknown,
  line: number,
  columns: Columns,
): { thread: string; said: Said } | Problem {
  if (!isFields(value)) return notObject(value)
  const record = { ...value, ...rename(value, columns) }
  const [thread, role] = [label(record.thread), label(record.role)]
  const content = text(record.text, columns.text === undefined ? 'text' : String(columns.text))
  if (thread === undefined || role === undefined) {
    const name = thread === undefined ? 'thread' : 'role'
    const what = thread === undefined ? 'which conversation it belongs to' : 'who wrote it'
    return problem('missing-key', `The message does not say ${what}`, {
      hint: `Fill in ${String(columns[name] ?? name)}, or leave the row out.`,
    })
  }
  if (typeof content !== 'string') return content
  const { group = thread, time } = withOrigin(record, { kind: 'text', text: content }) as {
    group?: string
    time?: number
  }
  return { thread, said: { line, role, text: content, group, ...(time !== undefined && { time }) } }
}

function label(value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined
}

function toRow(all: Said[], isAgent: ReturnType<typeof agentTest>): ThreadRow {
  const { line } = all[0]!
  if (all.every(({ time }) => time !== undefined)) all.sort((a, b) => a.time! - b.time!)
  const roles = all.map(({ role }) => KNOWN.get(role.toLowerCase().replace(/[\s_-]+/g, ' ')))
  // Names are agents' where the customer is called one, else all but the first.
  const customer = roles.includes('user')
    ? undefined
    : all.find((_, i) => roles[i] === undefined)?.role
  const roleOf = ({ role }: Said, i: number): Role => {
    if (isAgent) return isAgent([role]) ? 'assistant' : (onlyUser(roles[i]) ?? 'user')
    return roles[i] ?? (role === customer ? 'user' : 'assistant')
  }
  const turns = all.map((said, i) => ({ role: roleOf(said, i), text: said.text }))
  const first =
    all[
      Math.max(
        0,
        turns.findIndex(({ role }) => role === 'user'),
      )
    ]!
  const { time } = all[0]!
  return { line, outcome: toChat({ turns, group: first.group, time }) }
}

/** Of words for what somebody is, those that agents' names say nothing about. */
function onlyUser(role: Role | undefined): Role | undefined {
  return role === 'system' || role === 'tool' ? role : undefined
}

/** What somebody is, in lower case. */
const WORDS: Record<Role, string> = {
  system: 'system, developer',
  user:
    'user, human, customer, client, buyer, guest, visitor, contact, lead, caller, requester, end user, ' +
    'member, patient, student, prompter, inbound, incoming, in, received',
  assistant:
    'assistant, gpt, bot, chatbot, chatgpt, ai, model, agent, admin, operator, staff, support, rep, ' +
    'representative, employee, helpdesk, seller, merchant, advisor, outbound, outgoing, out, sent',
  tool: 'tool, function, observation',
}
const KNOWN = new Map(
  Object.entries(WORDS).flatMap(([role, words]) =>
    words.split(', ').map((word) => [word, role as Role] as const),
  ),
)
