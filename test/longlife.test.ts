// run: alone
// timeout: 600
// A process that lives long: its memory is level after the first while.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GPT2, resolveModel } from '../lib/models/index.js'
import { AdamW } from '../lib/optim/index.js'
import { Tape, add, cpu, gelu, layerNorm, matmul, scope } from '../lib/tensor/index.js'

const device = cpu()

async function resident(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    ;(globalThis as { gc?: () => void }).gc!()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return process.memoryUsage().rss
}

/**
 * Runs body `count` times, and as often before that for malloc and V8 to settle; fails when resident
 * memory rose by over 1 %. It wavers by more than that: the least of ten looks counts.
 */
async function level(count: number, body: (i: number) => unknown): Promise<void> {
  const looks: number[] = []
  for (let i = 0; i < 2 * count; i++) {
    if (i >= count && i % (count / 20) === 0) looks.push(await resident())
    await body(i)
  }
  const [before, after] = [Math.min(...looks.slice(0, 10)), Math.min(...looks.slice(10))]
  const rise = (100 * (after - before)) / before
  assert.ok(rise <= 1, `${(before / 1e6).toFixed(1)} MB, then ${(after / 1e6).toFixed(1)} MB`)
}

test('10,000 models are made, trained and disposed', async () => {
  const config = resolveModel({ layers: 1, heads: 2, width: 16, context: 8 }, 50)
  const tokens = Int32Array.from({ length: 16 }, (_, i) => (i * 7) % 50)
  const used = device.memory().used
  await level(10_000, async (i) => {
    const model = new GPT2(config, device, i)
    const optimizer = new AdamW(model.namedParameters())
    const inputs = device.tensor(tokens, [2, 8])
    const tape = new Tape()
    tape.backward(tape.run(() => model.loss(inputs, inputs)))
    optimizer.step().dispose()
    for (const part of [tape, inputs, optimizer, model]) part.dispose()
    if (i % 100 === 0) await device.idle() // nobody may enqueue forever
  })
  await device.idle()
  assert.is(device.memory().used, used)
})

test('100,000 calls of ops', async () => {
  const x = device.normal([8, 16], { seed: 1 })
  const weight = device.normal([16, 16], { seed: 2 })
  const ones = device.full([16], 1)
  await level(25_000, async (i) => {
    scope(() => void add(x, gelu(layerNorm(matmul(x, weight), ones))))
    if (i % 500 === 0) await device.idle()
  })
})

test.run()
