// What rows of each format mean.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { collect, example, problemOf } from './collect.js'

const chat = (...messages: object[]) => JSON.stringify({ messages })
const user = (content: unknown) => ({ role: 'user', content })
const assistant = (content: unknown, more = {}) => ({ role: 'assistant', content, ...more })
const line = (row: object) => JSON.stringify(row)

test('chats: roles, weights, names, turns', async () => {
  const row = chat(
    { role: 'system', content: 'Be kind.' },
    { ...user('Hi'), name: 'ana' },
    assistant('Hello', { weight: 0 }),
    user('Is it open?'),
    assistant('Yes', { weight: 1 }),
  )
  assert.equal(await example(row), {
    kind: 'chat',
    messages: [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hi', name: 'ana' },
      { role: 'assistant', content: 'Hello', learn: false },
      { role: 'user', content: 'Is it open?' },
      { role: 'assistant', content: 'Yes', learn: true },
    ],
  })
})

test('chats: tool calls are text, tool and developer are roles, parts are joined', async () => {
  const call = { id: '1', type: 'function', function: { name: 'order', arguments: '{"id": 7}' } }
  const row = chat(
    { role: 'developer', content: 'Use tools.' },
    user([
      { type: 'text', text: 'Where is' },
      { type: 'text', text: 'my order?' },
    ]),
    { role: 'assistant', content: null, tool_calls: [call, call] },
    { role: 'tool', tool_call_id: '1', content: 'on its way' },
    { role: 'assistant', content: 'Wait.', function_call: { name: 'wait', arguments: 'not json' } },
    { role: 'assistant', content: null, refusal: 'I cannot.' },
  )
  const text = '<tool_call>{"name":"order","arguments":{"id":7}}</tool_call>'
  assert.equal(await example(row), {
    kind: 'chat',
    messages: [
      { role: 'system', content: 'Use tools.' },
      { role: 'user', content: 'Where is\nmy order?' },
      { role: 'assistant', content: `${text}\n${text}` },
      { role: 'tool', content: 'on its way' },
      {
        role: 'assistant',
        content: 'Wait.\n<tool_call>{"name":"wait","arguments":"not json"}</tool_call>',
      },
      { role: 'assistant', content: 'I cannot.' },
    ],
  })
})

const wrongChats: [row: string, code: string, message: RegExp, hint?: RegExp][] = [
  ['{"messages": []}', 'content', /an empty list/],
  ['{"messages": "hi"}', 'content', /found text/],
  ['{"messages": [5]}', 'content', /messages\[0\], found the number 5/],
  [chat(user('a')), 'no-assistant', /No message is from the assistant/],
  [chat(user('a'), assistant('b', { weight: 0 })), 'no-assistant', /weight 0/],
  [
    chat(user('a'), assistant('b', { weight: 2 })),
    'weight',
    /messages\[1\]\.weight, found the number 2/,
  ],
  [chat({ ...user('a'), weight: 1 }, assistant('b')), 'weight', /role user/],
  [chat({ role: 'human', content: 'a' }, assistant('b')), 'role', /messages\[0\]\.role/, /"user"/],
  [chat({ role: 'asistant', content: 'a' }), 'role', /Unknown role/, /"assistant"/],
  [chat({ content: 'a' }), 'missing-key', /No messages\[0\]\.role/],
  [chat({ role: 5, content: 'a' }), 'role', /the number 5/],
  [chat({ role: 'user' }), 'missing-key', /No messages\[0\]\.content/],
  [chat(user(5)), 'content', /messages\[0\]\.content, found the number 5/, /quotes/],
  [chat(user(' ')), 'content', /an empty text/],
  [chat(user(null)), 'content', /null/],
  [chat(user([{ type: 'image_url', image_url: {} }])), 'content', /type image_url/],
  [
    chat(user('a'), { role: 'assistant', content: null, tool_calls: [{}] }),
    'content',
    /tool_calls\[0\]/,
  ],
]
for (const [row, code, message, hint] of wrongChats) {
  test(`chats: ${code} in ${row}`, async () => {
    const problem = await problemOf(row)
    assert.is(problem.code, code)
    assert.match(problem.message, message)
    assert.ok(problem.hint)
    if (hint) assert.match(problem.hint!, hint)
  })
}

