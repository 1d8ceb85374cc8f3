// Conversations as OpenAI's fine-tuning takes them, and as ShareGPT has them.
import { nearest } from '../../errors.js'
import type { Example, Message, Problem, Role } from '../record.js'
import { chat, field, isFields, optionalText, withOrigin } from './fields.js'
import type { Fields } from './fields.js'
import { isProblem, problem, typeName } from './problem.js'
import { parseNested } from './value.js'

/** `messages`: a list of {role, content}. */
export function readChat(record: Fields): Example | Problem {
  const messages = toMessages(parseNested(field(record, 'messages')), 'messages')
  return isProblem(messages) ? messages : withOrigin(record, chat(messages))
}

/** `conversations`, or `conversation`: a list of {from, value}. */
export function readShareGpt(record: Fields): Example | Problem {
  const name = field(record, 'conversations') === undefined ? 'conversation' : 'conversations'
  const turns = parseNested(field(record, name))
  if (field(record, name) === undefined) return missing(record, 'conversations')
  const messages = toMessages(turns, name)
  if (isProblem(messages)) return messages
  const system = optionalText(field(record, 'system'), 'system')
  if (isProblem(system)) return system
  if (system !== undefined) messages.unshift({ role: 'system', content: system })
  return withOrigin(record, chat(messages))
}

/** The problem of a row that lacks what its format needs. */
export function missing(record: Fields, name: string): Problem {
  const keys = Object.keys(record).slice(0, 8)
  const found = keys.length > 0 ? `found only ${keys.join(', ')}` : 'the row is empty'
  return problem('missing-key', `No "${name}": ${found}`, {
    hint: 'All rows of a file must have the same format. Put others in a file of their own.',
  })
}

/** A list of messages of either form. Messages of the system that say nothing are left out. */
export function toMessages(value: unknown, name: string): Message[] | Problem {
  if (!Array.isArray(value) || value.length === 0) {
    return problem(
      value === undefined ? 'missing-key' : 'content',
      `Expected a list of messages for ${name}, found ${typeName(value)}`,
      { hint: `"${name}": [{"role": "user", "content": "..."}, {"role": "assistant", ...}]` },
    )
  }
  const messages: Message[] = []
  for (let i = 0; i < value.length; i++) {
    const message = toMessage(value[i], `${name}[${i}]`)
    if (isProblem(message)) return message
    if (message.content !== '' || message.role !== 'system') messages.push(message)
  }
  return messages
}

const ROLES: readonly Role[] = ['system', 'user', 'assistant', 'tool']

/** Other names of the roles. Those of ShareGPT hold for `from` only; `role` is taken by the word. */
const OPENAI: Readonly<Record<string, Role>> = { developer: 'system', function: 'tool' }
const SHAREGPT: Readonly<Record<string, Role>> = {
  human: 'user',
  prompter: 'user',
  customer: 'user',
  gpt: 'assistant',
  bot: 'assistant',
  chatgpt: 'assistant',
  chatbot: 'assistant',
  model: 'assistant',
  bard: 'assistant',
  bing: 'assistant',
  claude: 'assistant',
  agent: 'assistant',
  function_call: 'assistant',
  observation: 'tool',
  function: 'tool',
  function_response: 'tool',
}

function toMessage(value: unknown, path: string): Message | Problem {
  if (!isFields(value)) {
    return problem('content', `Expected an object for ${path}, found ${typeName(value)}`, {
      hint: 'A message is {"role": "user", "content": "..."}.',
    })
  }
  const role = toRole(value, path)
  if (typeof role !== 'string') return role
  const content = toContent(value, role, path)
  if (typeof content !== 'string') return content
  const message: Message = { role, content }
  const name = field(value, 'name')
  if (typeof name === 'string' && name) message.name = name
  const weight = field(value, 'weight')
  if (weight === undefined || weight === null) return message
  const known = weight === 0 || weight === 1 || weight === false || weight === true
  if (!known || role !== 'assistant') {
    const what = known ? `a message of role ${role}` : typeName(weight)
    return problem('weight', `Expected 0 or 1 for ${path}.weight, found ${what}`, {
      hint: 'A weight says whether a message of the assistant is learned (1) or not (0).',
    })
  }
  return { ...message, learn: Boolean(weight) }
}

