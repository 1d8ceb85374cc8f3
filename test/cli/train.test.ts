import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { book, events, fresh, run, tiny } from './spawn.js'

const trained = fresh()

test('train says what it does, line by line without escape codes, and how to go on', async () => {
  const { code, stdout, stderr } = await run([
    ...tiny,
    '--out',
    trained,
    '--steps',
    '6',
    '--seed',
    '3',
  ])
  assert.is(code, 0, stderr)
  assert.is(stderr, '')
  // eslint-disable-next-line no-control-regex
  assert.not.match(stdout, /[\x1b\r]/)
  assert.match(stdout, /^ {2}device {2,}CPU/m)
  assert.match(stdout, /^ {2}model {2,}1 layer, 2 heads, width 8, context 8$/m)
  assert.match(stdout, /^ {2}memory {2,}about .*weights .*gradients .*optimizer .*activations/m)
  assert.match(stdout, /^ {2}training {2,}6 steps of 16 tokens \(2 sequences\)/m)
  assert.match(stdout, /^step 0 {2}validation loss \d\.\d{4}/m)
  assert.match(stdout, /^step 6 {2}validation loss \d\.\d{4}/m)
  assert.match(stdout, /^ {2}tokens {2,}96 in 6 steps$/m)
  assert.match(stdout, /^ {2}seed {2,}3$/m)
  assert.ok(stdout.includes(`gptloom generate ${trained} `))
})

test('the summary repeats the report that is in the folder', async () => {
  const report = JSON.parse(readFileSync(join(trained, 'report.json'), 'utf8'))
  assert.is(report.steps, 6)
  assert.is(report.seed, 3)
  assert.is(report.model.width, 8)
})

test('generate continues a prompt, from an argument and from standard input', async () => {
  const sampling = ['--max-tokens', '12', '--seed', '1', '--top-k', '5']
  const typed = await run(['generate', trained, 'the ', ...sampling])
  assert.is(typed.code, 0, typed.stderr)
  assert.match(typed.stdout, /^the .{12}\n$/)
  // Ends of lines are not in the vocabulary: this also shows that the last one is taken off.
  assert.equal(await run(['generate', trained, ...sampling], 'the \n'), typed)
  assert.equal(await run(['generate', trained, '-', ...sampling], 'the '), typed)
  const without = await run(['generate', trained, 'the ', '--no-prompt', ...sampling])
  assert.is('the ' + without.stdout, typed.stdout)
  const written = typed.stdout.slice('the '.length, -1)
  const stop = ['--stop', written[5]!]
  const stopped = await run(['generate', trained, 'the ', '--no-prompt', ...stop, ...sampling])
  assert.is(stopped.stdout.trimEnd(), written.slice(0, written.indexOf(written[5]!)).trimEnd())
  const penalised = ['--presence-penalty', '100', '--frequency-penalty', '100', '--top-k', '1']
  const varied = await run(
    ['generate', trained, '--max-tokens', '9', '--no-prompt', ...penalised],
    't',
  )
  assert.is(new Set(varied.stdout.slice(0, 9)).size, 9, varied.stdout)
  const json = await run(['generate', trained, 'the ', '--json', ...sampling])
  const list = events(json.stdout)
  const pieces = list
    .filter(({ type }) => type === 'text')
    .map(({ text }) => text)
    .join('')
  assert.is(`the ${pieces}\n`, typed.stdout)
  const { seconds, ...last } = list.at(-1)!
  assert.equal(last, { type: 'done', prompt: 'the ', text: pieces, seed: 1 })
  assert.type(seconds, 'number')
})

test('generate tells its mistakes', async () => {
  const cases: [string[], number, RegExp][] = [
    [[], 2, /Name the folder of a model/],
    [[trained, 'two', 'words'], 2, /put it in quotes/],
    [
      [trained, 'the', '--max-tokens', '0'],
      2,
      /Expected an integer of at least 1 for --max-tokens, received 0/,
    ],
    [
      [trained, 'the', '--temperature', 'hot'],
      2,
      /Expected a number from 0 to 100 for --temperature, received "hot"/,
    ],
    [[trained, 'the', '--topk', '3'], 2, /Unknown option --topk: did you mean --top-k\?/],
    [[trained, 'Zß'], 1, /^error: /],
    [[fresh(), 'the'], 1, /^error: /],
  ]
  const outcomes = await Promise.all(cases.map(([args]) => run(['generate', ...args])))
  for (const [i, [args, code, message]] of cases.entries()) {
    assert.is(outcomes[i]!.code, code, args.join(' '))
    assert.match(outcomes[i]!.stderr, message)
    assert.is(outcomes[i]!.stdout, '')
  }
  const unknown = await run(['generate', trained], '\ufffd') // not in the vocabulary
  assert.is(unknown.code, 1)
})

