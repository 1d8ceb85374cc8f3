// Tokenizers as data that can be sent to another thread.
import { BpeTokenizer } from './bpe.js'
import { CharacterTokenizer } from './character.js'
import { Merges } from './merges.js'
import type { Tokenizer } from './tokenizer.js'

export interface PackedTokenizer {
  kind: Tokenizer['kind']
  /** By id. */
  tokens: readonly string[]
  special: ReadonlyMap<string, number>
  /** Of each merge the two ids and the one that they become; none for characters. */
  merges: Int32Array
}

/** @returns undefined for a tokenizer of another class, which only its maker could send */
export function packTokenizer(tokenizer: Tokenizer): PackedTokenizer | undefined {
  const { kind, special } = tokenizer
  const maker: unknown = tokenizer.constructor
  if (maker === CharacterTokenizer) {
    const { names } = tokenizer as CharacterTokenizer
    return { kind, tokens: names, special, merges: new Int32Array(0) }
  }
  if (maker !== BpeTokenizer) return undefined
  const { tokens, merges } = tokenizer as BpeTokenizer
  const packed = new Int32Array(3 * merges.size)
  for (let rank = 0; rank < merges.size; rank++) {
    const { lefts, rights } = merges.pairs
    packed.set([lefts[rank]!, rights[rank]!, merges.result(rank)], 3 * rank)
  }
  return { kind, tokens, special, merges: packed }
}

export function unpackTokenizer({ kind, tokens, special, merges }: PackedTokenizer): Tokenizer {
  if (kind === 'character') return new CharacterTokenizer(tokens, special)
  const table = new Merges()
  for (let at = 0; at < merges.length; at += 3)
    table.add(merges[at]!, merges[at + 1]!, merges[at + 2]!)
  return new BpeTokenizer(kind, tokens, table, special)
}
