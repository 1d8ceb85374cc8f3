import { wrongType } from '../errors.js'

/** Finds strings that end a text in pieces that may be cut anywhere. */
export class StopFinder {
  #held = ''
  /** The string that ended the text. */
  found: string | undefined

  constructor(private readonly stops: readonly string[]) {}

  /** Takes a piece; returns what is certain to stand before every stop string. */
  push(piece: string): string {
    if (this.found !== undefined) return ''
    const text = this.#held + piece
    let end = Infinity
    for (const stop of this.stops) {
      const at = text.indexOf(stop)
      if (at >= 0 && at < end) [end, this.found] = [at, stop]
    }
    if (this.found !== undefined) {
      this.#held = ''
      return text.slice(0, end)
    }
    const held = Math.max(0, ...this.stops.map((stop) => overlap(text, stop)))
    this.#held = text.slice(text.length - held)
    return text.slice(0, text.length - held)
  }

  /** What was held back and turned out to be no stop string. */
  end(): string {
    return this.found === undefined ? this.#held : ''
  }
}

/** The length of the longest end of `text` that `stop` begins with. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--)
    if (text.endsWith(stop.slice(0, length))) return length
  return 0
}

/** @throws TypeError unless value is a string or a list of strings, none empty */
export function checkStops(value: unknown): string[] {
  const list = typeof value === 'string' ? [value] : (value ?? [])
  const fits = Array.isArray(list) && list.every((stop) => typeof stop === 'string' && stop !== '')
  if (!fits) throw wrongType('a string or a list of strings, none empty', 'stop', value)
  return list
}
