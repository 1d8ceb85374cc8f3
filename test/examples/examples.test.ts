// timeout: 600
// The examples that users copy: each runs, and ends as it says it does.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const root = fileURLToPath(new URL('../..', import.meta.url))
const kernel = path.join(root, 'examples', 'kernel')

function run(
  command: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
) {
  const { cwd = root, env = {} } = options
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
  assert.is(status, 0, `${command} ${args.join(' ')}\n${stdout}\n${stderr}${error ?? ''}`)
  return stdout.trimEnd()
}
const example = (name: string, ...args: string[]) =>
  run(process.execPath, ['--import', 'tsx', path.join('examples', name), ...args])
const last = (output: string) => output.split('\n').at(-1)!

test('logistic regression', () => {
  const [, right] = /^(\d+) of 100 flowers/.exec(last(example('regression.ts'))) ?? []
  assert.ok(Number(right) >= 94, `${right} right`)
})

test('a network of two layers', () => {
  const [, right] = /^(\d+) of 50 flowers/.exec(last(example('mlp.ts'))) ?? []
  assert.ok(Number(right) >= 46, `${right} right`)
})

test('a GPT from modules', () => {
  const losses = [...example('chargpt.ts', '60').matchAll(/loss ([\d.]+)/g)].map(([, x]) =>
    Number(x),
  )
  assert.ok(losses.length === 3 && losses[2]! < 0.75 * losses[0]!, losses.join(', '))
})

test('a classifier on the embeddings of a model', () => {
  const [, right] = /^(\d+) of 120 questions/.exec(last(example('classifier.ts', '40'))) ?? []
  assert.ok(Number(right) >= 100, `${right} right`)
})

test('an op of your own', () => {
  const output = example('customop.ts')
  assert.match(output, /the gradient of reversed\(\) is right/)
  assert.ok(Number(/error ([\d.]+)$/.exec(output)?.[1]) < 1e-3, output)
})

test('a bench of kernels', () => {
  assert.is(example('kernelbench.ts', 'cpu').match(/ms +[\d.]+ (GFLOP|GB)\/s$/gm)?.length, 5)
})

test('a kernel of your own, on the CPU and on a GPU', () => {
  run('npx', ['--no-install', 'node-gyp', 'rebuild', '--silent'], { cwd: kernel })
  const args = ['--import', 'tsx', 'swish.ts']
  assert.match(run(process.execPath, [...args, 'cpu'], { cwd: kernel }), /are right on CPU/)
  const emulator = path.join(root, 'build', 'emulator')
  const lacks = spawnSync('nvcc', ['--version']).status !== 0
  if (lacks || !existsSync(path.join(emulator, 'libcuda.so.1'))) {
    console.log(
      `\nSKIP a kernel on a GPU: ${lacks ? 'nvcc is not on the PATH' : 'no emulated GPU'}`,
    )
    return
  }
  run('nvcc', ['-ptx', '-arch=compute_80', '-o', 'build/swish.ptx', 'swish.cu'], { cwd: kernel })
  const env = { LD_LIBRARY_PATH: emulator }
  assert.match(
    run(process.execPath, [...args, 'cuda'], { cwd: kernel, env }),
    /are right on Emulated/,
  )
})

test('they are short', () => {
  const long = readdirSync(path.join(root, 'examples'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|cc|cu)$/.test(name) && !/build|^tour/.test(name))
    .filter(
      (name) => readFileSync(path.join(root, 'examples', name), 'utf8').split('\n').length > 170,
    )
  assert.equal(long, [])
})

test.run()
