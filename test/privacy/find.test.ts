import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findPersonalData } from '../../lib/privacy/index.js'
import type { FindOptions } from '../../lib/privacy/index.js'
import { Finder } from '../../lib/privacy/find.js'
import { Pattern } from '../../lib/privacy/pattern.js'
import { processorSeconds } from '../processor.js'
import { documents } from './labelled.js'
import fc from '../properties.js'

const found = (text: string, options?: FindOptions) =>
  findPersonalData(text, options).map(({ kind, text }) => `${kind}: ${text}`)

test('findings are in order, do not overlap and hold their text', () => {
  for (const { text } of documents('tuned', 200, 7)) {
    let end = 0
    for (const finding of findPersonalData(text, { threshold: 0 })) {
      assert.ok(finding.start >= end && finding.end > finding.start)
      assert.is(finding.text, text.slice(finding.start, finding.end))
      assert.ok(finding.score >= 0 && finding.score <= 0.99)
      end = finding.end
    }
  }
})

test('any text at all can be searched', () => {
  const finder = new Finder({ deny: ['x'], rules: [{ kind: 'four', pattern: /\d{4}/ }] })
  const pieces = [
    '@',
    '.',
    ':',
    '-',
    '+',
    '0',
    '7',
    'Anna ',
    'born ',
    'password: ',
    'DE89',
    '\n',
    '\ud83d',
    'é',
    '((',
    '://',
    'x',
  ]
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(fc.constantFrom(...pieces)).map((list) => list.join('')),
      ),
      (text) => {
        let end = 0
        for (const finding of finder.find(text)) {
          assert.ok(
            finding.start >= end && finding.end > finding.start && finding.end <= text.length,
          )
          end = finding.end
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('words before a number decide what it is', () => {
  assert.equal(found('call 6173829405'), ['phone: 6173829405'])
  assert.equal(found('order 6173829405'), [])
  assert.equal(found('code 6173829405'), [])
  assert.equal(found('build 10.2.31.7'), [])
  assert.equal(found('host 10.2.31.7'), ['ip: 10.2.31.7'])
  assert.equal(found('BSN 111222333'), ['national-id: 111222333'])
  assert.equal(found('we sold 111222333'), [])
  assert.equal(found('born 1980-02-03'), ['birth-date: 1980-02-03'])
  assert.equal(found('shipped 1980-02-03'), [])
})

test('a label speaks as a word before the text does', () => {
  const finder = new Finder()
  const kinds = (text: string, label: string) =>
    finder.findLabelled(text, label).map(({ kind, start }) => [kind, start])
  assert.equal(kinds('hunter22', 'user password'), [['password', 0]])
  assert.equal(kinds('hunter22', 'product'), [])
  assert.equal(kinds('1980-02-03', 'date of birth'), [['birth-date', 0]])
  assert.equal(kinds('1980-02-03', 'delivered'), [])
  assert.equal(kinds('Zorb Blax', 'customer name'), [['person', 0]])
  assert.equal(kinds('Blue Widget', 'name'), [])
  assert.equal(kinds('see 6173829405', 'phone'), [['phone', 4]])
})

test('kinds, countries and the threshold choose', () => {
  const text = 'anna@web.de, +49 171 1234567, 12345678Z'
  assert.equal(found(text, { kinds: ['email'] }), ['email: anna@web.de'])
  assert.equal(found(text, { countries: ['DE'] }), ['email: anna@web.de', 'phone: +49 171 1234567'])
  assert.is(found(text).length, 3)
  assert.equal(found('Berlin', {}), [])
  assert.equal(found('in Berlin', { kinds: ['place'] }), ['place: Berlin'])
  assert.equal(found('in 12 or so, Anna said', { threshold: 0.6 }), [])
  assert.equal(found('in 12 or so, Anna said', { threshold: 0.5 }), ['person: Anna'])
})

test('the allow list and the deny list decide', () => {
  const text = 'Mail info@acme.com or bob@other.org about Project Falcon and 4711-XY.'
  assert.equal(found(text, { allow: ['INFO@acme.com', 'bob@other.org'] }), [])
  assert.equal(found(text, { allow: ['@acme.com'] }), ['email: bob@other.org'])
  assert.equal(
    found(text, { allow: ['@acme.com', '@other.org'], deny: ['project falcon', '4711-xy'] }),
    ['denied: Project Falcon', 'denied: 4711-XY'],
  )
  assert.equal(found('Falconry', { deny: ['falcon'] }), [], 'a part of a word is not it')
  assert.equal(found('call 12345 now', { deny: [{ text: '12345', kind: 'customer' }] }), [
    'customer: 12345',
  ])
  assert.equal(found('*** [x] ***', { deny: ['[x]'] }), ['denied: [x]'])
})

test('custom rules find by words, by patterns and by checks', () => {
  const rules = [
    { kind: 'customer', pattern: /C-\d{6}/, check: (text: string) => text.endsWith('7') },
    { kind: 'codename', words: ['Blue Whale', 'tiger'] },
  ]
  assert.equal(found('C-123457 C-123456 blue whale TIGER tigers', { rules }), [
    'customer: C-123457',
    'codename: blue whale',
    'codename: TIGER',
  ])
})

test('options that are wrong are refused by name', () => {
  const wrong: [object, RegExp][] = [
    [{ kinds: ['emial'] }, /Expected "email" for kinds, received "emial"/],
    [{ kinds: 'email' }, /Expected an array of names for kinds/],
    [{ countries: ['XX'] }, /for countries, received "XX"/],
    [{ threshold: 2 }, /Expected a number from 0 to 1 for threshold, received 2/],
    [{ treshold: 0.5 }, /did you mean "threshold"/],
    [{ allow: 'x' }, /for allow/],
    [{ deny: [''] }, /for deny/],
    [{ rules: [{ kind: 'Not This', words: ['x'] }] }, /for kind of a rule/],
    [{ rules: [{ kind: 'x' }] }, /Expected words or a pattern for the rule x/],
    [{ rules: [{ kind: 'x', pattern: /(a)\1/ }] }, /no back references/],
    [{ rules: [{ kind: 'x', pattern: /a(?=b)/ }] }, /no lookahead/],
    [{ rules: [{ kind: 'x', pattern: /(?<!a)b/ }] }, /no lookahead and no lookbehind/],
    [{ rules: [{ kind: 'x', pattern: '((a{50}){50}){50}' }] }, /at most 2000 steps/],
  ]
  for (const [options, message] of wrong) {
    assert.throws(
      () => findPersonalData('x', options as FindOptions),
      (error: Error) => {
        assert.match(error.message, message)
        return error instanceof TypeError || error instanceof RangeError
      },
    )
  }
  assert.throws(() => findPersonalData('x', { rules: [{ kind: 'x', pattern: '(' }] }), SyntaxError)
  assert.throws(
    () => findPersonalData(5 as unknown as string),
    /Expected a string for text, received 5/,
  )
})

// ---- patterns ----------------------------------------------------------------------------------

const matches = (pattern: Pattern, text: string) => [...pattern.matches(text, 0, text.length)]

test('a pattern matches what RegExp matches', () => {
  const atom = fc.constantFrom(
    'a',
    'b',
    '.',
    '[ab]',
    '[^a]',
    '\\d',
    '\\w',
    '(?:ab)',
    '(b|ab|a)',
    '\\b',
    '^',
    '$',
    'é',
    '😀',
    '\\.',
  )
  const repeat = fc.constantFrom(
    '',
    '',
    '',
    '*',
    '+',
    '?',
    '{2}',
    '{1,3}',
    '*?',
    '+?',
    '??',
    '{1,}',
  )
  const part = fc
    .tuple(atom, repeat)
    .map(([atom, repeat]) => (/^(?:\\b|\^|\$)$/.test(atom) ? atom : atom + repeat))
  const source = fc
    .array(fc.oneof(part, part, fc.constant('|')), { minLength: 1, maxLength: 7 })
    .map((list) => list.join(''))
  const text = fc.array(fc.constantFrom('a', 'b', '1', ' ', '\n', 'é', '😀', '.'), {
    maxLength: 24,
  })
  fc.assert(
    fc.property(source, text, (source, letters) => {
      const text = letters.join('')
      // Empty matches are not reported, but they take part in the choice: compare where there are none.
      const expected = [...text.matchAll(new RegExp(source, 'gmu'))]
      fc.pre(expected.every(([match]) => match !== ''))
      // \w is ASCII for RegExp while a word may hold any letter here.
      fc.pre(!/\\b/.test(source) || !/[é😀]/u.test(text))
      const actual = matches(new Pattern(new RegExp(source, 'u')), text)
      assert.equal(
        actual,
        expected.map((match) => [match.index, match.index + match[0].length]),
        `/${source}/ on ${JSON.stringify(text)}`,
      )
    }),
    { numRuns: 3000 },
  )
})

test('a pattern takes linear time where backtracking takes for ever', async () => {
  for (const source of [
    '(a+)+b',
    '(a|a)*b',
    '(a|aa)+$x',
    '([a-z]+)*@',
    'a*a*a*a*a*b',
    '(?:a?){30}a{30}b',
  ]) {
    const pattern = new Pattern(source)
    const text = 'a'.repeat(5_000)
    const seconds = await processorSeconds(() => assert.equal(matches(pattern, text), [], source))
    assert.ok(seconds < 3, `${source} took ${seconds} s`)
  }
})

test('flags of a pattern hold', () => {
  assert.equal(matches(new Pattern(/abc/i), 'xABC'), [[1, 4]])
  assert.equal(matches(new Pattern(/a.b/), 'a\nb'), [])
  assert.equal(matches(new Pattern(/a.b/s), 'a\nb'), [[0, 3]])
})

test.run()
