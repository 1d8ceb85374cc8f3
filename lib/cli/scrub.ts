import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { GptloomError } from '../errors.js'
import { guarded } from '../files.js'
import {
  Pseudonyms,
  countries,
  formats,
  operators,
  reverseFile,
  scrubFile,
} from '../privacy/index.js'
import type { KindSummary, ScrubFileOptions, ScrubReport } from '../privacy/index.js'
import { UsageError, number } from './arguments.js'
import type { Flag, Parsed, Verb } from './arguments.js'
import { bytes, clock, count, harmless, measure, plural } from './format.js'

const words = (text: string) => text.split(',').map((word) => word.trim())

/** `mask`, or `email=hash,phone=mask` for single kinds. */
function operator(text: string): unknown {
  if (!text.includes('=')) return text
  return Object.fromEntries(words(text).map((word) => word.split('=', 2)))
}

const list = (name: string, value: string, help: string): Flag => ({
  name,
  value,
  help,
  parse: words,
})

export const scrub: Verb = {
  name: 'scrub',
  usage: '<in> <out> [options]',
  summary: 'take personal data and secrets out of a file',
  flags: [
    {
      title: 'What is found',
      flags: [
        list('kinds', '<list>', 'only these kinds, separated by commas (all but place)'),
        list('countries', '<list>', `whose numbers are known (${countries.join(',')})`),
        {
          name: 'threshold',
          value: '<n>',
          help: 'how sure it must be, 0 to 1 (0.5)',
          parse: number,
        },
        {
          name: 'allow',
          value: '<file>',
          help: 'texts to leave alone, one a line; @acme.com for all addresses there',
        },
        { name: 'deny', value: '<file>', help: 'texts to take out always, one a line' },
        {
          name: 'format',
          value: '<name>',
          help: `${formats.join(', ')} (by the name of the file)`,
        },
      ],
    },
    {
      title: 'What is put in its place',
      flags: [
        {
          name: 'operator',
          value: '<name>',
          help: `${operators.join(', ')} (placeholder), or email=mask,card=drop`,
          parse: operator,
        },
        {
          name: 'key',
          value: '<file>',
          help: 'pseudonyms are the same as in it, and kept in it: needed to reverse',
        },
        { name: 'reverse', help: 'put the originals back, by the key file' },
        { name: 'force', help: 'replace the output if it is there already', sets: 'overwrite' },
      ],
    },
    {
      title: 'Display',
      flags: [
        {
          name: 'no-samples',
          help: 'print counts only, nothing of what was found',
          sets: 'samples',
          gives: false,
        },
        { name: 'json', help: 'the report as a line of JSON' },
        { name: 'quiet', short: 'q', help: 'print nothing' },
      ],
    },
  ],
  examples: [
    'gptloom scrub tickets.jsonl clean.jsonl',
    'gptloom scrub chats.csv.gz clean.csv --operator person=pseudonym,email=pseudonym --key names.key',
    'gptloom scrub clean.csv chats.csv --reverse --key names.key',
    'zcat log.gz | gptloom scrub - - --kinds email,ip --operator mask > log.txt',
  ],
  run,
}

