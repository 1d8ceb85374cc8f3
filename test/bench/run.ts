// Runs the bench as npm does, at tiny sizes on the CPU.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { addon } from '../../lib/tensor/binding.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

export function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'bench/run.ts', '--tiny', '--device', 'cpu', ...args],
    { cwd: root, encoding: 'utf8' },
  )
  return { status, out: stdout, error: stderr }
}

export const cpuInfo = () => addon().cpu()
