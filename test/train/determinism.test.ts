import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { train } from '../../lib/index.js'
import type { EvaluationEvent, StepEvent, TrainOptions } from '../../lib/index.js'
import { Loader, TokenFile, TokenWriter } from '../../lib/data/index.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { Tape, cpu } from '../../lib/tensor/index.js'
import { eventsOf, fresh, nano, textFile, weights } from './nano.js'

const data = textFile()

async function bytes(options: Partial<TrainOptions>): Promise<Buffer> {
  const all = nano({ data, seed: 7, steps: 6, evaluateEvery: 6, ...options })
  const { model } = await train(all)
  model.dispose()
  return weights(all.output)
}

const cases: [string, Partial<TrainOptions>][] = [
  ['plain', {}],
  ['dropout and recompute', { model: { dropout: 0.2 }, recompute: true }],
  ['an output layer of its own, no biases', { model: { tied: false, bias: false } }],
  [
    'odd sizes, accumulation, dropout',
    {
      model: { width: 33, heads: 3, context: 31, layers: 2, dropout: 0.1 },
      batch: 3,
      accumulate: 3,
    },
  ],
]

for (const [name, options] of cases) {
  test(`1, 2 and 3 threads and a second run give the same bytes: ${name}`, async () => {
    const first = await bytes({ ...options, threads: 1 })
    for (const threads of [1, 2, 3])
      assert.ok(first.equals(await bytes({ ...options, threads })), `${threads} threads`)
  })
}

test('recomputing gives the bytes of keeping', async () => {
  const model = { dropout: 0.2, layers: 2 }
  assert.ok((await bytes({ model })).equals(await bytes({ model, recompute: true })))
})

test('another seed, or dropout, gives other bytes', async () => {
  const first = await bytes({})
  assert.not.ok(first.equals(await bytes({ seed: 8 })))
  assert.not.ok(first.equals(await bytes({ model: { dropout: 0.1 } })))
})

test('samples and evaluations change no weight', async () => {
  const options: Partial<TrainOptions> = { evaluateEvery: 6, checkpointEvery: 0 }
  const first = await bytes(options)
  assert.ok(
    first.equals(await bytes({ ...options, sampleEvery: 1, sampleTokens: 3, checkpointEvery: 1 })),
  )
})

test('4 x 1 and 2 x 2 sequences are the same step up to rounding', async () => {
  const runs: { steps: StepEvent[]; evaluations: EvaluationEvent[] }[] = []
  for (const [batch, accumulate] of [
    [4, 1],
    [2, 2],
    [1, 4],
  ] as const) {
    const events = await eventsOf(train(nano({ data, batch, accumulate })))
    runs.push({
      steps: events.filter((event): event is StepEvent => event.type === 'step'),
      evaluations: events.filter((event): event is EvaluationEvent => event.type === 'evaluation'),
    })
  }
  const near = (a: number, b: number) => assert.ok(Math.abs(a / b - 1) < 1e-4, `${a} is not ${b}`)
  for (const run of runs.slice(1)) {
    assert.is(run.steps.length, 12)
    for (const [i, step] of run.steps.entries()) {
      const reference = runs[0]!.steps[i]!
      near(step.loss, reference.loss)
      near(step.gradientNorm, reference.gradientNorm)
      assert.is(step.tokens, reference.tokens)
      assert.is(step.epoch, reference.epoch)
    }
    run.evaluations.forEach(({ loss }, i) => near(loss, runs[0]!.evaluations[i]!.loss))
  }
})

// The loop's arithmetic where micro-batches have unequal numbers of targets: gradients of sums, divided once.
test('accumulation over masked targets is the mean over tokens, not the mean of means', async () => {
  const config = resolveModel({ layers: 1, heads: 2, width: 16, context: 8 }, 11)
  const path = fresh('masked.tokens')
  const writer = await TokenWriter.create(path, 11)
  await writer.write(Int32Array.from({ length: 100 }, (_, i) => (i * i) % 11))
  await writer.finish(100)
  const file = await TokenFile.open(path)
  const loader = new Loader(file, { start: 0, end: 100 }, { batch: 4, context: 8, seed: 1 })
  const { tokens, targets } = await loader.batch(0)
  await file.close()
  targets.fill(-100, 1, 16) // one target is left in the first two rows
  const count = targets.filter((target) => target >= 0).length
  assert.is(count, 17)

  const gradient = async (rows: number[][], share: (targets: number) => number) => {
    const model = new GPT2(config, cpu(), 2)
    let loss = 0
    for (const [begin, end] of rows as [number, number][]) {
      using tape = new Tape()
      const upload = (values: Int32Array) =>
        cpu().tensor(values.slice(begin * 8, end * 8), [end - begin, 8])
      const sum = tape.run(() => model.loss(upload(tokens), upload(targets)))
      const some = targets.slice(begin * 8, end * 8).filter((target) => target >= 0).length
      tape.backward(sum)
      loss += (await sum.item()) * share(some)
    }
    const values = await model.wte.weight.grad!.data()
    model.dispose()
    return { loss, values: values.map((g) => g / count) }
  }
  const whole = await gradient([[0, 4]], () => 1 / count)
  const parts = await gradient(
    [
      [0, 2],
      [2, 4],
    ],
    () => 1 / count,
  )
  assert.ok(Math.abs(whole.loss - parts.loss) < 1e-6)
  const most = Math.max(...whole.values.map(Math.abs))
  whole.values.forEach((g, i) => assert.ok(Math.abs(g - parts.values[i]!) < 1e-5 * most))
  const means = await gradient(
    [
      [0, 2],
      [2, 4],
    ],
    (some) => 1 / some / 2,
  )
  assert.ok(Math.abs(means.loss - whole.loss) > 1e-4, 'the case tells the two apart')
})

test.run()
