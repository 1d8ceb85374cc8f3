// The ops of a GPT-2 124M as they are counted: shapes, what each must at least move, and how often it
// comes in a training step of 8 x 1024 tokens. Shapes keep the sides that decide how a kernel works (768,
// 3072, 50257, 1024) and cut the others, so that the emulator is done in a minute.
import type { Dtype } from '../../lib/tensor/index.js'
import type { NativeDevice, NativeTensor } from '../../lib/tensor/binding.js'
import type { Target } from './figures.js'
import { bytesOf, gpt2, spread } from './make.js'
import type { CountedOp } from './make.js'
import { products } from './products.js'

const { L, C, H, V, rows: ROWS, parameters: PARAMETERS } = gpt2

/** Attention with its parts in units of one [B, T, C] tensor. */
function attention(dtype: Dtype): CountedOp[] {
  const [T, heads, D] = [1024, 2, 64]
  const tensor = T * heads * D * bytesOf(dtype)
  const lse = 4 * heads * T
  const times = dtype === 'bfloat16' ? (L * 8 * H) / heads : 0
  const target: Target =
    dtype === 'bfloat16'
      ? { bytes: 1.1, distinct: 1.1, sectorEfficiency: 1, tensorShare: 0.99, bankConflicts: 0 }
      : { bytes: 1.1, distinct: 1.1, sectorEfficiency: 1, bankConflicts: 0 }
  const shape = `B 1, T ${T}, ${heads} heads of ${D}`
  const common = { dtype, shape, target, cached: true }
  const op = (name: string, least: number, prepare: CountedOp['prepare']): CountedOp => ({
    ...common,
    name,
    least,
    prepare,
    ...(times ? { step: { work: times, least: times * least } } : {}),
  })
  return [
    op('attention forward', 4 * tensor + lse, (make) => {
      const [qkv, out] = [make.normal([1, T, 3 * heads * D]), make.full([1, T, heads * D])]
      const sums = make.full([1, heads, T], 'float32')
      const { native } = make.device
      return () => native.attentionForward(out, sums, qkv, null, heads, 0, 0, 0, 0)
    }),
    // q, k, v, out, dout and the sums are read, dq, dk, dv are written.
    op('attention backward', 8 * tensor + lse, (make) => {
      const [qkv, dqkv] = [make.normal([1, T, 3 * heads * D]), make.full([1, T, 3 * heads * D])]
      const [out, dout] = [make.full([1, T, heads * D]), make.full([1, T, heads * D])]
      const sums = make.full([1, heads, T], 'float32')
      const { native } = make.device
      native.attentionForward(out, sums, qkv, null, heads, 0, 0, 0, 0)
      return () =>
        native.attentionBackward(dqkv, dout, qkv, out, sums, null, heads, 0, 0, 0, 0, false)
    }),
  ]
}

const cached: CountedOp = {
  name: 'attention, one more token',
  dtype: 'bfloat16',
  shape: `B 1, 1023 before, ${H} heads of 64`,
  least: 2 * (4 * C + 2 * 1023 * C + 2 * C),
  target: { sectorEfficiency: 1, bytes: 1.1 },
  prepare(make) {
    const [keys, values] = [make.full([1, H, 1024, 64]), make.full([1, H, 1024, 64])]
    const [qkv, out] = [make.full([1, 1, 3 * C]), make.full([1, 1, C])]
    return () => make.device.native.attentionCached(out, keys, values, qkv, H, 0, 1023)
  },
}

