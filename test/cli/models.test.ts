// The verbs that work on a finished model: chat, eval, export, import.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { load } from '../../lib/index.js'
import { openGguf } from '../../lib/formats/index.js'
import { ended, folder, fresh, run, start } from './spawn.js'

const cities = ['Rome', 'Oslo', 'Lima']
const chats = (from: number, to: number) => {
  const path = join(folder, `chats-${from}.jsonl`)
  const row = (i: number) => ({
    messages: [
      { role: 'user', content: `Where is ${i}?` },
      { role: 'assistant', content: `It is in ${cities[i % 3]}.` },
    ],
  })
  const rows = Array.from({ length: to - from }, (_, i) => JSON.stringify(row(from + i)) + '\n')
  writeFileSync(path, rows.join(''))
  return path
}
const held = chats(200, 220)
const base = fresh()
const sizes = ['--layers', '1', '--heads', '2', '--width', '32', '--context', '64', '--batch', '8']
const short = ['--steps', '60', '--learning-rate', '1e-2', '--sample-every', '0', '--threads', '1']
const trained = await run(['train', chats(0, 200), '--out', base, ...sizes, ...short])
assert.is(trained.code, 0, trained.stderr)
assert.match(trained.stdout, /^Talk to it: {2}gptloom chat /m)
const adapter = fresh()
const lora = ['--base', base, '--lora-rank', '2', '--lora-targets', 'c_attn,mlp.c_fc']
const tuned = await run(['train', held, '--out', adapter, ...lora, ...short, '--batch', '4'])
assert.is(tuned.code, 0, tuned.stderr)

test('generate and eval: --weights keeps the model in fewer bytes', async () => {
  const small = ['--weights', 'int8', '--threads', '1']
  const text = await run(['generate', base, 'It is in ', '--temperature', '0', ...small])
  assert.is(text.code, 0, text.stderr)
  assert.match(text.stdout, /It is in \w/)
  const { code, stdout, stderr } = await run([
    'eval',
    base,
    held,
    '--base',
    base,
    '--json',
    ...small,
  ])
  assert.is(code, 0, stderr)
  const { base: exact, difference } = JSON.parse(stdout).comparison.figures.loss
  assert.ok(difference !== 0 && Math.abs(difference / exact) < 0.01, `${difference}`)
})

test('chat: lines in, answers out, and the commands', async () => {
  const saved = join(folder, 'saved.json')
  const lines = [
    'Where is 5?',
    '',
    `/save ${saved}`,
    '/nonsense',
    '/save',
    '/system be kind',
    '/reset',
    'Where is 7?',
    '/help',
    '/quit',
    'never read',
  ]
  const { code, stdout, stderr } = await run(
    ['chat', base, '--temperature', '0', '--threads', '1'],
    lines.map((line) => `${line}\n`).join(''),
  )
  assert.is(code, 0, stderr)
  const answers = stdout.split('\n').filter((line) => line.startsWith('It is in '))
  assert.is(answers.length, 2)
  assert.match(stdout, /^The conversation is in .*saved\.json$/m)
  assert.match(stdout, /^\/quit +end/m)
  assert.match(stderr, /Unknown or incomplete command \/nonsense: type \/help/)
  assert.match(stderr, /Unknown or incomplete command \/save: type \/save <file>/)
  const { messages } = JSON.parse(readFileSync(saved, 'utf8')) as { messages: object[] }
  assert.equal(messages, [
    { role: 'user', content: 'Where is 5?' },
    { role: 'assistant', content: answers[0] },
  ])
  using model = await load(base)
  let text = ''
  const question = [{ role: 'user' as const, content: 'Where is 5?' }]
  for await (const piece of model.chat(question, { temperature: 0 })) text += piece
  assert.is(answers[0], text)
})

test('chat: a message that is too long costs only itself', async () => {
  const long = 'Where is everything that was ever sent to anybody? '.repeat(9)
  const input = `${long}\nWhere is 4?\n`
  const { code, stdout, stderr } = await run(['chat', base, '--temperature', '0'], input)
  assert.is(code, 0)
  assert.match(stderr, /^error: The message has \d+ tokens/m)
  assert.match(stdout, /^It is in \w+\.$/m)
})

