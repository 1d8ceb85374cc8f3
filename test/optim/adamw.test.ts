import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AdamW } from '../../lib/optim/index.js'
import { Random } from '../../lib/random.js'
import { cpu } from '../../lib/tensor/index.js'
import type { Tensor, Values } from '../../lib/tensor/index.js'
import { adamw, norm } from '../oracle.js'

const shapes: [string, number[]][] = [
  ['matrix', [33, 7]],
  ['bias', [31]],
  ['one', [1]],
  ['table', [127, 3]],
]
const hyper = { learningRate: 3e-3, betas: [0.9, 0.99] as const, epsilon: 1e-8, weightDecay: 0.1 }

function values(count: number, seed: number, scale: number): Float32Array {
  const random = new Random(seed)
  return Float32Array.from({ length: count }, () => (random.uniform() * 2 - 1) * scale)
}

function build(): [string, Tensor][] {
  return shapes.map(([name, shape], i) => {
    const tensor = cpu().tensor(
      values(
        shape.reduce((a, b) => a * b),
        i + 1,
        1,
      ),
      shape,
    )
    tensor.requiresGrad = true
    return [name, tensor]
  })
}

function setGradients(parameters: [string, Tensor][], step: number, scale = 1): Float32Array[] {
  return parameters.map(([, parameter], i) => {
    const gradient = values(parameter.size, 1000 * (step + 1) + i, scale)
    parameter.grad?.dispose()
    parameter.grad = cpu().tensor(gradient, parameter.shape)
    return gradient
  })
}

function close(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
  rtol = 2e-5,
): void {
  assert.is(actual.length, expected.length, what)
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!)
    if (!(error <= 1e-6 + rtol * Math.abs(expected[i]!))) {
      assert.unreachable(`${what}[${i}]: ${actual[i]} is not ${expected[i]}`)
    }
  }
}

async function everything(
  optimizer: AdamW,
  parameters: [string, Tensor][],
): Promise<Map<string, Values>> {
  const all = new Map<string, Values>()
  for (const [name, tensor] of [...parameters, ...optimizer.tensors()])
    all.set(name, await tensor.data())
  return all
}

for (const { maxNorm, gradientScale } of [
  { maxNorm: 0, gradientScale: 1 },
  { maxNorm: 1, gradientScale: 1 / 64 },
  { maxNorm: 0.05, gradientScale: 1 / 3 },
]) {
  test(`20 steps equal float64's: clipped to ${maxNorm}, scaled by ${gradientScale}`, async () => {
    const parameters = build()
    const optimizer = new AdamW(parameters, hyper)
    const expected = new Map<string, [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>]>()
    for (const [name, tensor] of parameters) {
      const zeros = new Float64Array(tensor.size)
      expected.set(name, [await tensor.data(), zeros, zeros])
    }
    let clipped = 0
    for (let step = 0; step < 20; step++) {
      const gradients = setGradients(parameters, step, step % 3 === 0 ? 10 : 0.01)
      const learningRate = hyper.learningRate * (1 - step / 40)
      const reported = await optimizer.step({ learningRate, gradientScale, maxNorm }).item()
      const total = norm(gradients)
      close([reported], [total], 'norm')
      const clip =
        maxNorm > 0 && total * gradientScale > maxNorm ? maxNorm / (total * gradientScale) : 1
      if (clip < 1) clipped++
      for (const [i, [name, tensor]] of parameters.entries()) {
        expected.set(
          name,
          adamw(
            ...(() => {
              const [p, m, v] = expected.get(name)!
              return [p, gradients[i]!, m, v] as const
            })(),
            {
              learningRate,
              beta1: hyper.betas[0],
              beta2: hyper.betas[1],
              epsilon: hyper.epsilon,
              weightDecay: tensor.shape.length >= 2 ? hyper.weightDecay : 0,
              gradientFactor: gradientScale * clip,
              step: step + 1,
            },
          ),
        )
      }
    }
    assert.is(optimizer.steps, 20)
    assert.ok(maxNorm === 0 ? clipped === 0 : clipped > 0, 'the case clips')
    const actual = await everything(optimizer, parameters)
    for (const [name, [p, m, v]] of expected) {
      close(actual.get(name)!, p, name)
      close(actual.get(`m.${name}`)!, m, `m.${name}`)
      close(actual.get(`v.${name}`)!, v, `v.${name}`)
    }
  })
}

