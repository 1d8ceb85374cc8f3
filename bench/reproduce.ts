// npm run reproduce -- input.txt: nanoGPT's published CPU run on tinyshakespeare's characters, to be
// landed on. Published there: training loss 1.7648, validation loss 1.8857 after 2000 steps.
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { train } from '../lib/index.js'

const PUBLISHED = 1.8857
const TOLERANCE = 0.03

const data = process.argv[2]
if (!data) {
  console.error('usage: npm run reproduce -- path/to/tinyshakespeare.txt')
  process.exit(2)
}

const folder = mkdtempSync(join(tmpdir(), 'gptloom-reproduce-'))
try {
  const run = train({
    data,
    output: join(folder, 'model'),
    tokenizer: 'character',
    model: { layers: 4, heads: 4, width: 128, context: 64, bias: false },
    batch: 12,
    steps: 2000,
    learningRate: 1e-3,
    minLearningRate: 1e-4,
    warmup: 100,
    betas: [0.9, 0.99],
    weightDecay: 0.1,
    clip: 1,
    evaluateEvery: 250,
    evaluateTokens: Infinity,
    sampleEvery: 0,
    checkpointEvery: 0,
    seed: Number(process.argv[3] ?? 1337),
  })
  const curve: [step: number, loss: number][] = []
  for await (const event of run) {
    if (event.type !== 'evaluation') continue
    curve.push([event.step, Number(event.loss.toFixed(4))])
    console.log(`step ${String(event.step).padStart(4)}  validation loss ${event.loss.toFixed(4)}`)
  }
  const { report } = await run
  const difference = report.lastLoss - PUBLISHED
  const within = Math.abs(difference) <= TOLERANCE
  console.log(
    `training loss ${report.trainLoss.toFixed(4)}, validation loss ${report.lastLoss.toFixed(4)}: ` +
      `${difference >= 0 ? '+' : ''}${difference.toFixed(4)} from the published ${PUBLISHED}, ` +
      `${within ? 'within' : 'NOT within'} ${TOLERANCE}. ${report.seconds.toFixed(0)} s, ` +
      `${report.tokensPerSecond.toFixed(0)} tokens/s`,
  )
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const line = {
    date: new Date().toISOString(),
    commit,
    case: 'reproduce nanoGPT tinyshakespeare',
    device: report.device,
    seed: report.seed,
    curve,
    trainLoss: Number(report.trainLoss.toFixed(4)),
    validationLoss: Number(report.lastLoss.toFixed(4)),
    seconds: Number(report.seconds.toFixed(1)),
    tokensPerSecond: Math.round(report.tokensPerSecond),
  }
  appendFileSync(
    fileURLToPath(new URL('history.jsonl', import.meta.url)),
    JSON.stringify(line) + '\n',
  )
  process.exitCode = within ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
