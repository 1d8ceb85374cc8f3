// A program of another library that runs what it is asked to, line by line.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** What is compared with is not here: the message says how to get it. */
export class PeerMissing extends Error {}

export class Peer {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  #errors = ''
  /** Its first line: what it is. */
  version = ''

  private constructor(command: string, args: string[], env: NodeJS.ProcessEnv) {
    // Threads that wait by spinning would take the time of whoever's turn it is, their own included:
    // PyTorch's steps take twice as long with them.
    const quiet = { OMP_WAIT_POLICY: 'passive' }
    this.#child = spawn(command, args, { env: { ...process.env, ...quiet, ...env }, stdio: 'pipe' })
    this.#child.on('error', (error) => (this.#errors += error.message))
    this.#child.stdin!.on('error', () => {}) // its end is seen where an answer is awaited
    this.#child.stderr!.on('data', (text: Buffer) => (this.#errors += text.toString()))
    const lines = createInterface({ input: this.#child.stdout! })
    this.#lines = lines[Symbol.asyncIterator]()
  }

  /** Starts it and waits for its first line. */
  static async start(command: string, args: string[], env: NodeJS.ProcessEnv): Promise<Peer> {
    const peer = new Peer(command, args, env)
    peer.version = await peer.#answer()
    return peer
  }

  async ask(line: string): Promise<string> {
    this.#child.stdin!.write(`${line}\n`)
    return this.#answer()
  }

  async #answer(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (!done) return value
    throw new Error(`The peer ended:\n${this.#errors.trim().slice(-2000)}`)
  }

  /** Ends it, and gives its memory back. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.stdin!.end()
    await ended
  }
}
