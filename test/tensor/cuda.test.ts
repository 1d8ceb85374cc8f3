// device: cuda
//
// What the CUDA device does beside computing: graphs, memory, failures, threads and ends. What a real GPU
// cannot be made to do on purpose runs on the emulated one alone.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AdamW } from '../../lib/optim/index.js'
import { addon } from '../../lib/tensor/binding.js'
import { kernelFolder } from '../../lib/tensor/gpu.js'
import {
  Device,
  Tape,
  add,
  cast,
  cpu,
  cuda,
  embedding,
  gelu,
  layerNorm,
  matmul,
  openDevice,
} from '../../lib/tensor/index.js'
import type { Dtype, Tensor } from '../../lib/tensor/index.js'
import { openCuda, skipsCuda } from './cuda.js'
import { sameBits, toBfloat16 } from '../../lib/testing/index.js'
import { failure } from './devices.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
// A thread does not inherit --import tsx on every version of Node.
const worker = new URL('./worker.ts', import.meta.url).href
const thread = `import('tsx/esm/api').then(({ register }) => { register(); return import('${worker}') })`
const library = new URL('../../lib/tensor/index.ts', import.meta.url).href

/** Runs a program in a process of its own, with `device` and all of lib/tensor in scope. */
function run(body: string, env: NodeJS.ProcessEnv = {}, device = 'cuda') {
  const program = `import * as tensor from ${JSON.stringify(library)}
const { add, cpu, cuda, embedding, matmul, openDevice } = tensor
const device = openDevice(${JSON.stringify(device)})
const failure = async (body) => {
  try { await body() } catch (error) { return error.code + ': ' + error.message }
}
${body}`
  const args = ['--expose-gc', '--import', 'tsx', '--input-type=module', '--eval', program]
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    timeout: 240_000,
    env: { ...process.env, ...env },
  })
  return { code: status, signal, out: stdout, error: stderr }
}

/** Four steps of a small model: losses and weights. */
async function train(device: Device, dtype: Dtype) {
  const random = (shape: number[], seed: number) => {
    const tensor = cast(device.normal(shape, { seed, deviation: 0.2 }), dtype)
    tensor.requiresGrad = true
    return tensor
  }
  const parameters: Record<string, Tensor> = {
    table: random([11, 24], 1),
    weight: random([24], 2),
    up: random([40, 24], 3),
    down: random([24, 40], 4),
  }
  const { table, weight, up, down } = parameters
  const optimizer = new AdamW(Object.entries(parameters), { learningRate: 0.01 })
  const norms: Float32Array[] = []
  const graphs: number[] = []
  for (let step = 0; step < 5; step++) {
    using tape = new Tape()
    using tokens = device.tensor(
      Int32Array.from({ length: 14 }, (_, i) => (i * 3 + step) % 11),
      [2, 7],
    )
    const output = tape.run(() => {
      let x = embedding(tokens, table!)
      for (let layer = 0; layer < 6; layer++) {
        const hidden = gelu(matmul(layerNorm(x, weight!), up!, { transposeB: true }))
        x = add(x, matmul(hidden, down!, { transposeB: true }))
      }
      return x
    })
    using dout = device.full(output.shape, 1, dtype)
    tape.backward(output, dout)
    using norm = optimizer.step({ maxNorm: 1 })
    norms.push((await norm.data()) as Float32Array)
    graphs.push(device.counts().graphs)
    for (const parameter of Object.values(parameters)) {
      parameter.grad!.dispose()
      parameter.grad = null
    }
  }
  const weights = await Promise.all(Object.values(parameters).map((tensor) => tensor.data()))
  return { values: [...norms, ...(weights as Float32Array[])], graphs }
}

