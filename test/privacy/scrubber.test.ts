import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  Pseudonyms,
  Scrubber,
  Summary,
  TextScrubber,
  findPersonalData,
} from '../../lib/privacy/index.js'
import { documents } from './labelled.js'
import fc from '../properties.js'

const folder = mkdtempSync(join(os.tmpdir(), 'gptloom-privacy-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const text = 'Anna Keller (anna.keller@acme.de, +49 171 1234567) paid with 4111 1111 1111 1111.'

test('placeholders say what stood there', () => {
  const { text: scrubbed, findings, drop } = new Scrubber().scrub(text)
  assert.is(scrubbed, '[PERSON] ([EMAIL], [PHONE]) paid with [CARD].')
  assert.equal(
    findings.map(({ kind }) => kind),
    ['person', 'email', 'phone', 'card'],
  )
  assert.is(findings[1]!.text, 'anna.keller@acme.de')
  assert.is(drop, false)
})

test('each operator does what it says', () => {
  const scrub = (operator: object | string) =>
    new Scrubber({ operator: operator as 'mask' }).scrub(text).text
  assert.is(
    scrub('mask'),
    '**** ****** (****.******@****.**, +** *** ***4567) paid with **** **** **** 1111.',
  )
  assert.is(scrub('keep'), text)
  assert.is(
    scrub({ email: 'keep', person: 'mask' }),
    '**** ****** (anna.keller@acme.de, [PHONE]) paid with [CARD].',
  )
  assert.match(scrub('hash'), /^\[PERSON:[a-p]{12}\] \(\[EMAIL:[a-p]{12}\], \[PHONE:/)
  assert.is(new Scrubber({ operator: { card: 'drop' } }).scrub(text).drop, true)
  assert.is(new Scrubber({ operator: { iban: 'drop' } }).scrub(text).drop, false)
})

test('a hash is the same for the same text and secret, and only then', () => {
  const pseudonyms = new Pseudonyms()
  const hash = (text: string, key = pseudonyms) =>
    new Scrubber({ operator: 'hash', pseudonyms: key }).scrub(text).text
  assert.is(hash('a@b.cc'), hash('a@b.cc'))
  assert.is.not(hash('a@b.cc'), hash('b@b.cc'))
  assert.is.not(hash('a@b.cc'), hash('a@b.cc', new Pseudonyms()))
})

test('scrubbing twice changes nothing more', () => {
  for (const operator of ['placeholder', 'hash'] as const) {
    const scrubber = new Scrubber({ operator })
    for (const { text } of documents('tuned', 150, 3)) {
      const once = scrubber.scrub(text).text
      assert.is(scrubber.scrub(once).text, once)
    }
  }
})

test('records keep their structure, and names of fields speak', () => {
  const record = JSON.parse(
    '{"id":17,"email":"a@b.cc","nested":[{"dob":"1980-02-03","ok":true},null,["call 617-555-0123"]],' +
      '"password":"hunter22","__proto__":{"constructor":"a@b.cc"},"shipped":"1980-02-03"}',
  ) as unknown
  const copy = structuredClone(record)
  const result = new Scrubber().scrubRecord(record)
  assert.is(
    JSON.stringify(result.record),
    '{"id":17,"email":"[EMAIL]","nested":[{"dob":"[BIRTH_DATE]","ok":true},null,["call [PHONE]"]],' +
      '"password":"[PASSWORD]","__proto__":{"constructor":"[EMAIL]"},"shipped":"1980-02-03"}',
  )
  assert.equal(record, copy, 'the input stays as it was')
  assert.is(result.findings.length, 5)
  assert.is(({} as { constructor: unknown }).constructor, Object)
})

test('a record may be nested as deep as memory allows', () => {
  let deep: unknown = 'a@b.cc'
  for (let i = 0; i < 200_000; i++) deep = [deep]
  assert.is(new Scrubber().scrubRecord(deep).findings.length, 1)
})

test('a finder of names takes the place of the lists', async () => {
  const names = (text: string) => {
    const start = text.indexOf('Zorblax')
    return start < 0 ? [] : [{ start, end: start + 7, kind: 'person' as const }]
  }
  assert.is(
    new Scrubber({ names }).scrub('Ask Zorblax or Anna Keller').text,
    'Ask [PERSON] or Anna Keller',
  )
  const later = new Scrubber({ names: (text) => Promise.resolve(names(text)) })
  assert.is((await later.scrubLater('it is Zorblax.', 'note')).text, 'it is [PERSON].')
  assert.throws(() => later.scrub('x'), /Expected a function that returns an array/)
  const wrong = new Scrubber({ names: () => [{ start: 0, end: 99, kind: 'person' }] })
  assert.throws(() => wrong.scrub('x'), /Expected spans of kind person or place in 0 to 1/)
})

test('options that are wrong are refused by name', () => {
  const scrubber = (options: object) => () => new Scrubber(options)
  assert.throws(
    scrubber({ operator: 'blur' }),
    /Expected one of placeholder.* for operator, received "blur"/,
  )
  assert.throws(scrubber({ operator: { emial: 'mask' } }), /did you mean "email"/)
  assert.throws(scrubber({ operator: { email: 'blur' } }), /for operator.email/)
  assert.throws(scrubber({ pseudonyms: {} }), /Expected Pseudonyms/)
  assert.throws(scrubber({ names: 5 }), /Expected a function for names/)
})

// ---- pseudonyms --------------------------------------------------------------------------------

test('the same person is the same stand-in, in a name, a part of it and an address', () => {
  const pseudonyms = new Pseudonyms(new Uint8Array(32).fill(7))
  const scrubber = new Scrubber({ operator: 'pseudonym', pseudonyms })
  const whole = scrubber.scrub('Hi Anna Keller,').text.slice(3, -1)
  const [given, family] = whole.split(' ') as [string, string]
  assert.match(whole, /^[A-Z][a-z]{4,} [A-Z][a-z]{4,}$/)
  assert.is(scrubber.scrub('Mrs Keller').text, `Mrs ${family}`)
  assert.is(scrubber.scrub('ANNA KELLER wrote').text, `${whole.toUpperCase()} wrote`)
  const email = scrubber.scrub('anna.keller@acme.de').text
  assert.match(email, /^[a-z]+\.[a-z]+@[a-z]+\.example$/)
  assert.ok(email.startsWith(`${given}.${family}@`.toLowerCase()))
  // The same secret in another run gives the same.
  const again = new Scrubber({
    operator: 'pseudonym',
    pseudonyms: new Pseudonyms(new Uint8Array(32).fill(7)),
  })
  assert.is(again.scrub('anna.keller@acme.de').text, email)
  assert.is.not(new Pseudonyms().standIn('email', 'anna.keller@acme.de'), email)
})

test("stand-ins are of the same kind but nobody's", () => {
  const pseudonyms = new Pseudonyms()
  const kind = (text: string) => findPersonalData(text, { threshold: 0.3 }).map(({ kind }) => kind)
  for (let i = 0; i < 50; i++) {
    assert.equal(kind(pseudonyms.standIn('email', `user${i}@acme.de`)), ['email'])
    // Numbers that no check and no numbering plan lets through.
    assert.equal(kind(pseudonyms.standIn('card', `4111 ${i}`)), [])
    assert.equal(kind(pseudonyms.standIn('iban', `DE89 ${i}`)), [])
    assert.match(pseudonyms.standIn('phone', `0171 ${i}`), /^\+999 \d{3} \d{3} \d{4}$/)
    assert.match(pseudonyms.standIn('ip', `10.0.0.${i}`), /^2[45]\d\.\d+\.\d+\.\d+$/)
    assert.match(pseudonyms.standIn('mac', `00:11:22:33:44:${i}`), /^02(:[\da-f]{2}){5}$/)
  }
})

test('no two texts share a stand-in, and every one leads back', () => {
  const pseudonyms = new Pseudonyms(new Uint8Array(32))
  const seen = new Map<string, string>()
  for (const kind of ['email', 'phone', 'card', 'ip', 'national-id', 'custom']) {
    for (let i = 0; i < 3000; i++) {
      const original = `${kind}-${i}@x.org`
      const standIn = pseudonyms.standIn(kind, original)
      assert.is(seen.get(standIn), undefined)
      seen.set(standIn, original)
    }
  }
  for (const [standIn, original] of seen)
    assert.is(pseudonyms.reverse(`<${standIn}>`), `<${original}>`)
})

test('what pseudonyms replaced comes back word for word', () => {
  const pseudonyms = new Pseudonyms()
  const scrubber = new Scrubber({ operator: 'pseudonym', pseudonyms })
  for (const part of ['tuned', 'held'] as const) {
    for (const { text } of documents(part, 200, 5)) {
      const scrubbed = scrubber.scrub(text)
      assert.is(pseudonyms.reverse(scrubbed.text), text)
      if (scrubbed.findings.length > 0) assert.is.not(scrubbed.text, text)
    }
  }
  assert.is(pseudonyms.reverse('nothing of this is a stand-in'), 'nothing of this is a stand-in')
})

test('the key file is for its owner, whole, and opens to the same table', async () => {
  const path = join(folder, 'names.key')
  const pseudonyms = await Pseudonyms.open(path)
  const standIn = pseudonyms.standIn('person', 'Anna Keller')
  const proto = pseudonyms.standIn('__proto__', 'constructor')
  assert.equal(readdirSync(folder), [], 'nothing is written before it is saved')
  await pseudonyms.save(path)
  assert.equal(readdirSync(folder), ['names.key'])
  if (process.platform !== 'win32') assert.is(statSync(path).mode & 0o777, 0o600)
  assert.not.match(readFileSync(path, 'utf8'), /undefined/)
  const opened = await Pseudonyms.open(path)
  assert.is(opened.size, 3)
  assert.is(opened.standIn('person', 'Anna Keller'), standIn)
  assert.is(opened.reverse(`${standIn} ${proto}`), 'Anna Keller constructor')
  await opened.save(path)
  assert.is((await Pseudonyms.open(path)).size, 3)
})

test('a key file that others can read, or that is none, is refused', async () => {
  const path = join(folder, 'bad.key')
  const refused = async (contents: string, message: RegExp, mode = 0o600) => {
    writeFileSync(path, contents)
    chmodSync(path, mode)
    await Pseudonyms.open(path).then(
      () => assert.unreachable(contents),
      (error: Error) => assert.match(error.message, message),
    )
  }
  const good = {
    format: 'gptloom pseudonyms',
    version: 1,
    secret: 'ab'.repeat(32),
    entries: [] as unknown[],
  }
  if (process.platform !== 'win32')
    await refused(JSON.stringify(good), /can be read by others \(mode 644\): run chmod 600/, 0o644)
  await refused('{', /is not valid JSON/)
  await refused('null', /its format is not/)
  await refused(JSON.stringify({ ...good, version: 2 }), /its version is not 1/)
  await refused(JSON.stringify({ ...good, secret: 'x' }), /its secret is not 64 hex digits/)
  await refused(JSON.stringify({ ...good, entries: [['a', 5, 'b']] }), /an entry is not/)
})

// ---- streams -----------------------------------------------------------------------------------

async function streamed(scrubber: Scrubber, text: string, sizes: () => number, lines = true) {
  const stream = new TextScrubber(scrubber, lines)
  const out: string[] = []
  let found = 0
  for (let at = 0; at < text.length;) {
    const size = sizes()
    const piece = await stream.push(text.slice(at, at + size))
    at += size
    if (!piece) continue
    out.push(piece.text)
    found += piece.findings.length
  }
  const last = (await stream.push('', true))!
  return { text: out.join('') + last.text, found: found + last.findings.length, pieces: out.length }
}

test('a text in pieces is scrubbed as the whole would be', async () => {
  const scrubber = new Scrubber()
  const long = documents('held', 4000, 11).map(({ text }) => text)
  for (const separator of ['\n', ' ']) {
    const text = long.join(separator)
    const whole = scrubber.scrub(text)
    let seed = 1
    const result = await streamed(
      scrubber,
      text,
      () => (seed = (seed * 48271) % 0x7fffffff) % 90_000,
    )
    assert.ok(result.pieces > 0, 'more than one block')
    assert.is(result.found, whole.findings.length)
    assert.ok(result.text === whole.text)
  }
})

test('what lies across the border of two blocks is found wherever it lies', async () => {
  const scrubber = new Scrubber()
  for (let shift = 0; shift < 60; shift += 7) {
    // Blocks end near 524288.
    const text =
      'x '.repeat(262_100) +
      ' '.repeat(shift) +
      'password: s3cret99 DE89 3704 0044 0532 0130 00 ' +
      'y '.repeat(100_000)
    const { text: scrubbed } = await streamed(scrubber, text, () => 100_000)
    assert.ok(scrubbed.includes('password: [PASSWORD] [IBAN] y'), `shift ${shift}`)
  }
})

test('a line with nothing to part it takes bounded memory and linear time', async () => {
  for (const unit of ['a', '7', 'a@b.cc', '-----BEGIN PRIVATE KEY-----', 'Anna ']) {
    const stream = new TextScrubber(new Scrubber(), true)
    const part = unit.repeat(Math.ceil(200_000 / unit.length))
    let length = 0
    for (let i = 0; i < 10; i++) {
      const piece = await stream.push(part)
      length += piece ? 1 : 0
    }
    await stream.push('', true)
    assert.ok(length >= 2, `${unit} comes out while it goes in`)
  }
})

test('lines are dropped whole, and the others stay', async () => {
  const scrubber = new Scrubber({ operator: { card: 'drop' } })
  const lines = Array.from({ length: 30_000 }, (_, i) =>
    i % 5 === 0 ? `line ${i} card 4111 1111 1111 1111 end` : `line ${i} mail a${i}@b.cc end`,
  )
  const { text } = await streamed(scrubber, lines.join('\n'), () => 77_777)
  const expected = lines
    .filter((_, i) => i % 5 !== 0)
    .map((line) => line.replace(/a\d+@b.cc/, '[EMAIL]'))
  assert.ok(text === expected.join('\n') || text === `${expected.join('\n')}\n`)
  const stream = new TextScrubber(scrubber, true)
  let failure: unknown
  for (let i = 0; i < 40 && !failure; i++)
    await stream
      .push('4111 1111 1111 1111 '.repeat(30_000))
      .catch((error: unknown) => (failure = error))
  assert.match((failure as Error).message, /more than 16 MB cannot be dropped/)
})

test('the summary counts by kind and masks secrets in its samples', () => {
  const summary = new Summary()
  const scrubber = new Scrubber()
  for (let i = 0; i < 200; i++) {
    const text = `Write to user${i}@acme.de\nor pay with 4111 1111 1111 1111 please`
    summary.add(text, scrubber.scrub(text).findings)
  }
  assert.equal(
    summary.kinds.map(({ kind, count }) => [kind, count]),
    [
      ['email', 200],
      ['card', 200],
    ],
  )
  const [email, card] = summary.kinds
  assert.equal(
    email!.samples.map(({ text }) => text),
    ['user0@acme.de', 'user9@acme.de', 'user99@acme.de'],
  )
  assert.is(email!.samples[0]!.before, 'Write to ')
  assert.is(email!.samples[0]!.after, ' or pay with ***')
  assert.is(card!.samples[0]!.text, '411* **** **** ****')
})

test('random texts come through a stream as they would as a whole', async () => {
  const scrubber = new Scrubber()
  const pieces = fc.constantFrom(
    'a@b.cc ',
    '+49 171 1234567',
    '\n',
    'Anna ',
    '😀',
    'x'.repeat(50),
    '4111 1111 1111 1111',
    ' ',
    'password: ',
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(pieces, { maxLength: 60 }),
      fc.integer({ min: 1, max: 40 }),
      async (list, size) => {
        const text = list.join('')
        assert.is((await streamed(scrubber, text, () => size)).text, scrubber.scrub(text).text)
      },
    ),
    { numRuns: 200 },
  )
})

test.run()
