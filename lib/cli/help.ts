import { version } from '../package.js'
import { flagsOf, helpFlag } from './arguments.js'
import type { Flag, Verb } from './arguments.js'

export function generalHelp(verbs: readonly Verb[]): string {
  const width = Math.max(...verbs.map(({ name }) => name.length))
  const list = verbs.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`).join('')
  return (
    `gptloom ${version}: train your own GPT on your own text\n\n` +
    `Usage: gptloom <verb> ...\n\n${list}\n` +
    'gptloom help <verb> tells more of each; gptloom --version tells the version.\n' +
    'Environment: GPTLOOM_THREADS=<n>, GPTLOOM_DEBUG=1 for the stack of an error, NO_COLOR.\n\n' +
    `Begin with:\n${examples(verbs.map((verb) => verb.examples[0]!))}`
  )
}

export function verbHelp(verb: Verb): string {
  const column =
    Math.max(
      ...flagsOf(verb)
        .filter(({ hidden }) => !hidden)
        .map((flag) => left(flag).length),
    ) + 2
  const line = (flag: Flag) => `${left(flag).padEnd(column)}${flag.help}\n`
  const groups = [...verb.flags, { title: 'Other', flags: [helpFlag] }].map(
    ({ title, flags }) =>
      `${title}\n${flags
        .filter(({ hidden }) => !hidden)
        .map(line)
        .join('')}\n`,
  )
  return (
    `gptloom ${verb.name}: ${verb.summary}\n\n${usage(verb)}\n\n${groups.join('')}` +
    `Examples\n${examples(verb.examples)}`
  )
}

export function usage({ name, usage }: Verb): string {
  return `Usage: gptloom ${name} ${usage}`.trimEnd()
}

function left({ name, short, value }: Flag): string {
  const before = short === undefined ? '    ' : `-${short}, `
  return `  ${before}--${name}${value === undefined ? '' : ` ${value}`}`
}

function examples(list: readonly string[]): string {
  return list.map((example) => `  ${example}\n`).join('')
}
