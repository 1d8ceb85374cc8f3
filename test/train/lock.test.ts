// Two runs never write to one output folder, and a run that was killed does not bar it.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { train } from '../../lib/index.js'
import { LOCK, lockFolder } from '../../lib/train/lock.js'
import { contents, eventsOf, failure, finish, fresh, nano, start, textFile } from './nano.js'

const data = textFile()

test('a second run is refused while the first goes on, and changes nothing', async () => {
  const options = nano({ data, steps: 1e7, evaluateEvery: 1e7 })
  const child = start('train', options)
  const ended = finish(child)
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => String(chunk).includes('step') && resolve())
  })
  // The first weights are on the disk before the first step, and nothing is written from there on.
  const before = contents(options.output)
  for (const resume of [true, false]) {
    const error = await failure(train({ ...options, resume }))
    assert.is(error.code, 'ERR_OUTPUT_IN_USE')
    assert.match(error.message, new RegExp(`\\(process ${child.pid}\\) is writing to`))
  }
  assert.equal(contents(options.output), before)
  child.kill('SIGKILL')
  await ended
  assert.ok(existsSync(join(options.output, `${LOCK}.1`)), 'a killed run leaves its lock')
  await train({ ...options, steps: 2, evaluateEvery: 2, resume: true })
  assert.not.ok(existsSync(join(options.output, `${LOCK}.1`)))
})

test('of runs started at once in one process, one goes on', async () => {
  const options = nano({ data })
  const runs = await Promise.allSettled([1, 2, 3].map(() => eventsOf(train(options))))
  const codes = runs.map((run) => (run.status === 'rejected' ? run.reason.code : 'done')).sort()
  assert.equal(codes, ['ERR_OUTPUT_IN_USE', 'ERR_OUTPUT_IN_USE', 'done'])
  assert.equal(
    readdirSync(options.output).filter((name) => name.startsWith('.')),
    [],
  )
})

test('a lock of a process that is gone, or of another one with its number, is taken over', async () => {
  const folder = fresh()
  mkdirSync(folder)
  const path = join(folder, `${LOCK}.1`)
  const host = hostname()
  const dead = [
    { pid: 2 ** 22 + 1, host, started: null },
    { pid: process.pid, host, started: 'another boot/1' },
    'not JSON',
    '',
  ]
  // Without /proc a living number cannot be told from a new process of that number.
  if (!existsSync('/proc/self/stat')) dead.splice(1, 1)
  for (const holder of dead) {
    writeFileSync(path, typeof holder === 'string' ? holder : JSON.stringify(holder))
    const release = await lockFolder(folder)
    assert.equal(readdirSync(folder), [`${LOCK}.2`])
    assert.is(JSON.parse(readFileSync(join(folder, `${LOCK}.2`), 'utf8')).pid, process.pid)
    await release()
    assert.equal(readdirSync(folder), [])
  }
})

test('a lock of another machine is believed, and the remedy told', async () => {
  const folder = fresh()
  mkdirSync(folder)
  const path = join(folder, `${LOCK}.1`)
  writeFileSync(path, JSON.stringify({ pid: 1, host: 'elsewhere', started: null }))
  const error = await failure(lockFolder(folder))
  assert.is(error.code, 'ERR_OUTPUT_IN_USE')
  assert.match(
    error.message,
    /process 1 on elsewhere.*If that run is over, remove .*training\.lock\.1/,
  )
  assert.equal(readdirSync(folder), [`${LOCK}.1`])
})

test('of many who take over a dead lock at once, one gets it', async () => {
  for (let round = 0; round < 20; round++) {
    const folder = fresh()
    mkdirSync(folder)
    const dead = JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), started: null })
    writeFileSync(join(folder, `${LOCK}.7`), dead)
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)))
    assert.is(tries.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.equal(readdirSync(folder), [`${LOCK}.8`])
  }
})

test.run()
