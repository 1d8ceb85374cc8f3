import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { events, folder, run } from './spawn.js'

function file(name: string, contents: string | Uint8Array): string {
  writeFileSync(join(folder, name), contents)
  return join(folder, name)
}
const read = (name: string) => readFileSync(join(folder, name), 'utf8')

test('a file is scrubbed and what was found is printed with its context', async () => {
  const input = file(
    'chat.jsonl',
    '{"a":"Mail a@b.cc or pay 4111 1111 1111 1111"}\n{"a":"x@y.zz"}\n',
  )
  const { code, stdout, stderr } = await run(['scrub', input, join(folder, 'clean.jsonl')])
  assert.is(code, 0, stderr)
  assert.is(read('clean.jsonl'), '{"a":"Mail [EMAIL] or pay [CARD]"}\n{"a":"[EMAIL]"}\n')
  assert.match(stdout, /^2 lines, 62 B in 0:0\d.*: 3 findings\n/)
  assert.match(stdout, /^ {2}email +2 {2}\.\.\.Mail \[\[a@b\.cc\]\] or pay \*\*\*\.\.\.$/m)
  assert.match(
    stdout,
    /^ {2}card +1 {2}.*\[\[411\* \*\*\*\* \*\*\*\* \*\*\*\*\]\]/m,
    'cards are not shown',
  )
  const again = await run(['scrub', input, join(folder, 'clean.jsonl')])
  assert.is(again.code, 1)
  assert.match(again.stderr, /clean\.jsonl exists already.*--force/)
  const quiet = await run(['scrub', input, join(folder, 'clean.jsonl'), '--force', '--quiet'])
  assert.is(quiet.code, 0)
  assert.is(quiet.stdout + quiet.stderr, '')
})

test('--json is one object, without samples when asked', async () => {
  const input = file('mail.txt', 'a@b.cc')
  const { code, stdout } = await run([
    'scrub',
    input,
    join(folder, 'json.txt'),
    '--json',
    '--no-samples',
  ])
  assert.is(code, 0)
  const [event, ...more] = events(stdout)
  assert.equal(more, [])
  assert.equal(
    { ...event, seconds: 0 },
    {
      type: 'done',
      format: 'text',
      bytes: 6,
      rows: 0,
      dropped: 0,
      malformed: 0,
      findings: 1,
      kinds: [{ kind: 'email', count: 1, samples: [] }],
      left: [],
      seconds: 0,
    },
  )
})

test('standard input to standard output, the report apart from it', async () => {
  const { code, stdout, stderr } = await run(
    ['scrub', '-', '-', '--kinds', 'email', '--operator', 'mask'],
    'a@b.cc 4111 1111 1111 1111',
  )
  assert.is(code, 0)
  assert.is(stdout, '*@*.** 4111 1111 1111 1111')
  assert.match(stderr, /1 finding\n/)
})

test('lists, kinds, operators and packed files', async () => {
  const input = file(
    'in.csv.gz',
    gzipSync('who,text\nAnna Keller,"call +49 171 1234567, mail x@acme.com, Falcon"\n'),
  )
  const { code, stderr } = await run([
    'scrub',
    input,
    join(folder, 'out.csv'),
    '--operator',
    'phone=mask, person=hash',
    '--allow',
    file('allow.txt', '@acme.com\n\n'),
    '--deny',
    file('deny.txt', ' falcon \n'),
  ])
  assert.is(code, 0, stderr)
  assert.match(
    read('out.csv'),
    /^who,text\n\[PERSON:[a-p]{12}\],"call \+\*\* \*\*\* \*\*\*4567, mail x@acme.com, \[REDACTED\]"\n$/,
  )
})

test('pseudonyms go and come back with the key file', async () => {
  const input = file('names.txt', 'Dear Anna Keller,\nanna.keller@acme.de\n')
  const [hidden, back, key] = ['hidden.txt', 'back.txt', 'names.key'].map((name) =>
    join(folder, name),
  ) as [string, string, string]
  const there = await run(['scrub', input, hidden, '--operator', 'pseudonym', '--key', key])
  assert.is(there.code, 0, there.stderr)
  assert.match(there.stdout, /Who has it can undo them/)
  assert.not.match(read('hidden.txt'), /keller|acme/i)
  if (process.platform !== 'win32') assert.is(statSync(key).mode & 0o777, 0o600)
  const again = await run(['scrub', hidden, back, '--reverse', '--key', key])
  assert.is(again.code, 0, again.stderr)
  assert.is(read('back.txt'), 'Dear Anna Keller,\nanna.keller@acme.de\n')
  if (process.platform === 'win32') return
  chmodSync(key, 0o644)
  const open = await run(['scrub', hidden, back, '--force', '--reverse', '--key', key])
  assert.is(open.code, 1)
  assert.match(open.stderr, /can be read by others/)
})

test('what is typed wrongly ends with 2, what cannot be done with 1', async () => {
  const input = file('in.txt', 'a@b.cc')
  const out = join(folder, 'never.txt')
  const cases: [string[], number, RegExp][] = [
    [[], 2, /^error: Name the file to scrub/],
    [[input], 2, /^error: Name the file to write/],
    [[input, out, 'more'], 2, /^error: Give one file to read and one to write/],
    [[input, out, '--kinds', 'emial'], 2, /^error: Expected "email" for --kinds, received "emial"/],
    [
      [input, out, '--operator', 'blur'],
      2,
      /^error: Expected one of .* for --operator, received "blur"/,
    ],
    [
      [input, out, '--threshold', 'high'],
      2,
      /^error: Expected a number from 0 to 1 for --threshold, received "high"/,
    ],
    [[input, out, '--format', 'xml'], 2, /^error: Expected one of .* for --format, received "xml"/],
    [
      [input, out, '--operator', 'pseudonym'],
      2,
      /^error: Name the file that pseudonyms are kept in: --key <file>/,
    ],
    [[input, out, '--reverse'], 2, /^error: Name the key file/],
    [
      [input, out, '--reverse', '--key', join(folder, 'no.key')],
      1,
      /^error: Cannot read .*no\.key/,
    ],
    [
      [input, out, '--operator', 'pseudonym', '--key', input],
      1,
      /^error: The key file .* cannot be the data itself/,
    ],
    [[input, input], 1, /^error: .*is the input itself/],
    [[join(folder, 'none.txt'), out], 1, /^error: Cannot read .*none\.txt: there is no such file/],
    [[input, out, '--allow', join(folder, 'none.txt')], 1, /^error: Cannot read/],
  ]
  const left = [...cases]
  const take = async () => {
    for (let one = left.shift(); one; one = left.shift()) {
      const [args, expected, message] = one
      const { code, stdout, stderr } = await run(['scrub', ...args])
      assert.is(code, expected, `${args.join(' ')}: ${stderr}`)
      assert.match(stderr, message)
      assert.is(stdout, '')
    }
  }
  await Promise.all([take(), take()])
  assert.not.ok(existsSync(out))
  assert.is(read('in.txt'), 'a@b.cc')
})

test.run()