function toRole(message: Fields, path: string): Role | Problem {
  const isShareGpt = field(message, 'role') === undefined && field(message, 'from') !== undefined
  const key = isShareGpt ? 'from' : 'role'
  const said = field(message, key)
  if (typeof said !== 'string') {
    return problem(
      said === undefined ? 'missing-key' : 'role',
      said === undefined
        ? `No ${path}.${key}`
        : `Expected text for ${path}.${key}, found ${typeName(said)}`,
      { hint: `Roles are ${ROLES.join(', ')}.` },
    )
  }
  const word = isShareGpt ? said.toLowerCase() : said
  if ((ROLES as readonly string[]).includes(word)) return word as Role
  const others = isShareGpt ? { ...OPENAI, ...SHAREGPT } : OPENAI
  if (Object.hasOwn(others, word)) return others[word]!
  const lower = said.toLowerCase()
  const meant = Object.hasOwn(SHAREGPT, lower) ? SHAREGPT[lower] : nearest(said.slice(0, 40), ROLES)
  return problem('role', `Unknown role for ${path}.${key}`, {
    text: said,
    hint: meant ? `Did you mean "${meant}"?` : `Roles are ${ROLES.join(', ')}.`,
  })
}

function contentKey(message: Fields): 'content' | 'value' {
  if (field(message, 'content') !== undefined) return 'content'
  const isShareGpt = field(message, 'from') !== undefined
  return isShareGpt || field(message, 'value') !== undefined ? 'value' : 'content'
}

function toContent(message: Fields, role: Role, path: string): string | Problem {
  const key = contentKey(message)
  const calls = toolCalls(message, path)
  if (typeof calls !== 'string') return calls
  let content = field(message, key)
  if (Array.isArray(content)) {
    const joined = joinParts(content, `${path}.${key}`)
    if (typeof joined !== 'string') return joined
    content = joined
  }
  if (
    (content === null || content === undefined) &&
    typeof field(message, 'refusal') === 'string'
  ) {
    content = field(message, 'refusal')
  }
  const nothing = content === null || content === undefined || content === ''
  if (nothing && calls) return calls
  if (typeof content === 'string' && content.trim()) return calls ? `${content}\n${calls}` : content
  if (role === 'system' && typeof content === 'string') return ''
  if (content === undefined) {
    return problem('missing-key', `No ${path}.${key}`, { hint: 'Every message needs its text.' })
  }
  return problem('content', `Expected text for ${path}.${key}, found ${typeName(content)}`, {
    hint:
      typeof content === 'number'
        ? 'Write it in quotes, as text.'
        : 'Fill it in, or leave the message out.',
  })
}

/** The text of content that is given as parts. Pictures and sound cannot be learned from. */
function joinParts(parts: unknown[], path: string): string | Problem {
  const texts: string[] = []
  for (let i = 0; i < parts.length; i++) {
    const part: unknown = parts[i]
    const type = isFields(part) ? (field(part, 'type') ?? 'text') : typeof part
    const value = isFields(part) ? (field(part, 'text') ?? field(part, 'refusal')) : part
    if (typeof value === 'string') texts.push(value)
    else {
      return problem(
        'content',
        `Expected text for ${path}[${i}], found a part of type ${String(type)}`,
        {
          hint: 'Only text can be learned from: leave pictures and sound out, or the row.',
        },
      )
    }
  }
  return texts.join('\n')
}

/**
 * Tool calls as text, one a line: <tool_call>{"name": ..., "arguments": {...}}</tool_call>, the
 * form that most open models with tools were trained on.
 */
function toolCalls(message: Fields, path: string): string | Problem {
  const calls: unknown = field(message, 'tool_calls') ?? []
  const legacy = field(message, 'function_call')
  const list: unknown[] = Array.isArray(calls) ? [...calls] : [calls]
  if (legacy !== undefined && legacy !== null) list.push({ function: legacy })
  const texts: string[] = []
  for (let i = 0; i < list.length; i++) {
    const call: unknown = list[i]
    const inner = isFields(call) ? (field(call, 'function') ?? call) : call
    const name = isFields(inner) ? field(inner, 'name') : undefined
    if (typeof name !== 'string' || !isFields(inner)) {
      return problem(
        'content',
        `Expected {"function": {"name", "arguments"}} for ${path}.tool_calls[${i}]`,
        {
          hint: 'Write tool calls as the API gives them.',
        },
      )
    }
    const args = parseNested(field(inner, 'arguments') ?? {})
    texts.push(`<tool_call>${JSON.stringify({ name, arguments: args })}</tool_call>`)
  }
  return texts.join('\n')
}
