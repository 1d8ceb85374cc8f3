// npm run bench [-- kernels|train|generate ...] [--only PATTERN] [--device NAME] [--json]
// [--compare REV] [--tiny] [--history FILE]: see bench/README.md.
import { parseArgs } from 'node:util'
import { openDevice } from '../lib/tensor/index.js'
import { bench, groups } from './measure/bench.js'
import type { Group } from './measure/bench.js'
import { append, compareWith, entryOf, hashOf, historyFile } from './measure/history.js'
import { benchText, movesText } from './measure/text.js'

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
    },
  })
  const unknown = positionals.find((name) => !groups.includes(name as Group))
  if (unknown !== undefined)
    throw new Error(`Expected ${groups.join(', ')} for the group, received '${unknown}'`)
  return {
    ...values,
    only: new RegExp(values.only, 'i'),
    groups: positionals.length > 0 ? (positionals as Group[]) : groups,
  }
}

async function main(): Promise<void> {
  const { only, device: name, json, compare, tiny, history, groups } = parse()
  const progress = (what: string) => void process.stderr.write(`${what} ...\n`)
  const device = openDevice(name)
  const measured = await bench(device, { groups, only, tiny, progress })
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
