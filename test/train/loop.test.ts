// run: alone
// While a model is trained on all threads, the event loop of the same process stays free.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { get } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import { nano, start, finish } from './nano.js'

const milliseconds = 10

/** How long the answer took, and the step that it names. */
function ask(port: number, path = '/'): Promise<{ wait: number; step: number }> {
  const started = performance.now()
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let text = ''
      response
        .on('data', (chunk) => (text += chunk))
        .on('end', () => {
          resolve({ wait: performance.now() - started, step: Number(text.slice('step '.length)) })
        })
    }).on('error', reject)
  })
}

const title = 'event-loop lag p99 is that of a bystander'

test(`${title}, or ${milliseconds} ms more, and an HTTP server answers`, async () => {
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
  // This process waits as well, for processors that the threads of training and whatever else runs are on.
  const bystander = monitorEventLoopDelay({ resolution: 1 })
  bystander.enable()
  let steps = 0
  for (const end = performance.now() + 6000; performance.now() < end || steps < 5;) {
    const { wait, step } = await ask(port)
    waits.push(wait)
    steps = step
    await setTimeout(10)
  }
  bystander.disable()
  await ask(port, '/end')
  const { code, out, err } = await ended
  assert.is(code, 0, err)
  const last = out.trim().split('\n').at(-1)!
  const { p50, p99, max, answered, seconds, ...run } = JSON.parse(last) as Record<string, number>
  const theirs = bystander.percentile(99) / 1e6
  waits.sort((a, b) => a - b)
  const answer = (share: number) => waits[Math.floor(share * (waits.length - 1))]!.toFixed(1)
  console.log(
    `lag p50 ${p50} ms, p99 ${p99} ms, at most ${max} ms, of a bystander p99 ${theirs.toFixed(2)} ms; ` +
      `${waits.length} answers, half within ${answer(0.5)} ms, ` +
      `99 % within ${answer(0.99)} ms; ${run.steps} steps in ${seconds!.toFixed(1)} s`,
  )
  assert.is(answered, waits.length + 1)
  assert.ok(waits.length > 50)
  assert.ok(p99! < theirs + milliseconds, `p99 is ${p99} ms, a bystander's ${theirs} ms`)
})

test.run()