test('a norm that was asked for before is the one that clips', async () => {
  const moved = async (asked: boolean) => {
    const parameters = build()
    const optimizer = new AdamW(parameters, hyper)
    setGradients(parameters, 0, 10)
    const norm = asked ? optimizer.norm() : undefined
    const read = norm?.item()
    const used = optimizer.step({ maxNorm: 1, norm })
    assert.is(await (read ?? used.item()), await used.item())
    used.dispose()
    return everything(optimizer, parameters)
  }
  assert.equal(await moved(true), await moved(false))
  assert.throws(() => new AdamW(build(), hyper).norm(), /call backward\(\) first/)
})

test('matrices decay, vectors do not', async () => {
  const parameters = build()
  const optimizer = new AdamW(parameters, hyper)
  const before = await everything(optimizer, parameters)
  for (const [, parameter] of parameters) parameter.grad = cpu().zeros(parameter.shape)
  optimizer.step().dispose()
  const after = await everything(optimizer, parameters)
  for (const [name, { shape }] of parameters) {
    const factor = shape.length >= 2 ? 1 - hyper.learningRate * hyper.weightDecay : 1
    close(
      after.get(name)!,
      before.get(name)!.map((x) => x * factor),
      name,
      1e-6,
    )
    if (shape.length < 2) assert.equal(after.get(name), before.get(name))
  }
})

for (const bad of [NaN, Infinity, -Infinity]) {
  test(`a gradient of ${bad} leaves everything as it was`, async () => {
    const parameters = build()
    const optimizer = new AdamW(parameters, hyper)
    setGradients(parameters, 0)
    optimizer.step({ maxNorm: 1 }).dispose()
    const before = await everything(optimizer, parameters)
    for (const maxNorm of [0, 1]) {
      const gradients = setGradients(parameters, 1)
      gradients[3]![200] = bad
      parameters[3]![1].grad!.write(gradients[3]!)
      assert.not.ok(Number.isFinite(await optimizer.step({ maxNorm }).item()))
      assert.equal(await everything(optimizer, parameters), before)
    }
  })
}

test('a parameter without a gradient stays', async () => {
  const parameters = build()
  const optimizer = new AdamW(parameters, hyper)
  const before = await everything(optimizer, parameters)
  setGradients(parameters, 0)
  const [name, still] = parameters[0]!
  still.grad!.dispose()
  still.grad = null
  optimizer.step().dispose()
  const after = await everything(optimizer, parameters)
  for (const key of [name, `m.${name}`, `v.${name}`]) assert.equal(after.get(key), before.get(key))
  assert.not.equal(after.get('bias'), before.get('bias'))
})

test('state taken back goes on bit for bit', async () => {
  const [parameters, copies] = [build(), build()]
  const optimizer = new AdamW(parameters, hyper)
  for (let step = 0; step < 3; step++) {
    setGradients(parameters, step)
    optimizer.step({ maxNorm: 1 }).dispose()
  }
  const state = await everything(optimizer, parameters)
  const other = new AdamW(copies, hyper)
  for (const [name, tensor] of copies) tensor.write(state.get(name)!)
  other.loadState(optimizer.steps, state)
  assert.is(other.steps, 3)
  for (const [of, list] of [
    [optimizer, parameters],
    [other, copies],
  ] as const) {
    setGradients(list, 3)
    of.step({ maxNorm: 1 }).dispose()
  }
  assert.equal(await everything(other, copies), await everything(optimizer, parameters))
})

test('loadState() names what is missing or of another size', () => {
  const parameters = build()
  const optimizer = new AdamW(parameters, hyper)
  const state = [...optimizer.tensors()].map(
    ([name, { size }]) => [name, new Float32Array(size)] as const,
  )
  const fails = (given: typeof state, pattern: RegExp) => {
    assert.throws(
      () => optimizer.loadState(1, given),
      (error: Error & { code?: string }) => {
        assert.is(error.code, 'ERR_FORMAT')
        assert.match(error.message, pattern)
        return true
      },
    )
  }
  fails(
    state.filter(([name]) => name !== 'v.bias'),
    /31 values \[31\] for v\.bias/,
  )
  fails(
    state.map(([name, x]) => [name, name === 'm.one' ? new Float32Array(2) : x]),
    /m\.one/,
  )
})

test('mistakes are named', () => {
  const parameters = build()
  assert.throws(() => new AdamW(parameters, { learningRate: -1 }), /learningRate, received -1/)
  assert.throws(() => new AdamW(parameters, { betas: [0.9, 1] }), /betas\[1\], received 1/)
  assert.throws(() => new AdamW(parameters, { epsilon: NaN }), /epsilon, received NaN/)
  assert.throws(() => new AdamW(parameters).step(), /call backward\(\) first/)
})

test.run()
