// device: cuda
// timeout: 1200
//
// A whole run on the GPU: it follows the CPU's losses, gives the same bits again, goes on where it was
// stopped and on the other device, and the model writes the same text.
import { writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { load, train } from '../../lib/index.js'
import type { TrainEvent, TrainOptions } from '../../lib/index.js'
import { skipsCuda } from '../tensor/cuda.js'
import { eventsOf, fresh, nano, textFile, weights } from './nano.js'

const data = textFile(3000)
const small: Partial<TrainOptions> = {
  data,
  steps: 50,
  batch: 2,
  evaluateEvery: 50,
  evaluateTokens: 128,
  learningRate: 3e-3,
  seed: 7,
  threads: 2,
  model: { layers: 2, heads: 2, width: 64, context: 64 },
}

/** Questions about an invented shop's things, and answers. */
function chatFile(): string {
  const path = fresh('chats.jsonl')
  const things = ['lamp', 'chair', 'table', 'shelf', 'rug', 'clock', 'mirror']
  const row = (_: unknown, i: number) => ({
    messages: [
      { role: 'user', content: `Where is my ${things[i % 7]} number ${i}?` },
      { role: 'assistant', content: `Your ${things[i % 7]} is on its way, case ${i * 7}.` },
    ],
  })
  writeFileSync(
    path,
    Array.from({ length: 40 }, row)
      .map((x) => JSON.stringify(x))
      .join('\n'),
  )
  return path
}

const losses = (events: TrainEvent[]) =>
  events.flatMap((event) => (event.type === 'step' ? [event.loss] : []))
const run = async (change: Partial<TrainOptions>) => {
  const options = nano({ ...small, ...change })
  return { options, losses: losses(await eventsOf(train(options))) }
}

if (skipsCuda()) {
  test('nothing without a GPU', () => {})
} else {
  const cpu = await run({ device: 'cpu' })

  test('50 steps in float32 follow the CPU within 1e-4, in bfloat16 within 2 %', async () => {
    const exact = await run({ device: 'cuda', precision: 'float32' })
    const far = exact.losses.map((loss, i) => Math.abs(loss - cpu.losses[i]!))
    assert.ok(Math.max(...far) < 1e-4, `${Math.max(...far)}`)
    const rounded = await run({ device: 'cuda' })
    const apart = rounded.losses.map((loss, i) => Math.abs(loss / cpu.losses[i]! - 1))
    console.log(`\nfloat32 within ${Math.max(...far)}, bfloat16 within ${Math.max(...apart)}`)
    assert.ok(Math.max(...apart) < 0.02, `${Math.max(...apart)}`)
    assert.is(cpu.losses.length, 50)
    assert.ok(cpu.losses.at(-1)! < 0.8 * cpu.losses[0]!)

    // What was trained on one device writes the same text on the other.
    using there = await load(exact.options.output, { device: 'cuda' })
    using here = await load(exact.options.output, { device: 'cpu' })
    const options = { maxTokens: 24, temperature: 0 }
    assert.is(await there.complete('The ', options), await here.complete('The ', options))
  })

  const short = { steps: 4, evaluateEvery: 2, model: { ...(small.model as object), dropout: 0.1 } }
  for (const [precision, stochasticRounding] of [
    ['float32', false],
    ['tf32', false],
    ['bfloat16', false],
    ['bfloat16', true],
  ] as const) {
    const title = `${precision}${stochasticRounding ? ', rounded at random' : ''}`
    test(`${title}: two runs, and one that was stopped, give the same bits`, async () => {
      const change = { ...short, device: 'cuda', precision, stochasticRounding }
      const one = await run(change)
      const two = await run({ ...change, batch: 2 })
      assert.ok(weights(one.options.output).equals(weights(two.options.output)))
      const controller = new AbortController()
      const options = nano({ ...small, ...change, output: fresh() })
      const stopped = train({ ...options, signal: controller.signal })
      stopped.catch(() => {})
      try {
        for await (const event of stopped)
          if (event.type === 'step' && event.step === 2) controller.abort()
      } catch (error) {
        assert.is((error as Error).name, 'AbortError')
      }
      await train({ ...options, resume: true })
      assert.ok(weights(options.output).equals(weights(one.options.output)))
    })
  }

  test('chats with every option that changes a step follow the CPU', async () => {
    const change: Partial<TrainOptions> = {
      data: chatFile(),
      tokenizer: 'bpe',
      privacy: false,
      steps: 3,
      evaluateEvery: 3,
      accumulate: 2,
      recompute: true,
      neftune: 5,
      labelSmoothing: 0.1,
      freeze: ['wpe', 'h.0'],
      clip: 0.1,
      model: { layers: 2, heads: 2, width: 32, context: 64, dropout: 0.1, tied: false },
    }
    const [wanted, found] = [
      await run({ ...change, device: 'cpu' }),
      await run({ ...change, device: 'cuda', precision: 'float32' }),
    ]
    assert.is(found.losses.length, 3)
    for (const [i, loss] of found.losses.entries())
      assert.ok(Math.abs(loss - wanted.losses[i]!) < 1e-5, `${loss} ${wanted.losses[i]}`)
  })

  test('a checkpoint goes on on the other device', async () => {
    const began = await run({ steps: 3, device: 'cuda', precision: 'bfloat16' })
    const after = async (device: string) => {
      const more = { ...began.options, device, steps: 6, resume: true, precision: 'auto' as const }
      return losses(await eventsOf(train(more)))
    }
    const onCpu = await after('cpu')
    assert.is(onCpu.length, 3)
    for (const [i, loss] of onCpu.entries())
      assert.ok(Math.abs(loss / cpu.losses[3 + i]! - 1) < 0.05, `${loss} ${cpu.losses[3 + i]}`)
  })
}

test.run()
