// Chat templates: how a conversation becomes one text, and which parts of it are learned.
import { Template } from '@huggingface/jinja'
import { GptloomError, outOfRange, show } from '../errors.js'
import { END_OF_TEXT } from './tokenizer.js'
import type { Tokenizer } from './tokenizer.js'

/** One message of a conversation. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: string
  /** Whether an assistant's message is learned from. Default true. */
  learn?: boolean
}

/** A part of a rendered conversation, tokenized by itself. */
export interface Segment {
  /** Plain text, or the name of a special token. */
  text: string
  special: boolean
  /** Whether its tokens are learned: what the assistant says, and the token that ends it. */
  learn: boolean
}

export interface RenderOptions {
  /** Ends with the beginning of an assistant's message, for the model to go on. Default false. */
  prompt?: boolean
}

/**
 * Makes one text of a conversation. What users write can never become a special token, so that nobody
 * can forge a turn.
 */
export interface ChatTemplate {
  /** 'chatml', 'plain', or 'jinja' for a model's own. */
  readonly name: string
  /** The same as a Jinja template, as Hugging Face's tokenizer_config.json keeps it. */
  readonly source: string
  /** The special tokens that it needs in a vocabulary. */
  readonly special: readonly string[]
  /** The special token that ends what the assistant says. */
  readonly endOfTurn: string
  /** @throws GptloomError ERR_TEMPLATE when the template cannot render these messages */
  render(messages: readonly ChatMessage[], options?: RenderOptions): Segment[]
}

const START = '<|im_start|>'
const END = '<|im_end|>'
const plain = (text: string, learn = false): Segment => ({ text, special: false, learn })
const special = (text: string, learn = false): Segment => ({ text, special: true, learn })
const isLearned = ({ role, learn = true }: ChatMessage) => role === 'assistant' && learn

/**
 * ChatML: every turn between two special tokens. The only one of the two built-in templates in which a
 * turn cannot be forged by plain text.
 */
export const chatml: ChatTemplate = {
  name: 'chatml',
  source:
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + " +
    "'<|im_end|>' + '\\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  special: [START, END],
  endOfTurn: END,
  render(messages, { prompt = false } = {}) {
    const segments = messages.flatMap((message) => {
      const learn = isLearned(message)
      const { role, content } = message
      const head = [special(START), plain(`${role}\n`)]
      return [...head, plain(content, learn), special(END, learn), plain('\n')]
    })
    return prompt ? [...segments, special(START), plain('assistant\n')] : segments
  },
}

const TITLES = { system: 'System', user: 'User', assistant: 'Assistant', tool: 'Tool' }

/** Turns under plain titles, for vocabularies that cannot grow: <|endoftext|> ends the assistant's. */
export const plainTemplate: ChatTemplate = {
  name: 'plain',
  source:
    "{% for message in messages %}{{ message['role'] | capitalize + ':\\n' + message['content'] }}" +
    "{% if message['role'] == 'assistant' %}{{ '<|endoftext|>' }}{% endif %}{{ '\\n\\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}",
  special: [END_OF_TEXT],
  endOfTurn: END_OF_TEXT,
  render(messages, { prompt = false } = {}) {
    const segments = messages.flatMap((message) => {
      const learn = isLearned(message)
      const { role, content } = message
      const end = role === 'assistant' ? [special(END_OF_TEXT, learn)] : []
      return [plain(`${TITLES[role]}:\n`), plain(content, learn), ...end, plain('\n\n')]
    })
    return prompt ? [...segments, plain('Assistant:\n')] : segments
  },
}

const builtIn = [chatml, plainTemplate]
/** The names of the built-in templates. */
export const templateNames: readonly string[] = builtIn.map(({ name }) => name)

