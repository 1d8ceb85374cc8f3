import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { LanguageModel, checkData } from '../../lib/index.js'
import type { CheckReport } from '../../lib/index.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { Lora } from '../../lib/nn/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { chatTemplate, trainTokenizer } from '../../lib/tokenizer/index.js'
import { ended, fresh, run, start } from './spawn.js'

function put(name: string, text: string): string {
  const into = fresh()
  mkdirSync(into)
  const path = join(into, name)
  writeFileSync(path, text)
  return path
}
const chat = (question: string, answer: string) => ({
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ],
})
const rows = [chat('Where is it?', 'On the table.'), chat('Who are you?', 'Nobody you know.')]
const jsonl = rows.map((row) => JSON.stringify(row) + '\n').join('')
const report = async (...args: string[]): Promise<CheckReport> => {
  const { stdout, stderr } = await run(['check', ...args, '--json'])
  assert.is(stderr, '')
  return JSON.parse(stdout)
}

test('--fix and --ledger never replace the data, and other files only with --force', async () => {
  const path = put('data.jsonl', jsonl)
  const own = await run(['check', path, '--fix', path, '--force'])
  assert.is(own.code, 1)
  assert.match(own.stderr, /^error: .*data\.jsonl belongs to the data, which would be lost/)
  const other = put('other', 'mine')
  const there = await run(['check', path, '--ledger', other])
  assert.is(there.code, 1)
  assert.match(there.stderr, /exists already: choose another name, or replace it with --force/)
  const same = await run(['check', path, '--ledger', other, '--fix', other])
  assert.is(same.code, 2)
  assert.match(same.stderr, /^error: Expected another file .* for --ledger, received/)
  assert.equal([readFileSync(path, 'utf8'), readFileSync(other, 'utf8')], [jsonl, 'mine'])
  const forced = await run(['check', path, '--fix', other, '--force'])
  assert.match(forced.stdout, /^2 sound rows written to /m)
  assert.is(readFileSync(other, 'utf8'), jsonl)
})

test('what is typed is checked, columns are named by number, no sound row is no file', async () => {
  const path = put('data.jsonl', jsonl)
  await Promise.all(
    ['learn answer', 'duplicates foo', 'long foo', 'template foo'].map(async (typed) => {
      const [name, value] = typed.split(' ') as [string, string]
      const { code, stderr } = await run(['check', path, `--${name}`, value])
      assert.is(code, 2)
      assert.match(stderr, new RegExp(`^error: Expected .* for --${name}, received "${value}"`))
    }),
  )
  const table = put('data.csv', 'Why is it?,Because.\nWhere is it?,Here.\n')
  const { ledger, kinds } = await report(table, '--columns', 'prompt=1,completion=2')
  assert.equal([ledger.rows, ledger.kept, kinds], [2, 2, { completion: 2 }])
  const bad = await run(['check', table, '--columns', 'prompt=0,completion=2'])
  assert.match(
    bad.stderr,
    /^error: Expected a column's name, or its number from 1, for .*received 0/,
  )
  const fix = fresh()
  const none = await run(['check', put('bad.jsonl', '{"messages": []}\n'), '--fix', fix])
  assert.is(none.code, 1)
  assert.match(none.stdout, /^No row is sound: .* was not written$/m)
  assert.not.ok(existsSync(fix))
})

test('--model checks against its context and template, an adapter against those of its base', async () => {
  const tokenizer = await trainTokenizer([jsonl], {
    size: 270,
    special: ['<|endoftext|>', '<|x|>'],
  })
  const config = resolveModel({ layers: 1, heads: 1, width: 8, context: 48 }, tokenizer.size)
  const source =
    "{% for m in messages %}{{ m['role'][:1] + m['content'] + '<|x|>' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ 'a' }}{% endif %}"
  const special = [...tokenizer.special.keys()]
  const template = chatTemplate(source, { special, endOfText: '<|endoftext|>' })
  const network = new GPT2(config, cpu(), 1)
  const model = new LanguageModel(network, tokenizer, template)
  const [folder, adapter] = [fresh(), fresh()]
  await model.save(folder)
  const layers = [{ name: 'h.0.attn.c_attn', inputs: 8, outputs: 24 }]
  const settings = { rank: 2, alpha: 4, dropout: 0, rsLora: false }
  const { device, dtype } = network
  model.addAdapter('a', Lora.fresh(settings, layers, { device, dtype, seed: 1 }), folder)
  await model.save(adapter)
  model.dispose()

  const path = put('data.jsonl', jsonl + JSON.stringify(chat('Why?', 'No idea. '.repeat(20))))
  const expected = await checkData(path, { tokenizer, template, context: 48 })
  assert.is(expected.ledger.cut, 1)
  for (const named of [folder, adapter]) {
    assert.equal(await report(path, '--model', named), JSON.parse(JSON.stringify(expected)))
    const { lengths } = await report(path, '--model', named, '--context', '40')
    assert.is(lengths.most, 41)
  }
  const large = await run(['check', path, '--model', folder, '--context', '49'])
  assert.is(large.code, 2)
  assert.match(large.stderr, /at most the model's 48 for --context, received 49/)
  const chatml = await report(path, '--model', folder, '--template', 'chatml')
  assert.is.not(chatml.tokens, expected.tokens)
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} leaves nothing half-written`, async () => {
    if (process.platform === 'win32') return console.log('SKIP Windows has no signals to send')
    const into = fresh()
    mkdirSync(into)
    const child = start(['check', '-', '--fix', join(into, 'a'), '--ledger', join(into, 'b')])
    const outcome = ended(child)
    child.stdin.on('error', () => {})
    child.stdin.write(jsonl) // and no end of it
    while (child.exitCode === null && readdirSync(into).length < 2) await setTimeout(25)
    assert.is(readdirSync(into).length, 2)
    child.kill(signal)
    child.kill(signal) // as npm does, which passes on what the terminal has sent already
    const result = await outcome
    assert.is(result.code, code, result.stderr)
    assert.match(result.stderr, /^Stopped: nothing was written$/m)
    assert.equal(readdirSync(into), [])
  })
}

test('Ctrl-C stops between rows of a large file', async () => {
  if (process.platform === 'win32') return console.log('SKIP Windows has no signals to send')
  const many = Array.from({ length: 60_000 }, (_, i) =>
    JSON.stringify(chat(`Where is parcel ${i}, which ${i % 7} sent?`, `In house ${i * 3}.`)),
  )
  const path = put('many.jsonl', many.join('\n'))
  const into = fresh()
  mkdirSync(into)
  const child = start(['check', path, '--fix', join(into, 'a'), '--json'])
  const outcome = ended(child)
  while (child.exitCode === null && readdirSync(into).length < 1) await setTimeout(25)
  child.kill('SIGINT')
  const { code, stdout } = await outcome
  assert.is(code, 130)
  assert.is(JSON.parse(stdout).code, 'ABORT_ERR')
  assert.equal(readdirSync(into), [])
})

test.run()
