// run: alone
// timeout: 1800
//
// Mutation of the kernels that ship, on the emulated GPU: every kernel is launched by an op case, and
// every barrier, wait and condition of the source of these families is missed when it is dropped.
// Those that are not named here have mutants that nobody has looked at yet: test/mutants/survey.ts tells.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readManifest } from '../lib/tensor/gpu.js'
import { readHarmless, survey } from './mutants/survey.js'

const emulator = fileURLToPath(new URL('../build/emulator', import.meta.url))
const families = ['adamw', 'elementwise', 'random', 'reduce']

test('every barrier, wait and condition of the kernels is missed when it is dropped', async () => {
  const why = !existsSync(path.join(emulator, 'libcuda.so.1'))
    ? 'the emulated GPU is not built'
    : !readManifest()
      ? 'no kernels: npm run build:kernels'
      : ''
  if (why) {
    console.log(`\nSKIP mutation of the kernels: ${why}`)
    return
  }
  const { count, complaints } = await survey(emulator, readHarmless(), { families })
  assert.equal(complaints, [])
  assert.ok(count > 80, `${count} mutants`)
  console.log(`  mutants: ${count}`)
})

test.run()
