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

/** Where the two halves of a 53-bit hash begin. */
export const [LOW, HIGH] = [0x811c9dc5, 0x9747b28c]

/** Two halves as one number below 2^53. */
export function joined(low: number, high: number): number {
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
