/** One step of FNV-1a on 32 bits. */
export function step(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193)
}

/** The finalizer of MurmurHash3: every bit of the input reaches every bit of the result. */
export function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

/** Where the two halves of a 53-bit hash begin: integers of 32 bits from the first step on. */
const LOW = 0x811c9dc5 | 0
const HIGH = 0x9747b28c | 0

/** Two halves as one number below 2^53. */
function joined(low: number, high: number): number {
  return (mix(low) & 0x1fffff) * 2 ** 32 + (mix(high) >>> 0)
}

/** A hash of 53 bits. */
export function hash53(text: string): number {
  let [low, high] = [LOW, HIGH]
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    low = step(low, code)
    high = step(high, code + 1)
  }
  return joined(low, high)
}

/** The same for texts that differ only in white space between words, and at the two ends. */
export function spacedHash53(text: string): number {
  let [low, high] = [LOW, HIGH]
  const end = text.length
  for (let i = 0; i < end; i++) {
    let code = text.charCodeAt(i)
    if (isSpace(code)) {
      while (++i < end && isSpace((code = text.charCodeAt(i))));
      if (i === end) break
      if (low !== LOW) {
        low = step(low, 32)
        high = step(high, 33)
      }
    }
    low = step(low, code)
    high = step(high, code + 1)
  }
  return joined(low, high)
}

export function isSpace(code: number): boolean {
  return code <= 32 || (code >= 0xa0 && (code === 0xa0 || code === 0x3000))
}
