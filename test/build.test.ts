// run: alone
// timeout: 900
// What users and developers build: the addon by CMake beside that of node-gyp, and the package's JavaScript.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from '../scripts/bundle.js'
import { compile } from './cmake.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'gptloom-build-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

function node(
  args: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): string {
  const { cwd = root, env = {} } = options
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  assert.is(status, 0, `${args.join(' ')}\n${stdout}\n${stderr}`)
  return stdout
}

// A product whose result is known, one step of training, and the weights that it gives.
const smoke = `
  import { createHash } from 'node:crypto'
  import { GPT2, resolveModel } from '${root}lib/models/index.js'
  import { AdamW } from '${root}lib/optim/index.js'
  import { Tape, cpu, matmul } from '${root}lib/tensor/index.js'
  const device = cpu()
  const [a, b] = [[1, 2, 3, 4], [5, 6, 7, 8]].map((values) => device.tensor(values, [2, 2]))
  const product = await matmul(a, b).data()
  const model = new GPT2(resolveModel({ preset: 'nano', dropout: 0.1 }, 300), device, 1)
  const optimizer = new AdamW(model.namedParameters())
  const tokens = Int32Array.from({ length: 128 }, (_, i) => (i * i) % 300)
  const targets = tokens.map((token) => (token * 7 + 3) % 300)
  const upload = (values) => device.tensor(values, [2, 64])
  const tape = new Tape()
  const loss = tape.run(() => model.loss(upload(tokens), upload(targets), { dropout: { seed: 1, step: 0 } }))
  tape.backward(loss)
  optimizer.step()
  const hash = createHash('sha256')
  for (const [, values] of await model.state()) hash.update(values)
  const binary = process.report.getReport().sharedObjects.find((name) => name.endsWith('gptloom.node'))
  const mean = (await loss.item()) / 128
  console.log(JSON.stringify({ product: [...product], loss: mean, hash: hash.digest('hex'), binary }))
`

interface Smoke {
  product: number[]
  loss: number
  hash: string
  binary: string
}

function runSmoke(env: Record<string, string>): Smoke {
  const script = join(folder, 'smoke.mts')
  writeFileSync(script, smoke)
  return JSON.parse(node(['--import', 'tsx', script], { env })) as Smoke
}

test('CMake builds the same addon from the same sources, beside the one of node-gyp', () => {
  if (spawnSync('cmake', ['--version']).status !== 0)
    return console.log('SKIP cmake is not installed')
  const release = join(root, 'build', 'Release', 'gptloom.node')
  const before = statSync(release).mtimeMs
  const { folder: out } = compile()
  assert.is(statSync(release).mtimeMs, before, 'build/Release is not touched')
  assert.ok(existsSync(join(out, 'build', 'Release', 'gptloom.node')))

  // binding.gyp finds its sources by a command: run it as node-gyp does.
  const gyp = readFileSync(join(root, 'binding.gyp'), 'utf8')
  const quoted = /"sources": \["<!@\(node -p \\"(.*)\\"\)"\]/.exec(gyp)![1]!
  const command = JSON.parse(`"${quoted}"`) as string
  const listed = node(['-p', command]).trim().split(' ').sort()
  assert.ok(listed.length > 10 && listed.every((path) => path.endsWith('.cc')))
  const commands = JSON.parse(
    readFileSync(join(out, 'build', 'compile_commands.json'), 'utf8'),
  ) as { file: string }[]
  const compiled = commands.map(({ file }) => relative(root, file).replaceAll('\\', '/')).sort()
  assert.equal(
    compiled.filter((file) => !file.startsWith('test/')),
    listed,
  )

  // node-gyp-build looks below this folder instead of the package's own.
  const cmake = runSmoke({ GPTLOOM_PREBUILD: out })
  const gypBuilt = runSmoke({})
  assert.equal(cmake.product, [19, 22, 43, 50])
  assert.ok(Math.abs(cmake.loss - Math.log(300)) < 0.3, `a loss of ${cmake.loss}`)
  if (process.platform === 'linux') {
    assert.is(cmake.binary, join(out, 'build', 'Release', 'gptloom.node'))
    assert.is(gypBuilt.binary, release)
  }
  assert.equal({ ...cmake, binary: '' }, { ...gypBuilt, binary: '' }, 'the same bits')
})

const parquet = join(root, 'test', 'data', 'formats', 'fixtures', 'pairs.parquet')

// The package as npm would install it, with fresh JavaScript, in an application of its own.
const app = join(folder, 'app')
const installed = join(app, 'node_modules', 'gptloom')
mkdirSync(installed, { recursive: true })
cpSync(join(root, 'package.json'), join(installed, 'package.json'))
for (const name of ['node_modules', 'build', 'assets']) {
  if (existsSync(join(root, name))) symlinkSync(join(root, name), join(installed, name), 'junction')
}
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
node([tsc, '-p', 'tsconfig.json', '--outDir', join(installed, 'dist')])
await bundle(join(installed, 'dist'))

test('the package trains and generates by plain node, from another folder', () => {
  writeFileSync(join(app, 'book.txt'), 'It was the whale that the captain saw. '.repeat(100))
  writeFileSync(
    join(app, 'script.mjs'),
    `
    import { train, load } from 'gptloom'
    import { cpu, matmul } from 'gptloom/tensor'
    const run = train({
      data: 'book.txt', output: 'model', tokenizer: 'character', steps: 3, batch: 2, sampleEvery: 0,
      model: { layers: 1, heads: 2, width: 16, context: 16 },
    })
    const types = new Set()
    for await (const { type } of run) types.add(type)
    const { report } = await run
    const model = await load('model')
    const text = await model.complete('It', { maxTokens: 8, seed: 1 })
    const [one] = await matmul(cpu().tensor([2], [1, 1]), cpu().tensor([3], [1, 1])).data()
    const { gptloom: version } = report.versions
    console.log(JSON.stringify({ types: [...types], steps: report.steps, version, text, one }))
  `,
  )
  const result = JSON.parse(node(['script.mjs'], { cwd: app })) as Record<string, unknown>
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string
  }
  assert.equal(result.types, ['prepare', 'start', 'evaluation', 'step', 'checkpoint', 'done'])
  assert.is(result.steps, 3)
  assert.is(result.version, version)
  assert.is((result.text as string).length, 8)
  assert.is(result.one, 6)
})