async function run({ positionals, values }: Parsed): Promise<number> {
  const { allow, deny, key, reverse, samples, json, quiet, help: _, ...options } = values
  const [input, output, ...more] = positionals
  if (input === undefined) throw new UsageError('Name the file to scrub')
  if (output === undefined) throw new UsageError('Name the file to write')
  if (more.length > 0) throw new UsageError('Give one file to read and one to write')
  // What goes to standard output is the text itself.
  const out = output === '-' ? process.stderr : process.stdout
  const print = (text: string) => (quiet && !json ? undefined : out.write(text))
  if (key !== undefined) await checkKeyPath(key as string, [input, output])
  if (reverse) {
    if (key === undefined) throw new UsageError('Name the key file: --key <file>')
    await stat(key as string).catch((error: unknown) =>
      guarded(key as string, 'read', Promise.reject(error)),
    )
    const pseudonyms = await Pseudonyms.open(key as string)
    const report = await reverseFile(input, output, pseudonyms, options as ScrubFileOptions)
    print(
      json
        ? JSON.stringify({ type: 'done', ...report }) + '\n'
        : `${count(report.rows)} rows: the originals are back\n`,
    )
    return 0
  }
  checkOperator(options.operator, key)
  const pseudonyms = key === undefined ? undefined : await Pseudonyms.open(key as string)
  // A key file that cannot be written must stop all this before there is an output that needs it.
  await pseudonyms?.save(key as string)
  const known = pseudonyms?.size ?? 0
  const report = await scrubFile(input, output, {
    ...(options as ScrubFileOptions),
    allow: allow === undefined ? undefined : await lines(allow as string),
    deny: deny === undefined ? undefined : await lines(deny as string),
    pseudonyms,
  })
  if (pseudonyms) await pseudonyms.save(key as string)
  if (samples === false) for (const kind of [...report.kinds, ...report.left]) kind.samples = []
  if (json) print(JSON.stringify({ type: 'done', ...report }) + '\n')
  else print(text(report) + keyNote(key, pseudonyms, known))
  return 0
}

/** A line of a list, without the spaces around it; empty ones say nothing. */
async function lines(path: string): Promise<string[]> {
  const text = (await guarded(path, 'read', readFile(path))).toString()
  const found = text.split('\n').map((line) => line.trim())
  return found.filter((line) => line !== '')
}

async function checkKeyPath(key: string, data: readonly string[]): Promise<void> {
  if (data.some((path) => path !== '-' && resolve(path) === resolve(key)))
    throw new GptloomError(
      'ERR_OUTPUT_EXISTS',
      `The key file ${key} cannot be the data itself. Choose another name.`,
    )
}

function checkOperator(operator: unknown, key: unknown): void {
  const used = typeof operator === 'object' ? Object.values(operator as object) : [operator]
  if (key === undefined && used.includes('pseudonym'))
    throw new UsageError('Name the file that pseudonyms are kept in: --key <file>')
}

function text(report: ScrubReport): string {
  const { rows, bytes: size, seconds, findings, kinds: found, left, dropped, malformed } = report
  const speed = seconds > 0 ? `, ${measure(size / seconds, 'B/s')}` : ''
  const head = `${plural(rows, 'line')}, ${bytes(size)} in ${clock(seconds)}${speed}: `
  if (findings === 0 && left.length === 0) return `${head}nothing found\n`
  const notes = [
    dropped > 0 ? `${plural(dropped, 'row')} left out\n` : '',
    malformed > 0
      ? `${plural(malformed, 'row')} not as the format says: scrubbed as plain text\n`
      : '',
    left.length > 0
      ? `Left, since the structure would break (names of fields, bare numbers):\n${table(left)}`
      : '',
  ]
  return `${head}${plural(findings, 'finding')}\n\n${table(found)}${notes.join('')}`
}

function table(found: readonly KindSummary[]): string {
  const width = Math.max(...found.map(({ kind }) => kind.length))
  const digits = Math.max(...found.map((entry) => count(entry.count).length))
  const rows = found.map(({ kind, count: n, samples }) => {
    const head = `  ${kind.padEnd(width)}  ${count(n).padStart(digits)}`
    const shown = samples.map(({ before, text, after }) =>
      harmless(`...${before}[[${text}]]${after}...`),
    )
    const indent = ' '.repeat(head.length)
    return shown.length === 0 ? `${head}\n` : `${head}  ${shown.join(`\n${indent}  `)}\n`
  })
  return `${rows.join('')}\n`
}

function keyNote(key: unknown, pseudonyms: Pseudonyms | undefined, known: number): string {
  if (!pseudonyms) return ''
  return (
    `${plural(pseudonyms.size - known, 'new pseudonym')}, ${count(pseudonyms.size)} in all, in ` +
    `${String(key)}. ` +
    'Who has it can undo them: keep it apart from the data.\n'
  )
}
