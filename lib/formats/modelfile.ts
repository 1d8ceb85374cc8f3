// An Ollama Modelfile beside a GGUF (docs/modelfile.md in the repository of Ollama).
import { BoundedTemplate } from '../tokenizer/bounded.js'
import { END_OF_TEXT } from '../tokenizer/index.js'

export interface ModelfileOptions {
  /** The GGUF's name, in the same folder. */
  gguf: string
  /** A LoRA adapter's GGUF, in the same folder. */
  adapter?: string
  /** The Jinja template of chats; without it the model continues the prompt as it stands. */
  chatTemplate?: string | null
  /** The text of <|endoftext|>, which templates call eos_token. Default '<|endoftext|>'. */
  endOfText?: string
  /** Texts that end an answer. */
  stop?: readonly string[]
  /** The model's context in tokens. */
  context?: number
  temperature?: number
}

/** What stands around the text of each speaker, and before an answer. */
interface Frame {
  start: string
  roles: Map<string, [before: string, after: string]>
  answer: string
}

/**
 * The text of a Modelfile. Ollama has a template language of its own: a Jinja template whose chats are
 * just framed texts is translated; another leaves Ollama to the one in the GGUF.
 */
export function modelfile(options: ModelfileOptions): string {
  const { gguf, adapter, chatTemplate, stop = [], context, temperature } = options
  const { endOfText = END_OF_TEXT } = options
  const lines = [`FROM ./${gguf}`]
  if (adapter !== undefined) lines.push(`ADAPTER ./${adapter}`)
  const template = chatTemplate == null ? '{{ .Prompt }}' : translate(chatTemplate, endOfText)
  if (template === undefined) lines.push('# The template of its chats stands in the GGUF.')
  else lines.push(`TEMPLATE """${template}"""`)
  if (context !== undefined) lines.push(`PARAMETER num_ctx ${context}`)
  if (temperature !== undefined) lines.push(`PARAMETER temperature ${temperature}`)
  for (const text of stop) lines.push(`PARAMETER stop ${JSON.stringify(text)}`)
  return lines.join('\n') + '\n'
}

function translate(chatTemplate: string, endOfText: string): string | undefined {
  const frame = findFrame(renderer(chatTemplate, endOfText))
  if (!frame) return undefined
  const roles = Array.from(frame.roles, ([role, [before, after]], i) => {
    const test = `{{ ${i > 0 ? 'else ' : ''}if eq .Role "${role}" }}`
    return `${test}${literal(before)}{{ .Content }}${literal(after)}`
  })
  const text =
    literal(frame.start) +
    `{{ range .Messages }}${roles.join('')}{{ end }}{{ end }}` +
    literal(frame.answer)
  return text.includes('"""') ? undefined : text
}

// Braces and quotes are Ollama's own: a text that holds them becomes a quoted string.
function literal(text: string): string {
  return /\{\{|\}\}|"""/.test(text) ? `{{ ${JSON.stringify(text)} }}` : text
}

type Message = { role: string; content: string }

/** Renders chats of marks and reads off what stands around them; undefined when it is not constant. */
function findFrame(render: Render): Frame | undefined {
  const mark = (i: number) => `\u2063mark${i}\u2063`
  const say = (...roles: string[]) => roles.map((role, i) => ({ role, content: mark(i) }))
  const full = ['user', 'assistant', 'user', 'assistant']
  const open = render(say(...full), false)
  const parts = open === undefined ? [] : split(open, full.length, mark)
  if (parts.length !== full.length + 1) return undefined
  const [first, , third, , last] = parts as [string, string, string, string, string]
  // Between two texts stand the end of one frame and the beginning of the next: what the answer's
  // beginning is, the template says itself.
  const asked = render(say('user'), true)
  const question = asked === undefined ? undefined : split(asked, 1, mark)[1]
  const plain = render(say('user'), false)
  const afterUser = plain === undefined ? undefined : split(plain, 1, mark)[1]
  if (question === undefined || afterUser === undefined) return undefined
  if (!question.startsWith(afterUser) || !third.startsWith(last)) return undefined
  const answer = question.slice(afterUser.length)
  const beforeUser = third.slice(last.length)
  if (!first.endsWith(beforeUser)) return undefined
  const frame: Frame = {
    start: first.slice(0, first.length - beforeUser.length),
    roles: new Map([
      ['user', [beforeUser, afterUser]],
      ['assistant', [answer, last]],
    ]),
    answer,
  }
  const system = render(say('system', 'user'), false)
  const around = system === undefined ? [] : split(system, 2, mark)
  if (around.length === 3 && around[0]!.startsWith(frame.start)) {
    const after = around[1]!
    if (after.endsWith(beforeUser)) {
      const before = around[0]!.slice(frame.start.length)
      frame.roles.set('system', [before, after.slice(0, after.length - beforeUser.length)])
    }
  }
  const chats = [full, ['user'], ['user', 'assistant', 'user']]
  if (frame.roles.has('system')) chats.push(['system', 'user', 'assistant'])
  const holds = chats.every((roles) => {
    const messages = say(...roles)
    const prompt = roles.at(-1) === 'user'
    return render(messages, prompt) === apply(frame, messages, prompt)
  })
  return holds ? frame : undefined
}

type Render = (messages: Message[], prompt: boolean) => string | undefined

function renderer(chatTemplate: string, endOfText: string): Render {
  const tokens = { bos_token: endOfText, eos_token: endOfText }
  return (messages, prompt) => {
    try {
      const values = { messages, add_generation_prompt: prompt, ...tokens }
      return new BoundedTemplate(chatTemplate).render(values)
    } catch {
      return undefined // it refuses such a chat: one without a system message, for example
    }
  }
}

function split(text: string, count: number, mark: (i: number) => string): string[] {
  const parts: string[] = []
  for (let i = 0; i < count; i++) {
    const at = text.indexOf(mark(i))
    if (at < 0) return []
    parts.push(text.slice(0, at))
    text = text.slice(at + mark(i).length)
  }
  return [...parts, text]
}

function apply({ start, roles, answer }: Frame, messages: Message[], prompt: boolean): string {
  const body = messages.map(({ role, content }) => {
    const [before, after] = roles.get(role)!
    return before + content + after
  })
  return start + body.join('') + (prompt ? answer : '')
}
