import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const here = path.dirname(fileURLToPath(import.meta.url))
const uvu = pathToFileURL(createRequire(import.meta.url).resolve('uvu')).href
const imports = `import { test } from '${uvu}'\n`

interface Ran {
  code: number | null
  output: string
  last: string
}

/** Runs the runner on a folder of these files. */
function run(files: Record<string, string>, { args = [] as string[], ci = false } = {}): Ran {
  const root = mkdtempSync(path.join(tmpdir(), 'gptloom-run-'))
  try {
    writeFileSync(path.join(root, 'package.json'), '{"type":"module"}')
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
      writeFileSync(path.join(root, name), text)
    }
    const env: NodeJS.ProcessEnv = { ...process.env, CI: ci ? 'true' : '', FORCE_COLOR: '1' }
    const command = ['--import', 'tsx', path.join(here, 'run.ts'), '--root', root, ...args]
    const { status, stdout, stderr } = spawnSync(process.execPath, command, {
      cwd: path.dirname(here),
      env,
      encoding: 'utf8',
      timeout: 240_000,
    })
    const output = stdout + stderr
    return { code: status, output, last: stdout.trimEnd().split('\n').at(-1)! }
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

const good = `${imports}test('one', () => {})\ntest('two', () => {})\ntest.run()\n`

test('counts the tests of all files, in folders too', () => {
  const ran = run({ 'a.test.ts': good, 'deep/er/b.test.ts': good, 'no-test.ts': 'process.exit(3)' })
  assert.is(ran.last, '4 passed, 0 failed')
  assert.is(ran.code, 0)
})

test('takes the files that the pattern names', () => {
  const ran = run(
    { 'a.test.ts': good, 'deep/b.test.ts': 'throw new Error()' },
    { args: ['a.test'] },
  )
  assert.is(ran.last, '2 passed, 0 failed')
})

test('runs that are told to end as one add up', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'gptloom-total-'))
  try {
    const args = ['--total', path.join(folder, 'total')]
    assert.is(run({ 'a.test.ts': good }, { args }).last, '2 passed, 0 failed')
    const failing = good.replace('() => {}', '() => { throw new Error() }')
    assert.is(run({ 'b.test.ts': failing }, { args }).last, '3 passed, 1 failed')
    const last = run({ 'c.test.ts': good }, { args })
    assert.equal([last.code, last.last], [0, '5 passed, 1 failed'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('no file is a failure', () => {
  const ran = run({ 'a.test.ts': good }, { args: ['nothing-is-called-this'] })
  assert.is(ran.last, '0 passed, 1 failed')
  assert.is(ran.code, 1)
})

test('a failing test is counted and its output shown', () => {
  const bad = "test('bad', () => { throw new Error('what went wrong') })"
  const text = `${imports}test('fine', () => {})\n${bad}\ntest.run()\n`
  const ran = run({ 'a.test.ts': text, 'b.test.ts': good })
  assert.is(ran.last, '3 passed, 1 failed')
  assert.is(ran.code, 1)
  assert.match(ran.output, 'what went wrong')
  assert.match(ran.output, /FAIL {2}a\.test\.ts: .*1 of 2 tests/)
})

const one = "test('one', () => {})\ntest.run()\n"

test('ways of passing without having run are failures', () => {
  const ran = run({
    'zero.test.ts': `${imports}test.run()\n`,
    'missing.test.ts': `${imports}test('never runs', () => {})\n`,
    'before.test.ts': `${imports}test.before(() => { throw new Error('hook') })\n${one}`,
    'claims.test.ts': `console.log('  Total:     2')\nconsole.log('  Passed:    2')\n`,
  })
  assert.is(ran.last, '0 passed, 4 failed')
  assert.is(ran.code, 1)
  assert.match(ran.output, 'FAIL  zero.test.ts: ran no test')
  assert.match(ran.output, 'FAIL  missing.test.ts: printed no summary')
  assert.match(ran.output, 'FAIL  before.test.ts: 1 of 1 tests failed or did not run')
  assert.match(ran.output, 'FAIL  claims.test.ts: printed no summary')
})

test('a crash, an exit code and a promise that never settles are failures', () => {
  const crash =
    process.platform === 'win32' ? 'process.abort()' : "process.kill(process.pid, 'SIGSEGV')"
  const ran = run({
    'crash.test.ts': `${imports}test('one', async () => {
  ${crash}
  await new Promise((resolve) => setTimeout(resolve, 9000))
})
test.run()\n`,
    'code.test.ts': `${imports}process.on('exit', () => { process.exitCode = 7 })\n${one}`,
    'never.test.ts': `${imports}test('one', () => new Promise(() => {}))\ntest.run()\n`,
  })
  assert.is(ran.last, '1 passed, 3 failed')
  if (process.platform !== 'win32')
    assert.match(ran.output, /FAIL {2}crash\.test\.ts: was ended by SIGSEGV/)
  assert.match(ran.output, /FAIL {2}code\.test\.ts: exit code 7/)
  assert.match(ran.output, /FAIL {2}never\.test\.ts: exit code/)
})

test('a hang ends at the timeout', () => {
  const text = `// timeout: 2\n${imports}test('one', () => { for (;;); })\ntest.run()\n`
  const ran = run({ 'hang.test.ts': text })
  assert.is(ran.last, '0 passed, 1 failed')
  assert.match(ran.output, 'FAIL  hang.test.ts: did not end within 2 s')
})

test('a process left behind does not hold the runner up', () => {
  const text = `import { spawn } from 'node:child_process'\n${good}
spawn(process.execPath, ['-e', 'setTimeout(() => {}, 50000)'], { stdio: 'inherit' }).unref()\n`
  const started = performance.now()
  const ran = run({ 'a.test.ts': text })
  assert.is(ran.last, '2 passed, 0 failed')
  assert.ok(performance.now() - started < 30_000)
})

test('files that ask for it run alone', () => {
  const text = `// run: alone\nimport fs from 'node:fs'\n${imports}
const mark = process.argv[1].replace(/[^\\\\/]*$/, 'mark')
test('alone', async () => {
  fs.writeFileSync(mark, '', { flag: 'wx' })
  await new Promise((resolve) => setTimeout(resolve, 500))
  fs.unlinkSync(mark)
})
test.run()\n`
  assert.is(
    run({ 'a.test.ts': text, 'b.test.ts': text, 'c.test.ts': text }).last,
    '3 passed, 0 failed',
  )
})

test('a skip is listed, and a failure under CI', () => {
  const text = `${imports}test('zero', () => console.log('SKIP no such tool'))\n${one}`
  const ran = run({ 'a.test.ts': text })
  assert.is(ran.last, '2 passed, 0 failed, 1 skipped')
  assert.is(ran.code, 0)
  assert.match(ran.output, 'a.test.ts: no such tool')
  const strict = run({ 'a.test.ts': text }, { ci: true })
  assert.is(strict.last, '2 passed, 1 failed, 1 skipped')
  assert.is(strict.code, 1)
  const only = run({ 'a.test.ts': good.replace("test('two'", "test.only('two'") })
  assert.is(only.last, '1 passed, 0 failed, 1 skipped')
})

test.run()