test('its entries share their classes', () => {
  writeFileSync(
    join(app, 'shared.mjs'),
    `
    import { GptloomError } from 'gptloom'
    import { Linear } from 'gptloom/nn'
    import { AdamW } from 'gptloom/optim'
    import { Tape, Tensor, cpu } from 'gptloom/tensor'
    const device = cpu()
    const layer = new Linear(2, 1, { device, seed: 1, stream: 1 })
    const tape = new Tape()
    const loss = tape.run(() => layer.forward(device.tensor([1, 2], [1, 2])))
    tape.backward(loss)
    new AdamW(layer.namedParameters()).step()
    const error = await import('gptloom/tensor').then(({ cuda }) => cuda(99)).catch((error) => error)
    console.log(JSON.stringify([layer.weight instanceof Tensor, error instanceof GptloomError]))
  `,
  )
  assert.is(node(['shared.mjs'], { cwd: app }).trim(), '[true,true]')
})

test('import loads a handful of files, and no dependency', () => {
  // Node takes half a millisecond for each: a module that is not bundled, or a chunk for every pair of
  // entries, would be felt at every start.
  const hook = `export async function load(url, context, next) {
    process._rawDebug(url)
    return next(url, context)
  }`
  const data = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`
  const hooked = `import { register } from 'node:module'\nregister(${JSON.stringify(data(hook))})`
  writeFileSync(join(app, 'import.mjs'), "await import('gptloom')")
  const { stderr } = spawnSync(process.execPath, ['--import', data(hooked), 'import.mjs'], {
    cwd: app,
    encoding: 'utf8',
  })
  const loaded = [...stderr.matchAll(/^file:.*$/gm)].map(([url]) => fileURLToPath(url))
  const ours = loaded.filter((file) => file.startsWith(join(installed, 'dist')))
  assert.ok(ours.length >= 1 && ours.length <= 6, ours.join('\n'))
  assert.equal(
    loaded.filter((file) => !ours.includes(file)),
    [join(app, 'import.mjs')],
  )
})

test('its threads find their modules', async () => {
  const rows = `
    import { readRows } from 'gptloom'
    let count = 0
    for await (const row of readRows(${JSON.stringify(parquet)})) count += 'example' in row
    console.log(count)
  `
  writeFileSync(join(app, 'rows.mjs'), rows)
  assert.is(node(['rows.mjs'], { cwd: app }).trim(), '100')
  const sources = (readdirSync(join(root, 'lib'), { recursive: true }) as string[]).filter((name) =>
    name.endsWith('.ts'),
  )
  const names = sources.flatMap((name) =>
    [
      ...readFileSync(join(root, 'lib', name), 'utf8').matchAll(
        /(?:startThread\(|\bmodule: )'(.*?)'/g,
      ),
    ].map(([, module]) => module!),
  )
  assert.ok(names.length >= 3, names.join())
  for (const name of names) {
    const { serve } = (await import(join(installed, 'dist', `${basename(name)}.js`))) as {
      serve: unknown
    }
    assert.type(serve, 'function', name)
  }
})

test('both export paths have types that a strict consumer can use', () => {
  const { exports } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
    exports: Record<string, { types: string; default: string }>
  }
  for (const path of ['.', './tensor']) {
    for (const file of Object.values(exports[path]!))
      assert.ok(existsSync(join(installed, file)), file)
  }
  writeFileSync(
    join(app, 'consumer.mts'),
    `
    import { train, load, GptloomError } from 'gptloom'
    import type { TrainReport, LanguageModel } from 'gptloom'
    import { cpu } from 'gptloom/tensor'
    import type { Tensor } from 'gptloom/tensor'
    const run = train({ data: 'a.txt', output: 'b', model: 'gpt2', signal: new AbortController().signal })
    for await (const event of run) {
      if (event.type === 'step') event.loss.toFixed(3)
      // @ts-expect-error only steps have a loss of their own and a gradient norm
      event.gradientNorm
    }
    const { model, report }: { model: LanguageModel; report: TrainReport } = await run
    const pieces: AsyncGenerator<string> = model.generate('Call me', { maxTokens: 200, topK: 40 })
    const tensor: Tensor = cpu().zeros([report.steps])
    // @ts-expect-error no such option
    train({ data: 'a.txt', output: 'b', stepz: 3 })
    // @ts-expect-error no such preset
    train({ data: 'a.txt', output: 'b', model: 'gpt3' })
    const code: 'ERR_FILE' | string = new GptloomError('ERR_FILE', '').code
    export { load, pieces, tensor, code }
  `,
  )
  writeFileSync(join(app, 'package.json'), '{ "type": "module" }')
  writeFileSync(
    join(app, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        module: 'NodeNext',
        target: 'ES2022',
        lib: ['ES2023', 'ESNext.Disposable'],
        types: ['node'],
        typeRoots: [join(root, 'node_modules', '@types')],
      },
      files: ['consumer.mts'],
    }),
  )
  node([tsc, '-p', app], { cwd: app })
})

test.run()
