// The oracle itself, against numbers that others have published or that can be worked out by hand.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as oracle from './oracle.js'

const near = (actual: number, expected: number, within = 1e-12) =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual} where ${expected} was expected`)

test('philox gives the words of Random123', () => {
  // The known-answer file of the authors' library: kat_vectors, philox4x32 10.
  const hex = (counter: bigint, key: bigint) =>
    oracle
      .philox(counter, key)
      .map((word) => word.toString(16))
      .join(' ')
  assert.is(hex(0n, 0n), '6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  assert.is(hex(2n ** 128n - 1n, 2n ** 64n - 1n), '408f276d 41c83b0e a20bc7c6 6d5451fd')
  const pi = hex(0x0370734413198a2e85a308d3243f6a88n, 0x299f31d0a4093822n)
  assert.is(pi, 'd16cfe09 94fdcceb 5001e420 24126ea1')
})

test('gelu has the values of its formula at 0, 1 and far out', () => {
  near(oracle.gelu(0), 0)
  // torch.nn.functional.gelu(torch.tensor(1., dtype=torch.float64), approximate='tanh')
  near(oracle.gelu(1), 0.8411919906082768, 1e-15)
  near(oracle.gelu(-30), 0)
  // x * scipy.special.ndtr(x), and at 3 its derivative ndtr(x) + x exp(-x^2 / 2) / sqrt(2 pi)
  near(oracle.geluExact(1), 0.8413447460685429, 1e-15)
  near(oracle.geluExact(-1), -0.15865525393145707, 1e-15)
  near(oracle.geluExact(-4), -0.00012668496733247945, 1e-17)
  near(oracle.geluExact(2.999999) - oracle.geluExact(3.000001), -2e-6 * 1.011945647204184, 1e-12)
})

test('matmul multiplies, in every form', () => {
  const size = { M: 2, N: 2, K: 3 }
  assert.equal([...oracle.matmul([1, 2, 3, 4, 5, 6], [1, 0, 0, 1, 1, 1], size)], [4, 5, 10, 11])
  const turned = oracle.matmul([1, 4, 2, 5, 3, 6], [1, 0, 1, 0, 1, 1], {
    ...size,
    transposeA: true,
    transposeB: true,
  })
  assert.equal([...turned], [4, 5, 10, 11])
  const rest = { bias: [1, -1], residual: [10, 20, 30, 40] }
  const full = oracle.matmul([1, 2, 3, 4, 5, 6], [1, 0, 0, 1, 1, 1], { ...size, ...rest })
  assert.equal([...full], [15, 24, 41, 50])
})

test('layerNorm has mean 0 and variance 1 before weight and bias', () => {
  const out = oracle.layerNorm([1, 2, 3, 6], [1, 1, 1, 1], null, 0)
  near(oracle.sum(out), 0)
  near(oracle.norm([out]), 2)
  near(oracle.layerNorm([1, 2, 3, 6], [2, 2, 2, 2], [5, 5, 5, 5], 0)[3]!, 5 + 2 * out[3]!)
})

test('attention averages what it sees when all keys are the same', () => {
  const qkv = [1, 7, 10, 2, 7, 20, 3, 7, 60] // B = H = D = 1, T = 3: q, k, v for each position
  assert.equal([...oracle.attention(qkv, { B: 1, T: 3, H: 1, D: 1 })], [10, 15, 30])
  assert.equal([...oracle.attention(qkv, { B: 1, T: 3, H: 1, D: 1 }, [0, 1, 1])], [10, 20, 40])
  const [out, keys, values] = oracle.attentionCached([3, 7, 60], [7, 7, 0], [10, 20, 0], {
    B: 1,
    T: 1,
    H: 1,
    D: 1,
    past: 2,
    capacity: 3,
  })
  assert.equal([[...out], [...keys], [...values]], [[30], [7, 7, 7], [10, 20, 60]])
})

test('cross entropy of equal logits is log V', () => {
  near(oracle.crossEntropy([5, 5, 5, 5, 1, 2, 3, 4], [2, -1]), Math.log(4))
  near(oracle.linearCrossEntropy([3], [1, 1, 1], [1]), Math.log(3))
})

test('embedding adds the position within the document', () => {
  const out = oracle.embedding([1, 0, 1], [1, 2], {
    T: 3,
    C: 1,
    positions: [10, 20, 30],
    starts: [0, 0, 2],
  })
  assert.equal([...out], [12, 21, 12])
})

test('the first step of AdamW moves by the learning rate, and decays', () => {
  const options = {
    learningRate: 0.1,
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 0,
    gradientFactor: 1,
    step: 1,
  }
  near(oracle.adamw([1], [4], [0], [0], { ...options, weightDecay: 0 })[0][0]!, 0.9)
  near(oracle.adamw([1], [-4], [0], [0], { ...options, weightDecay: 0.5 })[0][0]!, 1.05)
})

test.run()
