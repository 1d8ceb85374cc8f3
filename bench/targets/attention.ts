// Attention of one sequence of GPT-2's twelve heads: FLOPs of the causal half, the backward's with the
// scores that it computes again, and how time and memory grow with the sequence.
import type { Device } from '../../lib/tensor/index.js'
import { paces, time } from '../measure/clock.js'
import type { Case } from '../measure/clock.js'
import type { Cores } from './cores.js'
import { amount, giga } from './row.js'
import type { Found, Row } from './row.js'

interface Sizes {
  T: number
  H: number
  D: number
}

/** Both passes, each on its own. They hold what a training step keeps of them. */
function passes(device: Device, { T, H, D }: Sizes) {
  const C = H * D
  const qkv = device.normal([1, T, 3 * C], { seed: 1 })
  const dout = device.normal([1, T, C], { seed: 2 })
  const [out, dqkv, lse] = [
    device.empty([1, T, C]),
    device.empty([1, T, 3 * C]),
    device.empty([1, H, T]),
  ]
  const whole = [null, H, T, 0, 0, 0] as const // no documents, no window, no dropout
  const of = (name: string, run: () => void): Case => ({ name, run, device, dispose() {} })
  return {
    forward: of('forward', () =>
      device.native.attentionForward(out.native, lse.native, qkv.native, ...whole),
    ),
    backward: of('backward', () =>
      device.native.attentionBackward(
        ...([
          dqkv.native,
          dout.native,
          qkv.native,
          out.native,
          lse.native,
          ...whole,
          false,
        ] as const),
      ),
    ),
    dispose: () => [qkv, dout, out, dqkv, lse].forEach((tensor) => tensor.dispose()),
  }
}

export async function measureAttention(cores: Cores): Promise<Found> {
  const pace = cores.tiny ? paces.tiny : { samples: 7, sample: 0.1 }
  const sizes = cores.tiny ? { T: 16, H: 2, D: 8 } : { T: 1024, H: 12, D: 64 }
  const { T, H, D } = sizes
  const twice = { ...sizes, T: 2 * T }
  // Of a half with its diagonal: two products forward, five backward.
  const flops = { forward: 2 * H * D * T * (T + 1), backward: 5 * H * D * T * (T + 1) }
  const opened = [
    ...cores.threads.map((threads) => passes(cores.device(threads), sizes)),
    passes(cores.device(), twice),
  ]
  const cases = opened.flatMap(({ forward, backward }) => [forward, backward])
  const times = await time(cores.device(), cases, pace, () => cores.measure(['fma']))
  for (const each of opened) each.dispose()
  const rows = cores.threads.flatMap((threads, i) =>
    (['forward', 'backward'] as const).map((pass, k): Row => {
      const rate = flops[pass] / times[2 * i + k]!.seconds
      return {
        name: `attention ${pass}, T ${T}, ${threads} thread${threads > 1 ? 's' : ''}`,
        target: { least: 0.7, unit: '%', of: 'FMA peak' },
        value: rate / cores.ceiling('fma', threads),
        detail: giga(rate, 'GFLOP/s'),
      }
    }),
  )
  const [f1, b1, f2, b2] = times.slice(-4).map(({ seconds }) => seconds) as [
    number,
    number,
    number,
    number,
  ]
  const [once, more] = [f1 + b1, f2 + b2]
  // From here on the backward's partial sums are as many as they get: see native/cpu/attention.cc.
  const little = await held(cores.device(), twice)
  const much = await held(cores.device(), { ...sizes, T: 4 * T })
  rows.push(
    {
      name: `attention, time of T ${2 * T} over T ${T}`,
      target: { most: 4.2, unit: 'times' },
      value: more / once,
      detail: `${amount(1e3 * once, 'ms')}, ${amount(1e3 * more, 'ms')}`,
    },
    {
      name: `attention, memory of T ${4 * T} over T ${2 * T}`,
      target: { most: 2.2, unit: 'times' },
      value: much / little,
      detail: `${(little / 2 ** 20).toFixed(1)} MiB, ${(much / 2 ** 20).toFixed(1)} MiB`,
    },
  )
  return { ceilings: cores.ceilings(), rows }
}

/** Bytes taken from the system by both passes, scratch included. */
async function held(device: Device, sizes: Sizes): Promise<number> {
  device.native.trim()
  const before = device.memory().reserved
  const opened = passes(device, sizes)
  for (const each of [opened.forward, opened.backward]) await each.run()
  await device.idle()
  const bytes = device.memory().reserved - before
  opened.dispose()
  return bytes
}
