// Matrix products beside those of OpenBLAS and oneDNN.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { cpu, matmul, scope } from '../../lib/tensor/index.js'
import { forms, operandsOf, productFlops, productName, products } from '../targets/products.js'
import type { Form, Product } from '../targets/products.js'
import { alternate } from './alternate.js'
import type { Comparison, Settings } from './alternate.js'
import { Peer, PeerMissing } from './peer.js'

const libraries = {
  openblas: {
    name: 'OpenBLAS',
    flags: ['-DOPENBLAS', '-lopenblas'],
    package: 'libopenblas-dev',
    brew: 'openblas',
  },
  onednn: { name: 'oneDNN', flags: ['-ldnnl'], package: 'libdnnl-dev', brew: 'onednn' },
} as const
export type Library = keyof typeof libraries

/** The program, compiled when it is asked for. */
function compiled(library: Library): string {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const program = path.join(root, 'build', 'peers', library)
  mkdirSync(path.dirname(program), { recursive: true })
  const source = path.join(root, 'bench', 'peers', 'products.cc')
  const { name, flags, package: debian, brew } = libraries[library]
  const compiler = process.env.CXX || 'c++'
  const args = ['-std=c++17', '-O2', '-o', program, source, ...flags]
  const { status, stderr, error } = spawnSync(compiler, args, { encoding: 'utf8' })
  if (status === 0) return program
  const why = error?.message ?? stderr.split('\n').find((line) => /error|cannot/.test(line)) ?? ''
  throw new PeerMissing(
    `Expected ${name} and a C++ compiler for --peer ${library}, received "${why.trim()}": ` +
      `apt-get install ${debian} on Debian and Ubuntu, brew install ${brew} on macOS`,
  )
}

/** out[M, N] = op(a) op(b) as BLAS names it. */
function call({ M, K, N, logits }: Product, form: Form): string {
  const [rows, columns, depth, a, b] = {
    forward: [M, N, K, false, logits],
    dx: [M, K, N, false, !logits],
    dweight: logits ? [N, K, M, true, false] : [K, N, M, true, false],
  }[form]
  return [rows, columns, depth, Number(a), Number(b)].join(' ')
}

// The same numbers as in products.cc: no value is rounded, so that sums tell a wrong operand.
function numbers(n: number): Float32Array {
  const out = new Float32Array(n)
  for (let i = 0; i < n; i++) out[i] = (((i * 7919) % 201) - 100) / 128
  return out
}

export async function compareProducts(library: Library, settings: Settings): Promise<Comparison> {
  const program = compiled(library)
  const threads = String(settings.threads)
  const env = { OPENBLAS_NUM_THREADS: threads, OMP_NUM_THREADS: threads }
  const peer = await Peer.start(program, [], env)
  const device = cpu({ threads: settings.threads })
  const rows: Comparison['rows'] = []
  try {
    for (const product of products(settings.tiny)) {
      for (const form of forms) {
        const name = `${form}, ${productName(product)}`
        if (!settings.only.test(name)) continue
        settings.progress(name)
        const { left, right, options } = operandsOf(product, form)
        const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b)
        using a = device.tensor(numbers(size(left)), left)
        using b = device.tensor(numbers(size(right)), right)
        const expected = await scope(() => matmul(a, b, options)).data()
        const answer = (await peer.ask(`open ${call(product, form)}`)).trim().split(' ')
        same(name, [expected[0]!, expected.at(-1)!], answer.map(Number))
        // A turn of 0.1 s: what a thread takes to wake does not count.
        const count = Math.ceil(settings.tiny ? 1 : 3e10 / productFlops(product))
        const times = await alternate(settings.rounds, [
          async () => {
            const start = performance.now()
            for (let i = 0; i < count; i++) scope(() => void matmul(a, b, options))
            await device.idle()
            return (performance.now() - start) / 1000 / count
          },
          async () => Number(await peer.ask(`run ${count}`)),
        ])
        rows.push({ name, amount: productFlops(product), times })
      }
    }
  } finally {
    await peer.close()
    device.close()
  }
  const { name } = libraries[library]
  return { peer: library, version: peer.version, unit: 'GFLOP/s', scale: 1e9, names: [name], rows }
}

/** Both have computed the same product: the peer's first and last elements, for each of its interfaces. */
function same(name: string, ours: number[], theirs: number[]): void {
  const near = (x: number, y: number) => Math.abs(x - y) <= 1e-3 * Math.max(1, Math.abs(y))
  if (theirs.length < 2 || !theirs.every((value, i) => near(value, ours[i % 2]!)))
    throw new Error(`${name}: the peer computes ${theirs.join(', ')}, and we ${ours.join(', ')}`)
}
