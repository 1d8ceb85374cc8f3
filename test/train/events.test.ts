import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load, train, trainingMemory } from '../../lib/index.js'
import type { EvaluationEvent, StartEvent, StepEvent } from '../../lib/index.js'
import { EventLog } from '../../lib/train/eventlog.js'
import { eventsOf, failure, finish, fresh, nano, start, weights } from './nano.js'

test('a run tells what happens, in order, and gives a model and a report', async () => {
  const options = nano({
    steps: 8,
    sampleEvery: 8,
    sampleTokens: 5,
    samplePrompt: 'The',
    accumulate: 2,
    seed: 3,
  })
  const run = train(options)
  const events = await eventsOf(run)
  const { model, report } = await run

  // A checkpoint is written while the run goes on.
  const order = events
    .map(({ type }) => type)
    .filter((type) => type !== 'prepare' && type !== 'checkpoint')
  assert.is(
    events.findIndex(({ type }) => type !== 'prepare'),
    events.length - order.length - 2,
  )
  const saved = events.flatMap((event) => (event.type === 'checkpoint' ? [event.step] : []))
  assert.equal(saved, [4, 8])
  const steps = (n: number) => Array<string>(n).fill('step')
  assert.equal(order, [
    'start',
    'evaluation',
    ...steps(4),
    'evaluation',
    ...steps(4),
    'evaluation',
    'sample',
    'done',
  ])
  const begin = events.find((event): event is StartEvent => event.type === 'start')!
  assert.is(begin.step, 0)
  assert.is(begin.steps, 8)
  assert.is(begin.batch, 8)
  assert.is(begin.accumulate, 2)
  assert.is(begin.tokensPerStep, 2 * 4 * 16)
  assert.is(begin.parameters, model.parameters)
  assert.is(begin.seed, 3)
  assert.equal(begin.memory, trainingMemory(model.config, { batch: 4 }))
  assert.is(begin.tokenizer.kind, 'character')
  assert.is(begin.tokenizer.size, model.tokenizer.size)
  const text = readFileSync(options.data as string, 'utf8').length
  assert.is(begin.data.train + begin.data.validation, text)
  assert.is(begin.data.validation, text - Math.floor(text * 0.9))

  const taken = events.filter((event): event is StepEvent => event.type === 'step')
  for (const [i, event] of taken.entries()) {
    assert.is(event.step, i + 1)
    assert.is(event.tokens, (i + 1) * 128)
    const positive = ['loss', 'gradientNorm', 'learningRate', 'tokensPerSecond'] as const
    for (const key of positive) assert.ok(event[key] > 0, key)
    assert.ok(event.secondsLeft >= 0)
  }
  assert.is(taken.at(-1)!.secondsLeft, 0)
  // A model that knows nothing gives each token the same probability.
  assert.ok(Math.abs(taken[0]!.loss - Math.log(model.tokenizer.size)) < 0.1)

  const evaluations = events.filter(
    (event): event is EvaluationEvent => event.type === 'evaluation',
  )
  assert.equal(
    evaluations.map(({ step }) => step),
    [0, 4, 8],
  )
  for (const { loss, perplexity, bitsPerByte } of evaluations) {
    assert.ok(Math.abs(perplexity - Math.exp(loss)) < 1e-9)
    assert.ok(Math.abs(bitsPerByte - loss / Math.LN2) < 1e-9, 'a character of ASCII is a byte')
  }
  const sample = events.find((event) => event.type === 'sample')!
  assert.equal({ ...sample, text: '' }, { type: 'sample', step: 8, prompt: 'The', text: '' })
  assert.is(sample.text.length, 5)

  assert.equal(events.at(-1), { type: 'done', report })
  assert.equal(JSON.parse(readFileSync(join(options.output, 'report.json'), 'utf8')), report)
  assert.is(report.steps, 8)
  assert.is(report.tokens, 8 * 128)
  assert.is(report.firstLoss, evaluations[0]!.loss)
  assert.is(report.lastLoss, evaluations[2]!.loss)
  assert.is(report.bestLoss, Math.min(evaluations[1]!.loss, evaluations[2]!.loss))
  assert.ok(report.lastLoss < report.firstLoss)
  assert.ok(Math.abs(report.trainLoss - taken.reduce((sum, { loss }) => sum + loss, 0) / 8) < 1e-9)
  assert.is(report.seed, 3)
  assert.ok(report.utilisation > 0 && report.utilisation < 1)
  assert.ok(report.peakMemory > 10e6)
  assert.is(report.versions.node, process.versions.node)

  using loaded = await load(options.output)
  assert.equal(await loaded.network.state(), await model.network.state())
})

