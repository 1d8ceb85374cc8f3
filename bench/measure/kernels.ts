// The ops at GPT-2's shapes, from the cases that the tests check.
import { Tape, scope } from '../../lib/tensor/index.js'
import type { Device, Dtype, Tensor } from '../../lib/tensor/index.js'
import { cases } from '../../test/cases/index.js'
import { Random } from '../../lib/testing/index.js'
import type { Input } from '../../lib/testing/index.js'
import type { Case } from './clock.js'

export interface Work {
  flops: number
  /** The least that must move. */
  bytes: number
  dtype: Dtype
}
export type WorkCase = Case & Work

/** A case by its name, made when it is wanted. */
export interface Opener<C = WorkCase> {
  name: string
  dtype: Dtype
  open(): C
}

/** An op at sizes, to be measured. */
export interface Listed {
  name: string
  /** The op's in test/cases. */
  op: string
  instance: object
  /**
   * With the backward pass too: FLOPs and bytes of both, in units of the forward's; of ops that pass over
   * memory, the tape's copy of the gradient that it is given as well.
   */
  backward?: { flops: number; bytes: number }
  /** Float32 only. */
  exact?: boolean
}

function list(device: Device, tiny: boolean): Listed[] {
  const gpu = device.kind === 'cuda'
  const [C, H, V] = tiny ? [16, 2, 65] : [768, 12, 50257]
  const [B, T] = tiny ? [1, 16] : gpu ? [8, 1024] : [1, 512]
  const rows = [B * T]
  const product = (name: string, instance: object): Listed => ({
    name: `matmul ${name}`,
    op: 'matmul',
    instance,
  })
  const forward = (N: number, K: number, more: object = { bias: true }) =>
    ({ rows, N, K, transposeB: true, ...more }) as const
  return [
    product('queries, keys, values', forward(3 * C, C)),
    product('projection', forward(C, C, { bias: true, residual: true })),
    product('up, with GELU', forward(4 * C, C, { bias: true, gelu: true })),
    product('down', forward(C, 4 * C, { bias: true, residual: true })),
    product('up dx', { rows, N: C, K: 4 * C }),
    product('up dweight', { rows: [4 * C], N: C, K: B * T, transposeA: true }),
    {
      name: 'logits and cross-entropy, with backward',
      op: 'linearCrossEntropy',
      instance: { rows, C, V },
      backward: { flops: 3, bytes: 2 },
    },
    { name: 'attention', op: 'attention', instance: { B, T, H, D: C / H } },
    {
      name: 'attention, with backward',
      op: 'attention',
      instance: { B, T, H, D: C / H },
      backward: { flops: 3.5, bytes: 3 },
    },
    {
      name: 'attention, one more token',
      op: 'attentionCached',
      instance: { B: 1, T: 1, H, D: C / H, past: T - 1, capacity: T },
    },
    { name: 'layernorm', op: 'layerNorm', instance: { rows, C, bias: true } },
    {
      name: 'layernorm, with backward',
      op: 'layerNorm',
      instance: { rows, C, bias: true },
      backward: { flops: 3, bytes: 3.5 },
    },
    { name: 'GELU', op: 'gelu', instance: { shape: [B * T, 4 * C] } },
    {
      name: 'GELU, with backward',
      op: 'gelu',
      instance: { shape: [B * T, 4 * C] },
      backward: { flops: 2.5, bytes: 3.5 },
    },
    { name: 'add', op: 'add', instance: { shape: [B * T, 4 * C] } },
    {
      name: 'dropout',
      op: 'dropout',
      instance: { shape: [B * T, 4 * C], p: 0.1, seed: 1, stream: 0 },
    },
    { name: 'embedding', op: 'embedding', instance: { B, T, C, V, P: T } },
    {
      name: 'AdamW',
      op: 'adamw',
      instance: { sizes: [4 * C * C, 4 * C * C, 4 * C * C], step: 9, weightDecay: 0.1 },
      exact: true,
    },
    { name: 'norm', op: 'norm', instance: { sizes: [12 * C * C] }, exact: true },
  ]
}

/** Large inputs in no time: numbers that come again. */
class Cheap extends Random {
  readonly #some = super.normals(4099)

  override normals(n: number, deviation = 1, mean = 0): Float32Array {
    const out = new Float32Array(n)
    for (let i = 0; i < n; i++) out[i] = mean + deviation * this.#some[i % 4099]!
    return out
  }
}

/** The cases of the kernels' bench, in the dtypes that the device computes with. */
export function kernelCases(device: Device, tiny: boolean): Opener[] {
  return device.dtypes.flatMap((dtype) =>
    list(device, tiny)
      .filter(({ exact }) => !exact || dtype === 'float32')
      .map((listed) => {
        const name = `${listed.name} (${dtype})`
        return { name, dtype, open: () => openOp(device, dtype, name, listed) }
      }),
  )
}

export function openOp(device: Device, dtype: Dtype, name: string, listed: Listed): WorkCase {
  const { op, instance, backward } = listed
  const opCase = cases.find(({ name }) => name === op)!
  const random = new Cheap(0)
  const tensors: Record<string, Tensor> = Object.fromEntries(
    Object.entries(opCase.inputs(instance, random)).map(
      ([name, { values, shape }]: [string, Input]) => {
        const tensor = device.tensor(values, shape, values instanceof Int32Array ? 'int32' : dtype)
        tensor.requiresGrad = backward !== undefined && tensor.dtype !== 'int32'
        return [name, tensor]
      },
    ),
  )
  const { flops, bytes } = opCase.cost(instance)
  const forward = () => void scope(() => void opCase.run(tensors, instance))
  let dout: Tensor | undefined
  const both = () => {
    for (const tensor of Object.values(tensors)) {
      tensor.grad?.dispose()
      tensor.grad = null
    }
    using tape = new Tape()
    const output = tape.run(() => opCase.run(tensors, instance)[0]!)
    if (output.size === 1) return tape.backward(output)
    dout ??= device.full(output.shape, 1, output.dtype)
    tape.backward(output, dout)
  }
  return {
    name,
    dtype,
    flops: flops * (backward?.flops ?? 1),
    bytes: (bytes * (backward?.bytes ?? 1) * (dtype === 'bfloat16' ? 2 : 4)) / 4,
    run: backward ? both : forward,
    dispose() {
      for (const tensor of [...Object.values(tensors), dout]) tensor?.dispose()
    },
  }
}
