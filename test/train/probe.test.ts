// The probe of a tuned model, on models that do what it looks for.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { train } from '../../lib/index.js'
import { goesRound, strays, warningsOf } from '../../lib/train/probe.js'
import { characterTokenizer } from '../../lib/tokenizer/index.js'
import { fresh, nano } from './nano.js'

test('what goes round, and what leaves the template', async () => {
  const count = (n: number) => Array.from({ length: n }, (_, i) => i)
  assert.ok(goesRound(count(60).map((i) => i % 5)))
  assert.ok(goesRound([...count(10), ...Array<number>(30).fill(7)]))
  assert.not.ok(goesRound(count(60)))
  assert.not.ok(goesRound(Array<number>(10).fill(7)), 'too short to tell')
  const special = ['<|im_start|>', '<|endoftext|>']
  const tokenizer = await characterTokenizer(['system: user: assistant: a b\n'], { special })
  const text = (value: string) => [...tokenizer.encode(value)]
  assert.ok(strays([...text('a b'), tokenizer.special.get('<|im_start|>')!], tokenizer, false))
  assert.ok(strays(text('a b\nuser: a'), tokenizer, true))
  assert.not.ok(strays(text('a b\nuser: a'), tokenizer, false), 'text may say so')
  assert.not.ok(strays(text('a user: b'), tokenizer, true))
})

test('a warning for each thing that more than a tenth of the answers do, saying what to change', () => {
  const good = { answers: 20, stopped: 20, empty: 0, repeated: 0, strayed: 0 }
  assert.equal(warningsOf(good), [])
  assert.equal(warningsOf({ ...good, stopped: 18, repeated: 2 }), [])
  const bad = warningsOf({ answers: 20, stopped: 17, empty: 3, repeated: 4, strayed: 5 })
  assert.is(bad.length, 4)
  assert.match(bad[0]!, /^3 of 20 probed answers did not end by themselves: train longer/)
  assert.match(bad[1]!, /^3 of 20 probed answers were empty: look for/)
  assert.match(bad[2]!, /^4 of 20 probed answers repeat themselves: more data, or fewer epochs/)
  assert.match(bad[3]!, /^5 of 20 probed answers leave the template/)
})

test('a model that has learned next to nothing is warned of, in the report and in the card', async () => {
  const data = fresh('chats.jsonl')
  const row = (i: number) => [
    { role: 'user', content: `What is ${i} and ${i * 7}?` },
    { role: 'assistant', content: `It is ${i * 8}, as everybody knows.` },
  ]
  const rows = Array.from({ length: 60 }, (_, i) => JSON.stringify({ messages: row(i) }))
  writeFileSync(data, rows.join('\n'))
  const options = nano({ data, steps: 1, model: { context: 96 } })
  const { report, model } = await train(options)
  model.dispose()
  const { answers, stopped, warnings } = report.probe!
  assert.ok(answers > 0 && stopped < answers, JSON.stringify(report.probe))
  assert.match(warnings[0]!, /did not end by themselves/)
  const card = readFileSync(join(options.output, 'README.md'), 'utf8')
  for (const warning of warnings) assert.ok(card.includes(`- ${warning}.`))
  const text = await train(nano({ steps: 1 }))
  assert.is(text.report.probe, undefined)
  text.model.dispose()
})

test.run()
