// Work on batches of rows, by the calling thread and by others beside it.
import { parentPort } from 'node:worker_threads'
import type { Worker } from 'node:worker_threads'
import { GptloomError } from '../errors.js'
import type { ErrorCode } from '../errors.js'
import { startThread } from '../thread.js'

/** More than these have to wait for the calling thread, which reads and puts results in order. */
const MOST = 3
/** Bytes of text that are done before a thread has started and is warm. */
const LITTLE = 32e6
/** Batches that each thread has before it: the next one is there when it has done one. */
const AHEAD = 2
/** Rows die young: more room for them makes no helper faster. */
const LIMITS = { maxYoungGenerationSizeMb: 12 }
/** Results, for each thread, that may wait for an earlier one: the calling thread works on meanwhile. */
const WAITING = 2 * AHEAD

type Work<Batch, Result> = (batch: Batch) => Result | Promise<Result>
type Answer<Result> = { result: Result } | { failure: Failure }
type Failure = { code: ErrorCode; message: string } | { error: unknown }

/** How many threads to start beside the calling one for so many bytes, where `threads` may run. */
export function helpersFor(bytes: number, threads: number): number {
  return bytes < LITTLE ? 0 : Math.min(MOST, threads - 1)
}

/** Where the work of a crew's other threads is. */
export interface Task {
  /** The module whose `serve(setup)` calls answer(), as startThread() takes it. */
  module: string
  setup: unknown
}

/** The calling thread and its helpers: all do the same, and what comes of it is the same. */
export class Crew<Batch extends object, Result extends object> {
  readonly #helpers: Helper<Result>[]

  /** @param work the task, for the calling thread: it does what finds all helpers busy */
  constructor(
    private readonly work: Work<Batch, Result>,
    { module, setup }: Task,
    helpers: number,
  ) {
    const start = () => new Helper<Result>(startThread(module, setup, LIMITS))
    this.#helpers = Array.from({ length: helpers }, start)
  }

  /**
   * The results in the order of the batches. The first failure, in that order, is thrown; then, and
   * when nobody wants more, the helpers are ended.
   */
  async *map(batches: AsyncIterable<Batch>): AsyncGenerator<Result, void, void> {
    const pending: Promise<Result>[] = []
    try {
      for await (const batch of batches) {
        const result = this.#give(batch)
        result.catch(() => {}) // it is thrown when its turn comes
        pending.push(result)
        if (pending.length > WAITING * this.#helpers.length) yield await pending.shift()!
      }
      for (const result of pending) yield await result
    } finally {
      await Promise.all(this.#helpers.map((helper) => helper.end()))
    }
  }

  async #give(batch: Batch): Promise<Result> {
    const [idlest] = this.#helpers.toSorted((a, b) => a.busy - b.busy)
    return idlest && idlest.busy < AHEAD ? idlest.give(batch) : this.work(batch)
  }
}

interface Waiting<Result> {
  resolve(result: Result): void
  reject(error: unknown): void
}

class Helper<Result> {
  /** Those who wait for an answer, in the order in which they asked. */
  readonly #waiting: Waiting<Result>[] = []
  #ended: Error | undefined

  constructor(private readonly worker: Worker) {
    worker.on('message', (answer: Answer<Result>) => {
      const { resolve, reject } = this.#waiting.shift()!
      if ('result' in answer) resolve(answer.result)
      else reject(toError(answer.failure))
    })
    worker.on('error', (error) => this.#fail(error))
    worker.on('exit', () => this.#fail(new Error('A thread that prepares data has ended')))
  }

  get busy(): number {
    return this.#waiting.length
  }

  give(batch: object): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended)
      this.#waiting.push({ resolve, reject })
      this.worker.postMessage(batch, buffersOf(batch))
    })
  }

  async end(): Promise<void> {
    await this.worker.terminate()
  }

  #fail(error: Error): void {
    this.#ended ??= error
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended)
  }
}

/** A helper's side: answers every batch with what `work` makes of it, or throws. */
export function answer<Batch, Result extends object>(work: Work<Batch, Result>): void {
  const port = parentPort!
  let last = Promise.resolve()
  port.on('message', (batch: Batch) => {
    last = last
      .then(() => work(batch))
      .then(
        (result) => port.postMessage({ result }, buffersOf(result)),
        (error: unknown) => port.postMessage({ failure: toFailure(error) }),
      )
  })
}

/** The memory of typed arrays, which is handed over and not copied: nobody may share it. */
function buffersOf(value: object): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) return [value.buffer as ArrayBuffer]
  return Object.values(value)
    .filter(ArrayBuffer.isView)
    .map(({ buffer }) => buffer as ArrayBuffer)
}

function toFailure(error: unknown): Failure {
  if (!(error instanceof GptloomError)) return { error }
  const { code, message } = error
  return { code, message }
}

function toError(failure: Failure): unknown {
  return 'code' in failure ? new GptloomError(failure.code, failure.message) : failure.error
}
