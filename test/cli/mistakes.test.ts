import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { book, events, folder, fresh, run, tiny } from './spawn.js'

/** Runs a few at a time: each is a process. */
async function all<T>(cases: readonly T[], check: (one: T) => Promise<void>): Promise<void> {
  const left = [...cases]
  const take = async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await check(one)
  }
  await Promise.all([take(), take(), take()])
}

function file(name: string, contents: string | Uint8Array): string {
  writeFileSync(join(folder, name), contents)
  return join(folder, name)
}

test('what is typed wrongly ends with 2, the option by its name and the usage', async () => {
  const wrong: [string[], RegExp][] = [
    [['--leyers', '3'], /^error: Unknown option --leyers: did you mean --layers\?$/m],
    [
      ['--learningrate', '3'],
      /^error: Unknown option --learningrate: did you mean --learning-rate\?$/m,
    ],
    [['-z'], /^error: Unknown option -z$/m],
    [
      ['--steps', 'many'],
      /^error: Expected an integer of at least 1 for --steps, received "many"$/m,
    ],
    [['--steps', '0'], /^error: Expected an integer of at least 1 for --steps, received 0$/m],
    [['--steps', '1.5'], /^error: Expected an integer of at least 1 for --steps, received 1.5$/m],
    [['--steps'], /^error: Expected a value for --steps, received nothing$/m],
    [['--batch', '-4'], /^error: Expected an integer from 1 to 1048576 for --batch, received -4$/m],
    [
      ['--threads', 'x'],
      /^error: Expected an integer from 1 to 1024 for --threads, received "x"$/m,
    ],
    [['--resume=yes'], /^error: Expected no value for --resume, received "yes"$/m],
    [
      ['--width', '50', '--heads', '3'],
      /^error: Expected a multiple of --heads \(3\) for --width, received 50$/m,
    ],
    [['--learning-rate', '-1'], /^error: Expected a number .* for --learning-rate, received -1$/m],
    [['--model', 'nanno'], /^error: Expected one of "nano".* for --model, received .*nanno/m],
    [
      ['--tokenizer', 'bpe:10'],
      /^error: Expected an integer from 257 to 1048576 for --tokenizer, received 10$/m,
    ],
    [
      ['--tokenizer', 'gpt3'],
      /^error: Expected one of .*"gpt2".* for --tokenizer, received "gpt3"$/m,
    ],
    [['--betas', '0.9'], /^error: Expected two numbers for --betas, received \[0.9\]$/m],
    [['--device', 'tpu'], /^error: Expected .* for --device, received "tpu"$/m],
  ]
  await all(wrong, async ([args, message]) => {
    const { code, stdout, stderr } = await run([
      'train',
      book,
      '--out',
      join(folder, 'never'),
      ...args,
    ])
    assert.is(code, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
    assert.match(stderr, /^Usage: gptloom train /m)
    assert.is(stdout, '')
  })
})

test('a missing text or folder ends with 2', async () => {
  await all<[string[], RegExp]>(
    [
      [['train', '--out', fresh()], /^error: Name the data/],
      [['train', '', '--out', fresh()], /^error: Name the data/],
      [['train', book], /^error: Name the folder for the model: --out/],
      [['train', book, '--out', ''], /^error: Name the folder for the model: --out/],
      [['generate', ''], /^error: Name the folder of a model/],
      [['trian', book], /^error: Unknown verb "trian": did you mean train\?/],
      [['help', 'trian'], /^error: Unknown verb "trian": did you mean train\?/],
      [[], /^gptloom \d/],
    ],
    async ([args, message]) => {
      const { code, stdout, stderr } = await run(args)
      assert.is(code, 2, stderr)
      assert.match(stderr, message)
      assert.is(stdout, '')
    },
  )
})

test('text that cannot be used ends with 1 and one line that names it', async () => {
  const empty = file('empty.txt', '')
  const short = file('short.txt', 'abc')
  const latin = file(
    'latin.txt',
    Uint8Array.from([...Buffer.from('a whale on line one\n'), 0xe9, 0x20]),
  )
  const photos = join(folder, 'photos')
  mkdirSync(photos)
  file('photos/whale.jpg', 'x')
  await all<[string, RegExp]>(
    [
      [join(folder, 'missing.txt'), /missing\.txt: there is no such file/],
      [empty, /empty\.txt is empty/],
      [short, /too short: 3 tokens/],
      [latin, /latin\.txt is not UTF-8 text: byte 0xE9 at offset 20, line 2/],
      [photos, /No text in .*photos: .*1 \.jpg/],
    ],
    async ([path, message]) => {
      const { code, stdout, stderr } = await run([
        'train',
        path,
        ...tiny.slice(2),
        '--out',
        fresh(),
      ])
      assert.is(code, 1, stderr)
      assert.match(stderr, /^error: [^\n]+\n$/)
      assert.match(stderr, message)
      assert.is(stdout, '')
    },
  )
})

test('an output that is taken, or below a file, ends with 1', async () => {
  const taken = join(folder, 'taken')
  mkdirSync(taken)
  file('taken/letter.txt', 'dear')
  await all<[string, RegExp]>(
    [
      [taken, /taken is not empty/],
      [join(book, 'below'), /Cannot .*below.*: /],
      [book, /Cannot create .*book\.txt: /],
    ],
    async ([out, message]) => {
      const { code, stderr } = await run([...tiny, '--out', out])
      assert.is(code, 1, stderr)
      assert.match(stderr, /^error: [^\n]+\n$/)
      assert.match(stderr, message)
    },
  )
})

test('a model beyond the memory is refused with the estimate and the remedy', async () => {
  const { code, stderr } = await run([
    'train',
    book,
    '--out',
    fresh(),
    '--model',
    'gpt2-xl',
    '--layers',
    '1000',
    '--tokenizer',
    'character',
    '--context',
    '64',
  ])
  assert.is(code, 1, stderr)
  assert.match(
    stderr,
    /^error: Training .* takes about [\d.]+ GB, and this machine has [\d.]+ GB; in the smallest parts it takes/,
  )
  assert.match(stderr, /Use a smaller model or a shorter context/)
})

test('--json tells the error as an object with its code', async () => {
  await all<[string[], string, number]>(
    [
      [['--out', fresh(), '--steps', '0'], 'ERR_USAGE', 2],
      [['--out', join(book, 'below')], 'ERR_FILE', 1],
    ],
    async ([args, expected, exit]) => {
      const { code, stdout, stderr } = await run([...tiny, '--json', ...args])
      assert.is(code, exit)
      const { type, code: name, message } = events(stdout).at(-1)!
      assert.equal([type, name], ['error', expected])
      assert.ok(stderr.startsWith(`error: ${message as string}\n`))
    },
  )
})

test('the stack is printed only for GPTLOOM_DEBUG=1', async () => {
  const args = [...tiny, '--out', join(book, 'below')]
  assert.not.match((await run(args)).stderr, /^ {4}at /m)
  assert.match((await run(args, '', { GPTLOOM_DEBUG: '1' })).stderr, /^ {4}at /m)
})

test.run()
