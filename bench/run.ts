// npm run bench [-- kernels|train|generate|scale ...] [--only PATTERN] [--device NAME] [--json]
// [--compare REV] [--tiny] [--history FILE], npm run bench -- targets [GROUP ...], profile, --peer NAME,
// --plot: see bench/README.md.
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { addon } from '../lib/tensor/binding.js'
import { cpu, openDevice } from '../lib/tensor/index.js'
import { bench, groups } from './measure/bench.js'
import { append, compareWith, entryOf, hashOf, historyFile } from './measure/history.js'
import { profileSteps } from './measure/profile.js'
import { benchText, movesText } from './measure/text.js'
import { comparisonEntry, comparisonText, keepComparison } from './peers/alternate.js'
import { compareLlama } from './peers/llama.js'
import { compareProducts } from './peers/products.js'
import { compareTorch } from './peers/torch.js'
import type { Settings } from './peers/alternate.js'
import { plot } from './plot/plot.js'
import { runTargets, targetFolder, targetGroups } from './targets/targets.js'

const peers = {
  torch: compareTorch,
  llama: compareLlama,
  openblas: (settings: Settings) => compareProducts('openblas', settings),
  onednn: (settings: Settings) => compareProducts('onednn', settings),
}

const progress = (what: string) => void process.stderr.write(`${what} ...\n`)

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string', default: '' },
      device: { type: 'string', default: 'auto' },
      json: { type: 'boolean', default: false },
      compare: { type: 'string' },
      tiny: { type: 'boolean', default: false },
      history: { type: 'string' },
      folder: { type: 'string' },
      peer: { type: 'string' },
      plot: { type: 'boolean', default: false },
    },
  })
  return { ...values, only: new RegExp(values.only, 'i'), positionals }
}

/** The names, each being one of known; all of those where there are none. */
function chosen<Name extends string>(names: string[], known: readonly Name[]): readonly Name[] {
  const unknown = names.find((name) => !known.includes(name as Name))
  if (unknown !== undefined)
    throw new Error(`Expected ${known.join(', ')} for the group, received '${unknown}'`)
  return names.length > 0 ? (names as Name[]) : known
}

type Options = ReturnType<typeof parse>

async function runTargetGroups({ positionals, tiny, folder }: Options): Promise<void> {
  const wanted = chosen(positionals.slice(1), targetGroups)
  await runTargets(wanted, { tiny, folder, progress: (text) => console.log(text) })
}

async function comparePeer({ peer, only, tiny, json, history, folder }: Options): Promise<void> {
  const compare = Object.entries(peers).find(([name]) => name === peer)?.[1]
  if (!compare)
    throw new Error(`Expected ${Object.keys(peers).join(', ')} for --peer, received '${peer}'`)
  if (folder !== undefined) mkdirSync(folder, { recursive: true }) // before minutes of measuring
  const { threads } = addon().cpu()
  const settings = { threads, rounds: tiny ? 2 : 5, only, tiny, progress }
  const comparison = await compare(settings)
  if (comparison.rows.length === 0) throw new Error(`No case matches ${only}`)
  const entry = comparisonEntry(comparison, cpu().name)
  console.log(json ? JSON.stringify(entry) : `\n${comparisonText(comparison, threads)}`)
  if (history !== undefined || !tiny) append(history ?? historyFile, entry)
  if (folder !== undefined || !tiny)
    keepComparison(path.join(folder ?? targetFolder, 'README.md'), comparison, settings)
}

async function printProfiles({ only, tiny }: Options): Promise<void> {
  const texts = await profileSteps(only, tiny)
  if (texts.length === 0) throw new Error(`No case matches ${only}`)
  console.log(texts.join('\n\n'))
}

async function measure(options: Options): Promise<void> {
  const { only, device: name, json, compare, tiny, history, positionals } = options
  const wanted = chosen(positionals, groups)
  const device = openDevice(name)
  const measured = await bench(device, { groups: wanted, only, tiny, progress })
  device.close()
  if (measured.results.length === 0) throw new Error(`No case matches ${only}`)
  const entry = entryOf(measured)
  const moves =
    compare === undefined ? undefined : compareWith(history ?? historyFile, entry, hashOf(compare))
  if (json) console.log(JSON.stringify(moves ? { ...entry, moves } : entry))
  else {
    console.log(`\n${benchText(measured)}`)
    if (moves) console.log(`\n${movesText(moves, compare!)}`)
  }
  if (moves === null)
    console.error(`error: there is no run at ${compare} on this machine and device`)
  if (history !== undefined || !tiny) append(history ?? historyFile, entry)
  process.exitCode = moves === null ? 1 : 0
}

async function main(): Promise<void> {
  const options = parse()
  const { positionals, history = historyFile, folder = targetFolder } = options
  if (options.plot) console.log(plot(history, path.join(folder, 'plots')).join('\n'))
  else if (options.peer !== undefined) await comparePeer(options)
  else if (positionals[0] === 'targets') await runTargetGroups(options)
  else if (positionals[0] === 'profile') await printProfiles(options)
  else await measure(options)
}

main().catch((error: Error) => {
  console.error(`error: ${error.message}`)
  process.exitCode = 2
})
