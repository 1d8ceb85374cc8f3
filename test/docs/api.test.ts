// The public surface is what docs/api says, and says what it is.
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = path.join(root, 'docs', 'api')

test('docs/api is up to date', () => {
  const args = ['--import', 'tsx', 'scripts/api.ts', '--check']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
  })
  assert.is(status, 0, `${stdout}${stderr}`)
})

test('every export has a doc comment', () => {
  const reports = readdirSync(folder).filter((name) => name.endsWith('.api.md'))
  assert.ok(reports.length >= 5, reports.join())
  const silent = reports.flatMap((name) =>
    [
      ...readFileSync(path.join(folder, name), 'utf8').matchAll(
        /^\/\/ @public \(undocumented\)\n(export .*)$/gm,
      ),
    ].map(([, line]) => `${name}: ${line}`),
  )
  assert.equal(silent, [])
})

test.run()
