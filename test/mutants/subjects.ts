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
import { backwardProductsCase } from '../cases/mlp.js'
import type { ProductsInstance } from '../cases/mlp.js'
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
  tf32: boolean
  inputs: Record<string, Input>
  /** The folder of images that hold nothing but the kernels that it launches. */
  folder: string
  kernels: Set<string>
  /** Lane instructions, and what loading costs in these: the cheapest are tried first. */
  cost: number
  expected: Outcome
  /** Whether its own images, unchanged, have given what is expected. */
  isSound: boolean
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

/** The same for tf32, which takes rows of whole packets. */
const packets: MatmulInstance[] = [
  [36, 36],
  [68, 516],
  [260, 772],
].flatMap(([M, N]) => [
  { rows: [M!], N: N!, K: 164 },
  { rows: [M!], N: N!, K: 164, transposeB: true, bias: true, gelu: true, residual: true },
  { rows: [M! + 4], N: N! + 4, K: 164, transposeA: true, bias: true, residual: true },
])

const backward: ProductsInstance[] = [
  { M: 1, N: 33, K: 31, gelu: 'tanh' },
  { M: 72, N: 136, K: 0, gelu: 'tanh' },
  { M: 36, N: 36, K: 164, gelu: 'exact' },
  { M: 104, N: 136, K: 1024, gelu: 'tanh' },
  { M: 72, N: 520, K: 40, gelu: 'exact' },
  { M: 264, N: 776, K: 164, gelu: 'tanh' },
  { M: 392, N: 392, K: 164, gelu: 'exact' },
  { M: 520, N: 584, K: 40, gelu: 'tanh' },
]

const open = (folder: string, tf32: boolean) =>
  new Device('cuda', new (addon().Device)('cuda', 0, { folder, exact: true, graphs: false, tf32 }))

/** A GPU that was lost is lost until nothing holds it any more: after that it can be opened again. */
async function reopen(folder: string, tf32: boolean): Promise<Device> {
  for (let attempt = 0; ; attempt++) {
    try {
      return open(folder, tf32)
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
  const device = await reopen(subject.folder, subject.tf32)
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

function instancesOf(opCase: OpCase<any>): any[] {
  if (opCase === largeMatmulCase) return [...large, ...packets]
  return opCase === backwardProductsCase ? backward : opCase.instances
}

/**
 * All subjects whose op's name matches, run once.
 * @param log the emulator's file of counters
 * @param scratch a folder for images
 */
export async function subjects(log: string, scratch: string, only: RegExp): Promise<Subject[]> {
  const out: Subject[] = []
  const all = cases
    .flatMap((opCase) => instancesOf(opCase).map((instance) => ({ opCase, instance })))
    .concat(spoiled)
    .filter(({ opCase }) => only.test(opCase.name))
  for (const kind of ['float32', 'tf32', 'bfloat16'] as const) {
    const tf32 = kind === 'tf32'
    const dtype = tf32 ? 'float32' : kind
    const device = open(kernelFolder, tf32)
    for (const { opCase, instance } of all) {
      if (dtype === 'bfloat16' && !hasBfloat16(opCase)) continue
      if (tf32 && !packets.includes(instance) && opCase !== backwardProductsCase) continue
      if (!tf32 && packets.includes(instance)) continue
      const label = JSON.stringify(instance)
      const given = opCase.inputs(instance, new Random(`${opCase.name} ${label}`))
      const subject: Subject = {
        name: `${kind} ${opCase.name} ${label}`,
        opCase,
        instance,
        dtype,
        tf32,
        inputs: dtype === 'bfloat16' ? rounded(opCase, given) : given,
        folder: path.join(scratch, String(out.length)),
        kernels: new Set(),
        cost: 0,
        expected: { failure: '', values: [] },
        isSound: false,
      }
      await examine(subject, log, device)
      out.push(subject)
    }
    device.native.close()
  }
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
}
