// npm run bench [-- kernels|train|generate ...] [--only PATTERN] [--device NAME] [--json]
// [--compare REV] [--tiny] [--history FILE], npm run bench -- targets [GROUP ...]: see bench/README.md.
import { parseArgs } from 'node:util'
import { openDevice } from '../lib/tensor/index.js'
import { bench, groups } from './measure/bench.js'
import { append, compareWith, entryOf, hashOf, historyFile } from './measure/history.js'
import { benchText, movesText } from './measure/text.js'
import { runTargets, targetGroups } from './targets/targets.js'

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

async function main(): Promise<void> {
  const { only, device: name, json, compare, tiny, history, folder, positionals } = parse()
  const progress = (what: string) => void process.stderr.write(`${what} ...\n`)
  if (positionals[0] === 'targets') {
    const wanted = chosen(positionals.slice(1), targetGroups)
    return runTargets(wanted, { tiny, folder, progress: (text) => console.log(text) })
  }
  const device = openDevice(name)
  const measured = await bench(device, {
    groups: chosen(positionals, groups),
    only,
    tiny,
    progress,
  })
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

main().catch((error: Error) => {
  console.error(`error: ${error.message}`)
  process.exitCode = 2
})
