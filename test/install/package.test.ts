// timeout: 900
// The package as strangers meet it: installed from its tarball with scripts disabled and no compiler.
import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  attempt,
  bare,
  folder,
  install,
  pack,
  project,
  root,
  run,
  tarball,
  text,
  trained,
  trial,
} from './packed.js'

const supported = process.platform === 'linux' && process.arch === 'x64'
const skip = () => {
  if (!supported) console.log('\nSKIP the package: its binaries are made on Linux x64')
  return !supported
}
const esm = `import { train } from 'gptloom'\n${trial}`
const home = project('home', { 'text.txt': text, 'try.mjs': esm })
/** Runs a file of a project with nothing but node on the PATH. */
const node = (cwd: string, ...args: string[]) => run(process.execPath, args, cwd, bare())

test('the tarball holds what is needed, and nothing of the checkout', () => {
  if (skip()) return
  const names = run('tar', ['tzf', tarball()])
    .trim()
    .split('\n')
    .map((name) => name.replace('package/', ''))
  for (const name of [
    'package.json',
    'README.md',
    'LICENSE',
    'binding.gyp',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/cli/main.js',
    'native/glue/addon.cc',
    'cuda/layernorm.cu',
    'assets/gpt2.tiktoken',
    'prebuilds/linux-x64/gptloom.glibc.node',
    'prebuilds/linux-x64/gptloom.musl.node',
    'prebuilds/linux-arm64/gptloom.glibc.node',
    'prebuilds/cuda/manifest.json',
  ]) {
    assert.ok(names.includes(name), `${name} is in the tarball`)
  }
  const tops = [...new Set(names.map((name) => name.split('/')[0]!))].sort()
  const wanted = [
    'CMakeLists.txt',
    'LICENSE',
    'README.md',
    'assets',
    'binding.gyp',
    'cuda',
    'dist',
    'native',
  ]
  assert.equal(tops, [...wanted, 'package.json', 'prebuilds'])
  const sums = readFileSync(path.join(root, 'build', 'package', 'SHA256SUMS'), 'utf8')
  assert.match(sums, /^[0-9a-f]{64} {2}gptloom-\S+\.tgz$/m)
  assert.match(sums, /^[0-9a-f]{64} {2}prebuilds\/linux-arm64\/gptloom\.glibc\.node$/m)
  const bill = JSON.parse(
    readFileSync(path.join(root, 'build', 'package', 'sbom.cdx.json'), 'utf8'),
  )
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  const parts = bill.components.map((part: { 'bom-ref': string }) =>
    part['bom-ref'].replace(/@[^@]*$/, ''),
  )
  assert.equal(parts.sort(), Object.keys(manifest.dependencies).sort())
})

test('packed again it has the same bytes', () => {
  if (skip()) return
  const to = path.dirname(tarball())
  const names = [path.basename(tarball()), 'SHA256SUMS', 'sbom.cdx.json']
  const bytes = () => names.map((name) => readFileSync(path.join(to, name)))
  const before = bytes()
  pack()
  bytes().forEach((again, i) => assert.ok(again.equals(before[i]!), names[i]))
})

test('nothing of this machine is in it', () => {
  if (skip()) return
  const unpacked = project('unpacked')
  run('tar', ['xzf', tarball(), '-C', unpacked])
  const { stdout } = attempt('grep', ['-rlaF', root, unpacked], folder)
  assert.is(stdout, '')
})

test('installed in an empty project it trains and writes', () => {
  if (skip()) return
  install(home, tarball())
  trained(node(home, 'try.mjs'))
})

test('its command line runs there', () => {
  if (skip()) return
  const cli = path.join(home, 'node_modules', '.bin', 'gptloom')
  assert.match(node(home, cli, '--version'), /^\d+\.\d+\.\d+/)
  assert.match(node(home, cli, 'doctor'), /linux/i)
  node(
    home,
    cli,
    'train',
    'text.txt',
    '--out',
    'by-hand',
    '--layers',
    '1',
    '--steps',
    '2',
    '--quiet',
  )
  assert.ok(readdirSync(path.join(home, 'by-hand')).includes('model.safetensors'))
})

test('it runs from a folder with spaces and letters of other scripts', () => {
  if (skip()) return
  const to = project('mein Ordner – 模型 ü', { 'text.txt': text, 'try.mjs': esm })
  install(to, tarball())
  trained(node(to, 'try.mjs'))
})

test('it runs as a dependency of a dependency', () => {
  if (skip()) return
  const between = project('between', {
    'package.json': JSON.stringify({
      name: 'between',
      version: '1.0.0',
      type: 'module',
      main: 'index.js',
      dependencies: { gptloom: `file:${tarball()}` },
    }),
    'index.js': "export { train } from 'gptloom'\n",
  })
  const [made] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', folder], between))
  const to = project('beyond', {
    'text.txt': text,
    'try.mjs': `import { train } from 'between'\n${trial}`,
  })
  install(to, path.join(folder, made.filename))
  trained(node(to, 'try.mjs'))
})

