// Generation: token by token against memory that is read, a prompt against the FMA peak.
import { paces, time } from '../measure/clock.js'
import { generating } from '../measure/models.js'
import type { Weights } from '../measure/models.js'
import type { Cores } from './cores.js'
import { digits } from './row.js'
import type { Found, Row } from './row.js'

const least: Record<Weights, number> = { float32: 0.9, bfloat16: 0.9, int8: 0.75 }

export async function measureWriting(cores: Cores): Promise<Found> {
  const pace = cores.tiny ? paces.tiny : { samples: 7, sample: 0.3 }
  const device = cores.device()
  const model = (weights: Weights, reading: boolean) => ({
    ...generating(device, { name: '', dtype: 'float32', weights, reading, tiny: cores.tiny }),
    weights,
  })
  const kept = Object.keys(least) as Weights[]
  const cases = [...kept.map((weights) => model(weights, false)), model('float32', true)]
  const times = await time(device, cases, pace, () => cores.measure(['fma', 'read'], [cores.all]))
  const rows = cases.map(({ weights, tokens, bytes, flops }, i): Row => {
    const { seconds } = times[i]!
    const reading = i === kept.length
    return {
      name: reading ? 'a prompt of 512 tokens' : `token by token, weights as ${weights}`,
      target: reading
        ? { least: 0.8, unit: '%', of: 'FMA peak' }
        : { least: least[weights], unit: '%', of: 'memory read' },
      value: reading
        ? flops / seconds / cores.ceiling('fma')
        : bytes / seconds / cores.ceiling('read'),
      detail: `${digits(tokens / seconds)} tokens/s`,
    }
  })
  for (const each of cases) each.dispose()
  device.native.trim()
  return { ceilings: cores.ceilings(), rows }
}
