// The examples of docs/data.md are read as it says.
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { collect, pieces } from './collect.js'

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
  })
}

test.run()
