import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileProblem } from '../files.js'

let counter = 0
const forgotten = new FinalizationRegistry<number>(closeSync)

/**
 * A file without a name, for what does not fit into memory: it goes when it is closed, and with the
 * process. Made at the first write. Calls are synchronous, since what was written lately is still in
 * the system's memory, and reading a few bytes there takes less time than a promise.
 *
 * @throws GptloomError ERR_FILE when the file system refuses
 */
export class Scratch {
  /** Bytes written so far. */
  size = 0
  #file: number | undefined
  #path = tmpdir()

  append(bytes: Uint8Array): void {
    this.#guarded('write', () => {
      this.#file ??= this.#open()
      for (let done = 0; done < bytes.length;)
        done += writeSync(this.#file, bytes, done, bytes.length - done, this.size + done)
    })
    this.size += bytes.length
  }

  /** Fills `into` with what was written at a position. */
  read(into: Uint8Array, position: number): void {
    this.#guarded('read', () => {
      for (let done = 0; done < into.length;) {
        const count = readSync(this.#file!, into, done, into.length - done, position + done)
        if (count === 0) throw new RangeError(`Expected ${into.length} bytes at ${position}`)
        done += count
      }
    })
  }

  close(): void {
    if (this.#file === undefined) return
    forgotten.unregister(this)
    closeSync(this.#file)
    this.#file = undefined
    this.size = 0
  }

  #open(): number {
    this.#path = join(tmpdir(), `gptloom-${process.pid}-${counter++}.tmp`)
    const file = openSync(this.#path, 'wx+', 0o600)
    forgotten.register(this, file, this)
    unlinkSync(this.#path)
    return file
  }

  #guarded(verb: string, call: () => void): void {
    try {
      call()
    } catch (error) {
      throw fileProblem(error, this.#path, verb)
    }
  }
}
