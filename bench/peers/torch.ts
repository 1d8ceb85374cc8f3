// Whole training steps beside PyTorch's.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { resolveModel } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { training } from '../measure/models.js'
import type { Shape } from '../measure/models.js'
import { trainingCases } from '../targets/steps.js'
import { alternate } from './alternate.js'
import type { Comparison, Settings } from './alternate.js'
import { Peer, PeerMissing } from './peer.js'

const script = fileURLToPath(new URL('torch_gpt.py', import.meta.url))

/** A Python that has PyTorch: the one on the PATH, or the system's. */
function python(): string {
  const tried = ['python3', '/usr/bin/python3', 'python']
  const found = tried.find((name) => spawnSync(name, ['-c', 'import torch']).status === 0)
  if (found) return found
  throw new PeerMissing(
    `Expected a Python with PyTorch for --peer torch, tried ${tried.join(', ')}: ` +
      'apt-get install python3-torch on Debian and Ubuntu, pip install torch elsewhere',
  )
}

// glibc gives large blocks back and takes them again, page by page: this keeps them.
const tuned = {
  MALLOC_MMAP_MAX_: '0',
  MALLOC_TRIM_THRESHOLD_: String(2 ** 40),
  MALLOC_TOP_PAD_: String(2 ** 28),
}

export async function compareTorch(settings: Settings): Promise<Comparison> {
  const command = python()
  const cases = trainingCases(settings.tiny).map(([shape]) => shape)
  const rows: Comparison['rows'] = []
  let version = ''
  for (const shape of cases.filter(({ name }) => settings.only.test(name))) {
    settings.progress(shape.name)
    const steps = shape.batch * shape.context > 1000 ? 1 : shape.context > 64 ? 2 : 20
    const device = cpu({ threads: settings.threads })
    const model = training(device, 'float32', shape.name, shape)
    const peers = [
      await start(command, shape, settings, {}),
      await start(command, shape, settings, tuned),
    ]
    version = `PyTorch ${peers[0]!.version}`
    const times = await alternate(settings.rounds, [
      async () => {
        const begin = performance.now()
        for (let i = 0; i < steps; i++) await model.run()
        await device.idle()
        return (performance.now() - begin) / 1000 / steps
      },
      ...peers.map((peer) => async () => Number((await peer.ask(String(steps))).split(' ')[0])),
    ])
    for (const peer of peers) await peer.close()
    model.dispose()
    device.close()
    rows.push({ name: shape.name, amount: model.tokens, times })
  }
  const names = ['PyTorch', 'PyTorch, allocator tuned']
  return { peer: 'torch', version, unit: 'tokens/s', scale: 1, names, rows }
}

/** With its first step done, whose loss says that it is a GPT on random weights. */
async function start(
  command: string,
  { name, model, vocabulary, batch, context }: Shape,
  { threads }: Settings,
  env: NodeJS.ProcessEnv,
): Promise<Peer> {
  const { layers, heads, width } = resolveModel(model, vocabulary)
  const sizes = { layers, heads, width, context, vocabulary, batch, threads }
  const all = { ...env, OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) }
  const peer = await Peer.start(command, [script, JSON.stringify(sizes)], all)
  const loss = Number((await peer.ask('1')).split(' ')[1])
  if (Math.abs(loss - Math.log(vocabulary)) < 0.5) return peer
  await peer.close()
  throw new Error(`${name}: PyTorch's first loss is ${loss}, not about ln ${vocabulary}`)
}
