// The model card says what the report says, and nothing that nobody measured.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { train } from '../../lib/index.js'
import { modelCard } from '../../lib/train/card.js'
import { nano, textFile } from './nano.js'

const options = nano({ steps: 6, batch: 2 })
const { model, report } = await train(options)
model.dispose()

test('a run leaves a card with metadata, figures, an interval and marked places', () => {
  const card = readFileSync(join(options.output, 'README.md'), 'utf8')
  assert.is(card, modelCard(report))
  const [, metadata, body] = /^---\n(.*?)\n---\n(.*)$/s.exec(card)!
  assert.match(metadata!, /^library_name: transformers$/m)
  assert.match(metadata!, /^pipeline_tag: text-generation$/m)
  assert.not.match(metadata!, /base_model|lora/)
  const [low, high] = report.interval!
  assert.ok(low <= report.bestLoss && report.bestLoss <= high && low < high)
  assert.ok(body!.includes(`95 % interval ${low.toPrecision(4)} to ${high.toPrecision(4)}`))
  assert.ok(body!.includes(`loss ${report.bestLoss.toPrecision(4)} nats a token`))
  assert.match(
    body!,
    /Estimate, not a measurement: \S+ kWh, for .* at an assumed \d+0 W \(at 10 W a thread\)/,
  )
  assert.match(body!, /^- `\S*text\.txt`, [\d,]+ bytes$/m)
  assert.match(body!, /AdamW; 2 sequences of \d+ tokens a step, float32/)
  assert.ok(body!.match(/\*\*To be filled in by a person:\*\*/g)!.length >= 4)
  assert.is(body!.includes('undefined') || body!.includes('NaN'), false)
})

test('few data, of which there is one batch, have an interval as well', async () => {
  const few = nano({ data: textFile(60), steps: 2, batch: 64 })
  const { model, report } = await train(few)
  model.dispose()
  const [low, high] = report.interval!
  assert.ok(low < report.bestLoss && report.bestLoss < high, `${report.bestLoss} ${low} ${high}`)
})

test('an adapter of a published base, rows that were left out, and an evaluation', () => {
  const ledger = { rows: 1000, kept: 900, duplicates: 60, dropped: 30, broken: 10 }
  const more = {
    cut: 12,
    split: 0,
    redacted: 40,
    examples: 900,
    redactions: { email: 50 },
    reasons: { empty: 30, 'not JSON': 10 },
  }
  const lora = { rank: 8, alpha: 16, dropout: 0, rsLora: true, targets: ['attn.c_attn'] }
  const tuned = {
    ...{ ...report, base: 'org/name', lora, stopped: 'time' as const },
    ...{ bestLoss: 1.5, bestStep: 4, lastLoss: 1.75, totalSeconds: 7200, device: 'NVIDIA H100' },
    ...{ freeze: ['wte'], guard: { skipped: 1, restored: 0, rate: 1 } },
    data: { ...report.data, files: [], ledger: { ...ledger, ...more } },
  }
  const loss = { value: 1, low: 0.9, high: 1.1 }
  const against = { base: 1.5, difference: -0.5, low: -0.6, high: -0.4 }
  const card = modelCard(tuned, {
    rows: 20,
    figures: { loss, f1: loss },
    comparison: { verdict: 'better', figures: { loss: against } },
  })
  assert.match(card, /^base_model: org\/name$/m)
  assert.match(card, /^library_name: peft$/m)
  assert.match(card, /rank 8, alpha 16, dropout 0, rsLoRA; attn\.c_attn/)
  assert.match(
    card,
    /rows read: 1,000; learned from: 900\n- left out: 60 duplicates, 30 others, 10 broken \(30 empty, 10 not JSON\)/,
  )
  assert.match(card, /taken out of 40 rows: 50 email/)
  assert.match(card, /ended early by time/)
  assert.match(card, /The program that trained it gave the records/)
  assert.match(card, /\(left as they were: wte\)\n- 1 step skipped/)
  assert.match(card, /1\.0 kWh, for 2\.00 hours at an assumed 500 W/)
  assert.match(
    card,
    /rose again after step 4, to 1\.750 at step 6: the weights are those of step 4/,
  )
  assert.match(card, /12 of 900 rows did not fit into the context and were cut/)
  assert.match(
    card,
    /^\| loss \| 1\.000 \| 0\.9000 to 1\.100 \| 1\.500 \| -0\.5000 \(-0\.6000 to -0\.4000\) \|$/m,
  )
  assert.match(card, /^\| f1 \| 1\.000 \| 0\.9000 to 1\.100 \| \| \|$/m)
  assert.match(card, /in bits a byte: \*\*better\*\*/)
})

test.run()
