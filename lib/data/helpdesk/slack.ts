import { readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseNested } from '../formats/value.js'
import { field, isFields, toTime } from '../formats/fields.js'
import type { Fields } from '../formats/fields.js'
import { Input, fileChunks } from '../formats/input.js'
import { readJson } from '../formats/json.js'
import { isProblem, problem } from '../formats/problem.js'
import type { Example, Problem } from '../record.js'
import { Gathered, agentTest, toChat } from './thread.js'
import type { Turn } from './thread.js'

export interface SlackOptions {
  limit: number
  /** Hours of silence after which messages outside of threads begin a new conversation. */
  pause: number
  agents?: readonly string[]
  onBytes?: (count: number) => void
}

export interface SlackRow {
  file: string
  line: number
  outcome: Example | Problem
}

const DAY = /^\d{4}-\d\d-\d\d\.json$/
/** Characters of messages that wait for others of their thread. */
const HELD = 32 << 20
/** Larger lists of users are read without names. */
const USERS = 64 << 20

/** The day files of each channel, where a folder is a Slack export; undefined where it is none. */
export async function slackChannels(folder: string): Promise<Map<string, string[]> | undefined> {
  const entries = await readdir(folder, { withFileTypes: true })
  const hasList = entries.some(({ name }) =>
    ['channels.json', 'dms.json', 'groups.json'].includes(name),
  )
  if (!hasList) return undefined
  const channels = new Map<string, string[]>()
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (!entry.isDirectory()) continue
    const names = await readdir(join(folder, entry.name)).catch(() => [])
    const days = names.filter((name) => DAY.test(name)).sort()
    if (days.length > 0) {
      const paths = days.map((name) => join(folder, entry.name, name))
      channels.set(join(folder, entry.name), paths)
    }
  }
  return channels.size > 0 ? channels : undefined
}

interface Message {
  file: string
  line: number
  user: string
  names: (string | undefined)[]
  time?: number
  text: string
}

/**
 * Reads the channels of a Slack export. A thread is a conversation; messages outside of threads
 * are one until a pause. The one who begins it is the user and everybody else the assistant,
 * unless `agents` names the agents. Messages of joining, leaving and the like are left out.
 */
export async function* readSlack(
  folder: string,
  options: SlackOptions,
): AsyncGenerator<SlackRow[]> {
  const users = await readUsers(join(folder, 'users.json'))
  const isAgent = agentTest(options.agents)
  const channels = (await slackChannels(folder)) ?? new Map<string, string[]>()
  for (const days of channels.values()) {
    const gathered = new Gathered<Message>(HELD)
    let session = 0
    let last = 0
    for (const file of days) {
      const input = await Input.open(fileChunks(file, options.onBytes))
      for await (const elements of readJson(input, options.limit)) {
        const batch: SlackRow[] = []
        for (const { line, record } of elements) {
          if (isProblem(record)) {
            batch.push({ file, line, outcome: record })
            continue
          }
          if (!isFields(record.value) || !isSaid(record.value)) continue
          const message = toMessage(record.value, users, file, line)
          const thread = field(record.value, 'thread_ts')
          const time = message.time ?? last
          if (typeof thread !== 'string' && time - last > options.pause * 3_600_000) session++
          if (typeof thread !== 'string') last = time
          const key = typeof thread === 'string' ? thread : `session ${session}`
          const full = gathered.add(key, message, message.text.length + 200)
          batch.push(...full.map((messages) => toRow(messages, isAgent)))
        }
        if (batch.length > 0) yield batch
      }
    }
    for (const messages of gathered.take()) yield [toRow(messages, isAgent)]
  }
}

/** Kinds of messages that say something; all others tell of joining, renaming and the like. */
const SAID = ['bot_message', 'file_share', 'me_message', 'thread_broadcast']

function isSaid(message: Fields): boolean {
  const subtype = field(message, 'subtype')
  const kind = field(message, 'type') ?? 'message'
  if (kind !== 'message' || typeof field(message, 'text') !== 'string') return false
  return subtype === undefined || (typeof subtype === 'string' && SAID.includes(subtype))
}

function toMessage(
  message: Fields,
  users: ReadonlyMap<string, readonly string[]>,
  file: string,
  line: number,
): Message {
  const user = String(field(message, 'user') ?? field(message, 'bot_id') ?? '')
  const bot = field(message, 'username')
  const stamp = field(message, 'ts')
  const names = [user, ...(users.get(user) ?? []), typeof bot === 'string' ? bot : undefined]
  const text = plainText(field(message, 'text') as string, users)
  return {
    file,
    line,
    user,
    names,
    text,
    time: toTime(typeof stamp === 'string' ? stamp : undefined),
  }
}

function toRow(messages: Message[], isAgent: ReturnType<typeof agentTest>): SlackRow {
  const [{ file, line, user, time }] = messages as [Message]
  const isUser = (message: Message) => (isAgent ? !isAgent(message.names) : message.user === user)
  const turns = messages.map((message): Turn => ({
    role: isUser(message) ? 'user' : 'assistant',
    text: message.text,
  }))
  const group = messages.find(isUser)?.user
  return { file, line, outcome: toChat({ turns, group, time }) }
}

/** Slack's marks as text: links by their label, people and channels by their names. */
function plainText(text: string, users: ReadonlyMap<string, readonly string[]>): string {
  const unmarked = text.replace(/<([^<>]{1,2000})>/g, (_, mark: string) => {
    const bar = mark.indexOf('|')
    const target = bar < 0 ? mark : mark.slice(0, bar)
    const label = bar < 0 ? undefined : mark.slice(bar + 1)
    if (target.startsWith('@'))
      return `@${label ?? users.get(target.slice(1))?.[0] ?? target.slice(1)}`
    if (target.startsWith('#')) return `#${label ?? target.slice(1)}`
    if (target.startsWith('!')) return label ?? `@${target.slice(1)}`
    return label ?? target.replace(/^mailto:/, '')
  })
  return unmarked.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
}

/** Names and mail addresses of people by their ids; none where there is no list of them. */
async function readUsers(path: string): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>()
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile() || found.size > USERS) return users
  const list = parseNested(await readFile(path, 'utf8').catch(() => ''))
  for (const user of Array.isArray(list) ? list : []) {
    if (!isFields(user)) continue
    const id = field(user, 'id')
    const profile = field(user, 'profile')
    const inner = isFields(profile) ? profile : {}
    const names = [field(inner, 'display_name'), field(user, 'real_name'), field(user, 'name')]
    names.push(field(inner, 'real_name'), field(inner, 'email'))
    const known = names.filter((name): name is string => typeof name === 'string' && name !== '')
    if (typeof id === 'string') users.set(id, known)
  }
  return users
}

/** The problem of a folder that is called a Slack export and is none. */
export function notSlack(): Problem {
  return problem('format', 'This folder is no Slack export', {
    hint: 'It must have channels.json and a folder for each channel. Unpack the .zip first.',
  })
}
