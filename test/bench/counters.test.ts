// timeout: 600
//
// What the shipped kernels move and compute, against bench/counters.json.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { compare, count, format, lacking, missed } from '../../bench/count/count.js'
import type { Report } from '../../bench/count/count.js'
import { figuresOf, misses, occupancy, sum, worse } from '../../bench/count/figures.js'
import type { Launch } from '../../bench/count/figures.js'
import { ladderNeeds, rungs } from '../../bench/count/ladder.js'
import { ops } from '../../bench/count/ops.js'
import { parse, withKernels } from '../../bench/count/ptxas.js'
import { FLOPS, TOKENS, machines, roofline } from '../../bench/count/roofline.js'
import { insert, tables } from '../../bench/count/tables.js'
import { resolveModel } from '../../lib/models/index.js'
import { trainingFlops } from '../../lib/models/config.js'

const read = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../bench/${name}`, import.meta.url)), 'utf8')
const kept = JSON.parse(read('counters.json')) as Report

const traffic = (bytes: number, sectors: number, uniqueBytes = 0) => ({
  ...{ bytes, sectors, uniqueBytes },
})
const launch: Launch = {
  kernel: 'some_kernel',
  grid: [4, 1, 1],
  block: [128, 1, 1],
  staticShared: 0,
  dynamicShared: 49152,
  localBytes: 0,
  warpInstructions: 1000,
  globalRead: traffic(3200, 100),
  globalWrite: traffic(800, 50),
  localRead: traffic(0, 0),
  localWrite: traffic(0, 0),
  shared: { wavefronts: 70, bankConflicts: 7 },
  flops: { tensor: 900, float32: 90, float64: 0, half: 10 },
}
const kernel = { name: 'some_kernel', registers: 255, spills: 8, stack: 16, occupancy: 0.125 }

test('figures are sums over launches', () => {
  assert.equal(figuresOf(sum([launch, launch]), [kernel, { ...kernel, stack: 0 }], 4800), {
    bytes: 2,
    sectorEfficiency: rounded(4000 / 4800),
    bankConflicts: 14,
    tensorShare: 0.9,
    spills: 24,
    occupancy: 0.125,
    launches: 2,
    warpInstructions: 2000,
  })
})

const rounded = (x: number) => Number(x.toPrecision(5))

test('different bytes are a figure where they were counted', () => {
  const counted = { ...launch, globalRead: traffic(3200, 100, 1200) }
  assert.is(figuresOf(sum([counted]), [kernel], 4800).distinct, 0.25)
})

test('occupancy follows the calculator of CUDA', () => {
  const at = (threads: number, registers: number, shared = 0) =>
    occupancy({ block: [threads, 1, 1], staticShared: 0, dynamicShared: shared }, registers)
  // By the calculator for 8.0, in turn: threads, registers, a partition's registers, shared memory, blocks.
  assert.is(at(512, 32), 1)
  assert.is(at(256, 64), 0.5)
  assert.is(at(128, 168), 0.1875)
  assert.is(at(128, 32, 49152), 0.1875)
  assert.is(at(32, 16), 0.5)
  assert.is(at(1024, 128), 0)
})

test('a figure that gets worse by more than 2 % is named, in its own direction', () => {
  const before = figuresOf(sum([launch]), [kernel], 4800)
  assert.equal(worse('op', before, before), [])
  const slightly = { ...before, bytes: before.bytes * 1.019, occupancy: before.occupancy * 0.981 }
  assert.equal(worse('op', slightly, before), [])
  const better = { ...before, bytes: 0.5, sectorEfficiency: 1, bankConflicts: 0, tensorShare: 1 }
  assert.equal(worse('op', better, before), [])
  assert.equal(worse('op', { ...before, bytes: 1.03 }, before), ['op: bytes is 1.03, and was 1'])
  assert.equal(worse('op', { ...before, tensorShare: 0.8 }, before).length, 1)
  assert.equal(
    worse('op', { ...before, bankConflicts: 1 }, { ...before, bankConflicts: 0 }).length,
    1,
  )
  assert.equal(misses('op', before, { bytes: 1, tensorShare: 0.99 }), [
    'op: spills is 24, the target is 0',
    'op: tensorShare is 0.9, the target is 0.99',
  ])
})

test('one kernel of a module, and what ptxas says of it', () => {
  const module =
    '.version 7.0\n.global .u32 seen;\n' +
    ['a', 'b', 'c']
      .map((name) => `.visible .entry ${name}(\n)\n{\n{\n}\n\tret;\n}\n// after ${name}\n`)
      .join('')
  assert.is(
    withKernels(module, ['b']),
    '.version 7.0\n.global .u32 seen;\n// after a\n.visible .entry b(\n)\n{\n{\n}\n\tret;\n}\n// after b\n// after c\n',
  )
  const text =
    'ptxas info    : Compiling entry function b for sm_80\n' +
    '    24 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n' +
    'ptxas info    : Used 255 registers, used 1 barriers\n'
  assert.equal(parse(text, 'b'), { registers: 255, spills: 8, stack: 24 })
  assert.throws(() => parse('', 'b'), /ptxas says nothing of b/)
})

