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

  /** Throws the failure of an earlier job. */
  check(): void {
    if (!this.#failure) return
    const { error } = this.#failure
    this.#failure = undefined
    throw error
  }

  /** Waits until nothing is being written. @throws what a job has thrown */
  async idle(): Promise<void> {
    await this.#running
    this.check()
  }

  /** The same for a run that has failed already. Never throws. */
  async settle(): Promise<void> {
    await this.#running
    this.#failure = undefined
  }

  /**
   * Starts a job on what `take` copies once the job before it is over: never more than one copy is
   * held.
   * @throws what the job before it has thrown
   */
  async start(take: () => Snapshot, job: (snapshot: Snapshot) => Promise<void>): Promise<void> {
    const asked = performance.now()
    await this.idle()
    const snapshot = take()
    this.stalled += (performance.now() - asked) / 1000
    const work = async () => {
      this.stalled += await snapshot.copied
      await job(snapshot)
    }
    this.#running = work().catch((error: unknown) => {
      this.#failure = { error }
    })
  }
}
