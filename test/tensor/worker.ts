// A thread of lifetime.test.ts with a device of its own.
import { parentPort, workerData } from 'node:worker_threads'
import { Tape, cpu, crossEntropy, embedding, matmul } from '../../lib/tensor/index.js'

const { job, seed } = workerData as { job: string; seed: number }
const device = cpu()
const x = device.normal([150, 150], { seed })

if (job === 'train') {
  let out = 0
  for (let step = 0; step < 20; step++) {
    x.requiresGrad = true
    using tape = new Tape()
    const targets = device.tensor(new Int32Array(150))
    const loss = tape.run(() => crossEntropy(matmul(x, x, { gelu: true }), targets))
    tape.backward(loss)
    out += (await loss.item()) + (await x.grad!.rows(0, 1).data())[0]!
    x.grad!.dispose()
    x.grad = null
  }
  parentPort!.postMessage(out)
} else {
  // Ends with work in the queue, reads pending and a failure to tell.
  const large = device.normal([1000, 1000], { seed })
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
