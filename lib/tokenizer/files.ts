// What is written into a Hugging Face model folder. Vocabularies are written by hand and not by
// JSON.stringify of an object, which would reorder keys like "7" and lose the key "__proto__".
import type { BpeTokenizer } from './bpe.js'
import { nameOf } from './bytes.js'
import type { CharacterTokenizer } from './character.js'
import { END_OF_TEXT } from './tokenizer.js'
import type { Tokenizer } from './tokenizer.js'

/** The pre-tokenizer that cuts a text into its characters, line breaks included. */
export const CHARACTER_PATTERN = '[\\s\\S]'

/** The name of the token that stands for every character a character-level vocabulary lacks. */
export const UNKNOWN = '<unk>'

/** The files of a byte-level BPE vocabulary, as GPT-2's folder has them. */
export function bpeFiles(tokenizer: BpeTokenizer): Record<string, string> {
  const { tokens, merges, special } = tokenizer
  const names = tokens.map(nameOf)
  for (const [name, id] of special) names[id] = name
  const lines: string[] = []
  for (let rank = 0; rank < merges.size; rank++) {
    lines.push(`${names[merges.pairs.lefts[rank]!]} ${names[merges.pairs.rights[rank]!]}`)
  }
  const vocabulary = vocabularyJson(names)
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  }
  return {
    'vocab.json': vocabulary,
    'merges.txt': ['#version: 0.2', ...lines, ''].join('\n'),
    'tokenizer.json': tokenizerJson(
      tokenizer,
      {
        pre_tokenizer: byteLevel,
        post_processor: { ...byteLevel, trim_offsets: false },
        decoder: byteLevel,
      },
      {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
      },
      `"vocab":${vocabulary},"merges":${JSON.stringify(lines)}`,
    ),
    ...configFiles(tokenizer, 'GPT2Tokenizer', special.has(END_OF_TEXT) ? END_OF_TEXT : undefined),
  }
}

/** The files of a character-level vocabulary: a word-level model whose words are characters. */
export function characterFiles(tokenizer: CharacterTokenizer): Record<string, string> {
  return {
    'tokenizer.json': tokenizerJson(
      tokenizer,
      {
        pre_tokenizer: {
          type: 'Split',
          pattern: { Regex: CHARACTER_PATTERN },
          behavior: 'Isolated',
          invert: false,
        },
        post_processor: null,
        decoder: { type: 'Fuse' },
      },
      { type: 'WordLevel', unk_token: UNKNOWN },
      `"vocab":${vocabularyJson(tokenizer.names)}`,
    ),
    ...configFiles(
      tokenizer,
      'PreTrainedTokenizerFast',
      tokenizer.special.has(UNKNOWN) ? UNKNOWN : undefined,
    ),
  }
}

function tokenizerJson(
  { special }: Tokenizer,
  stages: object,
  model: object,
  vocabulary: string,
): string {
  const added = [...special].map(([content, id]) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }))
  const head = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    ...stages,
  }
  const open = (value: object) => JSON.stringify(value).slice(0, -1)
  return `${open(head)},"model":${open(model)},${vocabulary}}}\n`
}

function configFiles(
  { special }: Tokenizer,
  tokenizerClass: string,
  unknown: string | undefined,
): Record<string, string> {
  const end = special.has(END_OF_TEXT) ? END_OF_TEXT : undefined
  const map = { bos_token: end, eos_token: end, unk_token: unknown }
  const config = {
    ...map,
    tokenizer_class: tokenizerClass,
    add_prefix_space: false,
    clean_up_tokenization_spaces: false,
  }
  return {
    'tokenizer_config.json': JSON.stringify(config, null, 2) + '\n',
    'special_tokens_map.json': JSON.stringify(map, null, 2) + '\n',
  }
}

function vocabularyJson(names: readonly string[]): string {
  return `{${names.map((name, id) => `${JSON.stringify(name)}:${id}`).join(',')}}`
}
