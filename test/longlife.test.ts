// run: alone
// timeout: 600
// A process that lives long: its memory is level after the first while.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GPT2, resolveModel } from '../lib/models/index.js'
import { AdamW } from '../lib/optim/index.js'
import { Tape, add, cpu, gelu, layerNorm, matmul, scope } from '../lib/tensor/index.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const device = cpu()

/** Bytes in use of malloc's memory, where glibc and a compiler are; else nothing. */
function counter(): () => number {
  const file = path.join(root, 'build', 'held.node')
  const headers = path.join(root, 'node_modules', 'node-api-headers', 'include')
  const args = ['-shared', '-fPIC', '-I', headers, '-o', file, path.join(root, 'test', 'held.cc')]
  const { status, stderr, error } = spawnSync('c++', args, { encoding: 'utf8' })
  if (status !== 0) {
    console.log(`SKIP malloc's memory: ${error?.message ?? stderr.split('\n')[0]}`)
    return () => 0
  }
  const module = { exports: {} as { held: () => number } }
  process.dlopen(module, file)
  return module.exports.held
}

const malloced = counter()

interface Look {
  /** What JavaScript and native code hold: it wavers by 0.3 MB. */
  held: number
  /** What the system has given: V8 and malloc keep more or less of it, tens of megabytes at will. */
  resident: number
}

async function look(): Promise<Look> {
  for (let i = 0; i < 4; i++) {
    ;(globalThis as { gc?: () => void }).gc!()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const { heapUsed, rss } = process.memoryUsage()
  return { held: heapUsed + malloced(), resident: rss }
}

/**
 * Runs body `count` times, and as often before that for caches to fill. Fails when a call has left 100 bytes,
 * or when resident memory has doubled. The least of ten looks counts.
 */
async function level(count: number, body: (i: number) => unknown): Promise<void> {
  const looks: Look[] = []
  for (let i = 0; i < 2 * count; i++) {
    if (i >= count && i % (count / 20) === 0) looks.push(await look())
    await body(i)
  }
  const least = (some: Look[], of: keyof Look) => Math.min(...some.map((look) => look[of]))
  const [before, after] = [looks.slice(0, 10), looks.slice(10)]
  const left = (least(after, 'held') - least(before, 'held')) / (count / 2)
  assert.ok(left <= 100, `a call leaves ${left.toFixed(0)} bytes`)
  const rise = least(after, 'resident') / least(before, 'resident')
  assert.ok(rise <= 2, `resident memory is ${rise.toFixed(2)} times what it was`)
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
