// What a run chooses by itself: how its batches fit into memory, and what 'auto' means.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { train, trainingMemory } from '../../lib/index.js'
import type { TrainEvent, TrainOptions } from '../../lib/index.js'
import { autoBatch, autoEpochs, fitMemory } from '../../lib/train/defaults.js'
import { eventsOf, failure, nano, textFile, weights } from './nano.js'

const data = textFile()
const start = (events: TrainEvent[]) => events.find((event) => event.type === 'start')!
const notices = (events: TrainEvent[]) =>
  events.flatMap((event) => (event.type === 'notice' ? [event.message] : []))
const losses = (events: TrainEvent[]) =>
  events.flatMap((event) =>
    event.type === 'step' || event.type === 'evaluation' ? [event.loss] : [],
  )

test('the largest micro-batch that fits; then recomputing; then a refusal', () => {
  const need = ({ batch, recompute }: { batch: number; recompute: boolean }) =>
    100 + batch * (recompute ? 2 : 10)
  const words = { model: 'a model', context: 16, where: 'this machine' }
  const fit = (available: number, recompute = false) =>
    fitMemory({ batch: 12, accumulate: 2, recompute }, need, available, words)
  assert.equal(fit(220), { split: { batch: 12, accumulate: 2, recompute: false } })
  assert.equal(fit(219).split, { batch: 6, accumulate: 4, recompute: false })
  assert.equal(fit(141).split, { batch: 4, accumulate: 6, recompute: false })
  assert.equal(fit(110).split, { batch: 1, accumulate: 24, recompute: false })
  assert.equal(fit(109).split, { batch: 4, accumulate: 6, recompute: true })
  assert.equal(fit(102, true).split, { batch: 1, accumulate: 24, recompute: true })
  assert.match(
    fit(109).notice!,
    /: each is run as 3 micro-batches of 4, with the same sums, and acti/,
  )
  const refused = /a model in batches of 12 x 16 tokens takes about .*, and this machine has/
  assert.throws(() => fit(101), refused)
})

test('a batch that does not fit is split: said in one line, the same losses', async () => {
  const options: Partial<TrainOptions> = { data, batch: 8, steps: 10, evaluateEvery: 5 }
  const whole = await eventsOf(train(nano(options)))
  assert.equal(notices(whole), [])
  const { model } = start(whole)
  const [four, two] = [4, 2].map((batch) => trainingMemory(model, { batch }).total)
  const narrow = await eventsOf(
    train(nano({ ...options, maxMemory: Math.ceil((four! + two!) / 2) })),
  )
  const begin = start(narrow)
  assert.equal([begin.batch, begin.accumulate], [8, 4])
  assert.is(begin.memory.total, two)
  assert.is(notices(narrow).length, 1)
  assert.match(
    notices(narrow)[0]!,
    /maxMemory has .*: each is run as 4 micro-batches of 2, with the/,
  )
  const [a, b] = [losses(whole), losses(narrow)]
  assert.is(a.length, b.length)
  for (const [i, loss] of a.entries()) assert.ok(Math.abs(loss - b[i]!) < 1e-5, `${loss} ${b[i]}`)
  const error = await failure(train(nano({ ...options, maxMemory: 1000 })))
  assert.is(error.code, 'ERR_OUT_OF_MEMORY')
  assert.throws(() => train(nano({ maxMemory: 0 })), /for maxMemory, received 0/)
})

test('auto: explained in one line, and the same as saying so', async () => {
  const asked = {
    data,
    batch: 'auto',
    epochs: 'auto',
    steps: undefined,
    learningRate: 'auto',
  } as const
  const options = nano({ ...asked, maxTokens: 640, evaluateEvery: 10 })
  const begin = start(await eventsOf(train(options)))
  const { batch, learningRate, epochs, chosen } = begin
  assert.not.match(chosen, /\n/)
  assert.match(
    chosen,
    /^learning rate 0\.001 for 0\.0 million parameters; batch \d+ .*; epochs \d+ for /,
  )
  assert.ok(Math.abs(epochs - autoEpochs(begin.data.train, begin.parameters, false)) < 0.2)
  assert.is(batch, autoBatch(64, begin.data.train, 16))
  const said = nano({
    ...options,
    output: undefined,
    batch,
    learningRate,
    epochs: Math.round(epochs),
  })
  const events = await eventsOf(train(said))
  assert.is(start(events).chosen, '')
  assert.ok(weights(said.output).equals(weights(options.output)))
  const both = () => train(nano({ epochs: 'auto' }))
  assert.throws(both, /no steps beside epochs for steps, received 12/)
  assert.throws(() => train(nano({ batch: 'much' as never })), /for batch, received "much"/)
})

test('auto: more data, fewer epochs; few data, small batches', () => {
  assert.is(autoEpochs(1e4, 124e6, true), 8)
  assert.is(autoEpochs(6e4, 124e6, true), 5)
  assert.is(autoEpochs(1e7, 124e6, true), 3)
  assert.is(autoEpochs(3e5, 1e6, false), 16)
  assert.is(autoEpochs(1e7, 1e6, false), 2)
  assert.is(autoEpochs(1e9, 1e6, false), 1)
  assert.is(autoBatch(64, 45000, 16), 64)
  assert.is(autoBatch(64, 3200, 16), 10)
  assert.is(autoBatch(4, 100, 1024), 1)
})

test.run()
