import { GptloomError, checkPath, outOfRange, show, wrongType } from '../errors.js'
import { writeDescription, writeModel } from '../formats/huggingface.js'
import { readLora, writeLora } from '../formats/lora.js'
import type { GPT2, GPT2Config } from '../models/index.js'
import type { Lora } from '../nn/index.js'
import { scope } from '../tensor/index.js'
import { encodeSegments } from '../tokenizer/index.js'
import type { ChatMessage, ChatTemplate, Tokenizer } from '../tokenizer/index.js'
import { checkGenerateOptions, writeEach, writeTokens } from './generate.js'
import type { GenerateOptions, TokenOptions, WrittenToken } from './generate.js'
import { allLogits, hiddenStates, logLikelihood } from './measure.js'
import type { Score } from './measure.js'
import { Reader } from './reader.js'
import { ChatSession } from './session.js'
import { StopFinder, checkStops } from './stop.js'

/** Why a text ended: the model ended it, a stop string came, or maxTokens were written. */
export type Finish = 'end' | 'stop' | 'length'

/** One of several texts that were written at once. */
export interface Completion {
  text: string
  tokens: number[]
  finish: Finish
  /** For each token, with `logprobs`. */
  logprobs?: TokenLogprob[]
}

/** A token that was written, and how likely it was. */
export interface TokenLogprob {
  token: number
  text: string
  /** log p by the model itself, before temperature and penalties. */
  logprob: number
  /** The likeliest tokens at this place, the likeliest first. */
  top: { token: number; text: string; logprob: number }[]
}

/** What completions() takes beside what generate() does. */
export interface CompletionOptions extends GenerateOptions {
  /** Texts to write at once, each from a seed of its own: seed, seed + 1 ... Default 1. */
  n?: number
  /** Also tell this many of the likeliest tokens at each place, 0 to 100. Default: none. */
  logprobs?: number
}

/** A model with its tokenizer: what reads and writes text. */
export class LanguageModel {
  readonly #adapters = new Map<string, { lora: Lora; base: string | null }>()
  #adapter: string | null = null

  constructor(
    /** The network, for those who work on tensors. */
    readonly network: GPT2,
    readonly tokenizer: Tokenizer,
    /** How conversations are written; undefined for a model that was not trained on any. */
    readonly template?: ChatTemplate,
  ) {}

  get config(): GPT2Config {
    return this.network.config
  }

  /** How many numbers the model holds. */
  get parameters(): number {
    return this.network.size
  }

