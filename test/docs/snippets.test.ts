// timeout: 600
// What README and docs show: programs run (with sizes that take seconds), fragments parse, and commands name
// verbs and flags that there are.
import { spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { tickets } from '../../examples/shop.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const pages = [
  'README.md',
  ...readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`),
].filter((name) => name.endsWith('.md'))
const folder = mkdtempSync(path.join(tmpdir(), 'gptloom-docs-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

interface Snippet {
  /** README.md:70 */
  where: string
  code: string
}

function snippets(language: string): Snippet[] {
  return pages.flatMap((page) => {
    const text = readFileSync(path.join(root, page), 'utf8')
    return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(
      (match) => ({
        where: `${page}:${text.slice(0, match.index).split('\n').length}`,
        code: match[1]!,
      }),
    )
  })
}

const node = (args: string[], input?: string) =>
  spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', input })

/** The files that the programs read. */
function prepare(): void {
  mkdirSync(path.join(folder, 'node_modules'))
  symlinkSync(root, path.join(folder, 'node_modules', 'gptloom'), 'junction')
  const lines = tickets(40).map((ticket) => `${JSON.stringify(ticket)}\n`)
  mkdirSync(path.join(folder, 'tickets'))
  writeFileSync(path.join(folder, 'chats.jsonl'), lines.join(''))
  writeFileSync(path.join(folder, 'tickets', 'a.jsonl'), lines.join(''))
  writeFileSync(
    path.join(folder, 'chats.csv'),
    'question,answer\nAre you open?,"Yes, mail a@b.cc"\n',
  )
}

/** The same program, in seconds. */
const small = (code: string) =>
  code
    .replace(
      /layers: \d+, heads: \d+, width: \d+, context: \d+/g,
      'layers: 1, heads: 2, width: 32, context: 128',
    )
    .replace(/steps: \d+/g, 'steps: 2')
    .replace('chats.csv.gz', 'chats.csv')
    .replace(/maxTokens: \d+/g, 'maxTokens: 3')

prepare()

test('programs run', () => {
  const programs = snippets('js').filter(({ code }) => /^import .* from 'gptloom/m.test(code))
  assert.ok(programs.length >= 5, `${programs.length} programs`)
  programs.forEach(({ where, code }, i) => {
    const file = path.join(folder, `${i}.mjs`)
    writeFileSync(file, small(code))
    const { status, stderr } = node([file])
    assert.is(status, 0, `${where}\n${stderr}`)
  })
})

test('fragments parse', () => {
  for (const { where, code } of snippets('js')) {
    if (/^import /m.test(code)) continue
    writeFileSync(path.join(folder, 'fragment.mjs'), `async function fragment() {\n${code}\n}\n`)
    const { status, stderr } = node(['--check', path.join(folder, 'fragment.mjs')])
    assert.is(status, 0, `${where}\n${stderr}`)
  }
})

test('examples of data are what they say', () => {
  const all = snippets('json')
  assert.ok(all.length > 5)
  for (const { where, code } of all) {
    const whole = (text: string) => {
      try {
        JSON.parse(text)
        return true
      } catch {
        return false
      }
    }
    assert.ok(whole(code) || code.trim().split('\n').every(whole), where)
  }
})

test('commands name verbs and flags that there are', () => {
  const cli = path.join(root, 'dist', 'cli', 'main.js')
  const helps = new Map<string, string>()
  const help = (verb: string) => {
    if (!helps.has(verb)) {
      const { status, stdout } = node([cli, verb, '--help'])
      assert.is(status, 0, `gptloom ${verb} --help`)
      helps.set(verb, stdout)
    }
    return helps.get(verb)!
  }
  let commands = 0
  for (const { where, code } of snippets('sh')) {
    for (const line of code.split('\n')) {
      const [, verb, rest = ''] =
        /^(?:npx )?gptloom (\w+)(.*)$/.exec(line.replace(/ #.*/, '')) ?? []
      if (!verb) continue
      commands++
      for (const [flag] of rest.matchAll(/(?<= )--?[a-z][a-z-]*/g)) {
        assert.ok(help(verb).includes(flag), `${where}: gptloom ${verb} has no ${flag}`)
      }
    }
  }
  assert.ok(commands >= 10, `${commands} commands`)
})

test('scripts of npm that are named exist', () => {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  const wrong = [...pages, 'bench/README.md', 'test/ptx/README.md'].flatMap((page) => {
    const text = readFileSync(path.join(root, page), 'utf8')
    return [...text.matchAll(/npm run (?:--silent )?([\w:-]+)/g)]
      .filter(([, name]) => !(name! in manifest.scripts))
      .map(([all]) => `${page}: ${all}`)
  })
  assert.equal(wrong, [])
})

test('every link leads to a file', () => {
  const wrong = pages.flatMap((page) => {
    const text = readFileSync(path.join(root, page), 'utf8')
    return [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
      .map(([, to]) => path.join(root, path.dirname(page), to!))
      .filter((file) => !readable(file))
      .map((file) => `${page}: ${file}`)
  })
  assert.equal(wrong, [])
})

function readable(file: string): boolean {
  try {
    readFileSync(file)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EISDIR'
  }
}

test.run()