test('ShareGPT', async () => {
  const conversations = [
    { from: 'system', value: '' },
    { from: 'human', value: 'q' },
    { from: 'GPT', value: 'a' },
  ]
  const messages = [
    { role: 'user', content: 'q' },
    { role: 'assistant', content: 'a' },
  ]
  assert.equal(await example(line({ id: 'x', conversations })), { kind: 'chat', messages })
  const withSystem = [{ role: 'system', content: 's' }, ...messages]
  assert.equal(await example(line({ system: 's', conversations })), {
    kind: 'chat',
    messages: withSystem,
  })
  const wrong = [{ from: 'alien', value: 'q' }]
  assert.match(
    (await problemOf(line({ conversations: wrong }))).message,
    /conversations\[0\]\.from/,
  )
  assert.match(
    (await problemOf(line({ conversations: [{ from: 'human', value: 3 }] }))).message,
    /\.value, found the number 3/,
  )
})

test('Alpaca', async () => {
  const row = {
    instruction: 'Add.',
    input: '1 and 2',
    output: '3',
    system: 's',
    history: [['hi', 'hello']],
  }
  assert.equal(await example(line(row)), {
    kind: 'chat',
    messages: [
      { role: 'system', content: 's' },
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: 'hello' },
      { role: 'user', content: 'Add.\n\n1 and 2' },
      { role: 'assistant', content: '3' },
    ],
  })
  const short = { instruction: 'Sing.', input: '', output: 'La' }
  assert.is((await example(line(short))).kind, 'chat')
  assert.match(
    (await problemOf(line({ instruction: 'a', output: '' }))).message,
    /output, found an empty text/,
  )
  assert.match((await problemOf(line({ ...row, history: [['x']] }))).message, /history\[0\]/)
  const dolly = await example(
    line({ instruction: 'a', context: 'b', response: 'c', category: 'd' }),
  )
  assert.ok(dolly.kind === 'chat' && dolly.messages[0]!.content === 'a\n\nb')
})

test('prompts and completions', async () => {
  assert.equal(await example(line({ prompt: 'p', completion: ' c' })), {
    kind: 'completion',
    prompt: 'p',
    completion: ' c',
  })
  // JSON is an answer like any other, but for lists of messages in the cells of a table.
  const json = { prompt: 'As JSON?', completion: '{"a": [1]}' }
  assert.equal(await example(line(json)), { kind: 'completion', ...json })
  const cells = [[{ role: 'user', content: 'q' }], [{ role: 'assistant', content: 'a' }]]
  const [prompt, completion] = cells.map((cell) => JSON.stringify(cell))
  assert.equal(await example(line({ prompt, completion })), {
    kind: 'chat',
    messages: cells.flat(),
  })
  assert.equal(await example(line({ prompt: '', completion: 'c' })), {
    kind: 'completion',
    prompt: '',
    completion: 'c',
  })
  assert.equal(
    await example(
      line({ prompt: [user('q'), assistant('old'), user('r')], completion: [assistant('new')] }),
    ),
    {
      kind: 'chat',
      messages: [
        { role: 'user', content: 'q' },
        { role: 'assistant', content: 'old', learn: false },
        { role: 'user', content: 'r' },
        { role: 'assistant', content: 'new' },
      ],
    },
  )
  const chatted = await example(line({ system: 's', prompt: 'p', completion: 'c' }))
  assert.ok(chatted.kind === 'chat' && chatted.messages.length === 3)
  assert.match(
    (await problemOf(line({ prompt: 'p', completion: 5 }))).message,
    /completion, found the number 5/,
  )
})

test('preferences in their three forms', async () => {
  const expected = {
    kind: 'preference',
    messages: [{ role: 'user', content: 'q' }],
    chosen: 'good',
    rejected: 'bad',
  }
  assert.equal(await example(line({ prompt: 'q', chosen: 'good', rejected: 'bad' })), expected)
  const lists = { chosen: [user('q'), assistant('good')], rejected: [user('q'), assistant('bad')] }
  assert.equal(await example(line(lists)), expected)
  assert.equal(await example(line({ prompt: 'q', ...lists })), expected)
  const openai = {
    input: { messages: [user('q')] },
    preferred_output: [assistant('good')],
    non_preferred_output: [assistant('bad')],
  }
  assert.equal(await example(line(openai)), expected)
  const different = {
    chosen: [user('x'), assistant('good')],
    rejected: [user('q'), assistant('bad')],
  }
  assert.match((await problemOf(line(different))).message, /different conversations/)
  assert.is((await problemOf(line({ chosen: 'a', rejected: 'b' }))).code, 'missing-key')
})

