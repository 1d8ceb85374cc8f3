// timeout: 30
// What ends a run before its last step, and what becomes of steps whose loss is not to be trusted.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { load, train } from '../../lib/index.js'
import type { TrainEvent, TrainOptions } from '../../lib/index.js'
import { isSpike } from '../../lib/train/loop.js'
import { eventsOf, failure, fresh, nano, weights } from './nano.js'

const report = (events: TrainEvent[]) => events.find((event) => event.type === 'done')!.report
const stepsOf = (events: TrainEvent[]) => events.filter(({ type }) => type === 'step').length

test('epochs instead of steps: so many times through the data', async () => {
  const events = await eventsOf(train(nano({ steps: undefined, epochs: 0.05, batch: 2 })))
  const start = events.find((event) => event.type === 'start')!
  assert.ok(start.epochs >= 0.05 && start.epochs < 0.05 * 1.05, String(start.epochs))
  assert.is(stepsOf(events), start.steps)
  assert.ok(Math.abs(report(events).epochs - 0.05) < 0.003)
  assert.throws(() => train(nano({ epochs: 1 })), /no steps beside epochs for steps, received 12/)
  assert.throws(() => train(nano({ steps: undefined, epochs: 0 })), /for epochs, received 0/)
})

test('enough tokens: evaluated, saved, and nothing more when it is resumed', async () => {
  const options = nano({ maxTokens: 5 * 64, evaluateEvery: 4, checkpointEvery: 0 })
  const events = await eventsOf(train(options))
  assert.is(stepsOf(events), 5)
  const { stopped, steps, tokens } = report(events)
  assert.equal([stopped, steps, tokens], ['tokens', 5, 320])
  assert.equal(readdirSync(join(options.output, 'checkpoints')), ['step-00000005'])
  const kept = readFileSync(join(options.output, 'report.json'), 'utf8')
  const again = await eventsOf(train({ ...options, resume: true }))
  assert.is(stepsOf(again), 0)
  assert.is(readFileSync(join(options.output, 'report.json'), 'utf8'), kept)
  // With the bound gone it ends as a run that never had one.
  const { maxTokens: _, ...free } = options
  await eventsOf(train({ ...free, resume: true }))
  const whole = nano({ evaluateEvery: 4, checkpointEvery: 0, data: options.data })
  await eventsOf(train(whole))
  const state = (output: string) =>
    readFileSync(join(output, 'checkpoints/step-00000012/model.safetensors'))
  assert.ok(state(options.output).equals(state(whole.output)))
})

test('the time is over: after the step that it fell into', async () => {
  const options = nano({ steps: 100000, maxTime: 1.5, evaluateEvery: 1000 })
  const started = performance.now()
  const events = await eventsOf(train(options))
  assert.ok(performance.now() - started < 8000)
  assert.is(report(events).stopped, 'time')
  assert.ok(report(events).steps > 1)
  ;(await load(options.output)).dispose()
  assert.is(stepsOf(await eventsOf(train(nano({ maxTime: 0 })))), 1)
})

test('patience: so many evaluations without a lower loss', async () => {
  // So high a rate that the loss rises after a while.
  const options = nano({ steps: 400, learningRate: 0.3, warmup: 0, evaluateEvery: 5, patience: 3 })
  const events = await eventsOf(train(options))
  const { stopped, steps, bestStep } = report(events)
  assert.is(stopped, 'patience')
  assert.is(steps, bestStep + 15)
  assert.ok(steps < 400)
})

test('a spike is a loss far above those before it, or no number', () => {
  const calm = Array.from({ length: 30 }, (_, i) => 3 + 0.05 * Math.sin(i))
  assert.not.ok(isSpike(3.1, calm))
  assert.ok(isSpike(4, calm))
  assert.ok(isSpike(NaN, []) && isSpike(Infinity, calm))
  assert.not.ok(isSpike(9, calm.slice(0, 10)), 'too few to tell')
  assert.not.ok(isSpike(1e-3 * 1.05, new Array(30).fill(1e-3)), 'hardly any spread')
})

test('steps without a finite loss: skipped ones move nothing, too many end the run', async () => {
  // A rate that no weight survives.
  const wild: Partial<TrainOptions> = { learningRate: 1e30, warmup: 0, clip: 0, steps: 30 }
  const stopped = await failure(train(nano({ ...wild, evaluateEvery: 30 })))
  assert.is(stopped.code, 'ERR_DIVERGED')
  const notices: string[] = []
  const options = nano({ ...wild, onSpike: 'skip', evaluateEvery: 30 })
  const run = train(options)
  const error = await failure(
    (async () => {
      for await (const event of run) if (event.type === 'notice') notices.push(event.message)
    })(),
  )
  assert.is(error.code, 'ERR_DIVERGED')
  assert.is(notices.length, 9)
  assert.match(notices[0]!, /^Step \d+ gave a loss of .*: it was skipped$/)
  assert.ok(existsSync(join(options.output, 'model.safetensors')))
})

test('a batch unlike all others is skipped, and a run resumed behind it has the same bits', async () => {
  const path = fresh('odd.txt')
  const odd = Array.from({ length: 60 }, (_, i) =>
    String.fromCharCode(33 + ((i * i * 7) % 90)),
  ).join('')
  writeFileSync(path, 'ab'.repeat(900) + odd + 'ab'.repeat(900))
  const common = {
    data: path,
    batch: 1,
    steps: 110,
    seed: 2,
    learningRate: 1e-2,
    evaluateEvery: 110,
  }
  const whole = nano({ ...common, onSpike: 'skip' })
  const events = await eventsOf(train(whole))
  const skipped = events.flatMap((event) =>
    event.type === 'notice' ? [Number(/^Step (\d+) /.exec(event.message)![1])] : [],
  )
  assert.ok(skipped.length > 0 && skipped[0]! < 100, String(skipped))
  const norms = events.flatMap((event) => (event.type === 'step' ? [event.gradientNorm] : []))
  for (const [i, norm] of norms.entries()) assert.is(Number.isNaN(norm), skipped.includes(i + 1))
  const broken = nano({ ...common, onSpike: 'skip' })
  const controller = new AbortController()
  const run = train({ ...broken, signal: controller.signal })
  for await (const event of run)
    if (event.type === 'step' && event.step === skipped[0]! + 3) {
      controller.abort()
      break
    }
  assert.is((await failure(run)).name, 'AbortError')
  await eventsOf(train({ ...broken, resume: true }))
  assert.ok(weights(broken.output).equals(weights(whole.output)))
  const ends = await failure(train(nano({ ...common, onSpike: 'stop' })))
  assert.match(ends.message, new RegExp(`^Step ${skipped[0]} gave a loss of `))
})

test('a guarded run without spikes is the unguarded one, and may be resumed', async () => {
  const plain = nano({ accumulate: 2, seed: 1 })
  await eventsOf(train(plain))
  const guarded = nano({ ...plain, output: undefined, onSpike: 'skip', steps: 12 })
  await eventsOf(train(guarded))
  assert.ok(weights(guarded.output).equals(weights(plain.output)))
  assert.throws(() => train(nano({ onSpike: 'hide' as never })), /for onSpike, received "hide"/)
  assert.throws(() => train(nano({ patience: 0 })), /for patience, received 0/)
})

test.run()
