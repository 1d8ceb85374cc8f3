// Jobs for processes of their own: node --import tsx child.ts <job> <JSON>.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { workerData } from 'node:worker_threads'
import { train } from '../../lib/index.js'
import type { TrainOptions } from '../../lib/index.js'
import { cpu } from '../../lib/tensor/index.js'

const print = (value: unknown) => process.stdout.write(JSON.stringify(value) + '\n')

const jobs: Record<string, (options: TrainOptions) => unknown> = {
  // A line for each event, to be killed at one of them.
  async train(options) {
    for await (const { type } of train(options)) process.stdout.write(type + '\n')
  },

  // Ends in the middle of a run.
  async exit(options) {
    for await (const event of train(options)) {
      if (event.type === 'step' && event.step === 3) process.exit(5)
    }
  },
  async throw(options) {
    for await (const event of train(options)) {
      if (event.type !== 'step' || event.step !== 3) continue
      setImmediate(() => {
        throw new Error('thrown on purpose')
      })
    }
  },
  async reject(options) {
    for await (const event of train(options)) {
      if (event.type === 'step' && event.step === 3) void Promise.reject(new Error('on purpose'))
    }
  },

  // A run whose garbage is collected at every turn of the event loop.
  async collect(options) {
    const timer = setInterval((globalThis as unknown as { gc: () => void }).gc, 0)
    await train(options)
    clearInterval(timer)
  },

  // A failing run that nobody listens to.
  ignored: (options) => void train(options),

  // The same, heard by the promise alone or by the events alone.
  caught: (options) => void train(options).catch(() => {}),
  async iterated(options) {
    try {
      for await (const event of train(options)) void event
    } catch {
      print('heard')
    }
  },

  // A server that answers while a model is trained; ends when it is asked for /end.
  async serve(options) {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    const controller = new AbortController()
    const steps: number[] = []
    let answered = 0
    const server = createServer((request, response) => {
      answered++
      response.end(`step ${steps.length}`)
      if (request.url === '/end') controller.abort()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const run = train({ ...options, signal: controller.signal })
    run.catch(() => {})
    try {
      for await (const event of run) {
        if (event.type !== 'step') continue
        if (event.step === 1) {
          // From here on: what comes before is preparation.
          delay.enable()
          print((server.address() as AddressInfo).port)
        }
        steps.push(performance.now())
      }
    } catch {
      // the abort
    }
    delay.disable()
    server.close()
    const milliseconds = (n: number) => Number((n / 1e6).toFixed(2))
    const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map(
      milliseconds,
    )
    print({
      p50,
      p99,
      max,
      answered,
      steps: steps.length,
      seconds: (steps.at(-1)! - steps[0]!) / 1000,
    })
  },

  // Resident memory early and 200 steps later.
  async memory(options) {
    const { threads: _, ...shared } = options // so that cpu() is the run's device
    const gc = (globalThis as unknown as { gc: () => void }).gc
    const samples: { step: number; rss: number; external: number; reserved: number }[] = []
    for await (const event of train(shared)) {
      if (event.type !== 'step' || event.step % 5 !== 0) continue
      gc()
      const { rss, external } = process.memoryUsage()
      samples.push({
        step: event.step,
        rss,
        external,
        reserved: cpu().memory().reserved,
      })
    }
    print(samples)
  },
}

// In a thread, as in endings.test.ts, the same two come as its data.
const [job, options] = (workerData as [string, string] | null) ?? process.argv.slice(2)
await jobs[job!]!(JSON.parse(options!) as TrainOptions)
