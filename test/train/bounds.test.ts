// What ends a run before its last step, and what becomes of steps whose loss is not to be trusted.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { load, train } from '../../lib/index.js'
import type { SpikeEvent, TrainEvent, TrainOptions } from '../../lib/index.js'
import { isSpike } from '../../lib/train/guard.js'
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
  const options = nano({ steps: 100000, maxTime: 1000, evaluateEvery: 100000 })
  const { now } = performance
  let passed = 0 // beside what passes in truth, so that a slow machine makes as many steps
  performance.now = () => now.call(performance) + passed
  const events: TrainEvent[] = []
  try {
    for await (const event of train(options)) {
      events.push(event)
      if (event.type === 'step' && event.step === 5) passed = 1e6
    }
  } finally {
    performance.now = now
  }
  assert.is(report(events).stopped, 'time')
  // Heard of when the next one has perhaps begun.
  assert.ok([5, 6].includes(report(events).steps), `${report(events).steps} steps`)
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
  const skips: SpikeEvent[] = []
  const options = nano({ ...wild, onSpike: 'skip', evaluateEvery: 30 })
  const run = train(options)
  const error = await failure(
    (async () => {
      for await (const event of run) if (event.type === 'spike') skips.push(event)
    })(),
  )
  assert.is(error.code, 'ERR_DIVERGED')
  assert.is(skips.length, 9)
  assert.ok(skips.every(({ action, rate }) => action === 'skip' && rate === 1))
  assert.ok(existsSync(join(options.output, 'model.safetensors')))
})

/** A text whose middle is unlike the rest, and a run that comes by it well after its beginning. */
function oddRun(): Partial<TrainOptions> {
  const path = fresh('odd.txt')
  const odd = Array.from({ length: 60 }, (_, i) =>
    String.fromCharCode(33 + ((i * i * 7) % 90)),
  ).join('')
  writeFileSync(path, 'ab'.repeat(900) + odd + 'ab'.repeat(900))
  const rates = { learningRate: 1e-2, evaluateEvery: 110, checkpointEvery: 10 }
  return { data: path, batch: 1, steps: 110, seed: 2, keepCheckpoints: 20, ...rates }
}

const odd = oddRun()

for (const onSpike of ['skip', 'restore', 'lower'] as const) {
  test(`a batch unlike all others (${onSpike}); stopped or killed behind it: the same bits`, async () => {
    const whole = nano({ ...odd, onSpike })
    const events = await eventsOf(train(whole))
    const spikes = events.flatMap((event) => (event.type === 'spike' ? [event] : []))
    const skipped = spikes.map(({ step }) => step)
    assert.ok(skipped.length > 0 && skipped[0]! < 100, String(skipped))
    const steps = events.flatMap((event) => (event.type === 'step' ? [event] : []))
    for (const { step, gradientNorm } of steps)
      assert.is(Number.isNaN(gradientNorm), skipped.includes(step))
    const { guard } = report(events)
    const restored = onSpike === 'restore' ? spikes.length : 0
    const rate = onSpike === 'lower' ? 0.5 ** spikes.length : 1
    assert.equal(guard, { skipped: spikes.length, restored, rate })
    const [first] = spikes
    assert.is(first!.action, onSpike)
    assert.is(first!.rate, onSpike === 'lower' ? 0.5 : 1)
    if (onSpike === 'restore') assert.is(first!.from, Math.floor((first!.step - 1) / 10) * 10)

    const broken = nano({ ...odd, onSpike })
    const controller = new AbortController()
    const run = train({ ...broken, signal: controller.signal })
    const stopAt = skipped[0]! + (skipped[0]! % 10 > 6 ? 1 : 3)
    for await (const event of run)
      if (event.type === 'step' && event.step === stopAt) {
        controller.abort()
        break
      }
    assert.is((await failure(run)).name, 'AbortError')
    // Without the checkpoint that stopping has made it is as if the run had been killed.
    const checkpoints = join(broken.output, 'checkpoints')
    const names = readdirSync(checkpoints)
    const killed = nano({ ...broken, output: fresh() })
    cpSync(broken.output, killed.output, { recursive: true })
    rmSync(join(killed.output, 'checkpoints', names.at(-1)!), { recursive: true })
    for (const options of [broken, killed]) {
      const again = await eventsOf(train({ ...options, resume: true }))
      assert.ok(weights(options.output).equals(weights(whole.output)))
      assert.equal(report(again).guard, guard)
    }
  })
}

test('the weights that a spike leads back to are those of the checkpoint', async () => {
  const whole = nano({ ...odd, onSpike: 'restore' })
  const events = await eventsOf(train(whole))
  const spike = events.find((event) => event.type === 'spike')!
  // Saved for the first time after that very step: by then it is what it began with.
  const still = nano({ ...odd, onSpike: 'restore', checkpointEvery: spike.step })
  await eventsOf(train(still))
  const state = (output: string, step: number) =>
    readFileSync(
      join(output, 'checkpoints', `step-${String(step).padStart(8, '0')}`, 'model.safetensors'),
    )
  assert.ok(state(still.output, spike.step).equals(state(still.output, 0)))
  const ends = await failure(train(nano({ ...odd, onSpike: 'stop' })))
  assert.match(ends.message, new RegExp(`^Step ${spike.step} gave a loss of `))
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
