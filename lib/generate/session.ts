import { GptloomError, checkKeys, wrongType } from '../errors.js'
import { readJson, writeFileAtomic } from '../files.js'
import { FORMAT, checkFormat } from '../formats/configs.js'
import type { ChatMessage } from '../tokenizer/index.js'
import { checkGenerateOptions } from './generate.js'
import type { GenerateOptions } from './generate.js'
import { checkMessages } from './language.js'
import type { LanguageModel } from './language.js'
import { Reader } from './reader.js'

/**
 * A conversation with a model. What was read stays in memory between turns, so that an answer costs
 * only what is new. When the conversation outgrows the context, its oldest turns are left out of what
 * the model reads; the system's message stays.
 */
export class ChatSession {
  readonly #messages: ChatMessage[]
  #reader: Reader | undefined
  #busy = false

  /** @internal Sessions come from LanguageModel.session(). */
  constructor(
    private readonly model: LanguageModel,
    options: { system?: string; messages?: readonly ChatMessage[] } = {},
  ) {
    checkKeys('session()', options, ['system', 'messages'])
    const { system, messages = [] } = options
    if (system !== undefined && typeof system !== 'string')
      throw wrongType('a string', 'system', system)
    checkMessages(messages)
    const first: ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }]
    this.#messages = [...first, ...messages]
    model.encodeChat(this.#messages) // says so when the model cannot
  }

  /** What was said so far. */
  get messages(): readonly ChatMessage[] {
    return this.#messages
  }

  /**
   * Says something and gives the answer, piece by piece. An answer that was broken off, by a signal or
   * by leaving the loop, is remembered as far as it came.
   */
  say(content: string, options: GenerateOptions = {}): AsyncGenerator<string, void, void> {
    if (typeof content !== 'string') throw wrongType('a string', 'content', content)
    checkGenerateOptions(options)
    return this.#answer(content, options)
  }

  async *#answer(content: string, options: GenerateOptions): AsyncGenerator<string, void, void> {
    if (this.#busy) {
      const what = 'The session is answering already: wait for the answer before, or abort it'
      throw new GptloomError('ERR_BUSY', what)
    }
    const reader = (this.#reader ??= new Reader(this.model.network, this.model.tokenizer.size))
    // From here to the try nothing may throw once the session is busy.
    const prompt = this.#ask(content, options.maxTokens ?? 200)
    this.#busy = true
    let answer = ''
    try {
      for await (const piece of this.model.continue(reader, prompt, options)) {
        answer += piece
        yield piece
      }
    } finally {
      this.#messages.push({ role: 'assistant', content: answer })
      this.#busy = false
    }
  }

  /** Remembers what was said, unless the model cannot read it. */
  #ask(content: string, maxTokens: number): Int32Array {
    this.#messages.push({ role: 'user', content })
    try {
      return this.#prompt(maxTokens)
    } catch (error) {
      this.#messages.pop()
      throw error
    }
  }

  /** The newest turns that leave room for an answer, behind the system's message. */
  #prompt(maxTokens: number): Int32Array {
    const { context } = this.model.config
    const room = context - Math.min(maxTokens, context >> 1)
    const messages = this.#messages
    const system = messages.filter(({ role }, i) => role === 'system' && i === 0)
    for (let from = system.length; ; from++) {
      const isTurn = messages[from]?.role === 'user'
      const last = from >= messages.length - 1
      if (!isTurn && !last) continue
      const prompt = this.model.encodeChat([...system, ...messages.slice(from)])
      if (prompt.length <= room) return prompt
      if (!last) continue
      throw new GptloomError(
        'ERR_CONTEXT',
        `The message has ${prompt.length} tokens with all that goes with it, and the model reads at ` +
          `most ${room} before it answers: shorten it`,
      )
    }
  }

  /** Forgets all but the system's message. */
  reset(): void {
    const system = this.#messages[0]?.role === 'system' ? 1 : 0
    this.#messages.length = system
  }

  /** Writes the conversation as JSON: { format, messages }. */
  async save(path: string): Promise<void> {
    const saved = { format: FORMAT, messages: this.#messages }
    await writeFileAtomic(path, JSON.stringify(saved, null, 2) + '\n')
  }

  /** Goes on with a conversation that save() has written. */
  async restore(path: string): Promise<void> {
    const saved = (await readJson(path)) as { format?: unknown; messages?: ChatMessage[] } | null
    checkFormat(saved?.format, path)
    try {
      checkMessages(saved?.messages as ChatMessage[])
    } catch (cause) {
      const { message } = cause as Error
      throw new GptloomError('ERR_FORMAT', `${path} is no conversation: ${message}`, { cause })
    }
    this.#messages.splice(0, Infinity, ...saved!.messages!)
  }

  dispose(): void {
    this.#reader?.dispose()
    this.#reader = undefined
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
