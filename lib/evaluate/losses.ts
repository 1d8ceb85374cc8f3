// What a model makes of the learned tokens of rows.
import type { LanguageModel } from '../generate/index.js'
import { embedding, keep, scope } from '../tensor/index.js'
import type { Tensor } from '../tensor/index.js'
import type { Rendered } from '../tokenizer/index.js'

/** Sums over the learned tokens of a row. */
export interface RowLoss {
  /** -log p, in nats. */
  nats: number
  tokens: number
  /** Tokens that the model finds the likeliest. */
  correct: number
  /** Bytes of text that they stand for; special tokens stand for none. */
  bytes: number
}

// Logits that are held at once, in numbers.
const MOST_LOGITS = 1 << 24
// Tokens that are read at once, padding included: products grow no faster with more of them, and a
// context of GPT-2 takes as much memory.
const MOST_TOKENS = 1024

/**
 * Each row's loss, what it is alone: to the bit on the CPU, within rounding on a GPU, whose products
 * choose their tiles by the number of rows. Rows of like length are read together, and what pads the
 * shorter ones stands behind them, where none of their tokens sees it.
 * @param rows each at most the model's context + 1 tokens
 * @param check is called before each batch, and may throw
 */
export async function rowLosses(
  model: LanguageModel,
  rows: readonly Rendered[],
  check: () => void = () => {},
): Promise<RowLoss[]> {
  const losses = new Map<Rendered, RowLoss>()
  for (const batch of alike(rows)) {
    check()
    for (const [i, loss] of (await batchLosses(model, batch)).entries()) losses.set(batch[i]!, loss)
  }
  return rows.map((row) => losses.get(row)!)
}

/** Rows in batches of at most MOST_TOKENS, those of like length together. */
function* alike(rows: readonly Rendered[]): Iterable<Rendered[]> {
  let batch: Rendered[] = []
  for (const row of [...rows].sort((a, b) => a.tokens.length - b.tokens.length)) {
    if (batch.length > 0 && (batch.length + 1) * (row.tokens.length - 1) > MOST_TOKENS) {
      yield batch
      batch = []
    }
    batch.push(row)
  }
  if (batch.length > 0) yield batch
}

/** A learned token: its row in the batch, its id, and where in the batch it is predicted. */
interface Target {
  row: number
  token: number
  place: number
}

async function batchLosses(
  { network, tokenizer }: LanguageModel,
  rows: readonly Rendered[],
): Promise<RowLoss[]> {
  const { vocabulary, width } = network.config
  const { device } = network
  const T = Math.max(...rows.map(({ tokens }) => tokens.length)) - 1
  const input = new Int32Array(rows.length * T)
  const targets: Target[] = []
  const losses = rows.map(({ tokens, learn }, row): RowLoss => {
    input.set(tokens.subarray(0, -1), row * T)
    const places = [...tokens.keys()].filter((t) => t > 0 && learn[t])
    for (const t of places) targets.push({ row, token: tokens[t]!, place: row * T + t - 1 })
    return { nats: 0, tokens: places.length, correct: 0, bytes: bytesOf(tokenizer, tokens, places) }
  })
  using hidden = scope(() => {
    const states = network.forward(device.tensor(input, [rows.length, T]))
    return keep(states.view([rows.length * T, width]))
  })
  // Logits are made only where something is learned.
  const most = Math.max(1, Math.floor(MOST_LOGITS / vocabulary))
  for (let from = 0; from < targets.length; from += most) {
    const some = targets.slice(from, from + most)
    const values = await logitsAt(network, hidden, some)
    for (const [i, { row, token }] of some.entries()) {
      const { nats, best } = surprise(values.subarray(i * vocabulary, (i + 1) * vocabulary), token)
      losses[row]!.nats += nats
      losses[row]!.correct += Number(best === token)
    }
  }
  return losses
}

function bytesOf(
  tokenizer: LanguageModel['tokenizer'],
  tokens: Int32Array,
  places: readonly number[],
): number {
  const special = new Set(tokenizer.special.values())
  const plain = places.map((t) => tokens[t]!).filter((id) => !special.has(id))
  return tokenizer.decodeBytes(plain).length
}

async function logitsAt(
  network: LanguageModel['network'],
  hidden: Tensor,
  targets: readonly Target[],
): Promise<Float32Array> {
  using logits = scope(() => {
    const places = Int32Array.from(targets, ({ place }) => place)
    return keep(
      network.logits(embedding(network.device.tensor(places, [1, places.length]), hidden)),
    )
  })
  return (await logits.data()) as Float32Array
}

function surprise(logits: Float32Array, target: number): { nats: number; best: number } {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - logits[best]!)
  return { nats: logits[best]! + Math.log(sum) - logits[target]!, best }
}
