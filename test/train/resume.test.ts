import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { load, train } from '../../lib/index.js'
import type { TrainEvent, TrainOptions } from '../../lib/index.js'
import { contents, eventsOf, failure, fresh, nano, strays, textFile, weights } from './nano.js'

const data = textFile()
const base: Partial<TrainOptions> = {
  data,
  steps: 12,
  evaluateEvery: 4,
  keepCheckpoints: 1,
  seed: 5,
  model: { dropout: 0.1 },
}

/** Runs until an event, aborts there, and gives the error. */
async function abortAt(options: TrainOptions, when: (event: TrainEvent) => boolean) {
  const controller = new AbortController()
  const run = train({ ...options, signal: controller.signal })
  const heard = failure(run)
  const steps: number[] = []
  const error = await failure(
    (async () => {
      for await (const event of run) {
        if (event.type === 'step') steps.push(event.step)
        if (!controller.signal.aborted && when(event)) controller.abort(new Error('enough'))
      }
    })(),
  )
  assert.is(await heard, error)
  assert.is(error.name, 'AbortError')
  assert.is(error.code, 'ABORT_ERR')
  assert.is((error.cause as Error).message, 'enough')
  return { error, steps }
}

const whole = nano(base)
await train(whole)
const expected = weights(whole.output)

for (const at of [1, 3, 4, 7, 11]) {
  test(`stopped in step ${at}, saved, resumed: the bits of a run without a break`, async () => {
    const options = nano(base)
    const { error, steps } = await abortAt(
      options,
      (event) => event.type === 'step' && event.step === at,
    )
    const { saved } = error as { saved: { folder: string; step: number } }
    assert.is(saved.folder, options.output)
    // The event is read while the next step may already be under way.
    assert.ok(saved.step === at || saved.step === at + 1, `step ${saved.step}`)
    assert.is(steps.at(-1), saved.step)
    assert.equal(strays(options.output), [])
    using stopped = await load(options.output)
    assert.is(stopped.config.width, 16)
    const events = await eventsOf(train({ ...options, resume: true }))
    const { report } = events.find((event) => event.type === 'done')!
    assert.ok(report.totalSeconds > report.seconds)
    const begin = events.find((event) => event.type === 'start')!
    assert.is(begin.step, saved.step)
    assert.not.ok(events.some(({ type }) => type === 'prepare'))
    assert.ok(weights(options.output).equals(expected))
    assert.equal(readdirSync(join(options.output, 'checkpoints')), ['step-00000012'])
  })
}

test('stopped in every step, one after the other', async () => {
  const options = nano({ ...base, steps: 6, evaluateEvery: 2 })
  const reference = nano({ ...base, steps: 6, evaluateEvery: 2 })
  const { report: uninterrupted } = await train(reference)
  let runs = 0
  for (; ; runs++) {
    const controller = new AbortController()
    const run = train({ ...options, resume: true, signal: controller.signal })
    run.catch(() => {})
    try {
      for await (const event of run) if (event.type === 'step') controller.abort()
    } catch (error) {
      assert.is((error as Error).name, 'AbortError')
      continue
    }
    const { report } = await run
    for (const key of [
      'firstLoss',
      'lastLoss',
      'bestLoss',
      'bestStep',
      'trainLoss',
      'steps',
      'tokens',
    ] as const) {
      assert.is(report[key], uninterrupted[key], key)
    }
    break
  }
  assert.ok(runs >= 3, `${runs} runs were stopped`)
  assert.ok(weights(options.output).equals(weights(reference.output)))
})

test('a signal that came before the start leaves nothing', async () => {
  const options = nano({ ...base, tokenizer: { kind: 'bpe', size: 300 } })
  const error = await failure(train({ ...options, signal: AbortSignal.abort('no') }))
  assert.is(error.name, 'AbortError')
  assert.is(error.cause, 'no')
  assert.is(error.saved, undefined)
  assert.not.ok(existsSync(options.output))
  await train(options)
})

