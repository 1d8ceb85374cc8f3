// Two copies of the package in one process, as when two dependencies each bring their own.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as ours from '../../lib/tensor/index.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'gptloom-copies-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

async function copy(): Promise<typeof ours> {
  for (const name of ['package.json', 'dist', join('build', 'Release', 'gptloom.node')]) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    cpSync(join(root, name), join(folder, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction')
  return (await import(
    pathToFileURL(join(folder, 'dist', 'tensor', 'index.js')).href
  )) as typeof ours
}

const theirs = await copy()

async function product({ cpu, matmul }: typeof ours): Promise<number[]> {
  const device = cpu()
  using a = device.tensor(Float32Array.of(1, 2, 3, 4), [2, 2])
  using b = matmul(a, a)
  return [...(await b.data())]
}

test('each copy computes on devices of its own', async () => {
  assert.is.not(theirs.Tensor, ours.Tensor)
  assert.equal(await Promise.all([product(ours), product(theirs), product(ours)]), [
    [7, 10, 15, 22],
    [7, 10, 15, 22],
    [7, 10, 15, 22],
  ])
})

test('a tensor of the other copy is refused, and both go on', async () => {
  using mine = ours.cpu().tensor(Float32Array.of(1, 2, 3, 4), [2, 2])
  using other = theirs.cpu().tensor(Float32Array.of(1, 2, 3, 4), [2, 2])
  assert.throws(() => ours.matmul(mine, other), /tensor|copy/i)
  assert.throws(() => theirs.matmul(mine, other), /tensor|copy/i)
  const native = ours.cpu().native
  assert.throws(() => native.copy(mine.native, other.native), /of this copy of gptloom/)
  assert.equal([...(await other.data())], [1, 2, 3, 4])
  assert.equal(await product(theirs), await product(ours))
})

test('a tape records the ops of its own copy', async () => {
  const learned = async ({ cpu, matmul, crossEntropy, Tape }: typeof ours) => {
    const weight = cpu().tensor(Float32Array.of(1, 2, 3, 4), [2, 2])
    weight.requiresGrad = true
    const tape = new Tape()
    const loss = tape.run(() => {
      const x = cpu().tensor(Float32Array.of(1, 2), [1, 2])
      return crossEntropy(matmul(x, weight), cpu().tensor(Int32Array.of(1), [1]))
    })
    tape.backward(loss)
    return [...(await weight.grad!.data())]
  }
  const outer = new ours.Tape()
  const within = outer.run(() => learned(theirs))
  assert.equal(await within, await learned(ours))
})

test.run()