test('the tables of the README are those of counters.json', () => {
  assert.is(insert(read('README.md'), tables(kept)), read('README.md'))
  assert.is(format(kept), read('counters.json'))
  assert.is(kept.ops.length, ops.length)
  assert.is(kept.ladder.length, rungs.length)
})

test('the roofline: every op of a step, and no faster than its products allow', () => {
  const model = resolveModel({ preset: 'gpt2' }, 50257)
  assert.is(FLOPS, TOKENS * trainingFlops(model))
  const lines = roofline(kept)
  assert.is(lines.length, ops.filter(({ step }) => step).length)
  // Tiles at the edges and attention's diagonal add some to the products of the model.
  const tensor = ops.reduce((total, op, i) => {
    return total + (op.step?.work ?? 0) * kept.ops[i]!.counts.tensorFlops
  }, 0)
  assert.ok(tensor > FLOPS && tensor < 1.15 * FLOPS, `${tensor / FLOPS} of the model's FLOPs`)
  machines.forEach((machine, i) => {
    const seconds = lines.reduce((total, { times }) => total + times[i]!.seconds, 0)
    assert.ok(seconds > FLOPS / machine.tensor, machine.name)
  })
})

const reason = lacking()
if (reason) console.log(`\nSKIP the counters: ${reason}`)
else {
  const report = count()

  test('no figure is worse than in counters.json by more than 2 %', () => {
    assert.equal(compare(report, kept), [])
    const missedNow = missed(report).map((line) => line.split(' is ')[0])
    assert.equal(
      missedNow.filter((line) => !read('README.md').includes(line!)),
      [],
    )
  })

  test('a kernel that moves more is found', () => {
    const [first] = report.ops
    const figures = { ...first!.figures, bytes: first!.figures.bytes * 1.05 }
    const found = compare({ ...report, ops: [{ ...first!, figures }] }, kept)
    assert.is(found.length, 1)
    assert.match(found[0]!, `${first!.name} (${first!.dtype}): bytes is`)
  })

  test('every rung of the ladder runs, and none is better than what ships', () => {
    const missing = ladderNeeds()
    if (missing) return console.log(`SKIP the ladder: ${missing} is not on the PATH`)
    assert.is(report.ladder.length, rungs.length)
    report.ladder.forEach(({ figures }, i) => {
      const { of } = rungs[i]!
      const op = report.ops.find(({ name, dtype }) => name === of.name && dtype === of.dtype)!
      assert.ok(figures.bytes > op.figures.bytes, `${of.name} ${rungs[i]!.name}`)
    })
  })
}

test.run()