  /** The names of the LoRA adapters that were loaded. */
  get adapters(): string[] {
    return [...this.#adapters.keys()]
  }

  /** The adapter in use, or null for the model alone. */
  get adapter(): string | null {
    return this.#adapter
  }

  /**
   * Loads a LoRA adapter from a folder in the layout of PEFT, to be used by its name.
   * @throws GptloomError ERR_FILE, ERR_FORMAT when it is damaged or was made for another base
   */
  async loadAdapter(folder: string, name = 'default'): Promise<void> {
    checkPath('a folder', 'folder', folder)
    if (typeof name !== 'string' || name === '') throw wrongType('a name', 'name', name)
    this.#free(name)
    const { lora, base } = await readLora(folder, this.network)
    this.#adapters.set(name, { lora, base })
  }

  /**
   * Switches to an adapter, or with null to the model alone. It holds from the next text on.
   * @throws RangeError for a name that no adapter has
   */
  useAdapter(name: string | null): void {
    const found = name === null ? null : this.#adapters.get(name)
    if (found === undefined) {
      const known = this.adapters.map(show).join(', ') || 'null, since no adapter is loaded,'
      throw outOfRange(`one of ${known}`, 'name', name)
    }
    this.network.useAdapter(found?.lora ?? null)
    this.#adapter = name
  }

  /**
   * Adds the adapter in use to the model's weights for good, and forgets it.
   * @throws RangeError when no adapter is in use; GptloomError ERR_COMPACT for weights in fewer bytes
   */
  merge(): void {
    this.network.expectExact('merge()')
    const name = this.#adapter
    if (name === null) throw outOfRange('an adapter in use', 'merge()', name)
    const { lora } = this.#adapters.get(name)!
    for (const [at, { weight }] of this.network.linears()) {
      scope(() => {
        const merged = lora.layers.get(at)?.merged(weight)
        if (merged) weight.device.native.copy(weight.native, merged.native)
      })
    }
    this.#free(name)
  }

  /** @internal Takes an adapter over and uses it. */
  addAdapter(name: string, lora: Lora, base: string | null): void {
    this.#adapters.set(name, { lora, base })
    this.useAdapter(name)
  }

  /** @internal The adapter in use, with what it goes with. */
  get lora(): { lora: Lora; base: string | null } | undefined {
    return this.#adapter === null ? undefined : this.#adapters.get(this.#adapter)
  }

  #free(name: string): void {
    if (this.#adapter === name) this.useAdapter(null)
    this.#adapters.get(name)?.lora.dispose()
    this.#adapters.delete(name)
  }

  /**
   * Text that continues the prompt, piece by piece as it is written. No piece ends within a character.
   * @throws TypeError, RangeError at once for bad options; AbortError when the signal stops it
   */
  generate(prompt = '', options: GenerateOptions = {}): AsyncGenerator<string, void, void> {
    if (typeof prompt !== 'string') throw wrongType('a string', 'prompt', prompt)
    checkGenerateOptions(options)
    return this.#stream(this.tokenizer.encode(prompt), options)
  }

  /** generate(), gathered into one string. */
  async complete(prompt = '', options: GenerateOptions = {}): Promise<string> {
    let text = ''
    for await (const piece of this.generate(prompt, options)) text += piece
    return text
  }

  /**
   * Several texts that continue the prompt, written at once, with their tokens and why they ended. The
   * i-th is what `n: 1` with the seed `seed + i` gives.
   */
  async completions(prompt = '', options: CompletionOptions = {}): Promise<Completion[]> {
    if (typeof prompt !== 'string') throw wrongType('a string', 'prompt', prompt)
    const { n } = checkGenerateOptions(options, ['n', 'logprobs'])
    const texts = Array.from({ length: n }, () => new Writing(this.tokenizer, options))
    const reader = new Reader(this.network, this.tokenizer.size)
    try {
      const ends = this.#ends()
      const tokens = this.tokenizer.encode(prompt)
      const all = { ...options, ends }
      for await (const written of writeTokens(reader, this.tokenizer.endOfText, tokens, all)) {
        texts[written.index]!.push(written)
        if (texts.every((text) => text.stopped)) break
      }
    } finally {
      reader.dispose()
    }
    return texts.map((text) => text.end(checkGenerateOptions(options, ['n', 'logprobs']).maxTokens))
  }

  /**
   * @internal What continues each of several prompts, written together: what generate() and chat() give
   * for each alone.
   */
  async completeEach(
    prompts: readonly Int32Array[],
    options: GenerateOptions = {},
  ): Promise<string[]> {
    const texts = prompts.map(() => new Writing(this.tokenizer, options))
    const all = { ...options, ends: this.#ends() }
    const stopped = (index: number) => texts[index]!.stopped
    for await (const written of writeEach(this.network, this.tokenizer, prompts, all, stopped))
      texts[written.index]!.push(written)
    return texts.map((text) => text.end(0).text)
  }

  /**
   * The answer to a conversation, piece by piece, in the template that the model was trained with.
   * A conversation must fit into the context, unless `overflow: 'shift'` says that its beginning may be
   * forgotten, the system's message first.
   * @throws GptloomError ERR_TEMPLATE for a model that was not trained on conversations, ERR_CONTEXT
   *   for a conversation that is too long
   */
  chat(
    messages: readonly ChatMessage[],
    options: GenerateOptions = {},
  ): AsyncGenerator<string, void, void> {
    const prompt = this.encodeChat(messages)
    checkGenerateOptions(options)
    const { context } = this.config
    if (prompt.length > context && options.overflow !== 'shift') {
      throw new GptloomError(
        'ERR_CONTEXT',
        `The conversation has ${prompt.length} tokens, and the context of the model holds ${context}: ` +
          "leave out its oldest turns, or forget its beginning with overflow: 'shift'",
      )
    }
    return this.#stream(prompt, options)
  }

  /** A conversation that goes on: what was said is remembered, and not read again. */
  session(options: { system?: string; messages?: readonly ChatMessage[] } = {}): ChatSession {
    return new ChatSession(this, options)
  }

  /** @internal The tokens that ask for an answer. */
  encodeChat(messages: readonly ChatMessage[]): Int32Array {
    if (!this.template) {
      throw new GptloomError(
        'ERR_TEMPLATE',
        'This model has no chat template: it was not trained on conversations. Use generate()',
      )
    }
    checkMessages(messages)
    const segments = this.template.render(messages, { prompt: true })
    return encodeSegments(this.tokenizer, segments).tokens
  }

  /** @internal Text behind a prompt; the reader stays where the text ends. */
  async *continue(
    reader: Reader,
    prompt: Int32Array,
    options: GenerateOptions,
  ): AsyncGenerator<string, void, void> {
    const text = new Writing(this.tokenizer, options)
    const all = { ...options, ends: this.#ends() }
    for await (const written of writeTokens(reader, this.tokenizer.endOfText, prompt, all)) {
      const piece = text.push(written)
      if (piece) yield piece
      if (text.stopped) return
    }
    const rest = text.rest()
    if (rest) yield rest
  }

  /**
   * How likely the model finds a text.
   * @throws RangeError for a text of no tokens
   */
  async score(text: string): Promise<Score> {
    const tokens = this.#tokens(text)
    // Where the vocabulary has it, <|endoftext|> stands before the first token.
    const { endOfText } = this.tokenizer
    const given = endOfText === undefined ? tokens : Int32Array.of(endOfText, ...tokens)
    const count = given.length - 1
    const sum = await logLikelihood(this.network, given)
    const bytes = Buffer.byteLength(text)
    return {
      logLikelihood: sum,
      tokens: count,
      perplexity: Math.exp(-sum / Math.max(1, count)),
      bitsPerByte: -sum / bytes / Math.LN2,
    }
  }

  /**
   * The logits of the token behind each token of a text.
   * @returns row-major values of shape [tokens, vocabulary]
   */
  async logits(text: string): Promise<{ values: Float32Array; shape: [number, number] }> {
    const tokens = this.#fitting(text)
    const { size } = this.tokenizer
    return { values: await allLogits(this.network, tokens, size), shape: [tokens.length, size] }
  }

  /**
   * A vector for a text: its last hidden states, averaged over tokens.
   * @returns config.width numbers
   */
  async embed(text: string): Promise<Float32Array> {
    const tokens = this.#fitting(text)
    const states = await hiddenStates(this.network, tokens)
    const { width } = this.config
    const mean = new Float32Array(width)
    for (let i = 0; i < states.length; i++) mean[i % width]! += states[i]! / tokens.length
    return mean
  }

  /**
   * Writes a model folder in Hugging Face's GPT-2 layout: config.json, model.safetensors and the tokenizer.
   * With an adapter in use it is the adapter that is written, in PEFT's layout: merge() it first to have
   * the whole model.
   * @throws GptloomError ERR_FILE when the file system refuses, ERR_COMPACT for weights in fewer bytes
   */
  async save(folder: string): Promise<void> {
    checkPath('a folder', 'folder', folder)
    const { network, tokenizer, lora: used } = this
    const options = { chatTemplate: this.template?.source }
    if (!used) return writeModel(folder, network, tokenizer, options)
    await writeLora(folder, used.lora, network, used.base)
    await writeDescription(folder, null, tokenizer, options)
  }

  /** Frees the weights, those of adapters too. */
  dispose(): void {
    for (const { lora } of this.#adapters.values()) lora.dispose()
    this.#adapters.clear()
    this.#adapter = null
    this.network.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  async *#stream(prompt: Int32Array, options: GenerateOptions): AsyncGenerator<string, void, void> {
    const reader = new Reader(this.network, this.tokenizer.size)
    try {
      yield* this.continue(reader, prompt, options)
    } finally {
      reader.dispose()
    }
  }

  #ends(): number[] {
    const id = this.template && this.tokenizer.special.get(this.template.endOfTurn)
    return id === undefined ? [] : [id]
  }

  #tokens(text: string): Int32Array {
    if (typeof text !== 'string') throw wrongType('a string', 'text', text)
    const tokens = this.tokenizer.encode(text)
    if (tokens.length > 0) return tokens
    throw outOfRange('a text that is not empty', 'text', text)
  }

  #fitting(text: string): Int32Array {
    const tokens = this.#tokens(text)
    const { context } = this.config
    if (tokens.length <= context) return tokens
    throw new GptloomError(
      'ERR_CONTEXT',
      `The text has ${tokens.length} tokens, and the context of the model holds ${context}`,
    )
  }
}

/** One text while it is written. */
class Writing {
  stopped = false
  readonly #tokens: number[] = []
  readonly #logprobs: TokenLogprob[] | undefined
  readonly #decoder
  readonly #stops: StopFinder
  #text = ''

