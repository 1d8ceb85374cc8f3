// Enough for whoever starts reading late; a reader that falls behind keeps what it has not seen.
const KEPT = 4096

/** Events for any number of readers. Each sees all of them, or the last few thousand when it starts late. */
export class EventLog<E> {
  readonly #readers = new Set<{ at: number }>()
  #events: E[] = []
  #first = 0 // the index of #events[0] among all events
  #ended = false
  #failure: unknown
  #wake: (() => void)[] = []

  push(event: E): void {
    this.#events.push(event)
    if (this.#events.length >= 2 * KEPT) this.#trim()
    this.#call()
  }

  /** No more events come. Readers end too, or throw the failure if there is one. */
  end(failure?: unknown): void {
    this.#ended = true
    this.#failure = failure
    this.#call()
  }

  async *read(): AsyncGenerator<E, undefined, void> {
    const reader = { at: this.#first }
    this.#readers.add(reader)
    try {
      for (; ; reader.at++) {
        while (reader.at >= this.#first + this.#events.length) {
          if (this.#failure !== undefined) throw this.#failure
          if (this.#ended) return undefined
          await new Promise<void>((resolve) => this.#wake.push(resolve))
        }
        yield this.#events[reader.at - this.#first]!
      }
    } finally {
      this.#readers.delete(reader)
    }
  }

  #trim(): void {
    let keepFrom = this.#first + this.#events.length - KEPT
    for (const { at } of this.#readers) keepFrom = Math.min(keepFrom, at)
    this.#events = this.#events.slice(keepFrom - this.#first)
    this.#first = keepFrom
  }

  #call(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