test('groups and times', async () => {
  const row = {
    text: 'a',
    ticket_id: 9,
    customer_id: 'c7',
    created_at: '2026-03-01T10:00:00+02:00',
  }
  assert.equal(await example(line(row)), {
    kind: 'text',
    text: 'a',
    group: 'c7',
    time: Date.UTC(2026, 2, 1, 8),
  })
  const times: [value: unknown, time: number | undefined][] = [
    [1767225600, Date.UTC(2026, 0, 1)],
    [1767225600000, Date.UTC(2026, 0, 1)],
    ['1767225600.5', Date.UTC(2026, 0, 1) + 500],
    ['2026-01-01', Date.UTC(2026, 0, 1)],
    ['2026-01-01 12:30', Date.UTC(2026, 0, 1, 12, 30)],
    ['2026-01-01 12:30:00 UTC', Date.UTC(2026, 0, 1, 12, 30)],
    ['2026-01-01T12:30:00.123456Z', Date.UTC(2026, 0, 1, 12, 30, 0, 123)],
    ['yesterday', undefined],
    ['01/02/2026', undefined],
    [-5, undefined],
    [1e300, undefined],
  ]
  for (const [time, expected] of times)
    assert.is((await example(line({ text: 'a', time }))).time, expected, String(time))
})

test('records from code: lists, iterables, getters that throw, an iterable that fails', async () => {
  const rows = [{ question: 'q', answer: 'a' }, null, { question: 'r' }]
  const read = await collect(rows)
  assert.equal(
    read.map((row) => row.origin),
    [1, 2, 3].map((row) => ({ file: 'records', line: 0, row })),
  )
  assert.equal(
    read.map((row) => ('problem' in row ? row.problem.code : row.example.kind)),
    ['completion', 'row', 'missing-key'],
  )
  const getter = {
    text: 'a',
    get group(): string {
      throw new Error('mine')
    },
  }
  const [first] = await collect([getter])
  assert.ok(first && 'problem' in first && /mine/.test(first.problem.message))
  const trap = () => {
    throw new Error('trap')
  }
  const { proxy: gone, revoke } = Proxy.revocable({}, {})
  revoke()
  const hostile = [
    new Proxy({ text: 'a' }, { ownKeys: trap }),
    new Proxy({ text: 'a' }, { getOwnPropertyDescriptor: trap }),
    new Proxy({ text: 'a' }, { get: trap }),
    gone,
    {
      get text(): string {
        throw Object.create(null)
      },
    },
  ]
  const told = await collect([...hostile, { text: 'a' }])
  assert.equal(
    told.map((row) => ('problem' in row ? row.problem.code : row.example.kind)),
    ['text', 'row', 'row', 'row', 'row', 'text'],
  )
  const turn = { thread: '1', role: 'customer', text: 'a' }
  const turns = await collect([new Proxy(turn, { get: trap }), turn], { format: 'turns' })
  assert.equal(
    turns.map((row) => ('problem' in row ? row.problem.code : row.example.kind)),
    ['row', 'no-assistant'],
  )
  let returned = false
  const endless = {
    *[Symbol.iterator]() {
      try {
        for (;;) yield { text: 'a' }
      } finally {
        returned = true
      }
    },
  }
  const { readRows } = await import('../../../lib/data/read.js')
  for await (const row of readRows(endless)) if (row.origin.row === 700) break
  assert.ok(returned, 'an iterable that is left is closed')
  const failing = (async function* () {
    yield { text: 'a' }
    throw new RangeError('own')
  })()
  let error: unknown
  try {
    await collect(failing)
  } catch (caught) {
    error = caught
  }
  assert.instance(error, RangeError)
})

test('mistakes in the options', async () => {
  const refused = async (options: object, message: RegExp) => {
    let error: Error | undefined
    try {
      await collect([{ text: 'a' }], options)
    } catch (caught) {
      error = caught as Error
    }
    assert.match(String(error), message)
  }
  await refused({ formt: 'csv' }, /did you mean "format"/)
  await refused({ format: 'cvs' }, /did you mean 'csv'/)
  await refused({ columns: { promt: 'x' } }, /did you mean "prompt"/)
  await refused({ columns: { prompt: 'x' } }, /prompt and completion/)
  await refused({ columns: { text: 0 } }, /columns\.text, received 0/)
  await refused({ maxRowBytes: 5 }, /RangeError/)
  await refused({ agents: 'ana' }, /agents/)
})

test.run()
