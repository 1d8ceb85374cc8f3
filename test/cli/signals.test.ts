import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { quote } from '../../lib/cli/arguments.js'
import { command, ended, events, folder, fresh, run, start, tiny } from './spawn.js'

const endless = ['--steps', '10000000', '--evaluate-every', '10000000', '--sample-every', '0']

/** Starts a run and waits until it is under way. */
async function underWay(args: readonly string[]) {
  const child = start(args)
  const outcome = ended(child)
  await new Promise<void>((resolve, reject) => {
    let seen = ''
    child.stdout.on('data', (text: string) => {
      seen += text
      if (/"type":"step","step":2\d,/.test(seen)) resolve()
    })
    child.on('close', () => reject(new Error(`ended early: ${seen.slice(-2000)}`)))
  })
  return { child, outcome }
}

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends after the step, saved, and --resume goes on from there`, async () => {
    if (process.platform === 'win32') return console.log('SKIP Windows has no signals to send')
    const out = fresh()
    const { child, outcome } = await underWay([...tiny, ...endless, '--out', out, '--json'])
    child.kill(signal)
    child.kill(signal) // as npm does, which passes on what the terminal has sent already
    const { code, stdout, stderr } = await outcome
    assert.is(code, expected, stderr)
    const last = events(stdout).at(-1) as unknown as {
      type: string
      code: string
      saved: { folder: string; step: number }
    }
    assert.equal([last.type, last.code, last.saved.folder], ['error', 'ABORT_ERR', out])
    assert.match(
      stderr,
      new RegExp(`^Stopped after step ${last.saved.step}\\. The model so far is in `, 'm'),
    )
    assert.match(stderr, /^Go on with: {2}gptloom train .* --resume$/m)

    const steps = ['--steps', String(last.saved.step + 2)]
    const again = await run([...tiny, ...steps, '--out', out, '--json', '--resume'])
    assert.is(again.code, 0, again.stderr)
    const done = events(again.stdout)
      .filter(({ type }) => type === 'step')
      .map(({ step }) => step)
    assert.equal(done, [last.saved.step + 1, last.saved.step + 2])
  })
}

test('a second Ctrl-C ends at once', async () => {
  if (process.platform === 'win32') return console.log('SKIP Windows has no signals to send')
  // One step of these takes several seconds.
  const slow = ['--layers', '2', '--width', '768', '--batch', '512', '--evaluate-tokens', '8']
  const child = start([...tiny, ...endless, ...slow, '--out', fresh(), '--json'])
  const outcome = ended(child)
  const says = (stream: Readable, what: string) =>
    new Promise<void>((resolve) => {
      let text = ''
      stream.on('data', (piece: string) => (text += piece).includes(what) && resolve())
      stream.on('close', () => resolve())
    })
  // The second step follows the first at once: nothing is evaluated or saved between them.
  await says(child.stdout, '"type":"step","step":1,')
  child.kill('SIGINT')
  await says(child.stderr, 'once more to quit at once')
  await setTimeout(500) // what comes sooner may be of the same key press
  child.kill('SIGINT')
  const { code, stdout, stderr } = await outcome
  assert.is(code, 130)
  assert.not.match(stderr, /Stopped after step/)
  assert.is(events(stdout).at(-1)!.step, 1, 'the second step has not come to its end')
})

test('a closed pipe ends the run without a word, saved', async () => {
  const out = fresh()
  const { child, outcome } = await underWay([...tiny, ...endless, '--out', out, '--json'])
  child.stdout.destroy()
  const { code, stderr } = await outcome
  assert.is(code, process.platform === 'win32' ? code : 141)
  assert.is(stderr, '')
  assert.ok(existsSync(`${out}/model.safetensors`))
})

test('on a terminal one line is drawn again and again, within the width', () => {
  const columns = 60
  const words = [...command, ...tiny, '--steps', '40', '--out', fresh()].map(quote).join(' ')
  const script = spawnSync('script', ['-qec', `stty cols ${columns}; ${words}`, '/dev/null'], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '' },
  })
  if (script.error || script.status !== 0)
    return console.log('SKIP there is no `script` that makes a pseudo-terminal')
  const drawn = script.stdout
    .split(/\r\n|\r/)
    .filter((line) => line.includes('█') || line.includes('░'))
  assert.ok(
    drawn.some((line) =>
      /step \d+\/40 {2}loss \d\.\d{3} {2}val \d\.\d{3} {2}[\d.]+k? tok/.test(line),
    ),
  )
  // eslint-disable-next-line no-control-regex
  const widths = drawn.map((line) => line.replace(/\x1b\[[0-9;]*[mK]/g, '').length)
  assert.ok(Math.max(...widths) < columns, `${Math.max(...widths)} columns`)
  // What stays comes on lines of its own.
  assert.match(script.stdout, /\r\x1b\[Kstep 10 {2}validation loss \d\.\d{4}/)
  assert.match(script.stdout, /\x1b\[36m/)
})

test('NO_COLOR leaves the line without colours', () => {
  const words = [...command, ...tiny, '--steps', '4', '--out', fresh()].map(quote).join(' ')
  const script = spawnSync('script', ['-qec', words, '/dev/null'], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, TERM: 'xterm', NO_COLOR: '1' },
  })
  if (script.error || script.status !== 0)
    return console.log('SKIP there is no `script` that makes a pseudo-terminal')
  assert.match(script.stdout, /█/)
  // eslint-disable-next-line no-control-regex
  assert.not.match(script.stdout, /\x1b\[[0-9;]*m/)
})

test.run()
