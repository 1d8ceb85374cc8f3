// timeout: 600
// What ends, and in what order: tensors that were forgotten, devices, threads and the process.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { add, cpu, embedding, keep, matmul, scope } from '../../lib/tensor/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { failure } from './devices.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
// Fewer under a sanitizer, which takes its time.
const rounds = Number(process.env.GPTLOOM_TEST_ROUNDS ?? 30)
const library = new URL('../../lib/tensor/index.ts', import.meta.url).href

/** Runs a program that has `device`, and matmul, add ... in scope, to its end. */
function run(body: string): {
  code: number | null
  signal: string | null
  out: string
  error: string
} {
  const program = `import * as tensor from ${JSON.stringify(library)}
const { cpu, matmul, add, embedding, Tape } = tensor
const device = cpu()
const x = device.normal([1000, 1000], { seed: 1 })
const busy = () => { for (let i = 0; i < ${rounds}; i++) matmul(x, x) }
${body}`
  const args = ['--expose-gc', '--import', 'tsx', '--input-type=module', '--eval', program]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    timeout: 240_000,
  })
  return { code: status, signal, out: stdout, error: stderr }
}

const collect = async () => {
  for (let i = 0; i < 5; i++) {
    ;(globalThis as { gc?: () => void }).gc!()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('the garbage collector frees forgotten tensors', async () => {
  const device = cpu({ threads: 1 })
  const forget = () => {
    for (let i = 0; i < 100; i++) add(device.zeros([1000]), device.zeros([1000]))
  }
  forget()
  assert.ok(device.memory().used >= 300 * 4000)
  await collect()
  assert.is(device.memory().used, 0)
  await device.idle()
})

test('a tensor that a queued op or a read needs is not freed under it', async () => {
  const device = cpu({ threads: 1 })
  const read = () => {
    let x = device.normal([300, 300], { seed: 1 })
    for (let i = 0; i < 20; i++) x = matmul(x, device.full([300, 300], 1 / 300))
    return x.data()
  }
  const [first, second] = [read(), read()]
  await collect()
  for (let i = 0; i < 50; i++) device.full([300, 300], NaN)
  const [a, b] = await Promise.all([first, second])
  assert.ok(a.every((value, i) => value === b[i] && Number.isFinite(value)))
})

test('recorded ops run again on memory that is theirs, and name themselves when they fail', async () => {
  const device = cpu({ threads: 1 })
  const table = device.tensor([1, 2, 3, 4], [4, 1])
  const tokens = device.tensor(Int32Array.of(0), [1, 1])
  let out: Tensor
  const replay = device.native.record(() => {
    out = scope(() => keep(add(embedding(tokens, table), device.full([1, 1, 1], 10))))
  })
  assert.equal(await out!.data(), Float32Array.of(11))
  for (const values of [[2], [9], [3]]) {
    tokens.write(Int32Array.from(values))
    table.dispose()
    for (let i = 0; i < 9; i++) device.full([4, 1], NaN).dispose()
    replay.run(0, 0)
    const error = await failure(() => device.idle())
    if (values[0] === 9) assert.match(error!.message, /received 9, in embedding of \[1, 1, 1\]/)
    else assert.equal(await out!.data(), Float32Array.of(values[0]! + 11))
  }
  for (const tensor of [out!, tokens]) tensor.dispose()
  assert.ok(device.memory().used > 0)
  replay.dispose()
  assert.is(device.memory().used, 0)
  assert.is((await failure(() => replay.run(0, 0)))?.code, 'ERR_DISPOSED')
  const body = () => {
    device.zeros([1])
    throw new Error('on purpose')
  }
  assert.throws(() => device.native.record(body), 'on purpose')
  await device.idle()
})

test('a forgotten device ends its threads', async () => {
  for (let i = 0; i < 20; i++) {
    const device = cpu({ threads: 3 })
    add(device.zeros([10]), device.zeros([10]))
  }
  await collect()
})

test('close() rejects the pending reads, and what comes after it', async () => {
  const device = cpu({ threads: 1 })
  const x = device.normal([800, 800], { seed: 1 })
  const reads = Array.from({ length: 20 }, () => matmul(x, x).data())
  device.close()
  const results = await Promise.allSettled([...reads, device.idle(), x.data()])
  const failures = results.filter(
    (result) => result.status === 'rejected',
  ) as PromiseRejectedResult[]
  assert.ok(failures.length >= 20, `${failures.length} rejected`)
  for (const { reason } of failures) {
    assert.is(reason.code, 'ERR_DEVICE')
    assert.is(reason.message, 'The device was closed')
  }
  device.close()
  add(x, x)
  assert.is((await failure(() => add(x, x).data()))?.code, 'ERR_DEVICE')
  x.dispose()
})

test('the process ends by itself when nothing is pending, devices and tensors or not', () => {
  const { code, signal, error } = run(
    'const kept = [x, cpu({ threads: 2 }).zeros([5])]; await device.idle()',
  )
  assert.equal({ code, signal, error }, { code: 0, signal: null, error: '' })
})

test('a pending read keeps the process alive until it is answered', () => {
  const { code, out } = run("busy(); x.data().then((values) => console.log('read', values.length))")
  assert.equal({ code, out }, { code: 0, out: 'read 1000000\n' })
})

test('process.exit() with work in the queue', () => {
  for (const rest of ['', 'void x.data().catch(() => {});', 'void device.idle(); await 0;']) {
    const { code, signal, error } = run(`busy(); ${rest} process.exit(3)`)
    assert.equal({ code, signal, error }, { code: 3, signal: null, error: '' }, rest)
  }
})

test('an uncaught exception with work in the queue is an exception, not a crash', () => {
  const { code, signal, error } = run("busy(); void x.data(); throw new Error('on purpose')")
  assert.equal({ code, signal }, { code: 1, signal: null })
  assert.match(error, 'on purpose')
})

test('a failure that nobody awaited ends nothing', () => {
  const bad = 'embedding(device.tensor(new Int32Array([9]), [1, 1]), device.zeros([2, 2]))'
  const { code, out } = run(`${bad}; setTimeout(() => console.log('still here'), 50)`)
  assert.equal({ code, out }, { code: 0, out: 'still here\n' })
})

test('a native method on a foreign object is an error, not a crash', () => {
  const { signal, out } = run(`
    for (const self of [{}, x.native, undefined, 5]) {
      try {
        device.native.add.call(self, x.native, x.native, x.native)
      } catch (error) {
        console.log(error instanceof Error)
      }
    }`)
  assert.equal({ signal, out }, { signal: null, out: 'true\ntrue\ntrue\ntrue\n' })
})

// ---- threads ------------------------------------------------------------------------------------

// A thread does not inherit --import tsx on every version of Node.
const worker = new URL('./worker.ts', import.meta.url).href
const program = `import('tsx/esm/api').then(({ register }) => { register(); return import('${worker}') })`
const start = (job: string, seed: number) =>
  new Worker(program, { eval: true, execArgv: [], workerData: { job, seed } })

function message(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.on('message', resolve)
    worker.on('error', reject)
    worker.on('exit', (code) => reject(new Error(`ended with ${code} before it answered`)))
  })
}

