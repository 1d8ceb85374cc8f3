/** What `encode` does with special tokens such as <|endoftext|> that stand in the text. */
export interface EncodeOptions {
  /**
   * true: the names of special tokens become their ids. false (the default): they are plain text,
   * so that text from outside cannot end a document or forge a turn of a chat.
   */
  special?: boolean
}

/** Encodes text that arrives in chunks. Special tokens in the text are plain text. */
export interface StreamEncoder {
  /** Takes the next chunk and returns the ids that no later chunk can change. */
  push(text: string): Int32Array
  /**
   * Returns the ids of what was held back. All results joined equal `encode` of all chunks joined.
   */
  end(): Int32Array
}

/** Decodes tokens one by one. No returned piece ends within a UTF-8 character. */
export interface StreamDecoder {
  /** Takes the next id and returns the text that is complete, which may be ''. */
  push(id: number): string
  /** Returns what was held back, incomplete characters as U+FFFD. */
  end(): string
}

/** Text to token ids and back. */
export interface Tokenizer {
  /**
   * 'gpt2' is GPT-2's published vocabulary, 'bpe' any other byte-level BPE, 'character' one id a
   * character.
   */
  readonly kind: 'gpt2' | 'bpe' | 'character'
  /** Number of ids, special tokens included: ids are 0 to size - 1. */
  readonly size: number
  /** Special tokens by name. */
  readonly special: ReadonlyMap<string, number>
  /** The id of <|endoftext|>, or undefined when the vocabulary has none. */
  readonly endOfText: number | undefined

  /**
   * The ids of a text. A lone surrogate is read as U+FFFD.
   * @throws {GptloomError} ERR_INDEX when a character-level vocabulary lacks a character of the
   * text
   */
  encode(text: string, options?: EncodeOptions): Int32Array
  /** An encoder for text in chunks, which may be cut anywhere. */
  stream(): StreamEncoder
  /**
   * The text of the ids, special tokens by their names, bytes that are not UTF-8 as U+FFFD.
   * @throws {GptloomError} ERR_INDEX when an id lies outside the vocabulary
   */
  decode(ids: Iterable<number>): string
  /** The bytes of the ids, which for a piece of a text need not be whole UTF-8 characters. */
  decodeBytes(ids: Iterable<number>): Uint8Array
  /** A decoder for ids that come one by one. */
  decoder(): StreamDecoder
  /**
   * File name to contents, in the layout of a Hugging Face model folder; `loadTokenizer` reads it
   * back.
   */
  files(): Record<string, string>
}

/** The token that stands between documents. */
export const END_OF_TEXT = '<|endoftext|>'
