import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Example, Message } from '../../lib/data/record.js'
import { renderExample } from '../../lib/data/render.js'
import type { LongPolicy, RenderSettings } from '../../lib/data/render.js'
import { chatml, gpt2Tokenizer, plainTemplate } from '../../lib/tokenizer/index.js'
import fc from '../properties.js'

const tokenizer = (await gpt2Tokenizer()).withSpecial(chatml.special)
const settings = (
  context: number,
  long: LongPolicy = 'auto',
  template = chatml,
): RenderSettings => ({
  tokenizer,
  template,
  context,
  long,
  learn: 'answers',
})
const said = ({ tokens, learn }: { tokens: Int32Array; learn: Uint8Array }) =>
  tokenizer.decode(tokens.filter((_, i) => learn[i]))
const word = (n: number) => 'red green blue lamp chair table'.split(' ')[n % 6]!
const words = (n: number, from = 0) => Array.from({ length: n }, (_, i) => word(from + i)).join(' ')

function chat(turns: number, length = 8): Example {
  const messages: Message[] = [{ role: 'system', content: 'Be brief.' }]
  for (let i = 0; i < turns; i++) {
    messages.push({ role: 'user', content: `${i}? ${words(length, i)}` })
    messages.push({ role: 'assistant', content: `${i}! ${words(length, i + 3)}` })
  }
  return { kind: 'chat', messages }
}

const answers = (example: Example) =>
  (example.kind === 'chat' ? example.messages : [])
    .filter(({ role, learn = true }) => role === 'assistant' && learn)
    .map(({ content }) => content + '<|im_end|>')

test('each kind learns what it should, to its end', () => {
  const render = (example: Example, template = chatml) => {
    const outcome = renderExample(example, settings(256, 'auto', template))
    assert.is(outcome.parts.length, 1)
    return said(outcome.parts[0]!)
  }
  assert.is(render(chat(2)), answers(chat(2)).join(''))
  assert.is(
    render({ kind: 'completion', prompt: 'Q: 1 + 1?\nA:', completion: ' 2' }),
    ' 2<|endoftext|>',
  )
  assert.is(render({ kind: 'text', text: 'Good lamp.' }), 'Good lamp.<|endoftext|>')
  const messages: Message[] = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b', learn: false },
    { role: 'assistant', content: 'c' },
  ]
  assert.is(render({ kind: 'chat', messages }), 'c<|im_end|>')
  assert.is(render({ kind: 'chat', messages }, plainTemplate), 'c<|endoftext|>')
  const everything = { ...settings(256), learn: 'all' as const }
  const { parts } = renderExample({ kind: 'chat', messages }, everything)
  assert.ok(parts[0]!.learn.every(Boolean))
})

test('a conversation too long is cut behind its last answer that fits', () => {
  const example = chat(6)
  const whole = renderExample(example, settings(1024)).parts[0]!
  const context = Math.floor(whole.tokens.length / 2)
  const outcome = renderExample(example, settings(context))
  assert.is(outcome.parts.length, 1)
  assert.is('change' in outcome && outcome.change, 'cut')
  const { tokens } = outcome.parts[0]!
  assert.equal(tokens, whole.tokens.slice(0, tokens.length))
  const kept = said(outcome.parts[0]!).split('<|im_end|>').length - 1
  assert.is(said(outcome.parts[0]!), answers(example).slice(0, kept).join(''))
  // One turn more would not have fitted.
  const longer = { ...chat(kept + 1) }
  assert.ok(renderExample(longer, settings(1024)).parts[0]!.tokens.length > context + 1)
})

test('split: every answer stands in one part, behind the system message', () => {
  const example = chat(7)
  const { parts } = renderExample(example, settings(70, 'split'))
  assert.ok(parts.length > 1)
  assert.is(parts.map(said).join(''), answers(example).join(''))
  for (const { tokens } of parts) {
    assert.match(
      tokenizer.decode(tokens),
      /^<\|im_start\|>system\nBe brief\.<\|im_end\|>\n<\|im_start\|>user/,
    )
    assert.ok(tokens.length <= 71)
  }
})

test('text is split so that every token but the first is a target once', () => {
  const text = words(500)
  const whole = renderExample({ kind: 'text', text }, settings(4096)).parts[0]!
  const { parts } = renderExample({ kind: 'text', text }, settings(37))
  const inputs = parts.flatMap(({ tokens }) => [...tokens.subarray(0, -1)])
  const targets = parts.flatMap(({ tokens }) => [...tokens.subarray(1)])
  assert.equal(inputs, [...whole.tokens.subarray(0, -1)])
  assert.equal(targets, [...whole.tokens.subarray(1)])
  const cut = renderExample({ kind: 'text', text }, settings(37, 'cut'))
  assert.equal(
    cut.parts.map(({ tokens }) => tokens),
    [whole.tokens.slice(0, 38)],
  )
})

test('what cannot be kept is dropped with its reason', () => {
  const long = chat(1, 100)
  const { tokens } = renderExample(long, settings(1024)).parts[0]!
  assert.equal(renderExample(long, settings(64, 'drop')), {
    parts: [],
    reason: 'too-long',
    tokens: tokens.length,
  })
  const prompt = { kind: 'completion', prompt: words(100), completion: 'yes' } as const
  const outcome = renderExample(prompt, settings(64))
  assert.is('reason' in outcome && outcome.reason, 'too-long')
  const silent: Example = { kind: 'chat', messages: [{ role: 'user', content: 'hello' }] }
  const none = renderExample(silent, settings(64))
  assert.is('reason' in none && none.reason, 'nothing-to-learn')
})

test('whatever the example, no part is longer than the context or without a target', () => {
  const content = fc.oneof(
    fc.string(),
    fc.nat(60).map((n) => words(n)),
  )
  const message = fc.record({
    role: fc.constantFrom('system', 'user', 'assistant', 'tool'),
    content,
    learn: fc.boolean(),
  }) as fc.Arbitrary<Message>
  const example: fc.Arbitrary<Example> = fc.oneof(
    fc.record({
      kind: fc.constant('chat' as const),
      messages: fc.array(message, { maxLength: 12 }),
    }),
    fc.record({ kind: fc.constant('completion' as const), prompt: content, completion: content }),
    fc.record({ kind: fc.constant('text' as const), text: content }),
  )
  fc.assert(
    fc.property(
      example,
      fc.integer({ min: 1, max: 120 }),
      fc.constantFrom<LongPolicy>('auto', 'cut', 'split', 'drop'),
      (example, context, long) => {
        const outcome = renderExample(example, settings(context, long))
        for (const { tokens, learn } of outcome.parts) {
          assert.ok(tokens.length >= 2 && tokens.length <= context + 1)
          assert.is(learn.length, tokens.length)
          assert.ok(learn.subarray(1).includes(1))
        }
        assert.ok(outcome.parts.length > 0 || 'reason' in outcome)
      },
    ),
    { numRuns: 400 },
  )
})

test.run()