function layernorms(dtype: Dtype): CountedOp[] {
  const row = C * bytesOf(dtype)
  const shape = `${ROWS} rows of ${C}`
  const [tensor, sums] = [ROWS * row, 8 * ROWS]
  const inStep = (least: number) =>
    dtype === 'bfloat16' ? { step: { work: 2 * L + 1, least: (2 * L + 1) * least } } : {}
  const backward = (name: string, tensors: number, accumulate: boolean): CountedOp => {
    const least = tensors * tensor + sums + row + 8 * C
    return {
      name,
      dtype,
      shape,
      least,
      target: { bytes: 1.1, sectorEfficiency: 1 },
      ...(accumulate ? inStep(least) : {}),
      prepare(make) {
        const [x, dout, dx] = [0, 1, 2].map(() => make.full([ROWS, C]))
        const weight = make.full([C])
        const [mean, rstd] = [make.full([ROWS], 'float32'), make.full([ROWS], 'float32')]
        const [dweight, dbias] = [make.full([C], 'float32'), make.full([C], 'float32')]
        return () =>
          make.device.native.layernormBackward(
            dx!,
            dweight,
            dbias,
            dout!,
            x!,
            weight,
            mean,
            rstd,
            accumulate,
            false,
            false,
          )
      },
    }
  }
  const least = 2 * tensor + sums + 2 * row
  return [
    {
      name: 'layernorm forward',
      dtype,
      shape,
      least,
      target: { bytes: 1.02, sectorEfficiency: 1 },
      ...inStep(least),
      prepare(make) {
        const [x, out] = [make.full([ROWS, C]), make.full([ROWS, C])]
        const [weight, bias] = [make.full([C]), make.full([C])]
        const [mean, rstd] = [make.full([ROWS], 'float32'), make.full([ROWS], 'float32')]
        const { native } = make.device
        return () => native.layernormForward(out, mean, rstd, x, weight, bias, 1e-5)
      },
    },
    backward('layernorm backward', 3, false),
    backward('layernorm backward, added to dx', 4, true),
  ]
}

/** An op of one pass over `tensors` tensors of `shape`. */
function pass(
  name: string,
  dtype: Dtype,
  shape: number[],
  tensors: number,
  run: (native: NativeDevice, of: NativeTensor[]) => void,
): CountedOp {
  const least = tensors * bytesOf(dtype) * shape.reduce((a, b) => a * b, 1)
  return {
    name,
    dtype,
    shape: shape.join(' x '),
    least,
    target: { bytes: 1, sectorEfficiency: 1 },
    prepare(make) {
      const of = Array.from({ length: tensors }, () => make.full(shape))
      return () => run(make.device.native, of)
    },
  }
}

const hidden = [1024, 4 * C]
const elementwise = (['float32', 'bfloat16'] as const).flatMap((dtype) => [
  pass('GELU forward', dtype, hidden, 2, (native, [x, out]) => native.geluForward(out!, x!, 1)),
  pass('GELU backward', dtype, hidden, 3, (native, [x, dout, dx]) =>
    native.geluBackward(dx!, dout!, x!, 1, false),
  ),
  pass('add', dtype, hidden, 3, (native, [a, b, out]) => native.add(out!, a!, b!)),
  pass('dropout', dtype, hidden, 2, (native, [x, out]) =>
    native.dropout(out!, x!, 0.1, 1, 2, false),
  ),
])

/** One block's parameters, of which a model has twelve and two tables. */
const block = [C, C, 3 * C * C, 3 * C, C * C, C, C, C, 4 * C * C, 4 * C, 4 * C * C, C]
const blockSize = block.reduce((a, b) => a + b, 0)

function adamw(dtype: Dtype): CountedOp {
  // The gradient is read, weight and moments are read and written; in bfloat16 the weights behind are
  // float32, and the bfloat16 ones are written only.
  const each = dtype === 'bfloat16' ? 30 : 28
  const work = PARAMETERS / blockSize
  return {
    name: 'AdamW',
    dtype,
    shape: `one block's ${blockSize} parameters`,
    least: each * blockSize,
    // Learning rate, norm and sizes are read by each block.
    target: { bytes: 1.005, sectorEfficiency: 1 },
    ...(dtype === 'bfloat16' ? { step: { work, least: each * PARAMETERS } } : {}),
    prepare(make) {
      const all = (dtype: Dtype) => block.map((n) => make.full([n], dtype))
      const [params, gradients, m, v] = [all(dtype), all('float32'), all('float32'), all('float32')]
      const masters = dtype === 'bfloat16' ? all('float32') : block.map(() => null)
      const [norm, decays] = [make.full([1], 'float32'), block.map(() => 0.1)]
      const { native } = make.device
      return () =>
        native.adamw(
          params,
          gradients,
          m,
          v,
          masters,
          decays,
          norm,
          1e-3,
          0.9,
          0.95,
          1e-8,
          1,
          1,
          10,
          0,
        )
    },
  }
}

