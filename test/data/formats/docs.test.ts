// The examples of docs/data.md are read as it says, and what the assistant says in them is learned.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Example } from '../../../lib/data/record.js'
import { renderExample } from '../../../lib/data/render.js'
import { chatTemplate, chatml, gpt2Tokenizer, plainTemplate } from '../../../lib/tokenizer/index.js'
import { collect, pieces } from './collect.js'

const tokenizer = (await gpt2Tokenizer()).withSpecial(chatml.special)
// In the manner of models' own: titles in brackets, the end of text behind answers.
const own = chatTemplate(
  "{% for m in messages %}{{ '[' + m['role'] + '] ' + m['content'] }}" +
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}",
  { special: [...tokenizer.special.keys()], endOfText: '<|endoftext|>' },
)

const text = readFileSync(new URL('../../../docs/data.md', import.meta.url), 'utf8')

/** The first block of code under a heading. */
function block(heading: string): string {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => line.startsWith(`### ${heading}`))
  const first = lines.findIndex((line, i) => i > start && /^(?:```| {4})/.test(line))
  const isFenced = lines[first]!.startsWith('```')
  const end = lines.findIndex(
    (line, i) => i > first && (isFenced ? line === '```' : /^\S/.test(line)),
  )
  const inner = lines.slice(isFenced ? first + 1 : first, end)
  return inner.map((line) => (isFenced ? line : line.slice(4))).join('\n')
}

const examples: [heading: string, format: string, messages: number][] = [
  ['Chats: `messages`', 'chat', 5],
  ['Prompts and completions', 'completion', 0],
  ['Preferences', 'preference', 1],
  ['Instructions: Alpaca', 'alpaca', 4],
  ['Conversations: ShareGPT', 'sharegpt', 2],
  ['Texts', 'text', 0],
  ['CSV, TSV', 'completion', 0],
  ['One message a row', 'turns', 2],
  ['Zendesk', 'zendesk', 2],
  ['Intercom', 'intercom', 2],
  ['Freshdesk', 'freshdesk', 2],
  ['WhatsApp', 'whatsapp', 2],
  ['Mail: mbox', 'mbox', 2],
]
/** What must be learned of an example, to the token that ends it. */
function answers(example: Example, end: string): string {
  if (example.kind === 'text') return `${example.text}<|endoftext|>`
  if (example.kind === 'completion') return `${example.completion}<|endoftext|>`
  if (example.kind === 'preference') return `${example.chosen}${end}`
  const learned = example.messages.filter(({ role, learn = true }) => role === 'assistant' && learn)
  return learned.map(({ content }) => content + end).join('')
}

for (const [heading, format, count] of examples) {
  test(heading, async () => {
    let detected = ''
    const bytes = Buffer.from(block(heading))
    const rows = await collect(pieces(bytes, 64), {
      ...(/^CSV|^One message/.test(heading) && { format: 'csv' }),
      onNotice: (notice) => (detected = notice.format),
    })
    assert.is(detected, format)
    const [row] = rows
    assert.is(rows.length, 1)
    if (!row || 'problem' in row) throw new Error(JSON.stringify(row))
    assert.is('messages' in row.example ? row.example.messages.length : 0, count)
    for (const template of [chatml, plainTemplate, own]) {
      const settings = {
        tokenizer,
        template,
        context: 1024,
        long: 'fail',
        learn: 'answers',
      } as const
      const { parts } = renderExample(row.example, settings)
      const { tokens, learn } = parts[0]!
      const learned = tokenizer.decode(tokens.filter((_, i) => learn[i]))
      assert.is(learned, answers(row.example, template.endOfTurn), `${heading}, ${template.name}`)
    }
  })
}

test.run()
