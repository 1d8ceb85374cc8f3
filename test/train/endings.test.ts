// Processes and threads that end in the middle of training, by whatever means: none of them crashes.
// native.test.ts runs this file under the sanitizers as well.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Worker } from 'node:worker_threads'
import { train } from '../../lib/index.js'
import { eventsOf, finish, fresh, nano, start, weights } from './nano.js'

const endless = () => nano({ steps: 1e6, threads: 2 })

for (const [job, code, message] of [
  ['exit', 5, /^$/],
  ['throw', 1, /thrown on purpose/],
  ['reject', 1, /on purpose/],
] as const) {
  test(`${job} in the middle of training ends the process as in any other`, async () => {
    const ended = await finish(start(job, endless()))
    assert.equal([ended.code, ended.signal], [code, null], ended.err)
    assert.match(ended.err, message)
  })
}

// A thread does not inherit --import tsx on every version of Node.
const child = new URL('./child.ts', import.meta.url).href
const program = `import('tsx/esm/api').then(({ register }) => { register(); return import('${child}') })`
const thread = (job: string, options: object) =>
  new Worker(program, {
    eval: true,
    execArgv: [],
    stdout: true,
    workerData: [job, JSON.stringify(options)],
  })

test('so does a thread, and the process goes on to train', async () => {
  const stopped = thread('train', endless())
  let seen = ''
  await new Promise<void>((resolve, reject) => {
    stopped.on('error', reject)
    stopped.stdout.on('data', (chunk) => {
      seen += chunk
      if (/step\n.*step\n/s.test(seen)) resolve()
    })
  })
  assert.is(await stopped.terminate(), 1)
  for (const job of ['exit', 'throw', 'reject']) {
    const ended = await new Promise((resolve) => {
      let failure = ''
      thread(job, endless())
        .on('error', (error) => (failure = error.message))
        .on('exit', (code) => resolve([code, failure]))
    })
    const messages: Record<string, string> = { throw: 'thrown on purpose', reject: 'on purpose' }
    assert.equal(ended, [job === 'exit' ? 5 : 1, messages[job] ?? ''])
  }
  const events = await eventsOf(train(nano({ steps: 3 })))
  assert.is(events.filter(({ type }) => type === 'step').length, 3)
})

test('garbage is collected at every turn, and the weights are the same', async () => {
  const options = nano({ seed: 7 })
  await train(options)
  const output = fresh()
  const ended = await finish(start('collect', { ...options, output }, ['--expose-gc']))
  assert.equal([ended.code, ended.err], [0, ''])
  assert.equal(weights(output), weights(options.output))
})

test.run()
