// timeout: 600
// A run that is killed again and again ends with the bits of one that was not: see kills.ts.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { train } from '../../lib/index.js'
import { killAndResume } from './kills.js'
import { finish, nano, start, strays, weights } from './nano.js'

test('kill -9 at random moments, resumed each time', async () => {
  const { hashes, expected, left, ...found } = await killAndResume(14, Date.now())
  console.log(JSON.stringify(found))
  assert.ok(found.kills === 14 && hashes.length === found.ends && found.ends > 0)
  for (const hash of hashes) assert.is(hash, expected)
  assert.equal(left, [])
})

test('a kill while the text is prepared', async () => {
  const again = nano({
    steps: 4,
    seed: 9,
    tokenizer: { kind: 'bpe', size: 400 },
  })
  const child = start('train', again)
  child.stdout.once('data', () => child.kill('SIGKILL'))
  assert.is((await finish(child)).signal, 'SIGKILL')
  await train({ ...again, resume: true })
  assert.equal(strays(again.output), [])
  const undisturbed = nano({ ...again, output: undefined })
  await train(undisturbed)
  assert.ok(weights(again.output).equals(weights(undisturbed.output)))
})

test.run()
