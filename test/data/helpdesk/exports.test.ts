// Exports of helpdesks and chats: threads become conversations.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Gathered } from '../../../lib/data/helpdesk/thread.js'
import { guessOrder } from '../../../lib/data/helpdesk/whatsapp.js'
import type { Row } from '../../../lib/data/record.js'
import { brief, collect, collectText, example, notices } from '../formats/collect.js'

/** A conversation in short: u: and a: with what was said. */
function chats(rows: readonly Row[]): unknown[] {
  return rows.map((row) => {
    if ('problem' in row) return row.problem.code
    if (row.example.kind !== 'chat') return row.example.kind
    return row.example.messages.map(({ role, content }) => `${role[0]}: ${content}`)
  })
}
const line = (row: object) => JSON.stringify(row)

test('Zendesk: requester and agents, internal notes, order of time', async () => {
  const ticket = {
    id: 12,
    subject: 'Leak',
    requester_id: 7,
    created_at: '2026-02-03T10:00:00Z',
    comments: [
      {
        author_id: 9,
        public: true,
        html_body: '<p>Please send it back.</p>',
        created_at: '2026-02-03T11:00:00Z',
      },
      {
        author_id: 7,
        public: true,
        body: 'It leaks.\n\nBest regards,\nAna',
        created_at: '2026-02-03T10:00:00Z',
      },
      {
        author_id: 8,
        public: false,
        body: 'Third one this week',
        created_at: '2026-02-03T10:30:00Z',
      },
      {
        author_id: 8,
        public: true,
        plain_body: 'And keep the box.',
        created_at: '2026-02-03T12:00:00Z',
      },
    ],
  }
  const expected = {
    kind: 'chat',
    messages: [
      { role: 'user', content: 'It leaks.' },
      { role: 'assistant', content: 'Please send it back.\n\nAnd keep the box.' },
    ],
    group: '7',
    time: Date.UTC(2026, 1, 3, 10),
  }
  assert.equal(await example(line(ticket)), expected)
  assert.equal(await example(line({ tickets: [ticket], count: 1 })), expected)
  const unanswered = { ...ticket, comments: ticket.comments.slice(1, 2) }
  assert.equal(
    chats(await collectText(`${line(ticket)}\n${line(unanswered)}`)).pop(),
    'no-assistant',
  )
})

test('Intercom: contacts and admins, notes, HTML', async () => {
  const part = (type: string, body: string | null, part_type = 'comment') => ({
    part_type,
    body,
    author: { type, id: 1 },
  })
  const conversation = {
    type: 'conversation',
    id: '5',
    created_at: 1767225600,
    contacts: { contacts: [{ id: 'c9' }] },
    source: { body: '<p>Is it open?</p>', author: { type: 'user', id: 'c9' } },
    conversation_parts: {
      conversation_parts: [
        part('bot', '<p>Let me see.</p>'),
        part('admin', '<p>no</p>', 'note'),
        part('admin', null, 'assignment'),
        part('admin', '<p>Yes.</p>'),
        part('lead', 'Thanks &amp; bye'),
      ],
    },
  }
  const rows = await collectText(line({ conversations: [conversation] }))
  assert.equal(chats(rows), [['u: Is it open?', 'a: Let me see.\n\nYes.', 'u: Thanks & bye']])
  assert.ok('example' in rows[0]! && rows[0].example.group === 'c9')
  assert.ok('example' in rows[0]! && rows[0].example.time === Date.UTC(2026, 0, 1))
})

test('Freshdesk: what came in and went out, private notes, both exports', async () => {
  const notes = [
    { body_text: 'Internal', incoming: false, private: true },
    { body: '<div>Send it back.</div>', incoming: false, private: false },
    { body_text: 'Done', incoming: true, private: false },
  ]
  const ticket = { id: 3, requester_id: 4, description_text: 'It leaks.', conversations: notes }
  const expected = ['u: It leaks.', 'a: Send it back.', 'u: Done']
  assert.equal(chats(await collectText(line(ticket))), [expected])
  const old = {
    helpdesk_ticket: {
      requester_id: 4,
      description: 'It leaks.',
      notes: notes.map((n) => ({ helpdesk_note: n })),
    },
  }
  assert.equal(chats(await collectText(line([old]))), [expected])
})