test('the weights kept are the best, also when the last are worse', async () => {
  // A rate that ruins the model once it is past its warm-up.
  const options = nano({
    steps: 12,
    evaluateEvery: 2,
    learningRate: 3,
    warmup: 11,
    minLearningRate: 0,
    clip: 0,
  })
  const run = train(options)
  const losses = (await eventsOf(run)).filter(
    (event): event is EvaluationEvent => event.type === 'evaluation',
  )
  const { model, report } = await run
  assert.ok(report.bestStep > 0 && report.bestStep < 12, `best at ${report.bestStep}`)
  const trained = losses.filter(({ step }) => step > 0)
  assert.is(report.bestLoss, Math.min(...trained.map(({ loss }) => loss)))
  assert.is(trained.find(({ loss }) => loss === report.bestLoss)!.step, report.bestStep)
  assert.is(report.lastLoss, losses.at(-1)!.loss)
  using saved = await load(options.output)
  assert.equal(await saved.network.state(), await model.network.state())
})

test('a run that never becomes better than its beginning gives a model all the same', async () => {
  const options = nano({ steps: 2, learningRate: 0, minLearningRate: 0, warmup: 0 })
  const { model, report } = await train(options)
  assert.is(report.lastLoss, report.firstLoss)
  assert.is(report.bestStep, 2)
  using saved = await load(options.output)
  assert.equal(await saved.network.state(), await model.network.state())
})

test('two readers see all events, and so does one that comes late', async () => {
  const run = train(nano({ steps: 3 }))
  const [first, second] = await Promise.all([eventsOf(run), eventsOf(run)])
  await run
  const late = await eventsOf(run)
  assert.ok(first.length > 5)
  assert.equal(second, first)
  assert.equal(late, first)
})

test('a reader that stops does not stop the run', async () => {
  const run = train(nano({ steps: 3 }))
  for await (const event of run) if (event.type === 'step') break
  assert.is((await run).report.steps, 3)
})

test('nobody needs to read the events', async () => {
  assert.is((await train(nano({ steps: 2 }))).report.steps, 2)
})

test('a late reader gets the last few thousand, a slow one all', async () => {
  const log = new EventLog<number>()
  const slow = log.read()
  log.push(0)
  assert.equal(await slow.next(), { done: false, value: 0 })
  for (let i = 1; i <= 20000; i++) log.push(i)
  log.end()
  const rest: number[] = []
  for await (const event of slow) rest.push(event)
  assert.is(rest.length, 20000)
  assert.equal(rest.slice(0, 2), [1, 2])
  const other = new EventLog<number>()
  for (let i = 0; i <= 20000; i++) other.push(i)
  other.end(new Error('broken'))
  const late: number[] = []
  const error = await failure(
    (async () => {
      for await (const event of other.read()) late.push(event)
    })(),
  )
  assert.is(error.message, 'broken')
  assert.is(late.at(-1), 20000)
  assert.ok(late.length >= 4096 && late.length < 20000)
})

test('a failing run rejects the promise and the events', async () => {
  const output = fresh()
  const run = train(nano({ data: fresh('missing.txt'), output }))
  const seen = await failure(eventsOf(run))
  assert.is(seen.code, 'ERR_FILE')
  assert.is(await failure(run), seen)
  assert.is(await failure(eventsOf(run)), seen)
  assert.is(await failure(run.finally(() => {})), seen)
  assert.is(await run.catch((error) => error), seen)
  assert.not.ok(existsSync(output))
})

test('a failure is an unhandled rejection only when nobody listens', async () => {
  const options = nano({ data: fresh('missing.txt') })
  const [ignored, caught, iterated] = await Promise.all(
    ['ignored', 'caught', 'iterated'].map((job) => finish(start(job, options))),
  )
  assert.is(ignored!.code, 1)
  assert.match(ignored!.err, /ERR_FILE/)
  assert.match(ignored!.err, /missing\.txt/)
  assert.equal([caught!.code, caught!.err], [0, ''])
  assert.equal([iterated!.code, iterated!.err, iterated!.out], [0, '', '"heard"\n'])
})

