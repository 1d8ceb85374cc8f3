// run: alone
// timeout: 1800
//
// Mutation of the kernels that ship, on the emulated GPU: every kernel is launched by an op case, and
// every barrier and wait of all families is missed when it is dropped, in each kernel that has it; so is
// every condition of the source of the families below, in all of a family's kernels at once. What those
// of attention do unnoticed nobody has looked at yet. Mutants that are listed
// as harmless are tried on the six cheapest cases that launch their kernels, all others until a case
// notices. `node --import tsx test/mutants/survey.ts` tries every mutant of every family on all cases.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readManifest } from '../lib/tensor/gpu.js'
import { readHarmless, survey } from './mutants/survey.js'

const emulator = fileURLToPath(new URL('../build/emulator', import.meta.url))
const conditions = [
  'adamw',
  'crossentropy',
  'elementwise',
  'embedding',
  'layernorm',
  'matmul',
  'random',
  'reduce',
]

test('the barriers, waits and conditions of the kernels are missed when they are dropped', async () => {
  const why = !existsSync(path.join(emulator, 'libcuda.so.1'))
    ? 'the emulated GPU is not built'
    : !readManifest()
      ? 'no kernels: npm run build:kernels'
      : ''
  if (why) {
    console.log(`\nSKIP mutation of the kernels: ${why}`)
    return
  }
  const { count, complaints } = await survey(emulator, readHarmless(), { conditions, most: 6 })
  assert.equal(complaints, [])
  assert.ok(count > 400, `${count} mutants`)
  console.log(`  mutants: ${count}`)
})

test.run()
