// Ops that only pass over memory, at sizes that no cache holds, against a copy. In a training step GELU and
// the residual are parts of products, and have no pass at all.
import { paces, time } from '../measure/clock.js'
import { openOp } from '../measure/kernels.js'
import type { Listed } from '../measure/kernels.js'
import type { Cores } from './cores.js'
import { giga } from './row.js'
import type { Found, Row } from './row.js'

interface Pass extends Listed {
  /** What it is held against: a copy, or one past the caches where what is written has been read. */
  against: 'copy' | 'stream'
}

function passes(tiny: boolean): Pass[] {
  const [n, C, V] = tiny ? [16, 16, 65] : [16384, 768, 50257]
  const wide = { shape: [n / 4, 4 * C] }
  const rows = [n]
  const backward = (bytes: number) => ({ flops: 1, bytes })
  return [
    { name: 'layernorm', op: 'layerNorm', instance: { rows, C, bias: true }, against: 'copy' },
    {
      // The forward's 8 bytes an element, the backward's 12 (dout and x read, dx written), and 8 of the
      // tape's copy of a gradient that it is given.
      name: 'layernorm, with backward',
      op: 'layerNorm',
      instance: { rows, C, bias: true },
      backward: backward(3.5),
      against: 'copy',
    },
    { name: 'GELU', op: 'gelu', instance: wide, against: 'copy' },
    {
      name: 'GELU, with backward',
      op: 'gelu',
      instance: wide,
      backward: backward(3.5),
      against: 'copy',
    },
    { name: 'residual', op: 'add', instance: wide, against: 'copy' },
    {
      name: 'softmax and cross-entropy, with backward',
      op: 'crossEntropy',
      instance: { rows: [n / 16], V },
      backward: backward(2),
      against: 'copy',
    },
    {
      name: 'AdamW',
      op: 'adamw',
      instance: { sizes: [n * C], step: 9, weightDecay: 0.1 },
      against: 'stream',
    },
  ]
}

export async function measurePasses(cores: Cores): Promise<Found> {
  const pace = cores.tiny ? paces.tiny : { samples: 7, sample: 0.05 }
  const rows: Row[] = []
  for (const pass of passes(cores.tiny)) {
    const op = openOp(cores.device(), 'float32', pass.name, pass)
    const between = () => cores.measure(['copy', 'stream'], [cores.all])
    const [found] = await time(cores.device(), [op], pace, between)
    op.dispose()
    cores.device().native.trim()
    const rate = op.bytes / found!.seconds
    rows.push({
      name: pass.name,
      target: {
        least: 0.85,
        unit: '%',
        of: pass.against === 'copy' ? 'a copy' : 'a copy past the caches',
      },
      value: rate / cores.ceiling(pass.against, cores.all, pace.samples),
      detail: giga(rate, 'GB/s'),
    })
  }
  return { ceilings: cores.ceilings(), rows }
}