const norm: CountedOp = {
  name: 'norm of the gradients',
  dtype: 'float32',
  shape: `one block's ${blockSize} parameters`,
  least: 4 * blockSize,
  target: { bytes: 1.02, sectorEfficiency: 1 },
  step: { work: PARAMETERS / blockSize, least: 4 * PARAMETERS },
  prepare(make) {
    const [gradients, out] = [block.map((n) => make.full([n], 'float32')), make.full([1])]
    return () => make.device.native.norm(out, gradients)
  },
}

function crossentropy(dtype: Dtype): CountedOp {
  // Rows as a model has them, within the loss of the last layer: 50257 logits, padded to whole lines.
  const rows = 64
  const least = 2 * rows * V * bytesOf(dtype)
  return {
    name: 'cross-entropy',
    dtype,
    shape: `${rows} rows of ${V}`,
    least,
    kernels: /^crossentropy_\d+_/,
    target: { bytes: 1.05, sectorEfficiency: 1 },
    ...(dtype === 'bfloat16' ? { step: { work: ROWS / rows, least: (ROWS / rows) * least } } : {}),
    prepare(make) {
      const [x, weight] = [make.full([rows, 32]), make.full([V, 32])]
      const [dx, dweight] = [make.full([rows, 32]), make.full([V, 32], 'float32')]
      const [losses, targets] = [make.full([rows], 'float32'), make.integers([rows], V)]
      const { native } = make.device
      return () => native.linearCrossentropy(losses, dx, dweight, x, weight, targets, 0)
    },
  }
}

/** How many different tokens come. */
const DISTINCT = new Set(spread(ROWS, V)).size

const embeddings: CountedOp[] = [
  {
    name: 'embedding forward',
    dtype: 'bfloat16',
    shape: `8 x 1024 tokens of ${V}, ${C} wide`,
    // A row of each table is read, of positions once for all 8, and their sum is written.
    least: ROWS * (4 + 2 * 2 * C) + 1024 * 2 * C,
    target: { sectorEfficiency: 1 },
    step: { work: 1, least: ROWS * (4 + 2 * 2 * C) + 1024 * 2 * C },
    prepare(make) {
      const [tokens, out] = [make.integers([8, 1024], V), make.full([8, 1024, C])]
      const [wte, wpe] = [make.full([V, C]), make.full([1024, C])]
      return () => make.device.native.embeddingForward(out, tokens, null, wte, wpe, 0)
    },
  },
  {
    name: 'embedding backward',
    dtype: 'bfloat16',
    shape: `8 x 1024 tokens of ${V}, ${C} wide`,
    // Gradients are read for both tables; of the tokens' and positions' rows sums are read and written.
    least: ROWS * (4 + 2 * C) + 2 * 4 * C * (DISTINCT + 1024),
    target: { sectorEfficiency: 1 },
    step: { work: 1, least: ROWS * (4 + 2 * C) + 2 * 4 * C * (DISTINCT + 1024) },
    prepare(make) {
      const [tokens, dout] = [make.integers([8, 1024], V), make.full([8, 1024, C])]
      const [dwte, dwpe] = [make.full([V, C], 'float32'), make.full([1024, C], 'float32')]
      return () => make.device.native.embeddingBackward(dwte, dwpe, dout, tokens, null)
    },
  },
]

const biases: CountedOp = {
  name: 'bias backward',
  dtype: 'bfloat16',
  shape: `${ROWS} x ${4 * C}`,
  least: 2 * ROWS * 4 * C + 4 * 4 * C,
  target: { bytes: 1.05, sectorEfficiency: 1 },
  prepare(make) {
    const [dout, dbias] = [make.full([ROWS, 4 * C]), make.full([4 * C], 'float32')]
    return () => make.device.native.biasBackward(dbias, dout, false)
  },
}

export const ops: CountedOp[] = [
  ...products,
  ...attention('bfloat16'),
  ...attention('float32'),
  cached,
  ...layernorms('bfloat16'),
  ...layernorms('float32'),
  crossentropy('bfloat16'),
  crossentropy('float32'),
  adamw('bfloat16'),
  adamw('float32'),
  norm,
  ...elementwise,
  biases,
  ...embeddings,
]