test('chat: Ctrl-C stops the answer; where there is none, the program', async () => {
  // A model that has learned nothing repeats its likeliest token for ever.
  const endless = fresh()
  const still = ['--steps', '1', '--learning-rate', '0', '--sample-every', '0', '--threads', '1']
  await run(['train', held, '--out', endless, ...sizes, ...still])
  const args = ['chat', endless, '--temperature', '0', '--max-tokens', '1000000', '--threads', '1']
  const child = start(args)
  const result = ended(child)
  let text = ''
  child.stdout.on('data', (piece: string) => (text += piece))
  const until = async (done: () => boolean) => {
    while (child.exitCode === null && !done()) await setTimeout(25)
    assert.is(child.exitCode, null, text)
  }
  try {
    child.stdin.write('Where?\n')
    await until(() => text.length > 200) // no end in sight
    child.kill('SIGINT')
    // Read once the answer is over, which would take hours.
    child.stdin.write('/help\n')
    await until(() => text.includes('/quit'))
    const { length } = text
    await setTimeout(300)
    assert.is(text.length, length, 'nothing is added to the answer')
    child.kill('SIGINT')
    assert.is((await result).code, 130)
  } finally {
    child.kill('SIGKILL')
  }
})

test('chat: a model without conversations says so', async () => {
  const text = fresh()
  const book = join(folder, 'book.txt')
  await run(['train', book, '--out', text, ...sizes, ...short, '--steps', '1'])
  const { code, stderr } = await run(['chat', text], 'hello\n')
  assert.is(code, 1)
  assert.match(stderr, /has no chat template/)
})

test('eval: figures, against a base, as JSON, and in the card', async () => {
  const args = ['eval', adapter, held, '--base', base, '--resamples', '100', '--threads', '1']
  const metrics = join(folder, 'metrics.mjs')
  writeFileSync(metrics, "export const dot = (answer) => Number(answer.endsWith('.'))\n")
  const own = ['--metrics', metrics]
  const [plain, json] = await Promise.all([
    run([...args, '--generate', '--max-tokens', '12', '--card', ...own]),
    run([...args, '--json', '--limit', '5']),
  ])
  assert.is(plain.code, 0, plain.stderr)
  assert.match(plain.stdout, /^20 rows, \d+ learned tokens; 20 answers; 95 % intervals/)
  for (const name of [
    'loss',
    'perplexity',
    'bits per byte',
    'accuracy',
    'exact match',
    'BLEU',
    'dot',
  ])
    assert.match(plain.stdout, new RegExp(`^  ${name} .*\\(.* to .*\\) +base `, 'm'))
  assert.match(plain.stdout, /^Against the base, in bits per byte: (better|worse|no difference)$/m)
  const result = JSON.parse(json.stdout) as { rows: number; comparison: { verdict: string } }
  assert.is(result.rows, 5)
  const card = readFileSync(join(adapter, 'README.md'), 'utf8')
  assert.match(card, /^\| bitsPerByte \| .* to .* \|$/m)
  assert.match(card, /Against the base, in bits a byte: \*\*/)
  const wrong = await run(['eval', adapter, held, '--max-tokens', '3'])
  assert.is(wrong.code, 2)
  assert.is((await run(['eval', adapter, held, ...own])).code, 2)
  const lost = await run(['eval', adapter, held, '--generate', '--metrics', `${metrics}x`])
  assert.match(lost.stderr, /Cannot run .*metrics\.mjsx/)
  const none = await run(['eval', adapter])
  assert.match(none.stderr, /Name the data to measure it on/)
})