for (const phase of ['vocabulary', 'encode'] as const) {
  test(`stopped while preparing (${phase}): nothing is left, and a second try works`, async () => {
    const options = nano({
      ...base,
      data: [data, textFile()],
      tokenizer: { kind: 'bpe', size: 300 },
    })
    const { error } = await abortAt(
      options,
      (event) => event.type === 'prepare' && event.phase === phase,
    )
    assert.is(error.saved, undefined)
    assert.not.ok(existsSync(options.output))
    mkdirSync(options.output)
    await abortAt(options, (event) => event.type === 'prepare' && event.phase === phase)
    assert.equal(readdirSync(options.output), [])
    await train({ ...options, steps: 2 })
  })
}

test('stopped in the first evaluation: saved as of step 0, and it goes on to the same bits', async () => {
  const options = nano(base)
  const { error, steps } = await abortAt(options, ({ type }) => type === 'start')
  assert.equal(error.saved, { folder: options.output, step: 0 })
  assert.equal(steps, [])
  using model = await load(options.output)
  assert.ok(model.parameters > 0)
  const { report } = await train({ ...options, resume: true })
  assert.ok(report.firstLoss > report.lastLoss)
  assert.ok(weights(options.output).equals(expected))
})

test('stopped at the last step: resuming evaluates and ends', async () => {
  const options = nano(base)
  const { error } = await abortAt(options, (event) => event.type === 'step' && event.step === 12)
  assert.equal(error.saved, { folder: options.output, step: 12 })
  const events = await eventsOf(train({ ...options, resume: true }))
  assert.equal(
    events.map(({ type }) => type),
    ['start', 'evaluation', 'checkpoint', 'done'],
  )
  assert.ok(weights(options.output).equals(expected))
})

test('stopped before any evaluation and resumed with nothing left to do', async () => {
  const options = nano({ ...base, evaluateEvery: 10 })
  const { error } = await abortAt(options, (event) => event.type === 'step' && event.step === 2)
  const { step } = error.saved as { step: number }
  const { report } = await train({ ...options, steps: 2, resume: true })
  assert.is(report.steps, step)
  assert.is(report.bestStep, step)
})

test('a finished run, resumed, is done at once; with more steps it goes on', async () => {
  const options = nano(base)
  cpSync(whole.output, options.output, { recursive: true })
  const events = await eventsOf(train({ ...options, resume: true }))
  assert.equal(
    events.map(({ type }) => type),
    ['start', 'done'],
  )
  const before = contents(options.output)
  const { report, model } = await train({ ...options, resume: true })
  assert.is(report.steps, 12)
  assert.is(report.firstLoss, (await train({ ...whole, resume: true })).report.firstLoss)
  assert.ok(model.parameters > 0)
  assert.equal([...contents(options.output)], [...before], 'nothing is written')
  const fewer = await failure(train({ ...options, steps: 5, resume: true }))
  assert.instance(fewer, RangeError)
  assert.match(fewer.message, /at least 12, which the run that .* has done, for steps, received 5/)
  const longer = await eventsOf(train({ ...options, steps: 14, resume: true }))
  assert.equal(
    longer.flatMap((event) => (event.type === 'step' ? [event.step] : [])),
    [13, 14],
  )
  assert.equal(readdirSync(join(options.output, 'checkpoints')), ['step-00000014'])
})

test('resuming what is not there starts from the beginning', async () => {
  const [missing, empty] = [nano(base), nano(base)]
  mkdirSync(empty.output)
  for (const options of [missing, empty]) {
    await train({ ...options, resume: true })
    assert.ok(weights(options.output).equals(expected))
  }
})

