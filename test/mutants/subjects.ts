// What mutated kernels are tried on: op cases on a device with images of its own, against what the same
// case gives with the images as they are. test/tensor/cudaops.test.ts holds those to the oracle.
import { mkdirSync, readFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { addon } from '../../lib/tensor/binding.js'
import { kernelFolder } from '../../lib/tensor/gpu.js'
import { Device, Tape, scope } from '../../lib/tensor/index.js'
import type { GptloomError } from '../../lib/index.js'
import type { Dtype, Tensor, Values } from '../../lib/tensor/index.js'
import { rounded, toleranceOf } from '../../lib/testing/check.js'
import { Random, close, hasBfloat16, upload } from '../../lib/testing/index.js'
import type { Input, OpCase, Tolerance } from '../../lib/testing/index.js'
import { cases } from '../cases/index.js'
import { largeMatmulCase } from '../cases/matmul.js'
import type { MatmulInstance } from '../cases/matmul.js'
import { imageOf } from './images.js'

interface Outcome {
  /** What the op reports of indices outside its tables. */
  failure: string
  values: { what: string; values: Values; tolerance: Tolerance }[]
}

export interface Subject {
  name: string
  opCase: OpCase<any>
  instance: any
  dtype: Dtype
  inputs: Record<string, Input>
  /** The folder of images that hold nothing but the kernels that it launches. */
  folder: string
  kernels: Set<string>
  /** Lane instructions, and what loading costs in these: the cheapest are tried first. */
  cost: number
  expected: Outcome
}

/** Products that take the large tiles on a GPU of 16 multiprocessors; cases have theirs for 108. */
const large: MatmulInstance[] = [
  ...[65, 385, 513].flatMap((rows) => {
    const N = rows === 65 ? 513 : rows === 385 ? 385 : 577
    return [
      { rows: [rows], N, K: 33 },
      { rows: [rows], N, K: 161, transposeB: true, bias: true, gelu: true, residual: true },
      { rows: [rows + 7], N: N + 7, K: 40, transposeA: true, bias: true, residual: true },
    ]
  }),
  // Sums split over K.
  { rows: [65], N: 129, K: 1024 },
  { rows: [24], N: 40, K: 1024, transposeB: true, bias: true, gelu: true, residual: true },
  // Up to 16 rows of a.
  { rows: [3], N: 35, K: 67, transposeB: true },
  { rows: [16], N: 137, K: 264, transposeB: true, bias: true, gelu: true, residual: true },
]

const open = (folder: string) => {
  const options = { folder, exact: true, graphs: false, tf32: false }
  return new Device('cuda', new (addon().Device)('cuda', 0, options))
}

/** A GPU that was lost is lost until nothing holds it any more: after that it can be opened again. */
async function reopen(folder: string): Promise<Device> {
  for (let attempt = 0; ; attempt++) {
    try {
      return open(folder)
    } catch (error) {
      if (attempt === 10) throw error
      globalThis.gc!()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** Outputs, then gradients after one and after two backwards; or the failure that the op reports. */
async function outcome(subject: Subject, device: Device): Promise<Outcome> {
  const { opCase, instance, inputs, dtype } = subject
  const reads: { what: string; dtype: Dtype; values: Promise<Values> }[] = []
  const read = (what: string, dtype: Dtype, tensor: Tensor) => {
    const values = tensor.data()
    values.catch(() => {}) // looked at below, unless an op throws before
    reads.push({ what, dtype, values })
  }
  scope(() => {
    const tensors = upload(device, inputs)
    if (!opCase.forwardOnly)
      // without a tape some ops keep less
      opCase.run(tensors, instance).forEach((output, i) => read(`output ${i}`, dtype, output))
    for (const time of opCase.forwardOnly ? ['once'] : ['once', 'again']) {
      using tape = new Tape()
      const outputs = tape.run(() => opCase.run(tensors, instance))
      for (const [i, output] of outputs.entries()) {
        const isExact = output.dtype === 'float32' && opCase.float32
        const type = isExact ? 'float32' : dtype
        read(`output ${i} ${time}`, type, output)
      }
      if (opCase.forwardOnly) break
      const [output] = outputs
      const normals = new Random('dout').normals(output!.size)
      tape.backward(output!, device.tensor(normals, output!.shape, output!.dtype))
      for (const [name, { grad }] of Object.entries(tensors))
        if (grad) read(`d${name} ${time}`, dtype, grad)
    }
    for (const { grad } of Object.values(tensors)) grad?.dispose()
  })
  const settled = await Promise.allSettled(reads.map(({ values }) => values))
  const failures = settled.flatMap((result): GptloomError[] =>
    result.status === 'rejected' ? [result.reason] : [],
  )
  const [failure] = failures
  for (const each of failures) if (each.code !== 'ERR_INDEX') throw each
  return {
    failure: failure?.message ?? '',
    values: settled.flatMap((result, i) => {
      if (result.status === 'rejected') return []
      const { what, dtype } = reads[i]!
      const tolerance = toleranceOf(opCase, instance, dtype, result.value)
      return [{ what, values: result.value, tolerance }]
    }),
  }
}

/** Why the subject notices that its images are others; empty when it does not. */
export async function complaint(subject: Subject): Promise<string> {
  const device = await reopen(subject.folder)
  try {
    const { failure, values } = await outcome(subject, device)
    const { expected } = subject
    if (failure !== expected.failure) return failure || 'no failure'
    for (const [i, { what, values: actual }] of values.entries())
      close(actual, expected.values[i]!.values, expected.values[i]!.tolerance, what)
    return ''
  } catch (error) {
    return (error as Error).message
  } finally {
    device.native.close()
  }
}

/** Cases with an index outside its table, which the op reports. */
const spoiled = (
  [
    ['embedding', 'tokens', 1 << 20],
    ['embedding', 'tokens', -3],
    ['embedding', 'starts', -1000],
    ['embedding', 'starts', 1000],
    ['crossEntropy', 'targets', 1 << 20],
    ['linearCrossEntropy', 'targets', 1 << 20],
  ] as const
).map(([name, index, wrong]) => {
  const opCase = cases.find((each) => each.name === name)!
  const instances = opCase.instances as { starts?: boolean }[]
  return {
    instance: instances.find(({ starts }) => starts) ?? instances[2],
    opCase: {
      ...opCase,
      name: `${name} with ${index} ${wrong}`,
      inputs(instance: unknown, random: Random) {
        const inputs = opCase.inputs(instance, random)
        const values = inputs[index]?.values
        if (values) values[values.length >> 1] = wrong
        return inputs
      },
    },
  }
})

/** All subjects, run once; `log` is the emulator's file of counters, `scratch` a folder for images. */
export async function subjects(log: string, scratch: string): Promise<Subject[]> {
  const out: Subject[] = []
  const device = open(kernelFolder)
  const instancesOf = (opCase: OpCase<any>) =>
    opCase === largeMatmulCase ? large : (opCase.instances as unknown[])
  const all = [
    ...cases.flatMap((opCase) => instancesOf(opCase).map((instance) => ({ opCase, instance }))),
    ...spoiled,
  ]
  for (const dtype of ['float32', 'bfloat16'] as const) {
    for (const { opCase, instance } of all) {
      if (dtype === 'bfloat16' && !hasBfloat16(opCase)) continue
      const label = JSON.stringify(instance)
      const given = opCase.inputs(instance, new Random(`${opCase.name} ${label}`))
      const subject: Subject = {
        name: `${dtype} ${opCase.name} ${label}`,
        opCase,
        instance,
        dtype,
        inputs: dtype === 'bfloat16' ? rounded(opCase, given) : given,
        folder: path.join(scratch, String(out.length)),
        kernels: new Set(),
        cost: 0,
        expected: { failure: '', values: [] },
      }
      await examine(subject, log, device)
      out.push(subject)
    }
  }
  device.native.close()
  return out.sort((a, b) => a.cost - b.cost)
}

/** Finds out what the subject launches, what it gives and how long it takes. */
async function examine(subject: Subject, log: string, device: Device): Promise<void> {
  truncateSync(log)
  subject.expected = await outcome(subject, device)
  for (const line of readFileSync(log, 'utf8').split('\n').filter(Boolean)) {
    const launch = JSON.parse(line) as { kernel: string; laneInstructions: number }
    subject.kernels.add(launch.kernel)
    subject.cost += launch.laneInstructions
  }
  mkdirSync(subject.folder)
  for (const file of readdirSync(kernelFolder).filter((name) => name.endsWith('.fatbin'))) {
    const family = file.slice(0, -'.fatbin'.length)
    if (![...subject.kernels].some((kernel) => kernel.startsWith(`${family}_`))) continue
    const image = imageOf(family, subject.kernels)
    writeFileSync(path.join(subject.folder, file), image)
    subject.cost += 10 * image.length
  }
  const why = await complaint(subject)
  if (why) throw new Error(`${subject.name}: not the same twice: ${why}`)
}
