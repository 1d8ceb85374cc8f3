// run: alone
// While a model is trained on all threads, the event loop of the same process stays free.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { get } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { nano, start, finish } from './nano.js'

const milliseconds = 10

function ask(port: number, path = '/'): Promise<number> {
  const started = performance.now()
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume().on('end', () => resolve(performance.now() - started))
    }).on('error', reject)
  })
}

test(`event-loop lag p99 stays below ${milliseconds} ms, and an HTTP server answers`, async () => {
  const {
    model: _,
    threads: __,
    ...shared
  } = nano({
    steps: 100000,
    batch: 4,
    evaluateEvery: 8,
    evaluateTokens: 2048,
    sampleEvery: 8,
    sampleTokens: 16,
  })
  const child = start('serve', { ...shared, model: { preset: 'small', context: 64 } })
  const ended = finish(child)
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (line) => resolve(Number(line)))
    void ended.then(({ err }) => reject(new Error(err)))
  })
  const waits: number[] = []
  for (const end = performance.now() + 6000; performance.now() < end;) {
    waits.push(await ask(port))
    await setTimeout(10)
  }
  await ask(port, '/end')
  const { code, out, err } = await ended
  assert.is(code, 0, err)
  const last = out.trim().split('\n').at(-1)!
  const { p50, p99, max, answered, steps, seconds } = JSON.parse(last) as Record<string, number>
  waits.sort((a, b) => a - b)
  const answer = (share: number) => waits[Math.floor(share * (waits.length - 1))]!.toFixed(1)
  console.log(
    `lag p50 ${p50} ms, p99 ${p99} ms, at most ${max} ms; ` +
      `${waits.length} answers, half within ${answer(0.5)} ms, ` +
      `99 % within ${answer(0.99)} ms; ${steps} steps in ${seconds!.toFixed(1)} s`,
  )
  assert.ok(steps! >= 5, `${steps} steps`)
  assert.is(answered, waits.length + 1)
  assert.ok(waits.length > 50)
  assert.ok(p99! < milliseconds, `p99 is ${p99} ms`)
})

test.run()
