import { isUtf8 } from 'node:buffer'
import { GptloomError } from './errors.js'

/**
 * Parses the bytes of a JSON file (UTF-8, a byte order mark is ignored). Unlike JSON.parse it
 * refuses a name that stands twice in one object when `unique` is set, and its errors say where.
 *
 * @param path the file's name for messages
 * @throws GptloomError('ERR_FORMAT') with path, line and column
 */
export function parseJson(
  bytes: Uint8Array,
  path: string,
  options: { unique?: boolean } = {},
): unknown {
  if (!isUtf8(bytes)) {
    throw new GptloomError('ERR_FORMAT', `${path} is not valid JSON: it is not UTF-8 text`)
  }
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = view.toString().replace(/^\uFEFF/, '')
  const unique = options.unique ?? false
  let problem: Problem | undefined
  let cause: unknown
  try {
    const value: unknown = JSON.parse(text)
    problem = unique ? findProblem(text, true) : undefined
    if (!problem) return value
  } catch (error) {
    cause = error
    problem = findProblem(text, unique) ?? { position: 0, what: (error as Error).message }
  }
  const before = text.slice(0, problem.position)
  const line = before.split('\n').length
  const column = problem.position - (before.lastIndexOf('\n') + 1) + 1
  const message = `${path} is not valid JSON: line ${line}, column ${column}: ${problem.what}`
  throw new GptloomError('ERR_FORMAT', message, { cause })
}

interface Problem {
  position: number
  what: string
}

const SPACE = /[ \t\r\n]*/y
const CHARACTERS = '[^"\\\\\\u0000-\\u001f]*'
const ESCAPE = '\\\\(?:["\\\\/bfnrt]|u[0-9a-fA-F]{4})'
const TOKEN = new RegExp(
  [
    '([{}[\\],:])', // 1: a mark
    `("${CHARACTERS}(?:${ESCAPE}${CHARACTERS})*")`, // 2: a string
    '(?:-?(?:0|[1-9]\\d*)(?:\\.\\d+)?(?:[eE][+-]?\\d+)?|true|false|null)(?![\\w.+-])',
  ].join('|'),
  'y',
)

// What may come next, one letter each: v value, k key, : colon, , comma or end, e end of an empty
// list or object.
type Expecting = 'v' | 've' | 'k' | 'ke' | ':' | ','
const EXPECTED: Record<Expecting, string> = {
  v: 'a value',
  ve: 'a value or ]',
  k: 'a name in double quotes',
  ke: 'a name in double quotes or }',
  ':': 'a colon',
  ',': 'a comma or the end of the list or object',
}

/**
 * The first thing in a text that JSON does not allow, found by a walk over its tokens without
 * recursion.
 */
export function findProblem(text: string, unique: boolean): Problem | undefined {
  const stack: (Set<string> | null)[] = [] // the names of an object, null for a list
  let expecting: Expecting = 'v'
  let position = skipSpace(text, 0)
  const problem = (what: string) => ({ position, what })
  do {
    TOKEN.lastIndex = position
    const [all, mark, string]: (string | undefined)[] = TOKEN.exec(text) ?? []
    const names = stack[stack.length - 1]
    const isName = string !== undefined && names instanceof Set
    if (unique && isName && expecting[0] === 'k') {
      const name = JSON.parse(string) as string
      if (names.has(name)) return problem(`the name ${string} stands twice in one object`)
      names.add(name)
    }
    const next: Expecting | undefined =
      all === undefined ? undefined : step(expecting, mark, isName, names)
    if (!next) return problem(`expected ${EXPECTED[expecting]}, ${found(text, position)}`)
    if (mark === '{' || mark === '[') stack.push(mark === '{' ? new Set() : null)
    if (mark === '}' || mark === ']') stack.pop()
    expecting = next
    position = skipSpace(text, position + all!.length)
  } while (stack.length > 0)
  if (position === text.length) return undefined
  return problem(`expected the end, ${found(text, position)}`)
}

/**
 * What follows a token where `expecting` stood, or undefined when the token may not stand there.
 */
function step(
  expecting: Expecting,
  mark: string | undefined,
  isName: boolean,
  names: Set<string> | null | undefined,
): Expecting | undefined {
  const mayEnd = expecting === ',' || expecting === (names ? 'ke' : 've')
  if (mark === '}') return names && mayEnd ? ',' : undefined
  if (mark === ']') return names === null && mayEnd ? ',' : undefined
  if (mark === ':') return expecting === ':' ? 'v' : undefined
  if (mark === ',') return expecting === ',' ? (names ? 'k' : 'v') : undefined
  if (expecting[0] === 'k') return isName ? ':' : undefined
  if (expecting[0] !== 'v') return undefined
  return mark === '{' ? 'ke' : mark === '[' ? 've' : ','
}

function skipSpace(text: string, position: number): number {
  SPACE.lastIndex = position
  return position + SPACE.exec(text)![0].length
}

function found(text: string, at: number): string {
  if (at >= text.length) return 'found the end of the file'
  return `found ${JSON.stringify(text.slice(at, at + 20).split('\n')[0])}`
}
