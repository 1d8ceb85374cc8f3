import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Crew, helpersFor } from '../../lib/data/crew.js'
import { LeftIn, Spool, cleanRows, encodeExamples, exampleScrubber } from '../../lib/data/index.js'
import { prepareWith, readBatches } from '../../lib/data/index.js'
import { canCross } from '../../lib/data/preparer.js'
import { packSettings } from '../../lib/data/tokenize.js'
import { Pseudonyms, Scrubber } from '../../lib/privacy/index.js'
import { BpeTokenizer, characterTokenizer, chatTemplate } from '../../lib/tokenizer/index.js'
import { chatml, gpt2Tokenizer, plainTemplate } from '../../lib/tokenizer/index.js'
import type { ChatTemplate, Tokenizer } from '../../lib/tokenizer/index.js'
import { echo } from './echo.js'
import type { Answer, Batch } from './echo.js'

const folder = mkdtempSync(join(tmpdir(), 'gptloom-crew-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const gpt2 = (await gpt2Tokenizer()).withSpecial(chatml.special)
let counter = 0

const task = { module: '../test/data/echo', setup: { name: 'echo' } }
const crewOf = (helpers: number) => new Crew<Batch, Answer>(echo('here'), task, helpers)
const threadsAlive = () =>
  process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length

async function* batches(count: number, special: Record<number, Partial<Batch>> = {}, seen = [0]) {
  for (let number = 0; number < count; number++) {
    seen[0] = number + 1
    yield { number, ...special[number] } as Batch
  }
}

test('results come in the order of the batches, whichever is ready first; few wait', async () => {
  for (const helpers of [0, 2]) {
    const seen = [0]
    const names = new Set<string>()
    let next = 0
    const slow = { 0: { wait: 60 } }
    for await (const { number, name, bytes } of crewOf(helpers).map(batches(40, slow, seen))) {
      assert.equal([number, [...bytes]], [next, Array(8).fill(next)])
      names.add(name)
      next++
      if (helpers > 0 && next < 40) assert.ok(threadsAlive() > 0)
      const most = next + 4 * helpers
      assert.ok(seen[0]! <= most, `${seen[0]} batches were read for ${next} results`)
    }
    assert.is(next, 40)
    // What finds all helpers busy is done here.
    assert.equal([...names].sort(), helpers === 0 ? ['here'] : ['echo', 'here'])
    assert.is(threadsAlive(), 0)
  }
})

test('a failure is thrown in its turn, as what it was, and no thread stays', async () => {
  const run = async (special: Record<number, Partial<Batch>>) => {
    let count = 0
    try {
      for await (const _ of crewOf(1).map(batches(50, special))) count++
    } catch (error) {
      return [
        count,
        (error as Error).name,
        (error as { code?: string }).code,
        (error as Error).message,
      ]
    } finally {
      assert.is(threadsAlive(), 0)
    }
    return count
  }
  const late = { 3: { what: 'throw', wait: 60 }, 4: { what: 'refuse' } } as const
  assert.equal(await run(late), [3, 'RangeError', undefined, 'number 3'])
  assert.equal(await run({ 5: { what: 'refuse' } }), [
    5,
    'GptloomError',
    'ERR_TEMPLATE',
    'refused 5',
  ])
  const ended = await run({ 0: { what: 'exit' } })
  assert.equal(ended, [0, 'Error', undefined, 'A thread that prepares data has ended'])
})

test('whoever wants no more results ends the threads, and so does a source that fails', async () => {
  for await (const { number } of crewOf(1).map(batches(1000))) if (number === 3) break
  assert.is(threadsAlive(), 0)
  async function* broken() {
    yield { number: 0 }
    throw new Error('unplugged')
  }
  try {
    for await (const _ of crewOf(1).map(broken()));
    assert.unreachable()
  } catch (error) {
    assert.is((error as Error).message, 'unplugged')
  }
  assert.is(threadsAlive(), 0)
})

const words = (n: number, seed: number) =>
  Array.from({ length: n }, (_, i) => `w${(seed * 7919 + i * i * 31) % 1009}`).join(' ')

/** Rows of all kinds and fates. */
function rowsOf(count: number): string {
  const lines = Array.from({ length: count }, (_, i) => {
    const ask = (content: string, answer: string) =>
      JSON.stringify({
        customer: `c${i % 300}`,
        messages: [
          { role: 'user', content },
          { role: 'assistant', content: answer },
        ],
      })
    if (i % 97 === 5) return '{"messages": [{"role": "user", '
    if (i % 97 === 6) return ask(words(20, i - 1000), '')
    if (i % 41 === 7) return ask(words(20, 7), 'Always the same.')
    if (i % 31 === 3) return ask(words(200, i), 'Too late to be read.')
    if (i % 31 === 8) return ask(words(20, i), words(200, i + 1))
    if (i % 29 === 4)
      return ask(`Write to ana.b${i}@mail.example. ${words(9, i)}`, 'Done — 完了 🚀.')
    return ask(words(20, i), `It is ${words(12, i + 50)}.`)
  })
  return lines.join('\n')
}

const data = join(folder, 'rows.jsonl')
writeFileSync(data, rowsOf(1500))
const texts = join(folder, 'texts.jsonl')
const letter = (i: number) => `Letter ${i} of ${words(30, i)}, ana${i}@mail.example.`
writeFileSync(
  texts,
  Array.from({ length: 900 }, (_, i) => JSON.stringify({ text: letter(i) })).join('\n'),
)

interface Run {
  helpers: number
  tokenizer?: Tokenizer
  template?: ChatTemplate
  duplicates?: 'keep'
  long?: 'fail'
  signal?: AbortSignal
}

/** All that a preparation leaves behind, and what it says. */
async function prepare(path: string, { helpers, duplicates, ...others }: Run) {
  const into = join(folder, `${counter++}`)
  const spool = await Spool.create(folder)
  const left = new LeftIn()
  try {
    const scrub = exampleScrubber(new Scrubber(), 'chats', left)
    const prepare = prepareWith(helpers, { privacy: {}, only: 'chats' }, left)
    const rules = { scrub, prepare, duplicates }
    for await (const rows of cleanRows(readBatches(path), rules)) await spool.add(rows)
    const settings = { tokenizer: gpt2, template: chatml, context: 128, long: 'auto' } as const
    const split = { fraction: 0.2, by: 'random', seed: 1 } as const
    const all = { ...settings, learn: 'answers', spool, folder: into, split, helpers } as const
    const { file, ledger } = await encodeExamples({ ...all, ...others })
    await file.close()
    const files = readdirSync(into).sort()
    return {
      ledger,
      left: `${left}`,
      files: files.map((name) => [name, readFileSync(join(into, name))]),
    }
  } finally {
    await spool.remove()
    assert.is(threadsAlive(), 0)
  }
}

test('prepared files and the ledger are the same to the byte whatever the number of helpers', async () => {
  const character = await characterTokenizer([readFileSync(data, 'utf8'), 'SUAT:\n[EMAIL]'], {
    special: ['<|endoftext|>'],
  })
  const jinja = chatTemplate(
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}" +
      "{{ '<|endoftext|>' }}{% endfor %}",
    { special: ['<|endoftext|>'], endOfText: '<|endoftext|>' },
  )
  const cases: [string, Omit<Run, 'helpers'>][] = [
    [data, {}],
    [data, { duplicates: 'keep', template: plainTemplate, tokenizer: character }],
    [data, { template: jinja }],
    [texts, {}],
  ]
  for (const [path, run] of cases) {
    const alone = await prepare(path, { ...run, helpers: 0 })
    if (path === data) {
      const { kept, broken, redacted, cut } = alone.ledger
      for (const n of [kept, broken, redacted, cut]) assert.ok(n > 10, `${n}`)
      assert.is(alone.ledger.duplicates > 10, run.duplicates !== 'keep')
    } else assert.match(alone.left, /^900 email/)
    for (const helpers of run === cases[0]![1] ? [1, 2] : [1])
      assert.equal(await prepare(path, { ...run, helpers }), alone)
  }
})

test('what fails on a thread fails as it does here, with its file and line; nothing is left', async () => {
  const lacking = await characterTokenizer(['abc <|im_start|>'], { special: ['<|endoftext|>'] })
  const failure = async (run: Run): Promise<unknown> => {
    const folders = counter
    try {
      await prepare(data, run)
    } catch (error) {
      const { name, message } = error as Error
      const left = readdirSync(join(folder, `${folders}`))
      return { name, code: (error as { code?: string }).code, message, left }
    }
    return 'none'
  }
  for (const run of [{ long: 'fail' }, { tokenizer: lacking, template: plainTemplate }] as const) {
    const alone = (await failure({ ...run, helpers: 0 })) as { message: string; left: string[] }
    assert.equal(alone.left, [])
    if ('long' in run) assert.match(alone.message, /rows\.jsonl, line 4: It has \d+ tokens/)
    else assert.match(alone.message, /^The character-level vocabulary/)
    assert.equal(await failure({ ...run, helpers: 1 }), alone)
  }
  const aborted = { helpers: 1, signal: AbortSignal.abort() }
  assert.is(((await failure(aborted)) as Error).name, 'AbortError')
})

test('helpers are for much data, and for what is not the caller’s own code', () => {
  assert.equal([helpersFor(1e6, 8), helpersFor(1e9, 1), helpersFor(1e9, 2)], [0, 0, 1])
  assert.is(helpersFor(1e9, 64), 3)
  const list = { kinds: ['email'], deny: ['Kettle & Co.'], operator: { email: 'mask' } } as const
  assert.is(canCross(list), true)
  assert.is(canCross({ names: () => [] }), false)
  assert.is(canCross({ rules: [{ kind: 'order', pattern: /A\d{5}/ }] }), false)
  assert.is(canCross({ operator: 'hash' }), false)
  assert.is(canCross({ operator: { email: 'pseudonym' } }), false)
  assert.is(canCross({ pseudonyms: new Pseudonyms() }), false)
  const settings = {
    tokenizer: gpt2,
    template: chatml,
    context: 8,
    long: 'cut',
    learn: 'all',
  } as const
  assert.ok(packSettings(settings))
  assert.is(packSettings({ ...settings, template: { ...chatml } }), undefined)
  class Own extends BpeTokenizer {}
  const own = new Own('bpe', gpt2.tokens, gpt2.merges, gpt2.special)
  assert.is(packSettings({ ...settings, tokenizer: own }), undefined)
})

test.run()
