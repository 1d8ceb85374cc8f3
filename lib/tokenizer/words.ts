// GPT-2 cuts a text into words before it merges bytes, by this pattern (Radford et al. 2019,
// encoder.py):
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// wordEnd below is that pattern written out, several times as fast as a RegExp and with no string a
// word. \s there is Unicode's White_Space, which differs from JavaScript's \s in U+0085 (in) and
// U+FEFF (out).

const OTHER = 1
const LETTER = 2
const NUMBER = 3
const SPACE = 4

/** Class by code point, 0 until it is first met. */
const classes = new Uint8Array(0x110000)

function classify(codePoint: number): number {
  const character = String.fromCodePoint(codePoint)
  const found = /\p{L}/u.test(character)
    ? LETTER
    : /\p{N}/u.test(character)
      ? NUMBER
      : /\p{White_Space}/u.test(character)
        ? SPACE
        : OTHER
  return (classes[codePoint] = found)
}

function classOf(codePoint: number): number {
  return classes[codePoint]! || classify(codePoint)
}

/**
 * End of the run of one class that holds from `at` on; SPACE is all in one code unit, the others
 * may be in two.
 */
function runEnd(text: string, at: number, end: number, wanted: number): number {
  while (at < end) {
    const code = text.charCodeAt(at)
    if ((code & 0xf800) !== 0xd800) {
      if (classOf(code) !== wanted) return at
      at++
    } else {
      const codePoint = text.codePointAt(at)!
      if (classOf(codePoint) !== wanted) return at
      at += codePoint > 0xffff ? 2 : 1
    }
  }
  return at
}

/** Length of the contraction ('s 't 'm 'd 're 've 'll) at an apostrophe, or 0. */
function contraction(text: string, at: number, end: number): number {
  if (at + 1 >= end) return 0
  const first = text[at + 1]!
  if (first === 's' || first === 't' || first === 'm' || first === 'd') return 2
  if (at + 2 >= end) return 0
  const second = text[at + 2]!
  if (second === 'e') return first === 'r' || first === 'v' ? 3 : 0
  return first === 'l' && second === 'l' ? 3 : 0
}

/**
 * End of the word that starts at `start` in text, which counts as ending at text.length. start <
 * text.length.
 */
export function wordEnd(text: string, start: number): number {
  const end = text.length
  const first = text.charCodeAt(start)
  if (first === 0x27) {
    const length = contraction(text, start, end)
    if (length > 0) return start + length
  }
  let at = start
  let found = classOf((first & 0xf800) === 0xd800 ? text.codePointAt(start)! : first)
  if (first === 0x20 && start + 1 < end) {
    const next = classOf(text.codePointAt(start + 1)!)
    if (next !== SPACE) {
      found = next
      at++
    }
  }
  const stop = runEnd(text, at, end, found)
  // A run of spaces leaves its last one to the word that follows it, unless it has no other.
  return found === SPACE && stop < end && stop > start + 1 ? stop - 1 : stop
}

/**
 * The last place where text can be cut in two without changing a word, whatever comes before or
 * after it; 0 when there is none. Such a place lies between code units of different classes, for no
 * word holds two classes but one that starts with a space, and a contraction, which starts with an
 * apostrophe.
 */
export function safeCut(text: string): number {
  let right = 0
  for (let at = text.length; at > 0; at--) {
    const code = text.charCodeAt(at - 1)
    // Half a surrogate pair has no class of its own.
    const left = (code & 0xf800) === 0xd800 ? 0 : classOf(code)
    const joined = left === right || left === SPACE || (left === OTHER && right === LETTER)
    if (left !== 0 && right !== 0 && !joined) return at
    right = left
  }
  return 0
}

/** Joins chunks of text and gives them back cut where no word is cut. */
export class WordStream {
  private tail = ''
  private retry = 0

  /** limit: longest tail, in UTF-16 code units, before a word is cut all the same. */
  constructor(private readonly limit = Infinity) {}

  push(text: string): string {
    this.tail += text
    // A tail without a cut is searched again only when it has doubled, so that a long word costs
    // linear time.
    if (this.tail.length < this.retry) return ''
    const cut = this.tail.length > this.limit ? this.tail.length : safeCut(this.tail)
    const done = this.tail.slice(0, cut)
    this.tail = this.tail.slice(cut)
    this.retry = this.tail.length > 4096 ? 2 * this.tail.length : 0
    return done
  }

  end(): string {
    const done = this.tail
    this.tail = ''
    this.retry = 0
    return done
  }
}