test('export: an adapter beside its base, merged, alone', async () => {
  const gguf = join(folder, 'out.gguf')
  const { code, stdout, stderr } = await run(['export', adapter, '--gguf', 'q8_0', gguf])
  assert.is(code, 0, stderr)
  const names = stdout.trimEnd().split('\n')
  assert.equal(names, [gguf, join(folder, 'out.adapter.gguf'), join(folder, 'Modelfile')])
  const modelfile = readFileSync(names[2]!, 'utf8')
  assert.match(modelfile, /^FROM \.\/out\.gguf\nADAPTER \.\/out\.adapter\.gguf\nTEMPLATE """/)
  assert.match(modelfile, /^PARAMETER stop "<\|im_end\|>"$/m)
  const file = await openGguf(names[1]!)
  assert.is(file.tensors.size, 4)
  await file.close()

  // The Modelfile of the first stays, and the second gets one of its own.
  const other = join(folder, 'other.gguf')
  const merged = await run(['export', adapter, '--merge', '--gguf', 'f32', other])
  assert.equal(merged.stdout.trimEnd().split('\n'), [other, `${other}.Modelfile`])
  assert.is(readFileSync(names[2]!, 'utf8'), modelfile)

  const [whole, alone] = [fresh(), fresh()]
  assert.is((await run(['export', adapter, '--merge', '--huggingface', whole])).code, 0)
  assert.is((await run(['export', adapter, '--adapter', alone])).code, 0)
  using a = await load(adapter)
  using b = await load(whole)
  using c = await load(alone)
  const of = async (model: typeof a) => (await model.logits('Where is')).values
  assert.equal(await of(a), await of(c))
  const [x, y] = [await of(a), await of(b)]
  assert.ok(x.every((value, i) => Math.abs(value - y[i]!) < 1e-4))
  assert.is(b.adapter, null)
})

test('export: what cannot be says what to do', async () => {
  const refused = async (args: string[], code: number, pattern: RegExp) => {
    const result = await run(['export', ...args])
    assert.match(result.stderr, pattern)
    assert.is(result.code, code)
  }
  await refused([base], 2, /Say as what: one of --gguf, --huggingface and --adapter/)
  await refused([base, '--gguf', 'q8_0'], 2, /Name the file after the type/)
  await refused([base, '--gguf', 'q3', join(folder, 'x.gguf')], 2, /one of f32, f16, bf16, q8_0/)
  assert.not.ok(existsSync(join(folder, 'x.gguf')))
  await refused([base, '--huggingface', base], 1, /is not empty: choose another/)
  await refused([base, '--adapter', fresh()], 1, /is a whole model, not an adapter/)
  await refused(
    [base, '--merge', '--huggingface', fresh()],
    2,
    /holds no adapter: leave out --merge/,
  )
  await refused([adapter, '--huggingface', fresh()], 1, /give --merge for one model of the two/)
})

test('import: a copy in our layout; a name asks for --download', async () => {
  const copy = fresh()
  const { code, stdout } = await run(['import', base, copy])
  assert.equal([code, stdout], [0, `${copy}\n`])
  // But for the header, where a run notes what the weights are of.
  const weights = (path: string) => {
    const bytes = readFileSync(join(path, 'model.safetensors'))
    return bytes.subarray(8 + Number(bytes.readBigUInt64LE()))
  }
  assert.ok(weights(copy).equals(weights(base)))
  const gguf = join(folder, 'f32.gguf')
  assert.is((await run(['export', base, '--gguf', 'f32', gguf])).code, 0)
  const back = fresh()
  assert.is((await run(['import', gguf, back])).code, 0)
  assert.ok(weights(back).equals(weights(base)))
  assert.is(
    readFileSync(join(copy, 'chat_template.jinja'), 'utf8'),
    readFileSync(join(base, 'chat_template.jinja'), 'utf8'),
  )
  const again = await run(['import', base, copy])
  assert.match(again.stderr, /is not empty/)
  const home = { HF_HOME: join(folder, 'home') }
  const named = await run(['import', 'nobody/nothing', fresh()], '', home)
  assert.is(named.code, 1)
  assert.match(
    named.stderr,
    /nobody\/nothing is no folder.*fetch the model from the hub with --download/,
  )
})

test.run()
