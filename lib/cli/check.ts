import { constants } from 'node:os'
import { FEWEST, LeftIn, checkData, exampleScrubber, longPolicies } from '../data/index.js'
import type { CheckOptions, CheckReport, LedgerEntry } from '../data/index.js'
import type { AbortError } from '../errors.js'
import { outOfRange } from '../errors.js'
import { readReading } from '../generate/index.js'
import { parameterCount, presets, resolveModel, trainingFlops } from '../models/index.js'
import { Scrubber } from '../privacy/index.js'
import { openDevice } from '../tensor/index.js'
import {
  BpeTokenizer,
  END_OF_TEXT,
  chatTemplate,
  chatml,
  gpt2Tokenizer,
  plainTemplate,
  templateNames,
} from '../tokenizer/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { peakFlops } from '../train/index.js'
import { UsageError, number } from './arguments.js'
import type { Flag, Parsed, Verb } from './arguments.js'
import { clock, count, harmless, percent, plural, table } from './format.js'
import { downloadFlag } from './load.js'
import { ledgerRows } from './summary.js'

/** Flags that say what the data are and how they become examples; `train` has them too. */
export const dataFlags: Flag[] = [
  { name: 'format', value: '<name>', help: 'what the data is, where detection is wrong' },
  {
    name: 'columns',
    value: '<a=b,...>',
    help: 'which column is what, by name or number: prompt=question,completion=2',
    parse: columns,
  },
  {
    name: 'agents',
    value: '<a,b,...>',
    help: 'who answers in mails and chats: names, addresses, @shop.example',
    parse: (text) => text.split(','),
  },
  { name: 'template', value: '<name>', help: `${templateNames.join(', ')} (chatml)` },
  { name: 'learn', value: '<what>', help: 'answers or all (answers)' },
  {
    name: 'long',
    value: '<how>',
    help: `rows beyond the context: ${longPolicies.join(', ')} (auto)`,
  },
  { name: 'duplicates', value: '<how>', help: 'drop or keep (drop)' },
  {
    name: 'no-privacy',
    help: 'leave personal data in conversations',
    sets: 'privacy',
    gives: false,
  },
  { name: 'privacy', help: 'take personal data out of all rows, not only of conversations' },
]

export const check: Verb = {
  name: 'check',
  usage: '<file or folder ...> [options]',
  summary: 'say what training would learn from data, row by row',
  flags: [
    { title: 'Data', flags: dataFlags },
    {
      title: 'Against',
      flags: [
        {
          name: 'model',
          value: '<model>',
          help: "a model's tokenizer, template and context (GPT-2's)",
        },
        downloadFlag,
        {
          name: 'context',
          value: '<n>',
          help: "the longest example, in tokens (the model's, or 1024)",
          parse: number,
        },
      ],
    },
    {
      title: 'Output',
      flags: [
        {
          name: 'show',
          value: '<n>',
          help: 'print n examples, what is learned coloured',
          parse: number,
        },
        { name: 'fix', value: '<file>', help: 'write the rows that can be learned from, repaired' },
        { name: 'ledger', value: '<file>', help: 'write what becomes of each row, as JSON lines' },
        {
          name: 'force',
          help: 'replace these two files if they are there already',
          sets: 'overwrite',
        },
        { name: 'json', help: 'the report as JSON' },
      ],
    },
  ],
  examples: [
    'gptloom check chats.jsonl --show 3',
    'gptloom check tickets.csv --columns prompt=question,completion=answer --ledger rows.jsonl',
    'gptloom check chats.jsonl --fix repaired.jsonl',
  ],
  run,
}

type Reading = Awaited<ReturnType<typeof readReading>>

// Of each kind of mistake this many are printed; the ledger has all.
const PRINTED = 5

