// run: alone
// timeout: 3600
//
// The build of the CUDA kernels, and what the images hold. The build folder is kept: a second run builds
// what changed.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { kernelFolder, readManifest } from '../lib/tensor/gpu.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const has = (command: string) => spawnSync(command, ['--version']).status === 0

/** What a command prints; throws with the end of it when it fails. */
function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  if (status === 0) return stdout
  throw new Error(`${[command, ...args].join(' ')}\n${`${stdout}${stderr}`.slice(-4000)}`)
}

const why = ['cmake', 'nvcc'].find((command) => !has(command))
if (why) {
  console.log(`\nSKIP the build of the kernels: ${why} is not on the PATH`)
  test('nothing without nvcc', () => {})
} else {
  const families = readdirSync(path.join(root, 'cuda'))
    .filter((name) => name.endsWith('.cu'))
    .map((name) => name.slice(0, -3))
    .sort()

  test('the images are built, and a second build has nothing to do', () => {
    run('cmake', '-S', 'cuda', '-B', 'build/kernels')
    run('cmake', '--build', 'build/kernels')
    const times = () =>
      readdirSync(kernelFolder).map((name) => statSync(path.join(kernelFolder, name)).mtimeMs)
    const before = times()
    run('cmake', '--build', 'build/kernels')
    assert.equal(times(), before)
    assert.equal([...readManifest()!.families].sort(), families)
  })

  for (const family of families) {
    test(`${family}: PTX for compute_80 as old drivers read it, and kernels of its own name`, () => {
      const image = readFileSync(path.join(kernelFolder, `${family}.fatbin`), 'latin1')
      assert.match(image, /\.version 7\.\d+\n/)
      assert.match(image, /\.target sm_80\n/)
      assert.not.match(image, root)
      const kernels = [...image.matchAll(/^\.visible \.entry (\w+)\(/gm)].map(([, name]) => name!)
      assert.ok(kernels.length > 0)
      for (const name of kernels)
        assert.ok(name.startsWith(`${family}_`), `${name} is not found by its name`)
    })
  }

  test('an image as it ships has machine code too', () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-image-'))
    try {
      const ptx = path.join(folder, 'small.ptx')
      const image = path.join(folder, 'out', 'small.fatbin')
      // PTX 8.3 in name only: what it holds is as old as compute_80.
      writeFileSync(
        ptx,
        `.version 8.3\n.target sm_80\n.address_size 64\n.visible .entry small_forward(\n` +
          `  .param .u64 x\n)\n{\n  .loc 1 1 0\n  ret;\n}\n.file 1 "${root}/cuda/small.cu"\n`,
      )
      const at = (command: string) => run('which', command).trim()
      run(
        'cmake',
        ...[`-DPTX=${ptx}`, `-DIMAGE=${image}`, '-DARCHS=80;90', `-DSOURCES=${root}/cuda/`],
        ...[`-DPTXAS=${at('ptxas')}`, `-DFATBINARY=${at('fatbinary')}`],
        ...['-P', 'cuda/image.cmake'],
      )
      const content = readFileSync(image, 'latin1')
      assert.match(content, '"cuda/small.cu"')
      assert.not.match(content, root)
      assert.match(content, /\.version 7\.0\n/)
      assert.is(content.split('\x7fELF').length, 3)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
}

test.run()
