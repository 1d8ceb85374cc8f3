// Chat templates: how a conversation becomes one text, and which parts of it are learned.
import { GptloomError, show } from '../errors.js'
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

/** How a conversation is put into text. */
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
export const plain = (text: string, learn = false): Segment => ({ text, special: false, learn })
export const special = (text: string, learn = false): Segment => ({ text, special: true, learn })
/** Whether a message is learned from. */
export const isLearned = ({ role, learn = true }: ChatMessage) => role === 'assistant' && learn

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