test('--json prints every event as a line, in order, and nothing else', async () => {
  const { code, stdout, stderr } = await run([
    ...tiny,
    '--out',
    fresh(),
    '--steps',
    '4',
    '--evaluate-every',
    '2',
    '--json',
  ])
  assert.is(code, 0, stderr)
  assert.is(stderr, '')
  const list = events(stdout)
  const order = list.map(({ type, step }) => (step === undefined ? type : `${type} ${step}`))
  // A checkpoint is written beside the steps that follow, and told when it is whole.
  const saved = order.filter((name) => name.startsWith('checkpoint'))
  assert.equal(saved, ['checkpoint 2', 'checkpoint 4'])
  for (const step of [2, 4]) {
    assert.ok(order.indexOf(`checkpoint ${step}`) > order.indexOf(`step ${step}`), order.join())
  }
  assert.equal(
    order.filter((name) => name !== 'prepare' && !saved.includes(name)),
    [
      'start 0',
      'evaluation 0',
      'step 1',
      'step 2',
      'evaluation 2',
      'sample 2',
      'step 3',
      'step 4',
      'evaluation 4',
      'sample 4',
      'done',
    ],
  )
  const firstStart = order.indexOf('start 0')
  assert.ok(firstStart > 0 && order.lastIndexOf('prepare') < firstStart, 'prepare comes first')
  assert.is((list.at(-1) as unknown as { report: { steps: number } }).report.steps, 4)
})

test('every option reaches train()', async () => {
  const out = fresh()
  const { code, stdout, stderr } = await run([
    'train',
    book,
    '--output',
    out,
    '--model',
    'nano',
    '--layers',
    '2',
    '--heads',
    '1',
    '--width',
    '8',
    '--context',
    '4',
    '--dropout',
    '0.1',
    '--epsilon',
    '1e-6',
    '--gelu',
    'exact',
    '--no-bias',
    '--no-tied',
    '--vocabulary',
    '300',
    '--tokenizer',
    'bpe:260',
    '--steps',
    '2',
    '--batch',
    '3',
    '--accumulate',
    '2',
    '--learning-rate',
    '2e-3',
    '--min-learning-rate',
    '1e-3',
    '--schedule',
    'linear',
    '--warmup',
    '1',
    '--betas',
    '0.8,0.95',
    '--weight-decay',
    '0',
    '--clip',
    '0',
    '--validation',
    '0.2',
    '--evaluate-every',
    '1',
    '--evaluate-tokens',
    'all',
    '--checkpoint-every',
    '0',
    '--sample-every',
    '2',
    '--sample-prompt',
    'sea',
    '--sample-tokens',
    '2',
    '--recompute',
    '--seed',
    '9',
    '--device',
    'cpu',
    '--threads',
    '1',
    '--json',
  ])
  assert.is(code, 0, stderr)
  const list = events(stdout)
  const of = (type: string) => list.filter((event) => event.type === type) as Record<string, any>[]
  const start = of('start')[0]!
  assert.equal(start.model, {
    vocabulary: 300,
    context: 4,
    layers: 2,
    heads: 1,
    width: 8,
    bias: false,
    tied: false,
    dropout: 0.1,
    epsilon: 1e-6,
    gelu: 'exact',
  })
  assert.equal(start.tokenizer, { kind: 'bpe', size: 260 })
  const { steps, batch, accumulate, learningRate, seed, tokensPerStep } = start
  assert.equal(
    { steps, batch, accumulate, learningRate, seed, tokensPerStep },
    { steps: 2, batch: 6, accumulate: 2, learningRate: 2e-3, seed: 9, tokensPerStep: 24 },
  )
  assert.ok(
    Math.abs(start.data.validation / (start.data.validation + start.data.train) - 0.2) < 0.01,
  )
  // A warm-up of one step gives half the peak, and the next step the peak: see schedule().
  assert.equal(
    of('step').map(({ learningRate }) => learningRate),
    [1e-3, 2e-3],
  )
  assert.equal(
    of('sample').map(({ step, prompt }) => [step, prompt]),
    [[2, 'sea']],
  )
  assert.equal(
    of('evaluation').map(({ step }) => step),
    [0, 1, 2],
  )
  assert.equal(
    of('checkpoint').map(({ step }) => step),
    [2],
  )
})

test('--quiet prints nothing, and --resume goes on', async () => {
  const out = fresh()
  const args = [...tiny, '--out', out, '--quiet']
  assert.equal(await run([...args, '--steps', '2']), { code: 0, stdout: '', stderr: '' })
  assert.ok(existsSync(join(out, 'model.safetensors')))
  const again = await run([...args, '--steps', '4', '--resume', '--json'])
  assert.is(again.code, 0, again.stderr)
  assert.equal(
    events(again.stdout)
      .filter(({ type }) => type === 'step')
      .map(({ step }) => step),
    [3, 4],
  )
})

test.run()
