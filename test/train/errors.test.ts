import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { load, train } from '../../lib/index.js'
import type { TrainOptions } from '../../lib/index.js'
import { processorSeconds } from '../processor.js'
import { contents, failure, fresh, nano, strays, weights } from './nano.js'

async function refused(options: TrainOptions, code: string, pattern: RegExp) {
  const error = await failure(train(options))
  assert.is(error.name, 'GptloomError', String(error))
  assert.is(error.code, code, String(error))
  assert.match(error.message, pattern)
}

function file(name: string, bytes: string | Buffer): string {
  const path = fresh(name)
  writeFileSync(path, bytes)
  return path
}

test('an output folder that holds something is refused and not touched', async () => {
  const done = nano({ steps: 2 })
  await train(done)
  const other = fresh('notes')
  mkdirSync(other)
  writeFileSync(join(other, 'notes.txt'), 'mine')
  for (const [output, remedy] of [
    [done.output, /go on with it \(resume: true, --resume\)/],
    [other, /choose another folder/],
  ] as const) {
    const before = contents(output)
    await refused({ ...done, output }, 'ERR_OUTPUT_EXISTS', remedy)
    assert.equal(contents(output), before)
  }
  await refused({ ...done, output: other, resume: true }, 'ERR_OUTPUT_EXISTS', /is not empty/)
  assert.equal(readdirSync(other), ['notes.txt'])
  await refused({ ...done, output: join(other, 'notes.txt') }, 'ERR_FILE', /notes\.txt/)
  await refused(
    { ...done, output: join(other, 'notes.txt', 'below') },
    'ERR_FILE',
    /notes\.txt.*not a folder/,
  )
})

test('an output folder where none can be made is refused, and does not hang', async () => {
  if (existsSync('/proc/self')) await refused(nano({ output: '/proc/a/b/c' }), 'ERR_FILE', /\/proc/)
  if (process.platform !== 'win32')
    await refused(nano({ output: '/dev/null/a' }), 'ERR_FILE', /not a folder/)
})

test('tf32 is refused on a CPU, which has none', async () => {
  const error = await failure(train(nano({ device: 'cpu', precision: 'tf32' })))
  assert.instance(error, RangeError)
  assert.match(error.message, /Expected float32, which the device has, for precision, .*"tf32"/)
})

test('an output folder inside the data is refused: its files would be learned from', async () => {
  const data = fresh('texts')
  mkdirSync(data)
  writeFileSync(join(data, 'a.txt'), 'words to learn from '.repeat(100))
  for (const output of [data, join(data, 'model'), join(data, 'deep', '..', 'model')]) {
    const error = await failure(train({ ...nano({ steps: 2 }), data, output }))
    assert.instance(error, RangeError)
    assert.match(error.message, /Expected a folder outside of the data .*texts for output/)
  }
  assert.equal(readdirSync(data), ['a.txt'])
  await train({ ...nano({ steps: 2 }), data, output: `${data}-model` })
})

test('a failing run removes nothing that it did not write', async () => {
  const output = fresh('mine')
  mkdirSync(output)
  writeFileSync(join(output, 'thesis.tmp'), 'precious')
  const options = { ...nano({ steps: 2 }), data: fresh('missing.txt'), output }
  await refused(options, 'ERR_OUTPUT_EXISTS', /is not empty/)
  assert.equal(readdirSync(output), ['thesis.tmp'])
})

test('data that cannot be used leaves nothing behind, and a second try works', async () => {
  const folder = fresh('folder')
  mkdirSync(folder)
  writeFileSync(join(folder, 'image.png'), 'x')
  const mistakes: [string, string, RegExp][] = [
    [fresh('missing.txt'), 'ERR_FILE', /missing\.txt.*no such file/],
    [file('empty.txt', ''), 'ERR_DATA', /empty\.txt is empty/],
    [file('short.txt', 'too short for a context'), 'ERR_DATA', /too short: 23 tokens.*at least 17/],
    [
      file('latin.txt', Buffer.from('caf\xe9 '.repeat(200), 'latin1')),
      'ERR_DATA',
      /latin\.txt is not UTF-8.*offset 3, line 1/,
    ],
    [folder, 'ERR_DATA', /No text in .*found only: 1 \.png/],
  ]
  for (const [data, code, pattern] of mistakes) {
    for (const tokenizer of ['character', 'bpe'] as const) {
      const options = nano({ steps: 2, tokenizer })
      await refused({ ...options, data }, code, tokenizer === 'bpe' ? /./ : pattern)
      assert.not.ok(existsSync(options.output), `${code} with ${tokenizer}`)
      mkdirSync(options.output, { recursive: true })
      await refused({ ...options, data }, code, /./)
      assert.equal(readdirSync(options.output), [])
      if (tokenizer === 'character') await train(options)
    }
  }
})

