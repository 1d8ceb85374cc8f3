// One thread, and as many as the process may use: devices of their own, and their ceilings, which are
// measured between the turns of what is held against them.
import { addon } from '../../lib/tensor/binding.js'
import { cpu } from '../../lib/tensor/index.js'
import type { Device } from '../../lib/tensor/index.js'
import { probe } from '../measure/ceilings.js'
import { middle } from '../measure/clock.js'
import type { Found } from './row.js'

type Kind = Parameters<typeof probe>[0]
const names = { fma: 'fma', read: 'read', copy: 'bandwidth', stream: 'stream' } as const

export class Cores {
  readonly all = addon().cpu().threads
  /** 1, and all. */
  readonly threads = this.all === 1 ? [1] : [1, this.all]
  readonly #devices = new Map(this.threads.map((threads) => [threads, cpu({ threads })]))
  readonly #probes = new Map<string, number[]>()

  constructor(readonly tiny: boolean) {}

  device(threads = this.all): Device {
    return this.#devices.get(threads)!
  }

  get name(): string {
    return this.device().name
  }

  /** Measures ceilings once more. */
  measure(kinds: readonly Kind[], threads: readonly number[] = this.threads): void {
    for (const kind of kinds) {
      for (const each of threads) {
        const key = `${kind} ${each}`
        const rates = this.#probes.get(key) ?? []
        this.#probes.set(key, [...rates, probe(kind, each, this.tiny)])
      }
    }
  }

  /**
   * The median of what measure() has found, of the last so many times: those of a case's own turns, for
   * the machine may be another one minutes later. Default: of all.
   */
  ceiling(kind: Kind, threads = this.all, last = Infinity): number {
    return middle(this.#probes.get(`${kind} ${threads}`)!.slice(-last)).seconds
  }

  /** All of them, for the record. */
  ceilings(): Found['ceilings'] {
    const found: Found['ceilings'] = {}
    for (const [key, rates] of this.#probes) {
      const [kind, threads] = key.split(' ') as [Kind, string]
      const rate = Number(middle(rates).seconds.toPrecision(4))
      const of = (found[Number(threads)] ??= {})
      const name = names[kind]
      if (name === 'fma') of.flops = { float32: rate }
      else of[name] = rate
    }
    return found
  }

  close(): void {
    for (const device of this.#devices.values()) device.close()
  }
}