test('it runs when pnpm has installed it', () => {
  if (skip()) return
  const to = project('pnpm', {
    'text.txt': text,
    'try.mjs': esm,
    'package.json': JSON.stringify({
      name: 'a',
      private: true,
      dependencies: { gptloom: `file:${tarball()}` },
    }),
  })
  const pnpm = path.join(root, 'node_modules', 'pnpm', 'bin', 'pnpm.cjs')
  const store = path.join(folder, 'pnpm-store')
  node(to, pnpm, 'install', '--ignore-scripts', '--store-dir', store)
  trained(node(to, 'try.mjs'))
})

test('require() takes it as well', () => {
  if (skip()) return
  const body = `const { train } = require('gptloom')\n;(async () => {${trial}})()`
  writeFileSync(path.join(home, 'try.cjs'), body.replace("'model'", "'model-cjs'"))
  trained(node(home, 'try.cjs'))
})

test('it runs in a worker', () => {
  if (skip()) return
  writeFileSync(path.join(home, 'work.mjs'), esm.replace("'model'", "'model-worker'"))
  const main =
    "import { Worker } from 'node:worker_threads'\nnew Worker(new URL('work.mjs', import.meta.url))"
  writeFileSync(path.join(home, 'worker.mjs'), main)
  trained(node(home, 'worker.mjs'))
})

test('a bundle that keeps it external runs', () => {
  if (skip()) return
  writeFileSync(path.join(home, 'entry.mjs'), esm.replace("'model'", "'model-bundle'"))
  const esbuild = path.join(root, 'node_modules', 'esbuild', 'bin', 'esbuild')
  const options = ['--bundle', '--platform=node', '--format=esm', '--external:gptloom']
  run(esbuild, ['entry.mjs', ...options, '--outfile=bundle.mjs', '--log-level=warning'], home)
  trained(node(home, 'bundle.mjs'))
})

for (const [module, resolution] of [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
] as const) {
  test(`its types are found by TypeScript with moduleResolution ${resolution}`, () => {
    if (skip()) return
    const source = `
      import { load, train, type TrainEvent, type TrainResult } from 'gptloom'
      import { cpu, Tensor } from 'gptloom/tensor'
      export const seen: TrainEvent[] = []
      const result: TrainResult = await train({ data: 'text.txt', output: 'model' })
      const piece: string = await result.model.complete('a', { maxTokens: 1 })
      const tensor: Tensor = cpu().tensor([1, 2], [2])
      // @ts-expect-error: steps is a number
      void train({ data: 'text.txt', output: 'model', steps: 'many' })
      console.log(piece, tensor.shape, await load('model'))
    `
    writeFileSync(path.join(home, `${resolution}.mts`), source)
    const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const types = path.join(root, 'node_modules', '@types')
    const flags = [
      '--noEmit',
      '--strict',
      '--target',
      'es2022',
      '--lib',
      'es2023,esnext.disposable',
    ]
    const resolve = ['--module', module, '--moduleResolution', resolution]
    const roots = ['--typeRoots', types, '--types', 'node']
    run(process.execPath, [tsc, ...flags, ...resolve, ...roots, `${resolution}.mts`], home)
  })
}

test('publint has nothing to say', () => {
  if (skip()) return
  const publint = path.join(root, 'node_modules', 'publint', 'src', 'cli.js')
  run(process.execPath, [
    publint,
    path.join(home, 'node_modules', 'gptloom'),
    '--strict',
    '--pack',
    'false',
  ])
})

test('are the types wrong? No', () => {
  if (skip()) return
  const attw = path.join(root, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js')
  // An ES module only: require() of it works on every Node that the package supports.
  run(process.execPath, [
    attw,
    tarball(),
    '--profile',
    'esm-only',
    '--exclude-entrypoints',
    'package.json',
  ])
})

test('where no binary fits, the error says what was looked for and what to do', () => {
  if (skip()) return
  const prebuilds = path.join(home, 'node_modules', 'gptloom', 'prebuilds')
  renameSync(path.join(prebuilds, 'linux-x64'), path.join(prebuilds, 'sunos-x64'))
  try {
    const { status, stderr } = attempt(process.execPath, ['try.mjs'], home, bare())
    assert.is(status, 1)
    assert.match(stderr, /ERR_ADDON/)
    assert.match(stderr, /cannot be loaded for linux-x64, Node \d+/)
    assert.match(
      stderr,
      /The package holds binaries for linux-arm64 \(glibc\), sunos-x64 \(glibc, musl\)/,
    )
    assert.match(stderr, /npm rebuild gptloom/)
  } finally {
    renameSync(path.join(prebuilds, 'sunos-x64'), path.join(prebuilds, 'linux-x64'))
  }
})

test.run()