test('threads use the addon at once, each with the same numbers', async () => {
  const seeds = [1, 2, 1, 2]
  const results = await Promise.all(seeds.map((seed) => message(start('train', seed))))
  assert.ok(Number.isFinite(results[0]))
  assert.is(results[0], results[2])
  assert.is(results[1], results[3])
  assert.is.not(results[0], results[1])
})

test('a thread may be terminated, exit or throw with work in the queue', async () => {
  for (let round = 0; round < 2; round++) {
    const busy = start('busy', 1)
    assert.is(await message(busy), 'busy')
    await busy.terminate()
    const ended = new Promise((resolve) => start('exit', 2).on('exit', resolve))
    assert.is(await ended, 0)
    const thrown = new Promise((resolve) =>
      start('throw', 3).on('error', (error) => resolve(error.message)),
    )
    assert.is(await thrown, 'thrown on purpose')
  }
  const device = cpu()
  assert.is(await add(device.full([1], 1), device.full([1], 2)).item(), 3)
})

test('a thread may be terminated while it is told of failures', async () => {
  for (let round = 0; round < Math.min(10, rounds); round++) {
    const failing = start('fail', 1)
    assert.is(await message(failing), 'fails')
    assert.is(await failing.terminate(), 1)
  }
})

test('the process goes on when the only thread that has used the addon ends', () => {
  const args = ['--input-type=module', '--eval']
  const body = `
    import { Worker } from 'node:worker_threads'
    for (let round = 0; round < 10; round++) {
      const workerData = { job: 'exit', seed: round }
      const options = { eval: true, execArgv: [], workerData }
      const thread = new Worker(${JSON.stringify(program)}, options)
      await new Promise((resolve) => thread.on('exit', resolve))
    }
    console.log('still here')`
  const { signal, stdout, stderr } = spawnSync(process.execPath, [...args, body], {
    cwd: root,
    encoding: 'utf8',
    timeout: 240_000,
  })
  assert.equal({ signal, stdout, stderr }, { signal: null, stdout: 'still here\n', stderr: '' })
})

test('the process may exit while threads are at work', () => {
  const { code, signal, error } = run(`
    import { Worker } from 'node:worker_threads'
    let started = 0
    for (const seed of [1, 2]) {
      const thread = new Worker(${JSON.stringify(program)}, {
        eval: true, execArgv: [], workerData: { job: 'busy', seed },
      })
      thread.on('message', () => { if (++started === 2) { busy(); process.exit(4) } })
    }`)
  assert.equal({ code, signal, error }, { code: 4, signal: null, error: '' })
})

test.run()