if (skipsCuda()) {
  test('nothing without a GPU', () => {})
} else {
  const emulated = cuda().name.startsWith('Emulated')

  test('names: cuda, cuda:0 and auto are one device', async () => {
    assert.is(openDevice('cuda'), cuda())
    assert.is(openDevice('cuda:0'), cuda())
    assert.is(openDevice(), cuda())
    assert.is(cuda().kind, 'cuda')
    assert.match(cuda().name, / \(cuda:0\)$/)
    assert.equal(cuda().dtypes, ['float32', 'bfloat16'])
    const { devices } = addon().cuda()
    const error = await failure(() => openDevice(`cuda:${devices.length}`))
    assert.is(error?.code, 'ERR_DEVICE')
    assert.match(error!.message, /^There is no GPU \d+: the driver lists \d+, counted from 0$/)
    for (const name of ['cuda:', 'cuda:x', 'cuda:1.5', 'cudas', 'cuda:-1'])
      assert.instance(await failure(() => openDevice(name)), RangeError, name)
  })

  test('what repeats is launched as graphs, with the same bits', async () => {
    for (const dtype of ['float32', 'bfloat16'] as const) {
      const options = [
        { graphs: false, exact: false },
        { graphs: true, exact: false },
        { graphs: true, exact: true }, // other addresses in every step
      ]
      const runs = []
      for (const option of options) {
        const device = openCuda(option)
        runs.push({ ...(await train(device, dtype)), counts: device.counts() })
        device.close()
      }
      const [plain, ...graphed] = runs
      assert.is(plain!.counts.graphs, 0)
      for (const { values, graphs, counts } of graphed) {
        values.forEach((array, i) => sameBits(array, plain!.values[i]!, `${dtype} value ${i}`))
        assert.is(graphs[0], 0)
        // The first step has the initialization before it, the second is seen for the first time.
        assert.ok(graphs[2]! > 0, 'the third step comes as graphs')
        assert.is(graphs[4]! - graphs[3]!, graphs[3]! - graphs[2]!)
        assert.ok(graphs[4]! > graphs[3]!)
        assert.ok(counts.kernels < plain!.counts.kernels * 0.6)
      }
    }
  })

  test('memory is level from the second step on', async () => {
    const device = openCuda({ exact: false })
    const x = device.normal([64, 64], { seed: 1 })
    const reserved = []
    for (let i = 0; i < 4; i++) {
      for (let j = 0; j < 50; j++) {
        using y = matmul(x, x)
        using z = gelu(y)
        add(y, z).dispose()
      }
      await device.idle()
      reserved.push(device.memory().reserved)
    }
    assert.equal(new Set(reserved).size, 1)
    assert.is(device.memory().used, 64 * 64 * 4)
    x.dispose()
    device.close()
  })

  test('values travel whole, small and large, in every dtype', async () => {
    const device = openCuda()
    const odd = [
      0,
      -0,
      1,
      -1.5,
      NaN,
      Infinity,
      -Infinity,
      3.4e38,
      1e-45,
      1 + 2 ** -8,
      1 + 3 * 2 ** -8,
    ]
    for (const n of [1, odd.length, 5_000_011]) {
      const floats = Float32Array.from(
        { length: n },
        (_, i) => odd[i % odd.length]! * (1 + (i >> 8)),
      )
      sameBits(await device.tensor(floats).data(), floats, 'float32')
      const integers = Int32Array.from(floats, (_, i) => i * 7919)
      sameBits(await device.tensor(integers).data(), integers, 'int32')
      const narrow = await device.tensor(floats, [n], 'bfloat16').data()
      const overflow = (x: number) => (Math.abs(x) > 3.39e38 ? Math.sign(x) * Infinity : x)
      const expected = toBfloat16(floats).map(overflow)
      const same = narrow.every((x, i) => Object.is(overflow(x), expected[i]))
      assert.ok(same, `bfloat16 of ${n}`)
    }
    device.close()
  })

  test('cast rounds as the host does, in both directions', async () => {
    const device = openCuda()
    const x = Float32Array.from({ length: 1003 }, (_, i) =>
      Math.fround(Math.sin(i) * 10 ** ((i % 60) - 30)),
    )
    const narrow = cast(device.tensor(x), 'bfloat16')
    sameBits(await narrow.data(), toBfloat16(x), 'to bfloat16')
    sameBits(await cast(narrow, 'float32').data(), toBfloat16(x), 'and back')
    sameBits(await cast(cpu().tensor(x), 'bfloat16').data(), toBfloat16(x), 'on the CPU')
    device.close()
  })

  test('what is wrong with the data is told once, in the words of the CPU', async () => {
    const device = openCuda()
    const told = async (on: Device, body: (on: Device) => void) => {
      body(on)
      const error = await failure(() => on.idle())
      assert.is(await failure(() => on.idle()), undefined)
      return `${error?.code} ${error?.message.split(' on ')[0]}`
    }
    const look = (tokens: number[], past: number) => (on: Device) => {
      const positions = on.zeros([9, 5])
      const starts = on.tensor(
        Int32Array.from({ length: 6 }, () => 2),
        [2, 3],
      )
      const ids = on.tensor(Int32Array.from(tokens), [2, 3])
      embedding(ids, on.zeros([4, 5]), { positions, starts, past })
    }
    for (const body of [
      look([0, 1, 2, 3, 4, 9], 2),
      look([0, 1, -1, 2, 2, 2], 5),
      look([0, 1, 2, 3, 3, 3], 0),
      (on: Device) => {
        look([0, 1, 4, 2, 2, 2], 3)(on) // the first of two
        look([0, 7, 4, 2, 2, 2], 3)(on)
      },
    ]) {
      const message = await told(device, body)
      assert.is(message, await told(cpu(), body))
      assert.match(message, /^ERR_INDEX Expected a (token id|position) in \[0, \d\) at \[\d, \d\]/)
    }
    assert.equal([...(await device.tensor([1, 2]).data())], [1, 2])
    device.close()
  })

  test('a missing and a damaged kernel image are named', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-kernels-'))
    try {
      const open = () => {
        const native = new (addon().Device)('cuda', 0, { folder, graphs: true, exact: false, tf32: false })
        return new Device('cuda', native)
      }
      for (const [content, pattern] of [
        [undefined, /^There is no kernel image .+elementwise\.fatbin\. .+npm run build:kernels/],
        [readFileSync(path.join(kernelFolder, 'elementwise.fatbin')).subarray(0, -9), /is damaged/],
        [Buffer.alloc(100), /is damaged/],
        [readFileSync(path.join(kernelFolder, 'random.fatbin')), /has no kernel elementwise_/],
      ] as const) {
        if (content) writeFileSync(path.join(folder, 'elementwise.fatbin'), content)
        const device = open()
        add(device.tensor([1]), device.tensor([2]))
        const error = await failure(() => device.idle())
        assert.is(error?.code, 'ERR_KERNELS')
        assert.match(error!.message, pattern)
        assert.match(error!.message, /, in add of \[1\], \[1\], \[1\] on .+ \(cuda:0\)$/)
        device.close()
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('close() rejects the pending reads and what comes after it', async () => {
    const device = openCuda()
    const x = device.normal([100, 100], { seed: 1 })
    const reads = Array.from({ length: 20 }, () => matmul(x, x).data())
    device.close()
    device.close()
    reads.push(x.data())
    const results = await Promise.allSettled(reads)
    for (const result of results.filter(({ status }) => status === 'rejected'))
      assert.is((result as PromiseRejectedResult).reason.code, 'ERR_DEVICE')
    assert.is(results.at(-1)!.status, 'rejected')
    assert.ok(device.closed)
    const shared = cuda()
    shared.close()
    assert.is.not(cuda(), shared)
    assert.equal([...(await cuda().tensor([3]).data())], [3])
  })

  test('devices on several JavaScript threads, ending in every way', async () => {
    const jobs = ['train', 'train', 'exit', 'throw', 'terminate']
    const answers = await Promise.all(
      jobs.map(
        (job) =>
          new Promise((resolve) => {
            const workerData = { job, seed: 1, device: 'cuda', size: 40 }
            const worker = new Worker(thread, { eval: true, execArgv: [], workerData })
            let answer: unknown
            worker.on('message', (message) => {
              answer = message
              if (job === 'terminate') void worker.terminate()
            })
            worker.on('error', (error) => (answer = error.message))
            worker.on('exit', () => resolve(answer))
          }),
      ),
    )
    assert.type(answers[0], 'number', String(answers[0]))
    assert.is(answers[0], answers[1])
    assert.is(answers[3], 'thrown on purpose')
    assert.equal([...(await cuda().tensor([5]).data())], [5])
  })

  test('the process ends with work and reads pending', () => {
    for (const ending of ['', 'process.exit(0)']) {
      const { code, signal, error } = run(`
        const x = device.normal([200, 200], { seed: 1 })
        for (let i = 0; i < 10; i++) matmul(x, x)
        ${ending ? 'void matmul(x, x).data()' : ''}
        ${ending}`)
      assert.equal([code, signal], [0, null], error)
    }
  })

  if (emulated) {
    test('out of memory says what was held, and leaves the device alive', () => {
      const { out, error } = run(
        `const held = [device.zeros([4 << 20]), device.zeros([4 << 20])]
         console.log(await failure(() => device.zeros([10 << 20])))
         held[0].dispose()
         console.log((await device.zeros([10 << 20]).rows(0, 1).data())[0]) // what was cached is given up
         console.log(await failure(() => device.idle()))`,
        { EMULATOR_MEMORY: '64' },
      )
      assert.is(error, '')
      const [first, value, last] = out.trim().split('\n')
      assert.match(
        first!,
        /^ERR_OUT_OF_MEMORY: Emulated GPU .+ has no 40 MB left: of 64 MB, this device holds 32 MB in tensors and \d+ MB in scratch, \d+ MB are free, .+ Use a smaller batch, context or model$/,
      )
      assert.equal([value, last], ['0', 'undefined'])
    })

    test('a lost device tells the first cause at every await', () => {
      const { out, code, error } = run(
        `const x = device.zeros([64, 64])
         await device.idle()
         matmul(x, x)
         add(x, x)
         const first = device.idle().catch((error) => error.code + ': ' + error.message)
         console.log(await first)
         console.log(await failure(() => x.data()))
         console.log(await failure(() => device.zeros([1 << 20])))
         console.log(await failure(() => openDevice('cpu').idle()))
         device.close()`,
        { EMULATOR_WATCHDOG: '20000' },
      )
      assert.is(code, 0, error)
      const [first, second, third, other] = out.trim().split('\n')
      assert.match(
        first!,
        /^ERR_DEVICE: The GPU Emulated .+ was lost: \w+ \(702\): .+, in the ops from matmul of \[64, 64\], \[64, 64\], \[64, 64\] to add of .+ Nothing more runs on it in this process/,
      )
      assert.is(second, first)
      assert.is(third, first)
      assert.is(other, 'undefined')
    })

    test('without a driver: cpu by default, and cuda says what the loader answered', () => {
      const { out, code } = run(
        `console.log(openDevice().kind, tensor.cpu() === device)
         console.log(await failure(() => openDevice('cuda')))
         console.log(await failure(() => openDevice('cuda:1')))`,
        { LD_LIBRARY_PATH: '' },
        'auto',
      )
      assert.is(code, 0)
      const [kind, first, second] = out.trim().split('\n')
      assert.is(kind, 'cpu true')
      assert.match(
        first!,
        /^ERR_NO_DRIVER: No CUDA driver: .*libcuda\.so\.1.* Install NVIDIA's driver .+ or use device 'cpu'$/,
      )
      assert.is(second, first)
    })

    test('a GPU that is too old is refused, and not chosen', () => {
      const { out } = run(
        `console.log(device.kind)
         console.log(await failure(() => openDevice('cuda')))`,
        { EMULATOR_DEVICE: '7.5' },
        'auto',
      )
      assert.match(out, /^cpu\nERR_DEVICE: .+ has compute capability 7\.5: gptloom needs 8 /)
    })
  }
}

test.run()
