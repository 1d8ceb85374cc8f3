// Threads of support: who said what becomes a conversation of user and assistant.
import type { Chat, Example, Problem, Role } from '../record.js'
import { problem } from '../formats/problem.js'

/** What somebody said. */
export interface Turn {
  role: Role
  text: string
}

export interface Thread {
  turns: readonly Turn[]
  /** The customer, or else the thread. */
  group?: string
  /** Milliseconds since 1970. */
  time?: number
}

/** A conversation of a thread: turns that say nothing are left out, those of one side joined. */
export function toChat({ turns, group, time }: Thread): Example | Problem {
  const chat: Chat = { kind: 'chat', messages: [] }
  for (const { role, text } of turns) {
    const content = text.trim()
    const last = chat.messages[chat.messages.length - 1]
    if (content === '') continue
    if (last?.role === role) last.content += `\n\n${content}`
    else chat.messages.push({ role, content })
  }
  const hint = 'Nothing can be learned from it: leave it out.'
  const has = (role: Turn['role']) => chat.messages.some((message) => message.role === role)
  if (chat.messages.length === 0) {
    return problem('empty', 'The thread has no text besides what was cut', { hint })
  }
  const text = chat.messages[0]!.content
  if (!has('assistant')) {
    return problem('no-assistant', 'The thread has no answer of an agent', {
      text,
      hint: 'Leave it out, or name who the agents are (agents: [...]).',
    })
  }
  if (!has('user')) {
    return problem('no-user', 'The thread has no message of a customer', {
      text,
      hint: 'Leave it out, or name who the agents are (agents: [...]).',
    })
  }
  return { ...chat, ...(group !== undefined && { group }), ...(time !== undefined && { time }) }
}

/**
 * Who is an agent: names, ids, mail addresses, or domains written '@shop.example'; upper and lower
 * case are the same.
 * @returns undefined when nobody is named: then the one who begins a thread is its customer
 */
export function agentTest(
  agents: readonly string[] | undefined,
): ((names: readonly (string | undefined)[]) => boolean) | undefined {
  if (!agents || agents.length === 0) return undefined
  const known = new Set(agents.map((name) => name.trim().toLowerCase()))
  return (names) =>
    names.some((name) => {
      const lower = name?.trim().toLowerCase()
      if (!lower) return false
      const domain = lower.lastIndexOf('@')
      return known.has(lower) || (domain > 0 && known.has(lower.slice(domain)))
    })
}

/**
 * Things gathered under keys, such as the messages of threads, in bounded memory: the ones that
 * nothing was added to for longest are given out when there is too much.
 */
export class Gathered<T> {
  readonly #open = new Map<string, { items: T[]; size: number }>()
  #size = 0

  /** @param most what is held, in the units of `size` */
  constructor(private readonly most: number) {}

  has(key: string): boolean {
    return this.#open.has(key)
  }

  /** Adds an item; returns the groups that had to make room. */
  add(key: string, item: T, size: number): T[][] {
    const group = this.#open.get(key) ?? { items: [], size: 0 }
    this.#open.delete(key) // to be the last, the one touched most recently
    this.#open.set(key, group)
    group.items.push(item)
    group.size += size
    this.#size += size
    const out: T[][] = []
    for (const [oldest, { items, size }] of this.#open) {
      if (this.#size <= this.most) break
      this.#open.delete(oldest)
      this.#size -= size
      out.push(items)
    }
    return out
  }

  /** Gives out what is left, in the order in which groups were touched. */
  *take(): Generator<T[]> {
    for (const [key, { items }] of this.#open) {
      this.#open.delete(key)
      yield items
    }
    this.#size = 0
  }
}
