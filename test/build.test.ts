// timeout: 900
// What users get: the package's JavaScript as it is built for them.
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
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from '../scripts/bundle.js'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'gptloom-build-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

function node(args: string[], cwd = root): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  assert.is(status, 0, `${args.join(' ')}\n${stdout}\n${stderr}`)
  return stdout
}

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
  const result = JSON.parse(node(['script.mjs'], app)) as Record<string, unknown>
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
  assert.is(node(['shared.mjs'], app).trim(), '[true,true]')
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
  assert.is(node(['rows.mjs'], app).trim(), '100')
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
  node([tsc, '-p', app], app)
})

test.run()
