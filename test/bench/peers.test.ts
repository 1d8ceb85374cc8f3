// npm run bench -- --peer at tiny sizes. Peers are no dependency: where one is missing its test is skipped.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { alternate, ratios } from '../../bench/peers/alternate.js'
import { Peer } from '../../bench/peers/peer.js'
import { run } from './run.js'

const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-peers-'))
test.after(() => rmSync(folder, { recursive: true }))

test('all take turns after one that does not count, and ratios are of the same turn', async () => {
  const calls: string[] = []
  const each = (name: string) => async () => calls.push(name)
  const times = await alternate(2, [each('a'), each('b')])
  assert.is(calls.join(''), 'ababab')
  assert.equal(times, [[3, 5], [4, 6]]) // prettier-ignore
  assert.equal(ratios([[1, 2, 4], [3, 4, 4], [1, 1, 1]]), [2, 0.5]) // prettier-ignore
})

test('a program that ends says why', async () => {
  const answers = [
    '-e',
    'console.log("one"); process.stdin.once("data", () => { throw Error("so") })',
  ]
  const peer = await Peer.start(process.execPath, answers, {})
  assert.is(peer.version, 'one')
  const error = await peer.ask('two').catch((error: Error) => error)
  assert.match((error as Error).message, /^The peer ended:\n[^]*Error: so/)
  await peer.close()
  const none = await Peer.start('/no/such/program', [], {}).catch((error: Error) => error)
  assert.match((none as Error).message, /ENOENT/)
})

for (const [name, packages, only, cases, columns] of [
  ['torch', 'python3-torch', '', 1, 2],
  ['llama', 'npm install node-llama-cpp', '', 6, 1],
  ['openblas', 'libopenblas-dev', 'M 16, 64 to 16', 3, 1],
  ['onednn', 'libdnnl-dev', 'M 16, 64 to 16', 3, 1],
] as const) {
  test(`beside ${name}`, () => {
    const history = path.join(folder, 'history.jsonl')
    const place = `<!-- peer ${name} -->\n`
    writeFileSync(path.join(folder, 'README.md'), `${place}\n<!-- end -->\n`)
    const args = ['--peer', name, '--only', only, '--folder', folder, '--history', history]
    const { status, out, error } = run(...args)
    if (status === 2 && error.includes(`for --peer ${name}`) && error.includes(packages))
      return console.log(`\nSKIP bench beside ${name}: ${error.trim().split('\n').at(-1)}`)
    assert.is(status, 0, error)
    assert.is(out.trim().split('\n').length, 3 + cases, out)
    const line = JSON.parse(readFileSync(history, 'utf8').trim().split('\n').at(-1)!) as {
      peer: string
      ratios: Record<string, number[]>
    }
    assert.is(line.peer, name)
    assert.is(Object.keys(line.ratios).length, cases)
    for (const each of Object.values(line.ratios)) {
      assert.is(each.length, columns)
      assert.ok(
        each.every((ratio) => ratio > 0 && Number.isFinite(ratio)),
        String(each),
      )
    }
    const readme = readFileSync(path.join(folder, 'README.md'), 'utf8')
    assert.match(readme, /times as fast \|/)
    assert.match(readme, /medians of 2 turns, at [0-9a-f]+|unknown/)
  })
}

test('mistakes are named', () => {
  const unknown = run('--peer', 'blas')
  assert.is(unknown.status, 2)
  assert.match(unknown.error, "Expected torch, llama, openblas, onednn for --peer, received 'blas'")
})

test.run()
