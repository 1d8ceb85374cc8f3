// device: cuda
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AdamW } from '../../lib/optim/index.js'
import type { AdamWOptions } from '../../lib/optim/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { openCuda, skipsCuda } from '../tensor/cuda.js'

const count = 20000
const steps = 20
const learningRate = 1e-4

if (skipsCuda()) {
  test('nothing without a GPU', () => {})
} else {
  const device = openCuda()

  /** Weights of 1.5 after steps of learningRate down each, of which bfloat16 can hold none alone. */
  async function learn(options: AdamWOptions, between?: (optimizer: AdamW) => AdamW) {
    const parameter = device.full([count], 1.5, 'bfloat16')
    parameter.requiresGrad = true
    const named = (): [string, Tensor][] => [['weight', parameter]]
    let optimizer = new AdamW(named(), { learningRate, ...options })
    for (let step = 0; step < steps; step++) {
      parameter.grad?.dispose()
      parameter.grad = device.full([count], 1)
      optimizer.step().dispose()
      if (step === steps / 2) optimizer = (await resumed(optimizer, named(), options)) ?? optimizer
    }
    const values = (await parameter.data()) as Float32Array
    return { values, master: optimizer.master('weight') }

    async function resumed(from: AdamW, named: [string, Tensor][], options: AdamWOptions) {
      if (!between) return undefined
      const state: [string, Float32Array][] = []
      for (const [name, tensor] of from.tensors())
        state.push([name, (await tensor.data()) as Float32Array])
      const to = between(new AdamW(named, { learningRate, ...options }))
      to.loadState(from.steps, state)
      return to
    }
  }

  test('steps below the last bit of bfloat16 count on average when rounded at random', async () => {
    const { values, master } = await learn({ stochasticRounding: true, seed: 5 })
    assert.is(master, null)
    const ulp = 2 ** -7
    const moved = values.filter((value) => value !== 1.5)
    assert.ok(moved.every((value) => value >= 1.5 - 8 * ulp && value < 1.5))
    // Each step of each weight goes down by an ulp with probability rate / ulp.
    const wanted = steps * learningRate
    const mean = 1.5 - values.reduce((a, b) => a + b, 0) / count
    const deviation = Math.sqrt((wanted * ulp) / count)
    assert.ok(Math.abs(mean - wanted) < 4 * deviation, `${mean} is not ${wanted}`)
  })

  test('the seed names the bits, and the state that is loaded goes on with them', async () => {
    const options = { stochasticRounding: true, seed: 5 }
    const one = await learn(options)
    assert.equal((await learn(options)).values, one.values)
    assert.equal((await learn(options, (optimizer) => optimizer)).values, one.values)
    assert.not.equal((await learn({ ...options, seed: 6 })).values, one.values)
  })

  test('with masters nothing is random, and the same bits come of every seed', async () => {
    const { values, master } = await learn({ seed: 1 })
    const exact = (await master!.data()) as Float32Array
    assert.ok(exact.every((value) => Math.abs(value - (1.5 - steps * learningRate)) < 1e-6))
    assert.ok(values.every((value) => value === 1.5))
    assert.equal((await learn({ seed: 2 })).values, values)
  })
}

test.run()
