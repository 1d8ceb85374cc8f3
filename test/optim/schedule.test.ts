import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { schedule } from '../../lib/optim/index.js'
import type { ScheduleOptions } from '../../lib/optim/index.js'

function near(actual: number, expected: number, what = ''): void {
  if (!(Math.abs(actual - expected) <= 1e-12 + 1e-9 * Math.abs(expected))) {
    assert.unreachable(`${what}: ${actual} is not ${expected}`)
  }
}

test('warm-up rises in a line and the step after it has the peak', () => {
  for (const kind of ['constant', 'linear', 'cosine', 'wsd'] as const) {
    const rate = schedule({ kind, peak: 1, warmup: 4, steps: 100 })
    for (let step = 0; step < 4; step++) near(rate(step), (step + 1) / 5, `${kind} ${step}`)
    near(rate(4), 1, kind)
  }
})

test('without a warm-up the first step has the peak', () => {
  for (const kind of ['constant', 'linear', 'cosine', 'wsd'] as const) {
    near(schedule({ kind, peak: 0.3, steps: 10 })(0), 0.3, kind)
  }
})

test('constant stays', () => {
  const rate = schedule({ kind: 'constant', peak: 2, minimum: 1, warmup: 1, steps: 5 })
  assert.equal([1, 2, 4, 5, 100].map(rate), [2, 2, 2, 2, 2])
})

test('linear falls evenly to the minimum', () => {
  const rate = schedule({ kind: 'linear', peak: 1, minimum: 0.2, warmup: 2, steps: 10 })
  near(rate(6), 0.6)
  near(rate(9), 0.3)
  near(rate(10), 0.2)
  near(rate(50), 0.2)
})

test('cosine is half-way in the middle and at the minimum in the end', () => {
  const rate = schedule({ kind: 'cosine', peak: 1e-3, minimum: 1e-4, warmup: 100, steps: 2000 })
  near(rate(100), 1e-3)
  near(rate(1050), 5.5e-4)
  near(rate(2000), 1e-4)
  // nanoGPT's get_lr at iteration 575, a quarter of the way: 1e-4 + (1 + cos(pi / 4)) / 2 * 9e-4.
  near(rate(575), 1e-4 + ((1 + Math.SQRT1_2) / 2) * 9e-4)
  for (let step = 101; step < 2000; step++) assert.ok(rate(step) < rate(step - 1))
  assert.ok(rate(1999) > 1e-4 && rate(1999) < 1.00001e-4)
})

test('wsd is constant, then falls over the last steps', () => {
  const options: ScheduleOptions = { kind: 'wsd', peak: 1, warmup: 5, steps: 100 }
  const rate = schedule(options)
  assert.equal([5, 50, 79, 80].map(rate), [1, 1, 1, 1])
  near(rate(90), 0.5)
  near(rate(99), 0.05)
  near(rate(100), 0)
  const short = schedule({ ...options, decay: 10, minimum: 0.1 })
  near(short(90), 1)
  near(short(95), 0.55)
  assert.is(schedule({ ...options, decay: 0 })(99), 1)
  // A fall longer than the run begins right after the warm-up.
  near(schedule({ ...options, decay: 1000 })(5), 1)
  assert.ok(schedule({ ...options, decay: 1000 })(6) < 1)
})

test('a warm-up longer than the run never reaches the peak', () => {
  for (const kind of ['constant', 'linear', 'cosine', 'wsd'] as const) {
    const rate = schedule({ kind, peak: 1, warmup: 20, steps: 10 })
    near(rate(9), 10 / 21, kind)
    assert.ok(Number.isFinite(rate(25)))
  }
})

test('one step', () => {
  for (const kind of ['constant', 'linear', 'cosine', 'wsd'] as const) {
    near(schedule({ kind, peak: 1, steps: 1 })(0), 1, kind)
  }
})

test('mistakes are named', () => {
  const good: ScheduleOptions = { kind: 'cosine', peak: 1, steps: 10 }
  assert.throws(
    () => schedule({ ...good, kind: 'cosin' as 'cosine' }),
    /"cosine".*for schedule, received "cosin"/,
  )
  assert.throws(() => schedule({ ...good, peak: -1 }), /learningRate, received -1/)
  assert.throws(() => schedule({ ...good, peak: NaN }), /learningRate, received NaN/)
  assert.throws(() => schedule({ ...good, minimum: 2 }), /minLearningRate, received 2/)
  assert.throws(() => schedule({ ...good, warmup: 1.5 }), /warmup, received 1.5/)
  assert.throws(() => schedule({ ...good, steps: 0 }), /steps, received 0/)
})

test.run()
