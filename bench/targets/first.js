// Prints how many milliseconds it takes to load the package, and from train() to the first step.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const start = performance.now()
const { train } = await import('../../dist/index.js')
const load = performance.now() - start
const folder = mkdtempSync(path.join(os.tmpdir(), 'gptloom-first-'))
try {
  const data = path.join(folder, 'text.txt')
  writeFileSync(data, 'The quick brown fox jumps over the lazy dog.\n'.repeat(200))
  const began = performance.now()
  const run = train({
    ...{ data, output: path.join(folder, 'model'), tokenizer: 'character', steps: 2 },
    device: 'cpu',
  })
  let step = 0
  for await (const event of run) if (event.type === 'step') step ||= performance.now() - began
  await run
  console.log(JSON.stringify({ load, step }))
} finally {
  rmSync(folder, { recursive: true })
}