test('WhatsApp: stamps of many languages, system lines, media, pauses', async () => {
  const stamps: [question: string, answer: string, order: string][] = [
    ['12/31/25, 9:41 PM - ', '12/31/25, 9:42 PM - ', 'mdy'],
    ['12/31/25, 9:41\u202fPM - ', '12/31/25, 9:42\u202fPM - ', 'mdy'],
    ['31/12/2025, 21:41 - ', '31/12/2025, 21:42 - ', 'dmy'],
    ['31.12.25, 21:41 - ', '31.12.25, 21:42 - ', 'dmy'],
    ['[31.12.25, 21:41:07] ', '\u200e[31.12.25, 21:42:07] ', 'dmy'],
    ['[31/12/25 21.41.07] ', '[31/12/25 21.42.07] ', 'dmy'],
    ['2025-12-31 21:41 - ', '2025-12-31 21:42 - ', 'ymd'],
    ['31/12/25 9:41 p. m. - ', '31/12/25 9:42 p. m. - ', 'dmy'],
    ['31/12/2025 à 21:41 - ', '31/12/2025 à 21:42 - ', 'dmy'],
  ]
  for (const [question, answer, order] of stamps) {
    const file =
      `${question}Messages are end-to-end encrypted.\n${question}Ana: Is it open?\n` +
      `${answer}Shop: Yes:\nall day.\n${answer}Ana: <Media omitted>\n`
    assert.is(guessOrder(file.split('\n')), order, question)
    const [row] = await collectText(file, { format: 'whatsapp' })
    assert.equal(chats([row!]), [['u: Is it open?', 'a: Yes:\nall day.']], question)
    assert.ok('example' in row! && row.example.group === 'Ana')
    const minute = Math.floor((('example' in row! && row.example.time!) as number) / 60_000)
    assert.is(minute, Date.UTC(2025, 11, 31, 21, 41) / 60_000, question)
  }
  const days =
    '1/2/26, 10:00 - A: q\n1/2/26, 10:01 - B: r\n3/2/26, 10:00 - B: s\n3/2/26, 10:01 - A: t\n'
  assert.equal(chats(await collectText(days)), [
    ['u: q', 'a: r'],
    ['a: s', 'u: t'],
  ])
  assert.equal(chats(await collectText(days, { pause: 100 })).length, 1)
  assert.equal(chats(await collectText(days, { agents: ['a'] })), [
    ['a: q', 'u: r'],
    ['u: s', 'a: t'],
  ])
  const impossible = await collectText(
    '13/1/26, 10:00 - A: q\n14/14/26, 10:00 - B: r\n13/1/26, 10:02 - B: s',
    { format: 'whatsapp' },
  )
  assert.equal(brief(impossible), ['2:!time', '1:q>s'])
})

test('Slack: threads, pauses, marks, people, days', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gptloom-slack-'))
  try {
    const put = (name: string, value: unknown) => {
      mkdirSync(join(folder, name, '..'), { recursive: true })
      writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value))
    }
    put('channels.json', [{ id: 'C1', name: 'help' }])
    put('users.json', [
      { id: 'U1', name: 'ana' },
      { id: 'U2', real_name: 'Ben', profile: { email: 'ben@s.example' } },
    ])
    const said = (user: string, ts: string, text: string, more = {}) => ({
      type: 'message',
      user,
      ts,
      text,
      ...more,
    })
    put('help/2026-01-01.json', [
      said('U1', '1767225600.000100', 'Is <https://x.example|the shop> open? <@U2>', {
        thread_ts: '1767225600.000100',
      }),
      said('U3', '1767225601.000100', 'joined', { subtype: 'channel_join' }),
      said('U3', '1767225700.000100', 'q1 &lt;b&gt;'),
      said('U2', '1767225800.000100', 'a1'),
    ])
    put('help/2026-01-02.json', [
      said('U2', '1767312000.000100', 'Yes.', { thread_ts: '1767225600.000100' }),
      said('U1', '1767312001.000100', 'Thanks', { thread_ts: '1767225600.000100' }),
      said('U4', '1767312002.000100', 'q2'),
      said('U2', '1767312003.000100', 'a2'),
    ])
    put('help/2026-01-03.json', '[{"type":"message","user":"U1","ts":"1767398400.1","text":"cut')
    const [notice] = await notices(folder)
    assert.is(notice!.container, 'slack')
    const rows = await collect(folder)
    assert.equal(chats(rows), [
      'json',
      'truncated',
      ['u: q1 <b>', 'a: a1'],
      ['u: Is the shop open? @Ben', 'a: Yes.', 'u: Thanks'],
      ['u: q2', 'a: a2'],
    ])
    const agents = chats(await collect(folder, { agents: ['ana'] }))
    assert.equal(agents[3], ['a: Is the shop open? @Ben', 'u: Yes.', 'a: Thanks'])
    assert.equal(chats(await collect(folder, { agents: ['@s.example'] }))[2], [
      'u: q1 <b>',
      'a: a1',
    ])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('what is gathered is bounded: the least recently touched goes first', () => {
  const gathered = new Gathered<number>(10)
  assert.equal(gathered.add('a', 1, 4), [])
  assert.equal(gathered.add('b', 2, 4), [])
  assert.equal(gathered.add('a', 3, 2), [])
  assert.equal(
    gathered.add('c', 4, 5),
    [[2], [1, 3]].slice(0, 2).filter(([first]) => first === 2 || first === 1),
  )
  assert.equal([...gathered.take()], [[4]])
  assert.equal([...gathered.take()], [])
})