test('resuming takes sizes, seed and batch from the run, and refuses others', async () => {
  const options = nano({ ...base, batch: undefined, steps: 3 })
  await train(options)
  const { model: _, seed: __, ...open } = options
  const events = await eventsOf(train({ ...open, steps: 4, resume: true }))
  const begin = events.find((event) => event.type === 'start')!
  assert.is(begin.model.width, 16)
  assert.is(begin.model.dropout, 0.1)
  assert.is(begin.seed, 5)
  assert.is(begin.batch, 64)

  const before = contents(options.output)
  const refused = async (change: Partial<TrainOptions>, pattern: RegExp) => {
    const error = await failure(train({ ...options, ...change, resume: true }))
    assert.instance(error, RangeError)
    assert.match(error.message, pattern)
  }
  const wide = { width: 32, layers: 1, heads: 2 }
  await refused({ model: wide }, /Expected 16, as in the run that .* for model.width, received 32/)
  await refused({ model: 'gpt2' }, /for model.layers, received 12/)
  const bare = { ...(options.model as object), preset: 'nano', bias: false } as const
  await refused({ model: bare }, /for model.bias, received false/)
  await refused({ seed: 6 }, /Expected 5, as in the run that .* for seed, received 6/)
  await refused({ validation: 0.2 }, /Expected 0.1, as in the run .* for validation, received 0.2/)
  const other = textFile(1400)
  await refused({ data: other }, /as in the run that .* for data, received ".*text.txt of \d+ byte/)
  await refused({ data: [data, other] }, /for data, received/)
  const learned = { kind: 'bpe', size: 300 } as const
  await refused({ tokenizer: learned }, /the tokenizer of the run that .*\(character, \d+ tokens\)/)
  await refused({ tokenizer: 'gpt2' }, /for tokenizer, received "gpt2"/)
  assert.equal(contents(options.output), before)

  const { data: _data, ...rest } = options
  const copy = fresh('gone.txt')
  cpSync(data, copy)
  const moved = nano({ ...rest, data: copy, output: undefined })
  await train(moved)
  rmSync(copy)
  const { report } = await train({ ...moved, steps: 4, resume: true })
  assert.is(report.steps, 4, 'the text itself is not needed again')
})

test('what a killed run left behind is removed', async () => {
  const options = nano(base)
  cpSync(whole.output, options.output, { recursive: true })
  const dead = '.model.safetensors.999999999.0.tmp'
  for (const folder of ['', 'data', 'checkpoints/step-00000012'])
    writeFileSync(join(options.output, folder, dead), 'x')
  mkdirSync(join(options.output, 'checkpoints/step-00000013.tmp'))
  writeFileSync(join(options.output, 'checkpoints/step-00000013.tmp/model.safetensors'), 'x')
  cpSync(
    join(options.output, 'checkpoints/step-00000012'),
    join(options.output, 'checkpoints/step-00000009'),
    {
      recursive: true,
    },
  )
  await train({ ...options, resume: true, steps: 13 })
  assert.equal(strays(options.output), [])
  assert.equal(readdirSync(join(options.output, 'checkpoints')), ['step-00000013'])
})

test('a killed preparation, or a run without a checkpoint yet, is begun again', async () => {
  const found = ['data', 'training.json', 'config.json', 'tokenizer.json']
  for (const kept of [found.slice(0, 1), found.slice(0, 2), found]) {
    const options = nano(base)
    cpSync(whole.output, options.output, { recursive: true })
    for (const name of readdirSync(options.output)) {
      if (!kept.includes(name)) rmSync(join(options.output, name), { recursive: true })
    }
    assert.is((await failure(train(options))).code, 'ERR_OUTPUT_EXISTS')
    await train({ ...options, resume: true })
    assert.ok(weights(options.output).equals(expected))
  }
})

test('damaged checkpoints are refused, naming the file', async () => {
  const damage = async (name: string, text: string | Buffer, pattern: RegExp) => {
    const options = nano(base)
    cpSync(whole.output, options.output, { recursive: true })
    writeFileSync(join(options.output, name), text)
    const error = await failure(train({ ...options, resume: true, steps: 14 }))
    assert.is(error.code, 'ERR_FORMAT', `${name}: ${error}`)
    assert.match(error.message, pattern)
  }
  const checkpoint = 'checkpoints/step-00000012'
  const moments = readFileSync(join(whole.output, checkpoint, 'optimizer.safetensors'))
  await damage(`${checkpoint}/state.json`, '{"step": 12', /state\.json is not valid JSON/)
  await damage(`${checkpoint}/state.json`, '[]', /state\.json is not the state/)
  await damage(`${checkpoint}/state.json`, 'null', /state\.json is not the state/)
  await damage(
    `${checkpoint}/optimizer.safetensors`,
    moments.subarray(0, moments.length - 4),
    /optimizer\.safetensors/,
  )
  await damage(
    `${checkpoint}/model.safetensors`,
    moments,
    /model\.safetensors holds no tensor "wte\.weight"/,
  )
  await damage('training.json', '{}', /training\.json/)
  await damage(
    'training.json',
    '{"model": {"vocabulary": 9}, "seed": 0}',
    /training\.json.*model\.context/,
  )
  await damage('data/text.json', '{}', /text\.json does not describe/)
})

test('the newest checkpoints are kept, and that of the best step', async () => {
  // A rate that ruins the model once it is past its warm-up.
  const wild = { learningRate: 3, warmup: 11, minLearningRate: 0, clip: 0 }
  const options = nano({ ...wild, steps: 14, evaluateEvery: 2, keepCheckpoints: 3 })
  const { report } = await train(options)
  assert.ok(report.bestStep > 0 && report.bestStep < 8, `best at ${report.bestStep}`)
  const expected = [report.bestStep, 10, 12, 14].map((n) => `step-${String(n).padStart(8, '0')}`)
  assert.equal(readdirSync(join(options.output, 'checkpoints')), expected)
  // Each is whole: with the newer ones gone, the run goes on from the best.
  for (const name of expected.slice(1))
    rmSync(join(options.output, 'checkpoints', name), { recursive: true })
  const again = await train({ ...options, steps: report.bestStep + 1, resume: true })
  assert.is(again.report.steps, report.bestStep + 1)
  assert.throws(() => train(nano({ keepCheckpoints: 0 })), /for keepCheckpoints, received 0/)
})

test('killed between the best weights and the checkpoint, resumed with other evaluations', async () => {
  // The same rates whatever the number of steps.
  const rates = { schedule: 'constant', warmup: 0 } as const
  const options = nano({ ...base, ...rates, evaluateEvery: 4, checkpointEvery: 5 })
  const { saved } = (await abortAt(options, (event) => event.type === 'step' && event.step === 5))
    .error as unknown as { saved: { step: number } }
  const checkpoints = join(options.output, 'checkpoints')
  const before = fresh()
  cpSync(checkpoints, before, { recursive: true })
  // On to the best weights of step 8; the checkpoints are those from before, as after a kill.
  await abortAt({ ...options, resume: true }, ({ type }) => type === 'evaluation')
  rmSync(checkpoints, { recursive: true })
  cpSync(before, checkpoints, { recursive: true })
  assert.ok(saved.step < 8)
  const { report, model } = await train({ ...options, resume: true, steps: 9, evaluateEvery: 9 })
  const losses = (await eventsOf(train({ ...options, output: fresh(), evaluateEvery: 1 }))).flatMap(
    (event) => (event.type === 'evaluation' ? [event] : []),
  )
  assert.is(report.bestLoss, losses.find(({ step }) => step === report.bestStep)!.loss)
  assert.is(report.bestLoss, Math.min(losses[8]!.loss, losses[9]!.loss))
  using kept = await load(options.output)
  assert.equal(await kept.network.state(), await model.network.state())
})

test('a state of a newer version is refused with the remedy; one of an older version is read', async () => {
  const options = nano(base)
  cpSync(whole.output, options.output, { recursive: true })
  const path = join(options.output, 'checkpoints/step-00000012/state.json')
  const {
    guard: _,
    format,
    ...older
  } = JSON.parse(readFileSync(path, 'utf8')) as {
    guard: object
    format: number
  }
  writeFileSync(path, JSON.stringify({ ...older, format: format + 1 }))
  const error = await failure(train({ ...options, resume: true, steps: 13 }))
  assert.is(error.code, 'ERR_FORMAT')
  assert.match(
    error.message,
    /state\.json has format 3, and this version reads up to 2: use a newer/,
  )
  writeFileSync(path, JSON.stringify(older))
  assert.is((await train({ ...options, resume: true, steps: 13 })).report.steps, 13)
})

test.run()
