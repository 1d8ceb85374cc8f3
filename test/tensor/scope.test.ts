import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Tape, add, cpu, keep, scope } from '../../lib/tensor/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { failure } from './devices.js'

const device = cpu()
const made = () => device.zeros([3])

test('disposes what was made in it, and returns the rest', () => {
  let inner!: Tensor
  const before = made()
  const result = scope(() => {
    inner = made()
    return add(inner, before)
  })
  assert.ok(inner.disposed)
  assert.not(result.disposed)
  assert.not(before.disposed)
})

test('returns tensors within arrays and objects', () => {
  const { list, deep, number } = scope(() => ({
    list: [made(), made()],
    deep: { x: made() },
    number: 5,
  }))
  for (const tensor of [...list, deep.x]) assert.not(tensor.disposed)
  assert.is(number, 5)
  assert.is(
    scope(() => null),
    null,
  )
  assert.is(
    scope(() => undefined),
    undefined,
  )
})

test('a returned tensor belongs to the scope around', () => {
  let returned!: Tensor
  scope(() => {
    returned = scope(made)
    assert.not(returned.disposed)
  })
  assert.ok(returned.disposed)
})

test('keep() takes a tensor out of every scope', () => {
  let kept!: Tensor
  scope(() => {
    kept = scope(() => {
      const tensor = made()
      assert.is(keep(tensor), tensor)
      return tensor
    })
    keep(kept)
  })
  assert.not(kept.disposed)
  scope(() => scope(() => void (kept = keep(made()))))
  assert.not(kept.disposed)
})

test('disposes on an exception too, and the scope is over', () => {
  let inner!: Tensor
  assert.throws(
    () =>
      scope(() => {
        inner = made()
        throw new Error('on the way')
      }),
    'on the way',
  )
  assert.ok(inner.disposed)
  assert.not(made().disposed)
})

test('views are tensors of their own', async () => {
  const view = scope(() => device.full([4], 2).view([2, 2]))
  assert.equal(await view.data(), new Float32Array([2, 2, 2, 2]))
})

test('refuses asynchronous functions', async () => {
  let inner!: Tensor
  const error = await failure(() =>
    scope(async () => {
      inner = made()
    }),
  )
  assert.instance(error, TypeError)
  assert.is(
    error!.message,
    'Expected a synchronous function for scope(), received an instance of Promise',
  )
  assert.ok(inner.disposed)
})

test('within a tape, what the backward needs outlives nothing it should not', async () => {
  const weight = device.full([3], 2)
  weight.requiresGrad = true
  using tape = new Tape()
  const out = tape.run(() => scope(() => add(weight, weight)))
  using dout = device.full([3], 1)
  tape.backward(out, dout)
  assert.equal(await weight.grad!.data(), new Float32Array([2, 2, 2]))
})

test('a loop in scopes uses no more memory than one turn', () => {
  const own = cpu({ threads: 1 })
  const turn = () => scope(() => void add(own.zeros([100, 100]), own.zeros([100, 100])))
  turn()
  const first = own.memory()
  for (let i = 0; i < 100; i++) turn()
  assert.equal(own.memory(), first)
})

test.run()
