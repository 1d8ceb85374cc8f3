// A program of another library that runs what it is asked to, line by line. Nobody's turn is disturbed by
// its threads, which may wait by spinning: it is stopped but while it is asked, where the system can.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** What is compared with is not here: the message says how to get it. */
export class PeerMissing extends Error {}

const stops = process.platform !== 'win32'
const endings = ['SIGINT', 'SIGTERM'] as const

export class Peer {
  readonly #child: ChildProcess
  // What is stopped does not see that we have ended.
  readonly #kill = () => void this.#child.kill('SIGKILL')
  readonly #end = () => process.exit(130)
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
    process.once('exit', this.#kill)
    for (const signal of endings) process.once(signal, this.#end)
    const lines = createInterface({ input: this.#child.stdout! })
    this.#lines = lines[Symbol.asyncIterator]()
  }

  /** Starts it and waits for its first line. */
  static async start(command: string, args: string[], env: NodeJS.ProcessEnv): Promise<Peer> {
    const peer = new Peer(command, args, env)
    peer.version = await peer.#answer()
    peer.#stop()
    return peer
  }

  async ask(line: string): Promise<string> {
    if (stops) this.#child.kill('SIGCONT')
    this.#child.stdin!.write(`${line}\n`)
    const answer = await this.#answer()
    this.#stop()
    return answer
  }

  #stop(): void {
    if (stops) this.#child.kill('SIGSTOP')
  }

  async #answer(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (!done) return value
    throw new Error(`The peer ended:\n${this.#errors.trim().slice(-2000)}`)
  }

  /** Ends it, and gives its memory back. */
  async close(): Promise<void> {
    process.off('exit', this.#kill)
    for (const signal of endings) process.off(signal, this.#end)
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    if (stops) this.#child.kill('SIGCONT')
    this.#child.stdin!.end()
    await ended
  }
}
