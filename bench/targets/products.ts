// Matrix products at GPT-2's shapes, packing included, as its layers ask for them: weights of a layer lie
// [K, N], those of the logits [N, K].
import { matmul, scope } from '../../lib/tensor/index.js'
import type { Device } from '../../lib/tensor/index.js'
import { paces, time } from '../measure/clock.js'
import type { Case } from '../measure/clock.js'
import type { Cores } from './cores.js'
import { percent } from './row.js'
import type { Found, Row } from './row.js'

export const forms = ['forward', 'dx', 'dweight'] as const
export type Form = (typeof forms)[number]

/** x[M, K] and a layer's weights, of K inputs and N outputs. */
export interface Product {
  M: number
  K: number
  N: number
  /** Weights lie [N, K]. */
  logits: boolean
}

export function products(tiny: boolean): Product[] {
  const C = tiny ? 16 : 768
  const V = tiny ? 65 : 50257
  const layers = [[C, 3 * C], [C, C], [C, 4 * C], [4 * C, C], [C, V]] as const // prettier-ignore
  return (tiny ? [8, 16] : [256, 512, 1024]).flatMap((M) =>
    layers.map(([K, N]) => ({ M, K, N, logits: N === V })),
  )
}

export const productName = ({ M, K, N }: Product) => `M ${M}, ${K} to ${N}`
export const productFlops = ({ M, K, N }: Product) => 2 * M * K * N

/** The shapes of a product's operands in a form, and how they are to be read. */
export function operandsOf({ M, K, N, logits }: Product, form: Form) {
  const weights = logits ? [N, K] : [K, N]
  return {
    forward: { left: [M, K], right: weights, options: { transposeB: logits } },
    dx: { left: [M, N], right: weights, options: { transposeB: !logits } },
    dweight: {
      left: logits ? [M, N] : [M, K],
      right: logits ? [M, K] : [M, N],
      options: { transposeA: true },
    },
  }[form]
}

function productCase(device: Device, product: Product, form: Form): Case {
  const { left, right, options } = operandsOf(product, form)
  const a = device.uniform(left, { low: -1, high: 1, seed: 1 })
  const b = device.uniform(right, { low: -1, high: 1, seed: 2 })
  return {
    name: `${form} ${productName(product)}`,
    device,
    run: () => void scope(() => void matmul(a, b, options)),
    dispose() {
      a.dispose()
      b.dispose()
    },
  }
}

interface Figure {
  product: Product
  form: Form
  threads: number
  /** Of the FMA peak. */
  fraction: number
}

export async function measureProducts(cores: Cores): Promise<Found> {
  const pace = cores.tiny ? paces.tiny : { samples: 5, sample: 0.05 }
  const figures: Figure[] = []
  for (const product of products(cores.tiny)) {
    const wanted = cores.threads.flatMap((threads) => forms.map((form) => ({ threads, form })))
    const cases = wanted.map(({ threads, form }) =>
      productCase(cores.device(threads), product, form),
    )
    const times = await time(cores.device(), cases, pace, () => cores.measure(['fma']))
    for (const each of cases) each.dispose()
    for (const threads of cores.threads) cores.device(threads).native.trim()
    wanted.forEach((each, i) => {
      const peak = cores.ceiling('fma', each.threads, pace.samples)
      const rate = productFlops(product) / times[i]!.seconds
      figures.push({ product, ...each, fraction: rate / peak })
    })
  }
  const rows = forms.flatMap((form) =>
    cores.threads.map((threads): Row => {
      const those = figures.filter((each) => each.form === form && each.threads === threads)
      const sorted = those.sort((a, b) => a.fraction - b.fraction)
      const [least, median] = [sorted[0]!, sorted[sorted.length >> 1]!]
      return {
        name: `matrix products, ${form}, ${threads} thread${threads > 1 ? 's' : ''}`,
        target: { least: 0.92, unit: '%', of: 'FMA peak' },
        value: least.fraction,
        detail: `least, at ${productName(least.product)}; median ${percent(median.fraction)}`,
      }
    }),
  )
  const columns = forms.flatMap((form) => cores.threads.map((threads) => ({ form, threads })))
  const table = {
    head: ['of FMA peak', ...columns.map(({ form, threads }) => `${form}, ${threads}`)],
    rows: products(cores.tiny).map((product) => [
      productName(product),
      ...columns.map(({ form, threads }) => {
        const same = (each: Figure) => productName(each.product) === productName(product)
        const of = figures.find((f) => same(f) && f.form === form && f.threads === threads)!
        return percent(of.fraction)
      }),
    ]),
  }
  return { ceilings: cores.ceilings(), rows, tables: [table] }
}
