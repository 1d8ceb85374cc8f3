import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GPT2, resolveModel, trainingMemory } from '../../lib/models/index.js'
import type { ModelOptions } from '../../lib/models/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Tape, cpu } from '../../lib/tensor/index.js'
import { finish, nano, start, weights } from './nano.js'

test('200 steps after the first ones raise resident memory by no more than 1 %', async () => {
  const options = nano({
    steps: 350,
    evaluateEvery: 50,
    evaluateTokens: 64,
    sampleEvery: 50,
    sampleTokens: 8,
    batch: 1,
    // A vocabulary that makes the process one of some size.
    model: { layers: 2, dropout: 0.1, vocabulary: 40000, tied: false },
  })
  // What V8 and malloc keep for later would hide what the run holds: the young generation is kept small, and
  // every larger block goes back to the system when it is freed.
  const flags = ['--expose-gc', '--max-semi-space-size=1']
  const environment = { MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_TRIM_THRESHOLD_: '65536' }
  const { code, out, err } = await finish(start('memory', options, flags, environment))
  assert.is(code, 0, err)
  const samples = JSON.parse(out) as {
    step: number
    rss: number
    external: number
    reserved: number
  }[]
  // How long the copy of a checkpoint is there depends on the disk. It is in array buffers, which are
  // counted apart: what is left is level, and there is never more than one copy.
  const level = (from: number, to: number) => {
    const between = samples.filter(({ step }) => step > from && step <= to)
    const sizes = between.map(({ rss, external }) => rss - external).sort((a, b) => a - b)
    return sizes[Math.floor(sizes.length / 10)]!
  }
  // The first evaluation, sample and checkpoint have been by then.
  const [before, after] = [level(50, 150), level(250, 350)]
  const [first, last] = [before, after].map((bytes) => `${(bytes / 1e6).toFixed(1)} MB`)
  console.log(`resident but for array buffers ${first}, 200 steps later ${last}`)
  assert.ok(after <= before * 1.01, `${before} bytes became ${after}`)
  const copy = 3 * weights(options.output).length // with AdamW's two moments
  const most = Math.max(...samples.map(({ external }) => external))
  assert.ok(most < 1.5 * copy, `${most} bytes in array buffers, ${copy} of them a checkpoint's`)
  const reserved = new Set(
    samples.filter(({ step }) => step >= 55).map((sample) => sample.reserved),
  )
  assert.is(reserved.size, 1, 'the device holds the same from step to step')
})

const shapes: [ModelOptions, batch: number, recompute: boolean][] = [
  [{ preset: 'micro', vocabulary: 2048 }, 64, false],
  [{ preset: 'micro', vocabulary: 2048 }, 64, true],
  [{ preset: 'micro', vocabulary: 2048, tied: false, dropout: 0.1 }, 16, false],
  [{ preset: 'mini', vocabulary: 4096 }, 8, false],
  [{ preset: 'small', vocabulary: 4096 }, 4, false],
  [{ preset: 'small', vocabulary: 4096, context: 128 }, 16, true],
  [{ preset: 'small', vocabulary: 50257, context: 64, layers: 2 }, 4, false],
]

for (const [options, batch, recompute] of shapes) {
  const title = `${JSON.stringify(options)} x ${batch}${recompute ? ', recomputed' : ''}`
  test(`the estimate is what a step takes within 10 %: ${title}`, async () => {
    const config = resolveModel(options)
    const device = cpu({ threads: 2 })
    const model = new GPT2(config, device)
    const optimizer = new AdamW(model.namedParameters())
    const shape = [batch, config.context]
    const tokens = Int32Array.from(
      { length: batch * config.context },
      (_, i) => (i * 7) % config.vocabulary,
    )
    for (let step = 0; step < 2; step++) {
      using tape = new Tape()
      const upload = () => device.tensor(tokens, shape)
      const loss = tape.run(() =>
        model.loss(upload(), upload(), { dropout: { seed: 1, step }, recompute }),
      )
      tape.backward(loss)
      optimizer.step().dispose()
      model.zeroGrad()
      await device.idle()
    }
    const { peak, reserved } = device.memory()
    const { total } = trainingMemory(config, { batch, recompute })
    const shown = [total, reserved, peak].map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`)
    console.log(`estimate ${shown[0]}, held ${shown[1]}, in tensors ${shown[2]}: ${title}`)
    optimizer.dispose()
    model.dispose()
    device.close()
    assert.ok(total >= peak, 'never less than the tensors')
    assert.ok(Math.abs(total / reserved - 1) < 0.1, `${total} is not ${reserved}`)
  })
}

test('the parts add up, and recomputing takes less', () => {
  const config = resolveModel('gpt2', 50257)
  const keep = trainingMemory(config, { batch: 8 })
  assert.is(keep.total, keep.weights + keep.gradients + keep.optimizer + keep.activations)
  assert.is(keep.weights, 4 * 124439808)
  assert.is(keep.optimizer, 2 * keep.weights)
  assert.ok(
    trainingMemory(config, { batch: 8, recompute: true }).activations < keep.activations / 3,
  )
  assert.ok(trainingMemory(config, { batch: 4 }).activations < keep.activations)
  assert.ok(trainingMemory(config, { batch: 8, context: 512 }).activations < keep.activations)
})

test.run()