test('a model too large for memory is refused before anything is made', async () => {
  const options = nano({ steps: 2 })
  const before = process.memoryUsage.rss()
  const model = { layers: 400, heads: 64, width: 16384, context: 16 }
  let error!: Awaited<ReturnType<typeof failure>>
  const seconds = await processorSeconds(async () => {
    error = await failure(train({ ...options, model }))
  })
  assert.is(error.code, 'ERR_OUT_OF_MEMORY')
  // 12 L C^2 parameters, 16 bytes each: 1288 billion.
  assert.match(
    error.message,
    /1288\d{3}\.\d million parameters in batches of 4 x 16 tokens takes about 20\d{3}\.\d GB/,
  )
  assert.match(error.message, /this machine has \d+\.\d GB/)
  assert.ok(seconds < 2, `${seconds} s`)
  assert.ok(process.memoryUsage.rss() - before < 100e6)
  assert.not.ok(existsSync(options.output))
  await train(options)
})

test('a vocabulary smaller than the tokenizer is refused', async () => {
  const options = nano()
  const error = await failure(
    train({ ...options, model: { ...(options.model as object), vocabulary: 5 } }),
  )
  assert.match(error.message, /at least the tokenizer's \d+ for model\.vocabulary, received 5/)
  assert.not.ok(existsSync(options.output))
})

const wild: Partial<TrainOptions> = { clip: 0, warmup: 0, steps: 40, evaluateEvery: 40 }

async function finite(folder: string): Promise<void> {
  using model = await load(folder)
  for (const [name, values] of await model.network.state())
    assert.ok(values.every(Number.isFinite), name)
}

test('a loss that is no number stops the run, names the step and keeps good weights', async () => {
  for (const learningRate of [1e30, 1e38]) {
    const options = nano({ ...wild, learningRate })
    const run = train(options)
    const steps: number[] = []
    const error = await failure(
      (async () => {
        for await (const event of run) if (event.type === 'step') steps.push(event.step)
      })(),
    )
    assert.is(error.code, 'ERR_DIVERGED')
    assert.match(error.message, new RegExp(`^Step ${steps.length + 1} gave a loss of `))
    assert.match(error.message, /Start again with a lower learning rate/)
    assert.ok(steps.length >= 1)
    await finite(options.output)
    assert.equal(strays(options.output), [])
    // What is resumed then begins anew, since no checkpoint was good.
    const { report } = await train({ ...options, learningRate: 1e-3, steps: 4, resume: true })
    assert.ok(report.lastLoss < report.firstLoss)
  }
})

test('a run that goes astray late keeps its checkpoint and its best weights', async () => {
  const options = nano({ ...wild, learningRate: 1e-3, steps: 8, evaluateEvery: 4 })
  await train(options)
  const before = contents(options.output)
  const error = await failure(
    train({ ...options, learningRate: 1e38, steps: 400, evaluateEvery: 400, resume: true }),
  )
  assert.is(error.code, 'ERR_DIVERGED')
  assert.match(error.message, /\(of step 8, the best so far\)/)
  assert.match(error.message, /Resume \(from .*step-00000008\)/)
  assert.equal(contents(options.output), before)
  await finite(options.output)
  const { report } = await train({ ...options, steps: 12, resume: true })
  assert.is(report.steps, 12)
})

test('a validation loss that is no number is said as such', async () => {
  const options = nano({ ...wild, learningRate: 1e38, evaluateEvery: 1 })
  const error = await failure(train(options))
  assert.is(error.code, 'ERR_DIVERGED')
  assert.match(error.message, /^After step 1 the validation loss is (NaN|Infinity|-Infinity)/)
  await finite(options.output)
})

/** A small disk, or undefined where none can be mounted. */
function disk(megabytes: number): string | undefined {
  const folder = fresh('disk')
  mkdirSync(folder)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder], {
      stdio: 'ignore',
    })
  } catch {
    return undefined
  }
  process.prependListener('exit', () => {
    try {
      execFileSync('umount', [folder], { stdio: 'ignore' })
    } catch {
      // it has been unmounted by the test
    }
  })
  return folder
}

// About 1 MB of weights and 3 MB a checkpoint.
const larger: Partial<TrainOptions> = {
  steps: 6,
  evaluateEvery: 2,
  model: { width: 64, layers: 5 },
}

/** Takes all that is left of a disk. */
function fill(folder: string): void {
  try {
    writeFileSync(join(folder, 'ballast'), Buffer.alloc(12 << 20))
  } catch (full) {
    assert.is((full as NodeJS.ErrnoException).code, 'ENOSPC')
  }
}

