// Trains a small model on the tickets of a shop and asks it: about a minute on two cores.
// Run it with: node --import tsx examples/support.ts
import { rmSync } from 'node:fs'
import { train } from '../lib/index.js'
import { tickets } from './shop.js'

const output = 'support-model'
rmSync(output, { recursive: true, force: true })

const run = train({
  data: tickets(600),
  output,
  model: { layers: 4, heads: 4, width: 128, context: 192 },
  steps: 400,
  batch: 16,
  learningRate: 3e-3,
  sampleEvery: 0,
})
for await (const event of run) {
  if (event.type === 'notice') console.log(event.message)
  if (event.type === 'evaluation')
    console.log(`step ${event.step}  validation loss ${event.loss.toFixed(3)}`)
}

const { model, report } = await run
console.log(`\n${report.seconds.toFixed(0)} s; the model is in ${output}/. Ask it:\n`)
const session = model.session({ system: 'You answer for Lamplight, a shop for lamps.' })
for (const question of [
  'Hello, where is my order 4321?',
  'Can I still change the address?',
  'Do you have the Luna in brass?',
]) {
  process.stdout.write(`> ${question}\n`)
  for await (const piece of session.say(question, { temperature: 0 })) process.stdout.write(piece)
  process.stdout.write('\n')
}
