// Results as tables for people.
import type { Ceilings } from './ceilings.js'
import type { Bench } from './bench.js'
import type { Move } from './history.js'

/** Columns side by side, the first to the left and the others to the right. */
export function columns(rows: string[][]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** 1.2 ms: three digits, in the unit that fits. */
export function duration(seconds: number): string {
  const unit = seconds >= 1 ? 's' : seconds >= 1e-3 ? 'ms' : 'us'
  const value = seconds * { s: 1, ms: 1e3, us: 1e6 }[unit]
  return `${value.toPrecision(3)} ${unit}`
}

const giga = (x: number) => (x > 0 ? (x / 1e9).toPrecision(4) : '')
const percent = (x: number) => `${(100 * x).toFixed(1)} %`

export function ceilingsText({ flops, bandwidth, read, stream }: Ceilings): string {
  const rates = Object.entries(flops).map(([dtype, rate]) => `${giga(rate)} GFLOP/s ${dtype}`)
  const what = read ? 'multiply-adds' : 'product'
  const more = read ? `, ${giga(stream!)} past the caches; read ${giga(read)} GB/s` : ''
  return `ceilings, measured now: ${what} ${rates.join(', ')}; copy ${giga(bandwidth)} GB/s${more}`
}

export function benchText({ device, ceilings, results, skipped }: Bench): string {
  const head = ['', 'time', 'spread', 'GFLOP/s', 'GB/s', 'tokens/s', 'of ceiling']
  const rows = results.map((each) => [
    each.name,
    duration(each.seconds),
    percent(each.spread),
    giga(each.flops),
    giga(each.bytes),
    each.tokens > 0 ? Math.round(each.tokens).toLocaleString('en-US') : '',
    `${percent(each.fraction)} of ${each.bound}`,
  ])
  const left = skipped.map(({ name, reason }) => `\nnot run: ${name}: ${reason}`).join('')
  return `${device}\n${ceilingsText(ceilings)}\n\n${columns([head, ...rows])}${left}`
}

export function movesText(moves: Move[], revision: string): string {
  const head = ['', `at ${revision}`, 'now', 'times as fast']
  const rows = moves.map(({ name, before, now, ratio, moved }) => [
    name,
    duration(before),
    duration(now),
    `${ratio.toFixed(2)}${moved ? '' : ' (within the noise)'}`,
  ])
  return columns([head, ...rows])
}
