// llama.cpp, by npm's node-llama-cpp, in a process of its own.
//
//   node llama_cpp.js model.gguf THREADS PROMPT
//
// prints its version when it is ready. Each line of its input is JSON: { "prompt": tokens }, PROMPT of
// them, are read into an empty cache; { "next": N } goes on after the prompt by N tokens, one by one. It
// answers the seconds that took, and the token that was found the likeliest last.
import { createInterface } from 'node:readline'
import { LlamaLogLevel, getLlama, getModuleVersion } from 'node-llama-cpp'

const [path, threads, length] = process.argv.slice(2)
const llama = await getLlama({
  build: 'never',
  gpu: false,
  skipDownload: true,
  logLevel: LlamaLogLevel.error,
  maxThreads: Number(threads),
})
const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 })
const context = await model.createContext({
  contextSize: 2 * Number(length),
  batchSize: Number(length),
  threads: Number(threads),
})
const sequence = context.getSequence()
let last = 0

/** Reads tokens, and goes on by `count`, the likeliest ones. */
async function read(tokens, count) {
  const begin = performance.now()
  let left = count
  for await (const token of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
    last = token
    if (--left === 0) break
  }
  return (performance.now() - begin) / 1000
}

async function answer({ prompt, next }) {
  if (prompt) {
    await sequence.clearHistory()
    return read(prompt, 1)
  }
  const seconds = await read([last], next)
  await sequence.eraseContextTokenRanges([{ start: Number(length), end: sequence.nextTokenIndex }])
  return seconds
}

const version = await getModuleVersion()
console.log(`llama.cpp ${llama.llamaCppRelease.release} in node-llama-cpp ${version}`)
for await (const line of createInterface({ input: process.stdin }))
  console.log(await answer(JSON.parse(line)), last)
process.exit() // its threads would go on