async function run(parsed: Parsed): Promise<number> {
  const stop = new AbortController()
  let code = 0
  // Nothing that has been written so far is kept; a second one, as npm sends it, changes nothing.
  const onSignal = (name: NodeJS.Signals) => {
    code = 128 + constants.signals[name]
    stop.abort()
    if (parsed.positionals.includes('-')) process.stdin.destroy() // it may never come
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  try {
    return await look(parsed, stop.signal)
  } catch (error) {
    if (!stop.signal.aborted) throw error
    const { code: name, message } = error as AbortError
    if (parsed.values.json)
      process.stdout.write(JSON.stringify({ type: 'error', code: name, message }) + '\n')
    process.stderr.write('Stopped: nothing was written\n')
    return code
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

async function look({ positionals, values }: Parsed, signal: AbortSignal): Promise<number> {
  const { json, show = 0, fix, ledger, format, columns, agents, privacy, help: _, ...rest } = values
  if (!positionals.some(Boolean)) throw new UsageError('Name the data: a file or a folder')
  if (!Number.isInteger(show))
    throw new UsageError(`Expected a number for --show, received ${show}`)
  const { model, download, template: named, context: most, ...options } = rest
  const known =
    model === undefined ? undefined : await readReading(String(model), { download: !!download })
  const { tokenizer, template, context } = await against(known, named, most)
  const print = (text: string) => json || process.stdout.write(text)
  const printed = new Map<string, number>()
  let shown = 0
  const scrubber = new Scrubber()
  const left = new LeftIn()
  const report = await checkData(positionals.length === 1 ? positionals[0]! : positionals, {
    // checkData() itself checks what was typed: long, learn, duplicates, overwrite.
    ...(options as CheckOptions),
    tokenizer,
    template,
    context,
    ...(privacy !== false && {
      scrub: exampleScrubber(scrubber, privacy === true ? 'all' : 'chats', left),
      scrubText: (text) => scrubber.scrub(text).text,
    }),
    read: {
      ...(format !== undefined && { format: format as 'chat' }),
      ...(columns !== undefined && { columns: columns as object }),
      ...(agents !== undefined && { agents: agents as string[] }),
      onNotice: ({ message }) => print(`${harmless(message)}\n`),
      signal,
    },
    fix: fix as string | undefined,
    ledger: ledger as string | undefined,
    onProblem: (entry) => {
      const key = entry.reason ?? entry.status
      const before = printed.get(key) ?? 0
      printed.set(key, before + 1)
      if (entry.status !== 'duplicate' && before < PRINTED) print(problemText(entry))
    },
    onExample: (origin, tokens, learn) => {
      if (shown++ >= (show as number)) return
      const where = `${origin.file}, ${origin.line > 0 ? `line ${origin.line}` : `row ${origin.row}`}`
      print(`\n${where}:\n${coloured(tokenizer, tokens, learn)}\n`)
    },
  })
  if (json) process.stdout.write(JSON.stringify(report) + '\n')
  else
    process.stdout.write(
      await reportText(report, context, { fix, ledger, printed, left: String(left) }),
    )
  return report.ledger.kept > 0 ? 0 : 1
}

/** `prompt=question,completion=2`: a number is a column's place in a table without names. */
function columns(text: string): unknown {
  const pairs = text.split(',').map((pair) => pair.split('=', 2))
  return Object.fromEntries(
    pairs.map(([meaning, name]) => [meaning, /^\d+$/.test(name ?? '') ? Number(name) : name]),
  )
}

/** The tokenizer, template and context to check against: a model's, or GPT-2's. */
async function against(known: Reading | undefined, named: unknown, most: unknown) {
  const own = known?.tokenizer ?? (await gpt2Tokenizer())
  const grows = own instanceof BpeTokenizer
  const usual = grows || chatml.special.every((name) => own.special.has(name))
  const vocabulary = {
    special: [...own.special.keys()],
    endOfText: own.endOfText === undefined ? undefined : END_OF_TEXT,
  }
  const template =
    named === undefined
      ? (known?.template ?? (usual ? chatml : plainTemplate))
      : chatTemplate(String(named), vocabulary)
  const tokenizer: Tokenizer = grows ? own.withSpecial(template.special) : own
  const context = most ?? known?.config.context ?? 1024
  if (!Number.isInteger(context) || (context as number) < 1)
    throw new UsageError(`Expected a positive integer for --context, received ${String(context)}`)
  if (known && (context as number) > known.config.context)
    throw outOfRange(`at most the model's ${known.config.context}`, 'context', context)
  return { tokenizer, template, context: context as number }
}

function problemText({
  file,
  line,
  row,
  column,
  reason,
  message,
  text,
  hint,
}: LedgerEntry): string {
  const place = line > 0 ? `${line}${column ? `:${column}` : ''}` : `row ${row}`
  const found = text ? `\n    ${harmless(text)}` : ''
  const remedy = hint ? `\n    -> ${hint}` : ''
  return `${file}:${place}: ${reason}: ${harmless(message ?? '')}${found}${remedy}\n`
}

function coloured(tokenizer: Tokenizer, tokens: Int32Array, learn: Uint8Array): string {
  const color = process.stdout.isTTY && !process.env.NO_COLOR
  let out = ''
  for (let from = 0, to; from < tokens.length; from = to) {
    for (to = from; to < tokens.length && learn[to] === learn[from]; to++);
    const text = harmless(tokenizer.decode(tokens.subarray(from, to)))
    if (!learn[from]) out += color ? `\x1b[2m${text}\x1b[0m` : text
    else out += color ? `\x1b[32m${text}\x1b[0m` : `«${text}»`
  }
  return out
}

async function reportText(
  report: CheckReport,
  context: number,
  options: { fix: unknown; ledger: unknown; printed: Map<string, number>; left: string },
): Promise<string> {
  const { ledger, kinds, tokens, learned, lengths, remarks } = report
  const hidden = [...options.printed].filter(([key, n]) => key !== 'duplicate' && n > PRINTED)
  const more = hidden.map(([key, n]) => `... and ${plural(n - PRINTED, 'more row')}: ${key}\n`)
  const all = hidden.length > 0 && !options.ledger ? 'All of them:  --ledger <file>\n' : ''
  const kindText = Object.entries(kinds).map(([kind, n]) => plural(n, kind))
  const { least, median, p95, most } = lengths
  const rows: [string, string][] = [
    ...ledgerRows(ledger),
    ...(options.left
      ? [['left in', `${options.left}, in plain text (--privacy takes it out)`] as [string, string]]
      : []),
    ['examples', `${count(ledger.examples)}: ${kindText.join(', ') || 'none'}`],
    [
      'tokens',
      `${count(tokens)}, of which ${count(learned)} are learned (${share(learned, tokens)})`,
    ],
    [
      'lengths',
      `${least} to ${most} tokens, median ${median}, 95 % up to ${p95}; the context is ${context}`,
    ],
    ...Object.entries(remarks).map(([remark, n]): [string, string] => [
      'note',
      `${count(n)} ${remark}`,
    ]),
    ...(tokens > 0 ? [['time', await timeText(tokens)] as [string, string]] : []),
  ]
  const warnings =
    ledger.kept < FEWEST && ledger.kept > 0
      ? `Only ${plural(ledger.kept, 'row')}: at least ${FEWEST} are wanted, and hundreds are better\n`
      : ''
  const sound = `${plural(ledger.kept, 'sound row')} written to ${String(options.fix)}\n`
  const none = `No row is sound: ${String(options.fix)} was not written\n`
  const repaired = options.fix ? (ledger.kept > 0 ? sound : none) : ''
  const ledgerText = options.ledger
    ? `What became of each row is in ${String(options.ledger)}\n`
    : ''
  return more.join('') + all + '\n' + table(rows) + warnings + repaired + ledgerText
}

function share(part: number, whole: number): string {
  return percent(whole > 0 ? part / whole : 0)
}

/** How long an epoch takes on this machine, by its measured speed. */
async function timeText(tokens: number): Promise<string> {
  const device = openDevice()
  const speed = await peakFlops(device)
  const named = (['micro', 'small', 'gpt2'] as const).filter((name) => name in presets)
  const times = named.map((name) => {
    const config = resolveModel(name, 50257)
    // A step reaches about half of what a single product does.
    const seconds = (2 * tokens * trainingFlops(config)) / speed
    const millions = (parameterCount(config) / 1e6).toFixed(0)
    return `${clock(seconds)} for ${name} (${millions} million parameters)`
  })
  return `an epoch on ${device.name} takes about ${times.join(', ')}`
}
