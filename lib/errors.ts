/** What went wrong, for programs: `error.code`. The message says it for people. */
export type ErrorCode =
  | 'ERR_ADDON' // the native addon is missing or does not fit this platform
  | 'ERR_BUSY' // a session is answering already
  | 'ERR_COMPACT' // weights in fewer bytes were to be trained, merged or saved
  | 'ERR_CONTEXT' // a text is longer than the model's context
  | 'ERR_DATA' // a file of training data cannot be used
  | 'ERR_DEVICE' // the device is closed or lost
  | 'ERR_DISPOSED' // a tensor or model was used after dispose()
  | 'ERR_DIVERGED' // the loss is no longer a number
  | 'ERR_FILE' // a file or folder cannot be read or written
  | 'ERR_FORMAT' // a file is not what its name says, or is damaged
  | 'ERR_HUB' // a model hub cannot be reached, refuses, or sends something else
  | 'ERR_INDEX' // a token or target lies outside the vocabulary
  | 'ERR_KERNELS' // the image of the CUDA kernels is missing, damaged or does not fit the GPU
  | 'ERR_NO_DRIVER' // no GPU driver on this machine
  | 'ERR_OUT_OF_MEMORY' // the device has no room for it
  | 'ERR_OUTPUT_EXISTS' // the output folder holds something already
  | 'ERR_OUTPUT_IN_USE' // another run is writing to the output folder
  | 'ERR_TEMPLATE' // a chat template cannot render a conversation

/**
 * Every failure that is not a mistake in an argument. Mistakes in arguments are TypeError or RangeError
 * in one form: `Expected <what> for <name>, received <value>`.
 */
export class GptloomError extends Error {
  override readonly name = 'GptloomError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/**
 * A job stopped by its AbortSignal. `name` is 'AbortError' as in the rest of Node, and `saved` tells where
 * what had been done so far was kept.
 */
export class AbortError extends Error {
  override readonly name = 'AbortError'
  readonly code = 'ABORT_ERR'

  constructor(
    message: string,
    readonly saved?: { folder: string; step: number },
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** Formats a received value for a message: short, on one line, never throwing. */
export function show(value: unknown): string {
  return shown(value, 2)
}

// Lists in lists are shown to a depth: one that a hostile file describes may hold itself, or the same
// list many times.
function shown(value: unknown, depth: number): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 60 ? value.slice(0, 57) + '...' : value)
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (Array.isArray(value)) {
    if (depth === 0) return '[...]'
    const items = value.slice(0, 8).map((item) => shown(item, depth - 1))
    return `[${items.join(', ')}${value.length > 8 ? ', ...' : ''}]`
  }
  if (typeof value === 'object' && value !== null) {
    const name: unknown = value.constructor?.name
    return `an instance of ${typeof name === 'string' ? name : 'Object'}`
  }
  return String(value)
}

/** `Expected <what> for <name>, received <value>`, as a TypeError. */
export function wrongType(what: string, name: string, value: unknown): TypeError {
  return new TypeError(`Expected ${what} for ${name}, received ${show(value)}`)
}

/** `Expected <what> for <name>, received <value>`, as a RangeError. */
export function outOfRange(what: string, name: string, value: unknown): RangeError {
  return new RangeError(`Expected ${what} for ${name}, received ${show(value)}`)
}

/** Throws unless value is an integer in [min, max]. */
export function checkInteger(
  name: string,
  value: unknown,
  min = 1,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const what =
    max === Number.MAX_SAFE_INTEGER
      ? `an integer of at least ${min}`
      : `an integer from ${min} to ${max}`
  if (typeof value !== 'number') throw wrongType(what, name, value)
  if (!Number.isInteger(value) || value < min || value > max) throw outOfRange(what, name, value)
  return value
}

/** Throws unless value is a finite number in [min, max]. */
export function checkNumber(name: string, value: unknown, min = -Infinity, max = Infinity): number {
  const bounds =
    max === Infinity ? (min === -Infinity ? '' : ` of at least ${min}`) : ` from ${min} to ${max}`
  if (typeof value !== 'number') throw wrongType(`a number${bounds}`, name, value)
  if (!Number.isFinite(value) || value < min || value > max)
    throw outOfRange(`a number${bounds}`, name, value)
  return value
}

/** Throws unless value is the path of a file or folder. */
export function checkPath(what: string, name: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw wrongType(what, name, value)
  if (value.includes('\0')) throw outOfRange(`${what} without NUL bytes`, name, value)
  return value
}

/** Throws unless value is an AbortSignal or undefined. */
export function checkSignal(value: unknown): void {
  if (value !== undefined && !(value instanceof AbortSignal))
    throw wrongType('an AbortSignal', 'signal', value)
}

/** The known name nearest to a mistyped one, or undefined when none is near. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

/**
 * Throws a TypeError unless options is an object, and for its first key that is not known, with the
 * nearest one that is.
 */
export function checkKeys(name: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw wrongType('an object of options', name, options)
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const near = nearest(key, known)
    throw new TypeError(
      `Unknown option ${show(key)} in ${name}${near ? `: did you mean ${show(near)}?` : ''}`,
    )
  }
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(
        next[j - 1]! + 1,
        row[j]! + 1,
        row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      )
    }
    row = next
  }
  return row[b.length]!
}
