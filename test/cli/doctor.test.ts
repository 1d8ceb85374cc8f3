import { existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bytes, clock, count, harmless, measure, percent, short } from '../../lib/cli/format.js'
import { describeGpu, findGpu } from '../../lib/cli/gpu.js'
import { addon } from '../../lib/tensor/binding.js'
import { kernelFolder } from '../../lib/tensor/gpu.js'
import { run } from './spawn.js'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

test('doctor tells what a bug report needs', async () => {
  const { code, stdout, stderr } = await run(['doctor'])
  assert.is(code, 0, stderr)
  for (const name of [
    'gptloom',
    'node',
    'platform',
    'addon',
    'processor',
    'instructions',
    'threads',
    'memory',
    'disk',
    'gpu',
  ]) {
    assert.match(stdout, new RegExp(`^  ${name} +\\S`, 'm'))
  }
  assert.match(stdout, /^ {2}device +(cpu|cuda)$/m)
  assert.match(stdout, /^ {2}dependencies +@huggingface\/jinja \d+\./m)
  assert.not.match(stdout, /missing/)
  assert.match(stdout, /^gptloom works on this machine\.$/m)
})

test('doctor --json agrees with this process', async () => {
  const { code, stdout } = await run(['doctor', '--json'], '', {
    GPTLOOM_THREADS: '3',
    GPTLOOM_ISA: 'portable',
  })
  assert.is(code, 0)
  const report = JSON.parse(stdout)
  assert.is(report.gptloom, version)
  assert.is(report.node, process.versions.node)
  assert.is(report.platform, `${process.platform}-${process.arch}`)
  assert.is(report.addon.threads, 3)
  assert.is(report.addon.isa, 'portable')
  assert.ok(report.addon.runnable.includes('portable'))
  assert.is(report.memory.total, os.totalmem())
  assert.is(report.environment.GPTLOOM_THREADS, '3')
  assert.ok(Object.keys(report.dependencies).includes('node-gyp-build'))
  const { version: cuda, reason } = addon().cuda()
  assert.is(report.gpu.cuda === null, cuda === null)
  if (cuda === null) assert.ok(report.gpu.reason.startsWith(reason))
})

test('GPUs, by what the driver says and what the kernels hold', () => {
  const device = (name: string, computeCapability: number) => ({
    name,
    computeCapability,
    multiprocessors: 108,
    memory: 80e9,
  })
  const devices = [device('New', 90), device('Between', 87), device('Old', 75)]
  const gpu = findGpu({ version: 13010, reason: '', devices })
  assert.equal(
    gpu.devices.map(({ computeCapability }) => computeCapability),
    ['9.0', '8.7', '7.5'],
  )
  assert.is(gpu.cuda, '13.1')
  const has = existsSync(`${kernelFolder}/manifest.json`)
  assert.equal(
    gpu.devices.map(({ usable }) => usable),
    [has, has, false],
  )
  const text = describeGpu({ ...gpu, driver: '580.1' })
  assert.match(
    text,
    /^New, compute capability 9\.0, 80 GB, .+; Between, .+; Old, .+ Driver 580\.1 for CUDA 13\.1/,
  )
  if (has) {
    const codes = (version: number) =>
      findGpu({ version, reason: '', devices }).devices.map(({ image }) => image)
    const { machineCode } = gpu.kernels!
    const ptx = 'PTX, which the driver compiles at first use'
    const code = (arch: number) =>
      machineCode.includes(arch) ? `machine code for sm_${arch}` : ptx
    assert.equal(codes(13000), [code(90), code(86), 'too old: gptloom needs 8.0'])
    assert.equal(codes(12040).slice(0, 2), [ptx, ptx])
    assert.is(codes(11020)[0], 'the driver is too old for the kernels')
  }
  const none = findGpu({ version: null, reason: 'libcuda.so.1: not found', devices: [] })
  assert.match(describeGpu(none), /^none: libcuda\.so\.1: not found/)
})

test('doctor names neither the user nor the home folder', async () => {
  const { username } = os.userInfo()
  const HOME = process.cwd() // the addon lies below it
  const environment = { HOME, USERPROFILE: HOME, GPTLOOM_SOMETHING: `/mnt/${username}/models` }
  const { stdout } = await run(['doctor', '--json'], '', environment)
  assert.not.match(stdout, HOME)
  const report = JSON.parse(stdout)
  assert.match(report.addon.path, /^~[\\/]/)
  assert.is(report.environment.GPTLOOM_SOMETHING, '/mnt/<user>/models')
})

test('help and version', async () => {
  const [general, flag, verb, verbFlag, versionFlag] = await Promise.all(
    [['--help'], ['help'], ['help', 'train'], ['train', '--help'], ['--version']].map((args) =>
      run(args),
    ),
  )
  assert.equal([general!.code, verb!.code, versionFlag!.code], [0, 0, 0])
  assert.is(general!.stdout, flag!.stdout)
  assert.is(verb!.stdout, verbFlag!.stdout)
  assert.match(general!.stdout, /^ {2}generate {2}/m)
  assert.match(verb!.stdout, /^ {6}--learning-rate <n> {2,}\S/m)
  assert.is(versionFlag!.stdout, `${version}\n`)
})

test('figures', () => {
  assert.equal([0, 999, 1000, 1234567].map(count), ['0', '999', '1,000', '1,234,567'])
  assert.equal([0, 0.5, 12, 999, 999.6, 1000, 12345, 999700, 4.56e6].map(short), [
    '0',
    '0.50',
    '12',
    '999',
    '1.00k',
    '1k',
    '12.3k',
    '1.00M',
    '4.56M',
  ])
  assert.equal(
    [bytes(12), bytes(1.5e9), measure(7.4e9, 'FLOP/s')],
    ['12 B', '1.50 GB', '7.40 GFLOP/s'],
  )
  assert.equal([0, 59.6, 3599, 3661, NaN, Infinity].map(clock), [
    '0:00',
    '1:00',
    '59:59',
    '1:01:01',
    '-:--',
    '-:--',
  ])
  assert.equal([0, 0.042, 0.5, 1].map(percent), ['0 %', '4.2 %', '50 %', '100 %'])
  assert.is(harmless('a\x1b[2Jb\r\n\tc\u009b'), 'a\ufffd[2Jb\ufffd\n\tc\ufffd')
})

test.run()
