// Writing behind the run's back: what is to be kept is copied between two steps, and goes to the disk
// while the next ones run.
import type { Tensor, Values } from '../tensor/index.js'

/**
 * Tensors as they are now, in the memory of the process. The copies are enqueued at once, so that
 * whatever the run does next comes after them.
 */
export class Snapshot {
  readonly #values = new Map<Tensor, Promise<Values>>()
  /** Resolves when everything is copied, to the seconds that it took: the run's device did nothing else. */
  readonly copied: Promise<number>

  /** @param tensors what is asked for, and the tensor that has its exact values */
  constructor(tensors: Iterable<readonly [Tensor, Tensor]>) {
    const started = performance.now()
    for (const [tensor, exact] of tensors) this.#values.set(tensor, exact.data())
    this.copied = Promise.all(this.#values.values()).then(
      () => (performance.now() - started) / 1000,
    )
    this.copied.catch(() => {}) // whoever reads the values is told
  }

  /** The values of a tensor; what was not copied is read as it is by then. */
  readonly read = (tensor: Tensor): Promise<Values> => this.#values.get(tensor) ?? tensor.data()
}

/** Runs one job at a time. A failure waits for whoever asks next. */
export class Saver {
  /** Seconds for which the run stood still because of what is saved. */
  stalled = 0
  #running = Promise.resolve()
  #failure: { error: unknown } | undefined

  /** What an earlier job has thrown; told once. */
  failure(): { error: unknown } | undefined {
    const failure = this.#failure
    this.#failure = undefined
    return failure
  }

  /** Waits until nothing is being written: never more than one copy is held. Never throws. */
  async ready(): Promise<void> {
    const asked = performance.now()
    await this.#running
    this.stalled += (performance.now() - asked) / 1000
  }

  /** Waits until nothing is being written. @throws what a job has thrown */
  async idle(): Promise<void> {
    await this.#running
    const failure = this.failure()
    if (failure) throw failure.error
  }

  /** Starts a job on a copy once everything is copied; whoever calls has waited until it is ready. */
  start(snapshot: Snapshot, job: (snapshot: Snapshot) => Promise<void>): void {
    const work = async () => {
      this.stalled += await snapshot.copied
      await job(snapshot)
    }
    this.#running = work().catch((error: unknown) => {
      this.#failure = { error }
    })
  }
}