test('mistakes in options are thrown at once, before anything is touched', () => {
  const output = fresh()
  const fails = (options: object, pattern: RegExp, kind: Function) => {
    try {
      train({ ...nano({ output }), ...options } as never)
    } catch (error) {
      assert.instance(error, kind)
      assert.match((error as Error).message, pattern)
      assert.not.ok(existsSync(output))
      return
    }
    assert.unreachable(String(pattern))
  }
  fails({ step: 3 }, /"step".*did you mean "steps"/, TypeError)
  fails({ model: { layer: 3 } }, /"layer".*did you mean "layers"/, TypeError)
  fails({ model: 'gpt3' }, /"gpt2".*did you mean .*received "gpt3/, RangeError)
  fails(
    { model: { heads: 3, width: 16 } },
    /a multiple of model.heads \(3\) for model.width, received 16/,
    RangeError,
  )
  fails({ model: { gelu: 'relu' } }, /'tanh' or 'exact' for model.gelu, received "relu"/, RangeError)
  fails({ model: { layers: 0 } }, /model.layers, received 0/, RangeError)
  fails({ model: { context: -8 } }, /model.context, received -8/, RangeError)
  fails({ steps: 0 }, /steps, received 0/, RangeError)
  fails({ steps: '10' }, /steps, received "10"/, TypeError)
  fails({ batch: 1.5 }, /batch, received 1.5/, RangeError)
  fails({ data: '' }, /for data/, TypeError)
  fails({ data: [] }, /for data/, TypeError)
  fails({ data: ['a', 7] }, /a list of paths or an iter.* for data, received ."a", 7/, TypeError)
  fails({ data: 'a\0b' }, /without NUL bytes for data, received "a\\u0000b"/, RangeError)
  fails({ output: 'a\0b' }, /a folder without NUL bytes for output/, RangeError)
  fails({ tokenizer: { encode: 1 } }, /a Tokenizer for tokenizer, received an inst/, TypeError)
  fails({ output: undefined }, /for output, received undefined/, TypeError)
  fails({ learningRate: -1 }, /learningRate, received -1/, RangeError)
  fails(
    { learningRate: 1e-4, minLearningRate: 1e-3 },
    /minLearningRate, received 0.001/,
    RangeError,
  )
  fails({ betas: [0.9, 1] }, /betas\[1\], received 1/, RangeError)
  fails({ schedule: 'cosinus' }, /for schedule, received "cosinus"/, RangeError)
  fails({ tokenizer: 'chars' }, /for tokenizer, received "chars"/, RangeError)
  fails({ validation: 0 }, /validation, received 0/, RangeError)
  fails({ validation: 1 }, /validation, received 1/, RangeError)
  fails({ seed: -1 }, /seed, received -1/, RangeError)
  fails({ signal: {} }, /an AbortSignal for signal/, TypeError)
  fails({ resume: 'yes' }, /resume, received "yes"/, TypeError)
})

test('a device that is not there is said', async () => {
  const output = fresh()
  const error = await failure(train(nano({ device: 'cuda', output })))
  assert.is(error.code, 'ERR_NO_DRIVER')
  assert.match(
    (await failure(train(nano({ device: 'gpu', output })))).message,
    /device, received "gpu"/,
  )
  assert.not.ok(existsSync(output))
})

test('documents, a preset and a learned vocabulary', async () => {
  const options = nano({ steps: 2, tokenizer: { kind: 'bpe', size: 300 }, batch: 2 })
  const run = train({
    ...options,
    data: [options.data as string, nano().data as string],
    model: 'nano',
  })
  const begin = (await eventsOf(run)).find((event): event is StartEvent => event.type === 'start')!
  assert.equal(begin.tokenizer, { kind: 'bpe', size: 300 })
  assert.is(begin.data.documents, 2)
  assert.is(begin.model.width, 48)
  assert.ok(weights(options.output).length > 4 * begin.parameters)
})

test.run()
