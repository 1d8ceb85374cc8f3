// What only a process of its own shows: its peak memory, with some 30 MB for the loader of TypeScript, and
// how long the package as it is built, in dist/, takes to start.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { middle } from '../measure/clock.js'
import { gpt2, tinyShape } from '../measure/models.js'
import type { Cores } from './cores.js'
import { amount } from './row.js'
import type { Found, Row } from './row.js'

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** What a script of this folder prints, as JSON. */
function child<T>(script: string, argument: unknown): T {
  const loader = script.endsWith('.ts') ? ['--import', 'tsx'] : []
  const args = [...loader, at(script), JSON.stringify(argument)]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${script} ended with ${status}:\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as T
}

export async function measureMemory({ tiny }: Cores): Promise<Found> {
  const cases = [
    { shape: tiny ? tinyShape : gpt2(4, 256), recompute: false, most: tiny ? 1 : 2.9 },
    { shape: tiny ? tinyShape : gpt2(8, 1024), recompute: true, most: tiny ? 1 : 4.5 },
  ]
  const rows = cases.map(({ shape, recompute, most }) => {
    const { peak, used } = child<{ peak: number; used: number }>('peak.ts', { ...shape, recompute })
    return {
      name: `peak memory, ${shape.name}${recompute ? ', with recompute' : ''}`,
      target: { most, unit: 'GB' as const },
      value: peak / 1e9,
      detail: `resident, two steps; ${amount(used / 1e9, 'GB')} in tensors`,
    }
  })
  return { ceilings: {}, rows }
}

export async function measureStart({ tiny }: Cores): Promise<Found> {
  if (!existsSync(at('../../dist/index.js'))) throw new Error('There is no dist/: npm run build')
  const times = Array.from({ length: tiny ? 1 : 11 }, () =>
    child<{ load: number; step: number }>('first.js', {}),
  )
  const row = (name: string, most: number, figures: number[]): Row => ({
    name,
    target: { most, unit: 'ms' },
    value: middle(figures).seconds,
    detail: `median of ${figures.length}, the fastest ${amount(Math.min(...figures), 'ms')}`,
  })
  const loads = times.map(({ load }) => load)
  const steps = times.map(({ step }) => step)
  const rows = [
    row("import 'gptloom'", 40, loads),
    row('train() to the first step, a micro model', 300, steps),
  ]
  return { ceilings: {}, rows }
}
