// A thread of lifetime.test.ts with a device of its own.
import { parentPort, workerData } from 'node:worker_threads'
import { Tape, crossEntropy, embedding, matmul, openDevice } from '../../lib/tensor/index.js'

interface Work {
  job: string
  seed: number
  device?: string
  size?: number
}

const { job, seed, device: name = 'cpu', size = 150 } = workerData as Work
const device = openDevice(name)
const x = device.normal([size, size], { seed })

if (job === 'train') {
  let out = 0
  for (let step = 0; step < 20; step++) {
    x.requiresGrad = true
    using tape = new Tape()
    const targets = device.tensor(new Int32Array(size))
    const loss = tape.run(() => crossEntropy(matmul(x, x, { gelu: true }), targets))
    tape.backward(loss)
    out += (await loss.item()) + (await x.grad!.rows(0, 1).data())[0]!
    x.grad!.dispose()
    x.grad = null
  }
  parentPort!.postMessage(out)
} else if (job === 'fail') {
  // Ends, at any moment, while one failure after the other is told.
  const bad = device.tensor(new Int32Array([5]), [1, 1])
  const table = device.zeros([2, 2])
  const failForever = async () => {
    for (;;) {
      embedding(bad, table).dispose()
      await device.idle().catch(() => {})
    }
  }
  for (let i = 0; i < 20; i++) void failForever()
  parentPort!.postMessage('fails')
} else {
  // Ends with work in the queue, reads pending and a failure to tell.
  const large = device.normal([6 * size, 6 * size], { seed })
  for (let i = 0; i < 50; i++)
    void matmul(large, large)
      .data()
      .catch(() => {})
  embedding(device.tensor(new Int32Array([5]), [1, 1]), device.zeros([2, 2]))
  void device.idle().catch(() => {})
  if (job === 'exit') process.exit(0)
  if (job === 'throw') throw new Error('thrown on purpose')
  parentPort!.postMessage('busy')
}
