// From what the user names to files: paths, folders, globs.
import type { Stats } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { GptloomError, wrongType } from '../../errors.js'
import { fileProblem, guarded } from '../../files.js'
import { slackChannels } from '../helpdesk/slack.js'
import { walkFolder } from '../sources.js'

/** Ends of names that are taken from folders, .gz behind them too. A file named itself may be any. */
const EXTENSIONS = [
  '.jsonl',
  '.ndjson',
  '.json',
  '.csv',
  '.tsv',
  '.parquet',
  '.mbox',
  '.txt',
  '.md',
] as const

/** Something to read. `bytes` is its size, 0 for standard input. */
export type Source =
  | { kind: 'file'; path: string; bytes: number }
  | { kind: 'slack'; path: string; bytes: number }
  | { kind: 'stdin'; path: '-'; bytes: 0 }

/**
 * The files under paths: files, folders with all data in them and below, globs (* ? [a-z] {a,b}
 * and ** for any folders), '-' for standard input. A file that several paths lead to is read once.
 *
 * @throws GptloomError('ERR_FILE') when a path is missing or cannot be read, ERR_DATA when there is
 *   no data under it
 */
export async function findSources(paths: readonly string[]): Promise<Source[]> {
  const sources: Source[] = []
  const seen = new Set<string>()
  const add = async (source: Source) => {
    const real =
      source.kind === 'stdin' ? '-' : await guarded(source.path, 'read', realpath(source.path))
    if (seen.size < seen.add(real).size) sources.push(source)
  }
  for (const path of paths) {
    if (typeof path !== 'string' || path === '') throw wrongType('a path', 'data', path)
    if (path === '-') await add({ kind: 'stdin', path: '-', bytes: 0 })
    else for (const source of await findOne(path)) await add(source)
  }
  return sources
}

async function findOne(path: string): Promise<Source[]> {
  let found: Stats
  try {
    found = await stat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || !isGlob(path)) {
      throw fileProblem(error, path, 'read')
    }
    return findGlob(path)
  }
  if (found.isFile()) return [{ kind: 'file', path, bytes: found.size }]
  if (!found.isDirectory()) {
    const hint = 'To read a stream, give - and pass it as standard input.'
    throw new GptloomError('ERR_DATA', `${path} is neither a file nor a folder. ${hint}`)
  }
  const channels = await guarded(path, 'read', slackChannels(path))
  if (channels)
    return [{ kind: 'slack', path, bytes: await sumBytes([...channels.values()].flat()) }]
  const files = await walkFolder(path, EXTENSIONS, (name) => {
    const plain = name.toLowerCase().replace(/\.gz$/, '')
    return EXTENSIONS.some((extension) => plain.endsWith(extension))
  })
  return files.map((file) => ({ kind: 'file', ...file }))
}

async function sumBytes(paths: string[]): Promise<number> {
  let sum = 0
  for (const path of paths) sum += (await guarded(path, 'read', stat(path))).size
  return sum
}

function isGlob(path: string): boolean {
  return /[*?[{]/.test(path)
}

/** Alternatives in braces make several patterns; more than these are a mistake. */
const PATTERNS = 1000

async function findGlob(glob: string): Promise<Source[]> {
  const found = new Set<string>()
  for (const pattern of expandBraces(glob.replaceAll('\\', '/'))) {
    const parts = pattern.split('/')
    const root = parts[0] === '' ? '/' : ''
    await walkGlob(root, parts.filter(Boolean), found, new Set())
  }
  const sources: Source[] = []
  for (const path of [...found].sort((a, b) => (a < b ? -1 : 1))) {
    const { size } = await guarded(path, 'read', stat(path))
    if (size > 0) sources.push({ kind: 'file', path, bytes: size })
  }
  if (sources.length > 0) return sources
  throw new GptloomError('ERR_DATA', `No file with something in it fits ${JSON.stringify(glob)}`)
}

function expandBraces(glob: string): string[] {
  let patterns = [glob]
  for (;;) {
    const next = patterns.flatMap((pattern) => {
      const match = /\{([^{}]*)\}/.exec(pattern)
      if (!match) return [pattern]
      const [before, after] = [
        pattern.slice(0, match.index),
        pattern.slice(match.index + match[0].length),
      ]
      return match[1]!.split(',').map((word) => before + word + after)
    })
    if (next.length === patterns.length && next.every((pattern, i) => pattern === patterns[i]))
      return next
    if (next.length > PATTERNS) {
      throw new GptloomError('ERR_DATA', `Too many alternatives in ${JSON.stringify(glob)}`)
    }
    patterns = next
  }
}

async function walkGlob(
  folder: string,
  parts: readonly string[],
  found: Set<string>,
  seen: Set<string>,
): Promise<void> {
  const [part, ...rest] = parts
  if (part === undefined) return
  if (part !== '**' && !isGlob(part)) return visitGlob(join(folder, part), rest, found, seen)
  if (part === '**') {
    const real = await realpath(folder || '.').catch(() => undefined)
    const key = `${real} ${rest.join('/')}`
    if (real === undefined || seen.has(key)) return // a loop of links
    seen.add(key)
    await walkGlob(folder, rest.length > 0 ? rest : ['*'], found, seen)
  }
  const entries = await readdir(folder || '.', { withFileTypes: true }).catch(() => [])
  for (const { name } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (name.startsWith('.') && !part.startsWith('.')) continue
    const path = join(folder, name)
    if (part === '**') {
      if ((await stat(path).catch(() => undefined))?.isDirectory())
        await walkGlob(path, parts, found, seen)
    } else if (matches(name, part)) await visitGlob(path, rest, found, seen)
  }
}

async function visitGlob(
  path: string,
  rest: readonly string[],
  found: Set<string>,
  seen: Set<string>,
): Promise<void> {
  const entry = await stat(path).catch(() => undefined)
  if (rest.length > 0) {
    if (entry?.isDirectory()) await walkGlob(path, rest, found, seen)
  } else if (entry?.isFile()) found.add(path)
}

/**
 * Whether a name fits a pattern of * ? and [sets]; in time linear in the product of both lengths,
 * by going back to the last star only.
 */
export function matches(name: string, pattern: string): boolean {
  const tokens = pattern.match(/\*|\?|\[!?[^\]]+\]|[^]/gu) ?? []
  const characters = [...name]
  let at = 0
  let token = 0
  let star = -1
  let mark = 0
  while (at < characters.length) {
    if (tokens[token] === '*') {
      star = token++
      mark = at
    } else if (token < tokens.length && fits(characters[at]!, tokens[token]!)) {
      at++
      token++
    } else if (star >= 0) {
      token = star + 1
      at = ++mark
    } else return false
  }
  while (tokens[token] === '*') token++
  return token === tokens.length
}

function fits(character: string, token: string): boolean {
  if (token === '?') return true
  if (token.length < 3 || token[0] !== '[') return character === token
  const isNot = token[1] === '!'
  const set = [...token.slice(isNot ? 2 : 1, -1)]
  let isIn = false
  for (let i = 0; i < set.length; i++) {
    const isRange = set[i + 1] === '-' && i + 2 < set.length
    const [low, high] = [set[i]!, isRange ? set[i + 2]! : set[i]!]
    if (character >= low && character <= high) isIn = true
    if (isRange) i += 2
  }
  return isIn !== isNot
}
