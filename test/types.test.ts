// Tests, benches and examples are run without being compiled: this is where their types are checked.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

test('tests, benches and examples have no type errors', () => {
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  const project = fileURLToPath(new URL('tsconfig.json', import.meta.url))
  const { stdout, status } = spawnSync(process.execPath, [compiler, '-p', project], {
    encoding: 'utf8',
  })
  assert.is(stdout, '')
  assert.is(status, 0)
})

test.run()