test('one message a row: CSV, rows between each other, in the order of their times', async () => {
  const csv = [
    'conversation_id;created_at;sender;body;customer_id',
    '7;2026-02-03 10:00;Customer;Is it open?;c1',
    '8;2026-02-03 10:01;customer;"It leaks;',
    'at the lid.";c2',
    '7;2026-02-03 10:09;Agent;And on Sundays from 10.;c1',
    '7;2026-02-03 10:05;Agent;Yes, until 18:00.;c1',
    '8;2026-02-03 10:06;agent;We send you a new one.;c2',
    '9;2026-02-03 10:07;customer;;c3',
    ';2026-02-03 10:07;customer;Hello?;c3',
    '10;2026-02-03 10:08;agent;Anything else?;c4',
  ].join('\n')
  let said = ''
  const rows = await collectText(csv, { onNotice: ({ message }) => (said = message) })
  assert.match(
    said,
    'one message a row; thread = conversation_id, role = sender, text = body, group = customer_id, ' +
      'time = created_at (guessed)',
  )
  assert.equal(chats(rows), [
    'content',
    'missing-key',
    ['u: Is it open?', 'a: Yes, until 18:00.\n\nAnd on Sundays from 10.'],
    ['u: It leaks;\nat the lid.', 'a: We send you a new one.'],
    'no-user',
  ])
  assert.equal(
    rows.map(({ origin }) => origin.line),
    [8, 9, 2, 3, 10],
  )
  const first = await example(csv.replace(/^.*customer;;.*\n^;.*\n/m, ''))
  assert.is(first.group, 'c1')
  assert.is(first.time, Date.UTC(2026, 1, 3, 10))
})

test('one message a row: JSON lines, names instead of roles, named agents, own columns', async () => {
  const said = (thread: unknown, author: string, text: unknown) => ({ thread, author, text })
  const all = [
    said(1, 'Ana', 'My kettle leaks.'),
    said(1, 'Ben', 'Where?'),
    said(1, 'Ana', 'At the lid.'),
    said(1, 'support', 'We send a new one.'),
    said('2', 'Ben', 'Your parcel is here.'),
    said('2', 'Ana', 'Thank you.'),
    said('2', 'Ben', 5),
    said('__proto__', 'constructor', 'Hi'),
    said('__proto__', 'toString', 'Hello'),
    said(4, 'Ben', 'Can I help?'),
    said(4, 'customer', 'No.'),
  ]
  assert.equal(chats(await collect(all)), [
    'content',
    ['u: My kettle leaks.', 'a: Where?', 'u: At the lid.', 'a: We send a new one.'],
    ['u: Your parcel is here.', 'a: Thank you.'],
    ['u: Hi', 'a: Hello'],
    ['a: Can I help?', 'u: No.'],
  ])
  const named = await collectText(all.map(line).join('\n'), {
    agents: ['Ben', 'support'],
  })
  assert.equal(chats(named).slice(2, 4), [
    ['a: Your parcel is here.', 'u: Thank you.'],
    'no-assistant',
  ])
  const own = [
    { nr: 1, who: 'system', said: 'Be kind.' },
    { nr: 1, who: 'user', said: 'Hi' },
    { nr: 1, who: 'assistant', said: 'Hello!' },
  ]
  const labelled = 'ticket_id,from,message,category\n1,ana,It leaks.,leak\n'
  assert.is((await example(labelled)).kind, 'completion')
  const columns = { thread: 'nr', role: 'who', text: 'said' }
  assert.equal(chats(await collect(own, { columns })), [['s: Be kind.', 'u: Hi', 'a: Hello!']])
})

test('one message a row: what waits is bounded, and a conversation that is cut keeps its group', async () => {
  async function* many() {
    for (let i = 0; i < 3000; i++) {
      const text = `${i} ${'x'.repeat(20_000)}`
      yield {
        conversation_id: i % 3 ? i - (i % 3) + 1 : 'long',
        role: i % 3 < 2 ? 'user' : 'agent',
        text,
      }
    }
  }
  const rows = await collect(many())
  const groups = rows.flatMap((row) => ('example' in row ? [row.example.group] : []))
  assert.is(groups.filter((group) => group !== 'long').length, 1000)
})

test.run()
