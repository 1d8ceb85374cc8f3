// Generation beside llama.cpp's: a prompt, and tokens that follow it one by one, weights in as many bytes.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeGguf } from '../../lib/formats/ggufmodel.js'
import type { GgufType } from '../../lib/formats/ggufmodel.js'
import { Reader } from '../../lib/generate/reader.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import { Random } from '../../lib/testing/index.js'
import { gpt2Tokenizer } from '../../lib/tokenizer/index.js'
import type { Weights } from '../measure/models.js'
import { alternate } from './alternate.js'
import type { Comparison, Settings } from './alternate.js'
import { Peer, PeerMissing } from './peer.js'

const script = fileURLToPath(new URL('llama_cpp.js', import.meta.url))
const kinds: [Weights, GgufType][] = [
  ['float32', 'f32'],
  ['bfloat16', 'f16'],
  ['int8', 'q8_0'],
]

async function installed(): Promise<void> {
  try {
    await import('node-llama-cpp')
  } catch (error) {
    throw new PeerMissing(
      `Expected npm's node-llama-cpp for --peer llama, received "${(error as Error).message}": ` +
        'npm install node-llama-cpp',
    )
  }
}

export async function compareLlama(settings: Settings): Promise<Comparison> {
  await installed()
  const folder = mkdtempSync(path.join(tmpdir(), 'gptloom-llama-'))
  const comparison: Comparison = {
    ...{ peer: 'llama', version: '', unit: 'tokens/s', scale: 1, names: ['llama.cpp'] },
    rows: [],
  }
  try {
    for (const [weights, type] of kinds) {
      const name = `weights as ${weights}, theirs ${type.toUpperCase()}`
      if (!settings.only.test(name)) continue
      settings.progress(name)
      const { version, rows } = await beside(weights, type, path.join(folder, type), settings)
      comparison.version = version
      comparison.rows.push(...rows.map((row) => ({ ...row, name: `${row.name}, ${name}` })))
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  return comparison
}

async function beside(
  weights: Weights,
  type: GgufType,
  file: string,
  { tiny, threads, rounds }: Settings,
): Promise<{ version: string; rows: Comparison['rows'] }> {
  const sizes = tiny ? { layers: 1, heads: 2, width: 64, context: 64 } : { preset: 'gpt2' as const }
  const tokenizer = await gpt2Tokenizer()
  const device = cpu({ threads })
  const model = new GPT2(resolveModel(sizes, tokenizer.size), device, 1)
  await writeGguf(file, model, tokenizer, { type })
  if (weights === 'bfloat16' || weights === 'int8') model.compact(weights)
  const [length, count] = tiny ? [16, 2] : [512, 32]
  const prompt = [...new Random(1).integers([length], tokenizer.size).values]
  const peer = await Peer.start(process.execPath, [script, file, `${threads}`, `${length}`], {})
  const theirs = async (line: object) =>
    (await peer.ask(JSON.stringify(line))).split(' ').map(Number) as [number, number]
  let reader = new Reader(model, tokenizer.size)
  const read = () => {
    reader.dispose()
    reader = new Reader(model, tokenizer.size)
    return reader.read([prompt])
  }
  const write = async () => {
    for (let i = 1; i <= count; i++) await reader.read([[...prompt, ...prompt.slice(0, i)]])
  }
  try {
    likely((await read())[0]!, (await theirs({ prompt }))[1], type)
    const reading = [() => seconds(read), async () => (await theirs({ prompt }))[0]]
    const writing = [() => seconds(write), async () => (await theirs({ next: count }))[0]]
    return {
      version: peer.version,
      rows: [
        { name: `a prompt of ${length}`, amount: length, times: await alternate(rounds, reading) },
        { name: 'token by token', amount: count, times: await alternate(rounds, writing) },
      ],
    }
  } finally {
    await peer.close()
    reader.dispose()
    model.dispose()
    device.close()
  }
}

async function seconds(run: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await run()
  return (performance.now() - begin) / 1000
}

/** Both have read the same: the token that the peer chooses is among our likeliest, as near as rounding lets it be. */
function likely(logits: Float32Array, token: number, type: GgufType): void {
  const better = logits.filter((x) => x > logits[token]!).length
  if (better > (type === 'f32' ? 0 : 20))
    throw new Error(
      `The peer's next token, ${token}, is only our ${better + 1}th likeliest (${type})`,
    )
}
