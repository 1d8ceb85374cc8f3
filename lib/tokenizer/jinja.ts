// A model's own chat template, in Jinja.
import { GptloomError, outOfRange } from '../errors.js'
import { BoundedTemplate } from './bounded.js'
import { chatml, isLearned, plain, plainTemplate, special } from './template.js'
import type { ChatMessage, ChatTemplate, RenderOptions, Segment } from './template.js'

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

/** What chatTemplate() makes this template of again, or undefined when it is not one of its own. */
export function sourceOf(template: ChatTemplate): [string, Vocabulary] | undefined {
  if (template instanceof JinjaTemplate) return [template.source, template.vocabulary]
  return builtIn.includes(template) ? [template.name, { special: [] }] : undefined
}

/** What a model's own template may name. */
export interface Vocabulary {
  /** The names of the special tokens. */
  special: readonly string[]
  /** Values for `bos_token` and `eos_token`. */
  beginOfText?: string
  endOfText?: string
}

/** Where in a text something is learned. */
interface Span {
  start: number
  end: number
}

/**
 * A model's own template. What is learned is found by rendering each conversation up to an assistant's
 * message with and without it: the difference is what the model would have to write. For all messages
 * that would be quadratic: one between the same texts of the template as an earlier one is learned from
 * and to the same places.
 */
class JinjaTemplate implements ChatTemplate {
  readonly name = 'jinja'
  readonly special: readonly string[]
  readonly endOfTurn: string
  readonly #template: BoundedTemplate
  readonly #pattern: RegExp

  constructor(
    readonly source: string,
    readonly vocabulary: Vocabulary,
  ) {
    try {
      this.#template = new BoundedTemplate(source)
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
    const guard = privateFor(messages)
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
    for (const { start, end } of this.#learned(safe, text, prompt)) {
      push(start, false)
      push(end, true)
    }
    push(text.length, false)
    return segments
  }

  #learned(messages: readonly ChatMessage[], text: string, prompt: boolean): Span[] {
    const learned = [...messages.keys()].filter((i) => isLearned(messages[i]!))
    // Two answers are looked at one by one as fast.
    const places = learned.length > 2 ? this.#places(messages, text, prompt) : undefined
    /** By the texts before and behind a message: how much further the learned part reaches. */
    const known = new Map<string, Span>()
    return learned.map((i) => {
      const place = places?.[i]
      if (!place) return this.#compare(messages, i, text)
      const { start, end, before, behind } = place
      const key = JSON.stringify([before, behind])
      const further = known.get(key)
      if (further) return { start: start - further.start, end: end + further.end }
      const span = this.#compare(messages, i, text)
      const found = { start: start - span.start, end: span.end - end }
      const isInside = found.start >= 0 && found.start <= before.length && found.end >= 0
      if (isInside && found.end <= behind.length) known.set(key, found)
      return span
    })
  }

  /** What the model would have to write for message i. */
  #compare(messages: readonly ChatMessage[], i: number, text: string): Span {
    const before = this.#text(messages.slice(0, i), true)
    const after = this.#text(messages.slice(0, i + 1), false)
    if (!after.startsWith(before) || !text.startsWith(after)) throw rewrites(i)
    return { start: before.length, end: endOf(after, this.#pattern, before.length) }
  }

  /**
   * Where each message stands in the text, and the texts of the template around it: found by marks
   * around what it says. Undefined when marks change more than that they are there.
   */
  #places(messages: readonly ChatMessage[], text: string, prompt: boolean): Place[] | undefined {
    const mark = privateFor([...messages, { content: text }])
    const marked = messages.map((message) => ({
      ...message,
      // A template may trim: white space stays outside.
      content: message.content.replace(/^(\s*)(\S[^]*\S|\S)(\s*)$/u, `$1${mark}$2${mark}$3`),
    }))
    const pieces = this.#text(marked, prompt).split(mark)
    const said = marked.map(({ content }) => content.split(mark)[1])
    const places: Place[] = []
    let [piece, at] = [0, 0]
    for (const [i, content] of said.entries()) {
      if (content === undefined) continue
      const [before, found, behind] = pieces.slice(piece, piece + 3)
      if (found !== content || behind === undefined) return undefined
      const start = at + before!.length
      const end = start + content.length
      places[i] = { start, end, before: before!, behind }
      piece += 2
      at = end
    }
    return piece === pieces.length - 1 && pieces.join('') === text ? places : undefined
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

interface Place extends Span {
  before: string
  behind: string
}

/** A private character that stands in none of the messages. */
function privateFor(messages: readonly { content: string }[]): string {
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
