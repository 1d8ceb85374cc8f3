// From a piece of the spool to tokens: on the calling thread, or on several of their own.
import { chatTemplate, packTokenizer, sourceOf, unpackTokenizer } from '../tokenizer/index.js'
import type { PackedTokenizer, Rendered, Tokenizer, Vocabulary } from '../tokenizer/index.js'
import { answer } from './crew.js'
import type { LedgerEntry } from './ledger.js'
import { renderRow } from './render.js'
import type { RenderSettings } from './render.js'
import { rowsOf } from './spool.js'

/** What the rows of a piece became. */
export interface Tokenized {
  /** Of all parts, one behind another. */
  tokens: Int32Array
  learn: Uint8Array
  /** Of each part its tokens, the bytes of text that they stand for, and of those the learned ones. */
  parts: Uint32Array
  rows: TokenizedRow[]
}

export interface TokenizedRow {
  entry: LedgerEntry
  /** Whether it was fit to learn from before it was tokenized. */
  clean: boolean
  isChat: boolean
  /** How many of the parts it has. */
  parts: number
  group?: string
  time?: number
  /** Number of the clean row that it repeats. */
  like?: number
}

type Settings = RenderSettings & { tokenizer: Tokenizer }

/** Settings that another thread can be sent. */
interface Packed extends Pick<Settings, 'context' | 'long' | 'learn'> {
  tokenizer: PackedTokenizer
  template: [source: string, vocabulary: Vocabulary]
}

/** @returns undefined when the tokenizer or the template is the caller's own code */
export function packSettings(settings: Settings): Packed | undefined {
  const { context, long, learn } = settings
  const tokenizer = packTokenizer(settings.tokenizer)
  const template = sourceOf(settings.template)
  return tokenizer && template && { tokenizer, template, context, long, learn }
}

/** The work of a helper. */
export function serve({ tokenizer, template, ...others }: Packed): void {
  const unpacked = { tokenizer: unpackTokenizer(tokenizer), template: chatTemplate(...template) }
  const rows = new RowTokenizer({ ...unpacked, ...others })
  answer((piece: Uint8Array) => rows.tokenize(piece))
}

export class RowTokenizer {
  /** Bytes of text that each token stands for; -1 where that is not known yet. */
  readonly #lengths: Int32Array

  constructor(private readonly settings: Settings) {
    this.#lengths = new Int32Array(settings.tokenizer.size).fill(-1)
    for (const id of settings.tokenizer.special.values()) this.#lengths[id] = 0
  }

  tokenize(piece: Uint8Array): Tokenized {
    const rendered: Rendered[] = []
    const rows: TokenizedRow[] = []
    for (const row of rowsOf(piece)) {
      if ('entry' in row) {
        rows.push({ entry: row.entry, clean: false, isChat: false, parts: 0 })
        continue
      }
      const { parts, entry } = renderRow(row, this.settings)
      for (const part of parts) rendered.push(part)
      const { kind, group, time } = row.example
      const { like } = row
      const isChat = kind === 'chat'
      rows.push({ entry, clean: true, isChat, parts: parts.length, group, time, like })
    }
    return { ...this.#join(rendered), rows }
  }

  #join(rendered: readonly Rendered[]): Omit<Tokenized, 'rows'> {
    const length = rendered.reduce((sum, { tokens }) => sum + tokens.length, 0)
    const all = { tokens: new Int32Array(length), learn: new Uint8Array(length) }
    const parts = new Uint32Array(3 * rendered.length)
    let at = 0
    for (const [i, { tokens, learn }] of rendered.entries()) {
      all.tokens.set(tokens, at)
      all.learn.set(learn, at)
      at += tokens.length
      const { bytes, learned } = this.#byteLengths(tokens, learn)
      parts.set([tokens.length, bytes, learned], 3 * i)
    }
    return { ...all, parts }
  }

  /** Bytes of text that tokens stand for: all of them, and those that are learned. */
  #byteLengths(tokens: Int32Array, learn: Uint8Array): { bytes: number; learned: number } {
    const { tokenizer } = this.settings
    const lengths = this.#lengths
    let [bytes, learned] = [0, 0]
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!
      if (lengths[token] === -1) lengths[token] = tokenizer.decodeBytes([token]).length
      bytes += lengths[token]!
      // The first token is never a target.
      if (i > 0 && learn[i]) learned += lengths[token]!
    }
    return { bytes, learned }
  }
}
