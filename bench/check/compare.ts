// Whether a GPU learns what the CPU learns: the same small GPT from the same weights on the same data.
import { Reader } from '../../lib/generate/reader.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { AdamW } from '../../lib/optim/index.js'
import { Tape, cpu } from '../../lib/tensor/index.js'
import type { Device, Dtype } from '../../lib/tensor/index.js'
import { Random } from '../../lib/testing/index.js'

export interface Comparison {
  what: string
  /** The largest difference, over the size of what is compared; null when it is no number. */
  worst: number | null
  limit: number
  passed: boolean
}

interface Run {
  losses: number[]
  /** Logits behind a text, by the trained model. */
  logits: Float32Array
}

/** Losses stay this close to the CPU's, and so do logits of the trained model. */
const limits = { float32: 1e-4, bfloat16: 0.02 } as const

export async function compareWithCpu(device: Device, tiny: boolean): Promise<Comparison[]> {
  const setting = tiny
    ? { layers: 1, width: 16, context: 16, steps: 4 }
    : { layers: 2, width: 64, context: 64, steps: 50 }
  const start = initial(setting)
  const reference = await train(cpu(), 'float32', setting, await start)
  const found: Comparison[] = []
  const compare = (what: string, worst: number, limit: number) =>
    void found.push({
      what,
      worst: Number.isFinite(worst) ? worst : null,
      limit,
      passed: worst <= limit,
    })
  for (const dtype of device.dtypes as (keyof typeof limits)[]) {
    const run = await train(device, dtype, setting, await start)
    const again = await train(device, dtype, setting, await start)
    const title = `${dtype}, ${setting.steps} steps`
    compare(`${title}: losses and the CPU's`, distance(run.losses, reference.losses), limits[dtype])
    // Steps magnify differences of weights: logits are further apart than losses.
    compare(
      `${title}: logits and the CPU's`,
      distance(run.logits, reference.logits),
      10 * limits[dtype],
    )
    const bits = distance(run.losses, again.losses) + distance([...run.logits], [...again.logits])
    compare(`${title}: two runs`, bits, 0)
    const learned = run.losses.at(-1)! / run.losses[0]!
    compare(`${title}: the loss at the end, of that at the beginning`, learned, tiny ? 1.1 : 0.9)
  }
  return found
}

interface Setting {
  layers: number
  width: number
  context: number
  steps: number
}

const VOCABULARY = 33

function configOf({ layers, width, context }: Setting) {
  return resolveModel({ layers, heads: 2, width, context }, VOCABULARY)
}

async function initial(setting: Setting): Promise<Map<string, Float32Array>> {
  using model = new GPT2(configOf(setting), cpu(), 7)
  return model.state()
}

async function train(
  device: Device,
  dtype: Dtype,
  setting: Setting,
  weights: Map<string, Float32Array>,
): Promise<Run> {
  const { context, steps } = setting
  const model = new GPT2(configOf(setting), device, 7, dtype)
  model.loadState(weights)
  const optimizer = new AdamW(model.namedParameters(), { learningRate: 3e-3 })
  const random = new Random('gpu-check')
  const losses: number[] = []
  for (let step = 0; step < steps; step++) {
    const tokens = walk(random, 2 * context)
    using input = device.tensor(tokens.slice(0, -1), [2, context])
    using targets = device.tensor(tokens.slice(1), [2, context])
    using tape = new Tape()
    const loss = tape.run(() => model.loss(input, targets))
    tape.backward(loss)
    optimizer.step({ gradientScale: 1 / (2 * context), maxNorm: 1 }).dispose()
    model.zeroGrad()
    losses.push((await loss.item()) / (2 * context))
  }
  const reader = new Reader(model, VOCABULARY)
  await reader.read([[...walk(random, context / 2)]])
  const [logits] = await reader.read([[...walk(new Random(0), context / 2 + 1)]])
  for (const each of [reader, optimizer, model]) each.dispose()
  return { losses, logits: logits! }
}

/** n + 1 tokens that can be learned: each is the one before and 0, 1 or 2 more. */
function walk(random: Random, n: number): Int32Array {
  let token = random.below(VOCABULARY)
  return Int32Array.from({ length: n + 1 }, () => (token = (token + random.below(3)) % VOCABULARY))
}

/** The largest difference over the largest value. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [worst, size] = [0, 0]
  for (let i = 0; i < a.length; i++) {
    worst = Math.max(worst, Math.abs(a[i]! - b[i]!))
    size = Math.max(size, Math.abs(b[i]!))
  }
  return worst / size
}
