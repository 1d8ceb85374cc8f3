// A run that is killed again and again, at moments that no code chose, ends with the bits of one that
// was not.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { load, train } from '../../lib/index.js'
import { Random } from '../../lib/random.js'
import { finish, nano, start, strays, textFile, weights } from './nano.js'

// Saving and evaluating at every step, so that most moments fall into a write.
const options = nano({
  data: textFile(),
  steps: 120,
  evaluateEvery: 1,
  sampleEvery: 0,
  seed: 9,
  accumulate: 2,
  model: { dropout: 0.1, width: 32, layers: 2 },
})
const newest = () => {
  const folder = join(options.output, 'checkpoints')
  const names = existsSync(folder) ? readdirSync(folder) : []
  return Math.max(0, ...names.map((name) => Number(/\d+/.exec(name)?.[0] ?? 0)))
}
const reference = nano({ ...options, output: undefined })
await train(reference)
const expected = weights(reference.output)

test('kill -9 at random moments, resumed each time', async () => {
  const random = new Random(Date.now())
  const kills: number[] = []
  let inWrites = 0
  for (let attempt = 0; ; attempt++) {
    const child = start('train', { ...options, resume: true })
    const ended = finish(child)
    if (attempt >= 7) {
      const { code, err } = await ended
      assert.is(code, 0, err)
      break
    }
    // From the first output on, so that every run gets somewhere however slow the machine is.
    let alive = true
    void ended.then(() => (alive = false))
    await new Promise<void>(
      (resolve) => void child.stdout.once('data', () => resolve()).once('close', () => resolve()),
    )
    await setTimeout(random.uniform() * 250)
    if (!alive) continue
    child.kill('SIGKILL')
    const { signal, code, err } = await ended
    if (signal !== 'SIGKILL') assert.is(code, 0, err)
    if (strays(options.output).length > 0) inWrites++
    kills.push(newest())
  }
  console.log(`killed around steps ${kills.join(', ')}; ${inWrites} times in the middle of a write`)
  assert.ok(kills.length >= 3)
  assert.ok(weights(options.output).equals(expected))
  assert.equal(strays(options.output), [])
  assert.equal(readdirSync(join(options.output, 'checkpoints')), ['step-00000120'])
  using model = await load(options.output)
  assert.is(model.config.layers, 2)
})

test('a kill while the text is prepared', async () => {
  const again = nano({
    ...options,
    output: undefined,
    steps: 4,
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