  constructor(
    private readonly tokenizer: Tokenizer,
    options: TokenOptions,
  ) {
    this.#decoder = tokenizer.decoder()
    this.#stops = new StopFinder(checkStops(options.stop))
    if (options.logprobs !== undefined) this.#logprobs = []
  }

  push({ token, logprob, top }: WrittenToken): string {
    if (this.stopped) return ''
    this.#tokens.push(token)
    const text = (id: number) => this.tokenizer.decode([id])
    this.#logprobs?.push({
      token,
      text: text(token),
      logprob: logprob!,
      top: top!.map((one) => ({ ...one, text: text(one.token) })),
    })
    const piece = this.#stops.push(this.#decoder.push(token))
    this.stopped = this.#stops.found !== undefined
    this.#text += piece
    return piece
  }

  /** What was held back, when no more tokens come. */
  rest(): string {
    const piece = this.stopped ? '' : this.#stops.push(this.#decoder.end()) + this.#stops.end()
    this.#text += piece
    return piece
  }

  end(maxTokens: number): Completion {
    this.rest()
    const full = this.#tokens.length >= maxTokens
    const finish = this.#stops.found !== undefined ? 'stop' : full ? 'length' : 'end'
    const logprobs = this.#logprobs && { logprobs: this.#logprobs }
    return { text: this.#text, tokens: this.#tokens, finish, ...logprobs }
  }
}

const roles = ['system', 'user', 'assistant', 'tool']

/** @throws TypeError, RangeError naming the message that cannot be */
export function checkMessages(messages: readonly ChatMessage[]): void {
  if (!Array.isArray(messages)) throw wrongType('a list of messages', 'messages', messages)
  for (const [i, message] of messages.entries()) {
    const { role, content } = (message ?? {}) as ChatMessage
    if (!roles.includes(role)) throw outOfRange(roles.join(', '), `messages[${i}].role`, role)
    if (typeof content !== 'string') throw wrongType('a string', `messages[${i}].content`, content)
  }
}