/** The built-in template of that name, or the one that a Jinja source describes. */
export function chatTemplate(source: string, vocabulary: Vocabulary): ChatTemplate {
  const known = builtIn.find((template) => template.name === source || template.source === source)
  if (!known && !/\{[{%]/.test(source))
    throw outOfRange(`${templateNames.join(', ')} or a Jinja template`, 'template', source)
  return known ?? new JinjaTemplate(source, vocabulary)
}

/** What a model's own template may name. */
export interface Vocabulary {
  /** The names of the special tokens. */
  special: readonly string[]
  /** Values for `bos_token` and `eos_token`. */
  beginOfText?: string
  endOfText?: string
}

/**
 * A model's own template, in Jinja. What is learned is found by rendering each conversation up to
 * every assistant's message with and without it: the difference is what the model would have to write.
 */
class JinjaTemplate implements ChatTemplate {
  readonly name = 'jinja'
  readonly special: readonly string[]
  readonly endOfTurn: string
  readonly #template: Template
  readonly #pattern: RegExp

  constructor(
    readonly source: string,
    private readonly vocabulary: Vocabulary,
  ) {
    try {
      this.#template = new Template(source)
    } catch (cause) {
      throw failed('The chat template cannot be read', cause)
    }
    // Longest first: where one name begins with another, the longer one is meant.
    this.special = [...vocabulary.special].sort((a, b) => b.length - a.length)
    const names = this.special.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    this.#pattern = names.length > 0 ? new RegExp(names.join('|'), 'u') : /(?!)/
    this.endOfTurn = this.#findEnd()
  }

  render(messages: readonly ChatMessage[], { prompt = false }: RenderOptions = {}): Segment[] {
    const guard = guardFor(messages)
    const safe = messages.map((message) => ({
      ...message,
      content: this.#broken(message.content, guard),
    }))
    const text = this.#text(safe, prompt)
    const segments: Segment[] = []
    let at = 0
    const push = (end: number, learn: boolean) => {
      segments.push(...this.#segments(text.slice(at, end), learn, guard))
      at = end
    }
    for (const [i, message] of safe.entries()) {
      if (!isLearned(message)) continue
      const before = this.#text(safe.slice(0, i), true)
      const after = this.#text(safe.slice(0, i + 1), false)
      if (!after.startsWith(before) || !text.startsWith(after)) throw rewrites(i)
      push(before.length, false)
      push(endOf(after, this.#pattern, before.length), true)
    }
    push(text.length, false)
    return segments
  }

  #text(messages: readonly ChatMessage[], prompt: boolean): string {
    try {
      return this.#template.render({
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: prompt,
        bos_token: this.vocabulary.beginOfText ?? '',
        eos_token: this.vocabulary.endOfText ?? '',
      })
    } catch (cause) {
      throw failed('The chat template refuses these messages', cause)
    }
  }

  /** Names of special tokens in what people wrote are broken by a character that is taken out again. */
  #broken(content: string, guard: string): string {
    const all = new RegExp(this.#pattern.source, 'gu')
    return content.replace(all, (name) => name.slice(0, 1) + guard + name.slice(1))
  }

  #segments(text: string, learn: boolean, guard: string): Segment[] {
    const parts = text.split(new RegExp(`(${this.#pattern.source})`, 'u'))
    const names = new Set(this.special)
    return parts
      .filter(Boolean)
      .map((part) =>
        names.has(part) ? special(part, learn) : plain(part.replaceAll(guard, ''), learn),
      )
  }

  #findEnd(): string {
    const end = this.vocabulary.endOfText
    const probe = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ] as const
    let segments: Segment[] = []
    try {
      segments = this.render(probe)
    } catch {
      // It may demand more than two messages; then the end of a text ends a turn.
    }
    const found = segments.find(({ special, learn }) => special && learn)?.text ?? end
    if (found !== undefined) return found
    throw new GptloomError(
      'ERR_TEMPLATE',
      'The chat template ends no message of the assistant by a special token, so that a model could ' +
        'not learn to stop: choose another one (chatml, plain)',
    )
  }
}

/** The end of a learned part: right after its last special token, without the space behind that. */
function endOf(text: string, pattern: RegExp, from: number): number {
  let end = -1
  for (const match of text.slice(from).matchAll(new RegExp(pattern.source, 'gu')))
    end = from + match.index + match[0].length
  return end >= 0 && text.slice(end).trim() === '' ? end : text.length
}

/** A private character that stands in none of the messages. */
function guardFor(messages: readonly ChatMessage[]): string {
  for (let code = 0xe000; code < 0xf8ff; code++) {
    const guard = String.fromCharCode(code)
    if (!messages.some(({ content }) => content.includes(guard))) return guard
  }
  throw new GptloomError('ERR_TEMPLATE', 'The messages use every private character of Unicode')
}

function rewrites(index: number): GptloomError {
  return new GptloomError(
    'ERR_TEMPLATE',
    `The chat template changes what came before when message ${index + 1} is added, so that it cannot ` +
      'be told what the assistant wrote there: choose another one (chatml, plain)',
  )
}

function failed(what: string, cause: unknown): GptloomError {
  return new GptloomError('ERR_TEMPLATE', `${what}: ${(cause as Error).message}`, { cause })
}

/** Tokens of a text, and which of them are learned. */
export interface Rendered {
  tokens: Int32Array
  /** 1 for a token that is learned, else 0. */
  learn: Uint8Array
}

/**
 * Tokenizes segments one by one: the cut between a prompt and its answer is where it will be when the
 * model is asked.
 * @throws GptloomError ERR_TEMPLATE when the vocabulary lacks a special token
 */
export function encodeSegments(
  tokenizer: Pick<Tokenizer, 'encode' | 'special'>,
  segments: readonly Segment[],
): Rendered {
  const parts = segments.map(({ text, special }) => {
    if (!special) return tokenizer.encode(text)
    const id = tokenizer.special.get(text)
    if (id !== undefined) return [id]
    const what = `The chat template needs the special token ${show(text)}`
    throw new GptloomError('ERR_TEMPLATE', `${what}, which the vocabulary lacks`)
  })
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const tokens = new Int32Array(length)
  const learn = new Uint8Array(length)
  let at = 0
  for (const [i, part] of parts.entries()) {
    tokens.set(part, at)
    if (segments[i]!.learn) learn.fill(1, at, at + part.length)
    at += part.length
  }
  return { tokens, learn }
}
