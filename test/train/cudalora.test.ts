// device: cuda
// timeout: 600
//
// Adapters on the GPU in bfloat16: the run follows the CPU's in float32, gives the same bits again, and
// what it writes says the same on both devices.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { writeFileSync } from 'node:fs'
import { load, train } from '../../lib/index.js'
import type { TrainOptions } from '../../lib/index.js'
import { skipsCuda } from '../tensor/cuda.js'
import { contents, eventsOf, fresh, nano, textFile, weights } from './nano.js'

const data = textFile(600)
const other = fresh('other.txt')
writeFileSync(other, 'captains saw ships. the boats saw the sea. '.repeat(400))

const far = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0)

if (skipsCuda()) {
  test('nothing without a GPU', () => {})
} else {
  const base = fresh('base')
  const first = nano({ data, output: base, device: 'cpu', steps: 60, learningRate: 1e-2 })
  ;(await train(first)).model.dispose()
  const { model: _, tokenizer: __, ...rest } = nano({ data: other, batch: 2, steps: 10, seed: 3 })

  async function tuned(change: Partial<TrainOptions>) {
    const lora = { rank: 4, alpha: 8, dropout: 0.1 }
    const options = { ...rest, base, lora, learningRate: 3e-2, output: fresh(), ...change }
    const events = await eventsOf(train(options))
    const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []))
    return { losses, output: options.output }
  }

  test('LoRA in bfloat16 follows float32 on the CPU within 2 %, twice with the same bits', async () => {
    const before = contents(base)
    const exact = await tuned({ device: 'cpu' })
    const one = await tuned({ device: 'cuda', precision: 'bfloat16' })
    assert.is(one.losses.length, 10)
    const apart = one.losses.map((loss, i) => Math.abs(loss / exact.losses[i]! - 1))
    assert.ok(Math.max(...apart) < 0.02, `${Math.max(...apart)}`)
    assert.ok(one.losses.at(-1)! < one.losses[0]! - 0.2, `${one.losses}`)
    assert.equal(contents(base), before)
    const two = await tuned({ device: 'cuda', precision: 'bfloat16' })
    const file = 'adapter_model.safetensors'
    assert.ok(weights(one.output, file).equals(weights(two.output, file)))

    using there = await load(one.output, { device: 'cuda' })
    using here = await load(one.output, { device: 'cpu' })
    const [gpu, cpu] = [await there.logits('the boat'), await here.logits('the boat')]
    const rounded = far(gpu.values, cpu.values)
    here.useAdapter(null)
    const plain = far((await here.logits('the boat')).values, cpu.values)
    assert.ok(rounded < 0.05 && plain > 10 * rounded, `${rounded}, ${plain} without the adapter`)
  })
}

test.run()
