// What the verbs have in common: options as data, from which both the parser and the help page
// follow.
import { parseArgs } from 'node:util'
import { nearest, show } from '../errors.js'

export interface Flag {
  /** As it is typed, without the dashes. */
  name: string
  short?: string
  /** What stands for its value in the help page; a flag without one is a switch. */
  value?: string
  help: string
  /**
   * The name that the API has for it, and that its messages use: 'learningRate', 'model.layers'.
   * Default: name.
   */
  sets?: string
  /** What the API is given for the typed text. Default: the text. */
  parse?: (text: string) => unknown
  /** What a switch gives. Default true. */
  gives?: boolean
  /** Another spelling, not worth a line in the help page. */
  hidden?: boolean
}

export interface Verb {
  name: string
  /** What follows the verb's name. */
  usage: string
  summary: string
  flags: readonly { title: string; flags: readonly Flag[] }[]
  examples: readonly string[]
  /** Returns the exit code. */
  run(parsed: Parsed, args: readonly string[]): Promise<number>
}

export interface Parsed {
  positionals: string[]
  /** Values by the name that the API has for them. */
  values: Record<string, unknown>
}

/** A command line that cannot be understood: exit code 2. */
export class UsageError extends Error {}

export const helpFlag: Flag = { name: 'help', short: 'h', help: 'this page' }

/**
 * A number where the text is one. Anything else stays text, so that the API says what it expected:
 * there is one place that knows.
 */
export function number(text: string): unknown {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : text
}

export function flagsOf(verb: Verb): Flag[] {
  return [...verb.flags.flatMap(({ flags }) => flags), helpFlag]
}

/** @throws UsageError naming the option, and the nearest known one */
export function parse(verb: Verb, args: readonly string[]): Parsed {
  const flags = flagsOf(verb)
  const options = Object.fromEntries(
    flags.map(({ name, short, value }) => {
      const type = value === undefined ? ('boolean' as const) : ('string' as const)
      return [name, short === undefined ? { type } : { type, short }]
    }),
  )
  const { tokens, positionals } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const values: Record<string, unknown> = {}
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const flag = flags.find(({ name }) => name === token.name)
    if (!flag) throw unknownFlag(token.rawName, flags)
    values[flag.sets ?? flag.name] = valueOf(flag, token.value)
  }
  return { positionals, values }
}

function unknownFlag(typed: string, flags: readonly Flag[]): UsageError {
  const near = nearest(
    typed.replace(/^-+/, ''),
    flags.map(({ name }) => name),
  )
  return new UsageError(
    `Unknown option ${typed}${near === undefined ? '' : `: did you mean --${near}?`}`,
  )
}

function valueOf(flag: Flag, text: string | undefined): unknown {
  if (flag.value === undefined) {
    if (text === undefined) return flag.gives ?? true
    throw new UsageError(`Expected no value for --${flag.name}, received ${show(text)}`)
  }
  if (text === undefined)
    throw new UsageError(`Expected a value for --${flag.name}, received nothing`)
  return flag.parse ? flag.parse(text) : text
}

/** A message of the API with the names of its options as they are on the command line. */
export function inFlags(message: string, flags: readonly Flag[]): string {
  const known = flags
    .filter(({ hidden }) => !hidden)
    .map((flag) => ({ ...flag, sets: flag.sets ?? flag.name }))
  // The longest first: model.layers is not a part of model.
  for (const { name, sets, value } of known.sort((a, b) => b.sets.length - a.sets.length)) {
    const option = sets.replaceAll('.', '\\.')
    if (sets.includes('.'))
      message = message.replace(new RegExp(`\\b${option}\\b`, 'g'), `--${name}`)
    // Parts of it are not known here: tokenizer.size, betas[1].
    message = message.replace(
      new RegExp(` for ${option}(\\.\\w+|\\[\\d\\])?(?=, received)`),
      ` for --${name}`,
    )
    const typed = value === undefined ? name : `${name} ${value}`
    message = message.replace(new RegExp(`\`${option}(: true)?\``, 'g'), `--${typed}`)
  }
  return message
}

/** Text as one word of a POSIX shell's command line. */
export function quote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
