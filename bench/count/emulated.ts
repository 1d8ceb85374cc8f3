// Runs ops on the emulated GPU and prints what it has counted, as JSON: a process of its own, since the
// emulator and its settings are found when a process begins. The argument is a pattern of names. Ops that are
// `cached` run only under full checks, and the others only without.
import { readFileSync, truncateSync } from 'node:fs'
import { Device } from '../../lib/tensor/index.js'
import { openGpu } from '../../lib/tensor/gpu.js'
import type { Launch } from './figures.js'
import { Make } from './make.js'
import { ops } from './ops.js'

export interface Emulated {
  name: string
  dtype: string
  launches: Launch[]
}

const file = process.env.EMULATOR_COUNTERS!
const open = (tf32: boolean) =>
  new Device('cuda', openGpu(0, { graphs: false, exact: false, tf32 }))
const [device, rounding] = [open(false), open(true)]
if (!device.name.startsWith('Emulated')) throw new Error(`${device.name} counts nothing`)
const only = new RegExp(process.argv[2] ?? '', 'i')
const counted: Emulated[] = []
const full = process.env.EMULATOR_CHECKS === 'full'
for (const { name, dtype, kernels, prepare, cached = false, tf32 = false } of ops) {
  if (!only.test(`${name} ${dtype}`) || cached !== full) continue
  const on = tf32 ? rounding : device
  const make = new Make(on, dtype)
  const run = prepare(make)
  await on.idle()
  truncateSync(file)
  run()
  await on.idle()
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  const launches = lines.map((line) => JSON.parse(line) as Launch)
  make.dispose()
  counted.push({
    name,
    dtype,
    launches: launches.filter(({ kernel }) => kernels?.test(kernel) ?? true),
  })
}
console.log(JSON.stringify(counted))