test('a disk that is full for a while: the run says so once, goes on and saves again', async () => {
  const folder = disk(12)
  if (!folder) return console.log('SKIP no small tmpfs can be mounted here (needs root on Linux)')
  const longer = { ...larger, steps: 12 }
  const reference = nano(longer)
  await train(reference)
  const options = nano({ ...longer, data: reference.data, output: join(folder, 'model') })
  const notices: string[] = []
  const saved: number[] = []
  const run = train(options)
  for await (const event of run) {
    if (event.type === 'notice') {
      notices.push(event.message)
      assert.equal(strays(options.output), [])
      assert.match(readdirSync(join(options.output, 'checkpoints')).join(), /^step-0000000[24]$/)
    }
    if (event.type === 'checkpoint') saved.push(event.step)
    if (event.type === 'checkpoint' && event.step === 2) fill(folder)
    if (event.type === 'step' && event.step >= 8) rmSync(join(folder, 'ballast'), { force: true })
  }
  const { report } = await run
  assert.is(notices.length, 1)
  const [notice] = notices as [string]
  assert.match(notice, /(model|optimizer)\.safetensors|state\.json/)
  assert.match(notice, /the disk is full\. Free some space/)
  assert.match(notice, /takes \d MB\. .*step-0000000[24] is whole/)
  assert.ok(notice.includes(folder) && notice.endsWith('The run goes on, and will try again'))
  assert.ok(saved.length < 6 && saved.at(-1) === 12, saved.join())
  assert.is(report.bestStep, 12)
  assert.ok(weights(options.output).equals(weights(reference.output)))
})

test('a disk that stays full: the run ends by saying so, and space lets it go on', async () => {
  const folder = disk(12)
  if (!folder) return console.log('SKIP no small tmpfs can be mounted here (needs root on Linux)')
  const reference = nano(larger)
  await train(reference)
  const options = nano({ ...larger, data: reference.data, output: join(folder, 'model') })
  const run = train(options)
  run.catch(() => {})
  const notices: string[] = []
  const error = await failure(
    (async () => {
      for await (const event of run) {
        if (event.type === 'notice') notices.push(event.message)
        if (event.type === 'checkpoint' && event.step === 2) fill(folder)
      }
    })(),
  )
  assert.is(error.code, 'ERR_FILE', String(error))
  assert.match(error.message, /the disk is full\. Free some space.* takes \d MB/)
  assert.ok(error.message.includes(folder))
  assert.ok(notices.length <= 1)
  assert.equal(strays(options.output), [])
  assert.match(readdirSync(join(options.output, 'checkpoints')).join(), /^step-0000000[24]$/)
  rmSync(join(folder, 'ballast'))
  await finite(options.output)
  await train({ ...options, resume: true })
  assert.ok(weights(options.output).equals(weights(reference.output)))
})

test('a disk too small from the start: said, and a second try after making room works', async () => {
  const folder = disk(1)
  if (!folder) return console.log('SKIP no small tmpfs can be mounted here (needs root on Linux)')
  const data = file('long.txt', 'The whale. '.repeat(300000))
  const options = nano({ ...larger, data, output: join(folder, 'model') })
  await refused(options, 'ERR_FILE', /text\.tokens.*the disk is full/)
  assert.equal(readdirSync(folder), [])
  execFileSync('mount', ['-o', 'remount,size=40m', folder])
  await train({ ...options, steps: 1, evaluateEvery: 1 })
})

test('an output that may not be written is said before the work begins', async () => {
  const folder = disk(2)
  if (!folder) return console.log('SKIP no tmpfs can be mounted here (needs root on Linux)')
  mkdirSync(join(folder, 'empty'))
  execFileSync('mount', ['-o', 'remount,ro', folder])
  for (const output of ['empty', 'new', 'new/below']) {
    const error = await failure(train(nano({ output: join(folder, output) })))
    assert.is(error.code, 'ERR_FILE')
    assert.match(error.message, /the file system is read-only/)
    assert.ok(error.message.includes(join(folder, output.split('/')[0]!)))
  }
})

test('a folder without permission is said', async () => {
  if (process.platform === 'win32') return console.log('SKIP Windows has no such permissions')
  const folder = fresh('closed')
  mkdirSync(folder, { mode: 0o555 })
  chmodSync(dirname(folder), 0o755)
  const options = nano()
  const root = process.geteuid!() === 0
  if (root) process.seteuid!(65534) // root may write everywhere
  try {
    await refused({ ...options, output: join(folder, 'model') }, 'ERR_FILE', /permission denied/)
    await refused({ ...options, output: folder }, 'ERR_FILE', /permission denied/)
  } finally {
    if (root) process.seteuid!(0)
  }
})

test.run()
