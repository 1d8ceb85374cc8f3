// timeout: 3600
//
// Mutation of the kernels that ship, on the emulated GPU: every kernel is launched by an op case, and
// every barrier, wait and condition of all families is missed when it is dropped. A barrier or a wait
// is dropped in one kernel at a time; a condition of the source in all kernels of its family at once, be
// they templates of several types and sizes: one that notices is enough. Mutants that are listed as
// harmless are tried on the six cheapest cases that launch their kernels, all others until a case
// notices. `node --import tsx test/mutants/survey.ts` tries each of the former on all cases.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readManifest } from '../lib/tensor/gpu.js'
import { readHarmless, survey } from './mutants/survey.js'

const emulator = fileURLToPath(new URL('../build/emulator', import.meta.url))

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
  const { count, complaints } = await survey(emulator, readHarmless(), { most: 6 })
  assert.equal(complaints, [])
  assert.ok(count > 1000, `${count} mutants`)
  console.log(`  mutants: ${count}`)
})

test.run()
