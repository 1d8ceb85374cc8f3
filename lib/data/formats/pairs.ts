// Rows of a prompt and what follows it: prompt/completion, Alpaca, preferences, plain text.
import type { Example, Message, Problem } from '../record.js'
import { missing, toMessages } from './chat.js'
import { chat, field, isFields, optionalText, text, withOrigin } from './fields.js'
import type { Fields } from './fields.js'
import { isProblem, problem, typeName } from './problem.js'
import { parseNested } from './value.js'

/** `prompt` and `completion`, text or lists of messages; `system` makes a chat of them. */
export function readCompletion(record: Fields): Example | Problem {
  let prompt = field(record, 'prompt')
  let completion = field(record, 'completion')
  // A cell of a table may hold a list of messages as JSON; other JSON is what is to be learned.
  const lists = [parseNested(prompt), parseNested(completion)]
  if (lists.every(isMessages)) [prompt, completion] = lists
  if (prompt === undefined) return missing(record, 'prompt')
  if (completion === undefined) return missing(record, 'completion')
  if (Array.isArray(prompt) && Array.isArray(completion)) {
    const before = toMessages(prompt, 'prompt')
    if (isProblem(before)) return before
    const after = toMessages(completion, 'completion')
    if (isProblem(after)) return after
    // The prompt is given, not learned.
    const given = before.map((m) => (m.role === 'assistant' ? { ...m, learn: false } : m))
    return withOrigin(record, chat([...given, ...after]))
  }
  const answer = text(completion, 'completion')
  if (isProblem(answer)) return answer
  // An empty prompt is allowed: the completion is learned from the beginning on.
  const question = prompt === '' ? '' : text(prompt, 'prompt')
  if (isProblem(question)) return question
  const system = optionalText(field(record, 'system'), 'system')
  if (isProblem(system)) return system
  if (system === undefined || question === '') {
    return withOrigin(record, { kind: 'completion', prompt: question, completion: answer })
  }
  return withOrigin(record, chat(dialogue(system, [], question, answer)))
}

function isMessages(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => isFields(item) && 'role' in item)
}

function dialogue(
  system: string | undefined,
  history: readonly (readonly [user: string, assistant: string])[],
  user: string,
  assistant: string,
): Message[] {
  return [
    ...(system === undefined ? [] : [{ role: 'system', content: system } as const]),
    ...[...history, [user, assistant] as const].flatMap(([question, answer]) => [
      { role: 'user', content: question } as const,
      { role: 'assistant', content: answer } as const,
    ]),
  ]
}

/** `instruction`, `input`, `output`, `system`, `history`: a list of pairs before it. */
export function readAlpaca(record: Fields): Example | Problem {
  if (field(record, 'instruction') === undefined) return missing(record, 'instruction')
  const instruction = text(field(record, 'instruction'), 'instruction')
  if (isProblem(instruction)) return instruction
  const output = text(field(record, 'output'), 'output')
  if (isProblem(output)) return output
  const input = optionalText(field(record, 'input'), 'input')
  if (isProblem(input)) return input
  const system = optionalText(field(record, 'system'), 'system')
  if (isProblem(system)) return system
  const history = toHistory(parseNested(field(record, 'history') ?? []))
  if (isProblem(history)) return history
  const user = input === undefined ? instruction : `${instruction}\n\n${input}`
  return withOrigin(record, chat(dialogue(system, history, user, output)))
}

function toHistory(value: unknown): [string, string][] | Problem {
  if (value === '') return []
  const hint = '"history": [["first question", "first answer"], ...]'
  if (!Array.isArray(value)) {
    return problem('content', `Expected a list for history, found ${typeName(value)}`, { hint })
  }
  const pairs: [string, string][] = []
  for (let i = 0; i < value.length; i++) {
    const pair: unknown = value[i]
    if (!Array.isArray(pair) || pair.length !== 2) {
      return problem('content', `Expected [question, answer] for history[${i}]`, { hint })
    }
    const question = text(pair[0], `history[${i}][0]`)
    if (isProblem(question)) return question
    const answer = text(pair[1], `history[${i}][1]`)
    if (isProblem(answer)) return answer
    pairs.push([question, answer])
  }
  return pairs
}

/**
 * `prompt`, `chosen` and `rejected`, text or lists of messages; or OpenAI's `input.messages`,
 * `preferred_output` and `non_preferred_output`. Without a prompt, what the two lists begin with
 * alike is the prompt.
 */
export function readPreference(record: Fields): Example | Problem {
  const input = field(record, 'input')
  const prompt = parseNested(
    isFields(input) ? field(input, 'messages') : (field(record, 'prompt') ?? input),
  )
  const chosen = parseNested(field(record, 'chosen') ?? field(record, 'preferred_output'))
  const rejected = parseNested(field(record, 'rejected') ?? field(record, 'non_preferred_output'))
  if (chosen === undefined) return missing(record, 'chosen')
  if (rejected === undefined) return missing(record, 'rejected')
  const messages = toPrompt(prompt)
  if (isProblem(messages)) return messages
  const a = toAnswer(chosen, 'chosen')
  if (isProblem(a)) return a
  const b = toAnswer(rejected, 'rejected')
  if (isProblem(b)) return b
  let same = 0
  while (same < a.before.length && sameMessage(a.before[same], b.before[same])) same++
  if (same < a.before.length || same < b.before.length) {
    const hint = 'The two may differ in their last message only.'
    return problem('content', 'chosen and rejected answer different conversations', { hint })
  }
  // Some data sets repeat the prompt in both answers.
  const before = startsWith(a.before, messages) ? a.before : [...messages, ...a.before]
  if (before.length === 0) return missing(record, 'prompt')
  return withOrigin(record, {
    kind: 'preference',
    messages: before,
    chosen: a.answer,
    rejected: b.answer,
  })
}

function toPrompt(prompt: unknown): Message[] | Problem {
  if (prompt === undefined || prompt === null) return []
  if (Array.isArray(prompt)) return toMessages(prompt, 'prompt')
  const content = text(prompt, 'prompt')
  return isProblem(content) ? content : [{ role: 'user', content }]
}

function toAnswer(value: unknown, name: string): { before: Message[]; answer: string } | Problem {
  if (!Array.isArray(value)) {
    const answer = text(value, name)
    return isProblem(answer) ? answer : { before: [], answer }
  }
  const messages = toMessages(value, name)
  if (isProblem(messages)) return messages
  const last = messages.pop()
  if (last?.role === 'assistant') return { before: messages, answer: last.content }
  return problem('no-assistant', `The last message of ${name} is not from the assistant`, {
    hint: 'It must be the answer that is preferred, or not.',
  })
}

function sameMessage(a: Message | undefined, b: Message | undefined): boolean {
  return a !== undefined && a.role === b?.role && a.content === b.content
}

function startsWith(list: Message[], start: Message[]): boolean {
  return start.every((message, i) => sameMessage(message, list[i]))
}

/** `text`, or a row that is nothing but a string. */
export function readText(record: Fields | string): Example | Problem {
  if (typeof record === 'string') {
    const content = text(record, 'the row')
    return isProblem(content) ? content : { kind: 'text', text: content }
  }
  if (field(record, 'text') === undefined) return missing(record, 'text')
  const content = text(field(record, 'text'), 'text')
  return isProblem(content) ? content : withOrigin(record, { kind: 'text', text: content })
}
