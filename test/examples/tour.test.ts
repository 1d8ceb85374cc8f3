// The tour in examples/, with sizes so small that it takes seconds: it must not rot.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tour } from '../../examples/tour.js'

const root = mkdtempSync(join(tmpdir(), 'gptloom-tour-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))

test('from a text to a model that llama.cpp runs, and gives the same answer', async () => {
  const text = join(root, 'text.txt')
  const words = 'Hello, do you have the lamp? Yes, the lamp is on its way and comes in brass. '
  writeFileSync(text, words.repeat(60))
  const folder = join(root, 'tour')
  const said: string[] = []
  const { adapted, full, ours, theirs } = await tour({
    folder,
    text,
    model: { layers: 1, heads: 2, width: 48, context: 128 },
    vocabulary: 300,
    steps: { base: 20, tuning: 250 },
    tickets: { train: 60, heldOut: 12 },
    type: 'f32',
    say: (line) => said.push(line),
  })
  for (const { comparison, rows } of [adapted, full]) {
    assert.is(rows, 12)
    assert.is(comparison!.verdict, 'better')
  }
  assert.match(ours, /\w{3} \w{2}/)
  assert.is(theirs, ours.trim())
  const modelfile = readFileSync(join(folder, 'Modelfile'), 'utf8')
  assert.match(modelfile, /^FROM \.\/tuned\.gguf\nTEMPLATE """.*im_start/s)
  assert.ok(existsSync(join(folder, 'lora', 'adapter_model.safetensors')))
  for (let step = 1; step <= 7; step++)
    assert.ok(said.some((line) => line.trim().startsWith(`${step}. `)))
  assert.ok(said.includes(ours))
})

test.run()
