#!/usr/bin/env node
import { nearest, show } from '../errors.js'
import { version } from '../package.js'
import { UsageError, flagsOf, inFlags, parse } from './arguments.js'
import type { Verb } from './arguments.js'
import { chat } from './chat.js'
import { check } from './check.js'
import { doctor } from './doctor.js'
import { evalVerb } from './eval.js'
import { exportVerb, importVerb } from './export.js'
import { generate } from './generate.js'
import { generalHelp, usage, verbHelp } from './help.js'
import { scrub } from './scrub.js'
import { train } from './train.js'

const verbs: readonly Verb[] = [
  check,
  scrub,
  train,
  generate,
  chat,
  evalVerb,
  exportVerb,
  importVerb,
  doctor,
]

function find(name: string): Verb {
  const verb = verbs.find((verb) => verb.name === name)
  if (verb) return verb
  const near = nearest(
    name,
    verbs.map(({ name }) => name),
  )
  throw new UsageError(
    `Unknown verb ${show(name)}${near === undefined ? '' : `: did you mean ${near}?`}`,
  )
}

async function run([first, ...rest]: readonly string[]): Promise<number> {
  if (first === undefined) {
    process.stderr.write(generalHelp(verbs))
    return 2
  }
  if (first === '--version' || first === '-v') process.stdout.write(`${version}\n`)
  else if (['help', '--help', '-h'].includes(first)) {
    process.stdout.write(rest[0] === undefined ? generalHelp(verbs) : verbHelp(find(rest[0])))
  } else return runVerb(find(first), rest)
  return 0
}

async function runVerb(verb: Verb, args: readonly string[]): Promise<number> {
  try {
    const parsed = parse(verb, args)
    if (!parsed.values.help) return await verb.run(parsed, args)
    process.stdout.write(verbHelp(verb))
    return 0
  } catch (error) {
    const message = inFlags((error as Error).message ?? String(error), flagsOf(verb))
    const isUsage = error instanceof UsageError || isArgumentMistake(error)
    const code = (error as { code?: unknown }).code ?? (isUsage ? 'ERR_USAGE' : undefined)
    if (args.includes('--json'))
      process.stdout.write(JSON.stringify({ type: 'error', code, message }) + '\n')
    printError(error, message)
    if (!isUsage) return 1
    process.stderr.write(`${usage(verb)}\nSee:   gptloom help ${verb.name}\n`)
    return 2
  }
}

/** Whether the API has refused an argument; a TypeError of any other form is a defect. */
function isArgumentMistake(error: unknown): boolean {
  return (
    (error instanceof TypeError || error instanceof RangeError) &&
    /^(Expected .* for .*, received |Unknown option )/s.test(error.message)
  )
}

function printError(error: unknown, message: string): void {
  process.stderr.write(`error: ${message.replace(/\s*\n\s*/g, ' ')}\n`)
  if (process.env.GPTLOOM_DEBUG === '1') process.stderr.write(`${(error as Error).stack ?? ''}\n`)
}

// Who has closed the other end of the pipe wants no more: end as the signal for it would, without a
// word. A run of training saves itself first.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (!['EPIPE', 'EOF', 'ERR_STREAM_DESTROYED'].includes(error.code ?? '')) throw error
  if (process.argv[2] !== 'train') process.exit(128 + 13)
})
process.stderr.on('error', () => {})

run(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    printError(error, (error as Error).message)
    process.exitCode = error instanceof UsageError ? 2 : 1
    if (process.exitCode === 2) process.stderr.write('See:   gptloom --help\n')
  },
)
