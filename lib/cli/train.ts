import { constants } from 'node:os'
import { AbortError } from '../errors.js'
import { presets } from '../models/index.js'
import { train as startTraining } from '../train/index.js'
import type { TrainOptions } from '../train/index.js'
import { dataFlags } from './check.js'
import { UsageError, number, quote } from './arguments.js'
import type { Flag, Parsed, Verb } from './arguments.js'
import { openDisplay } from './display.js'
import { downloadFlag, machineFlags, numeric } from './load.js'

const output: Flag[] = [
  {
    name: 'out',
    short: 'o',
    value: '<folder>',
    help: 'where the model goes: new or empty (required)',
    sets: 'output',
  },
  { name: 'output', value: '<folder>', help: '', hidden: true },
  { name: 'resume', help: 'go on from the newest checkpoint in the folder' },
  { name: 'json', help: 'every event as a line of JSON, and nothing else' },
  { name: 'quiet', short: 'q', help: 'print errors only' },
]

const model: Flag[] = [
  {
    name: 'base',
    value: '<model>',
    help: "a model to start from: a GPT-2, one of an earlier run, or a hub's name of one",
  },
  downloadFlag,
  { name: 'model', value: '<preset>', help: `${Object.keys(presets).join(', ')} (micro)` },
  numeric('layers', 'transformer blocks', 'model.layers'),
  numeric('heads', 'attention heads in a block; they divide the width', 'model.heads'),
  numeric('width', 'channels of the residual stream', 'model.width'),
  numeric('context', 'the longest sequence, in tokens', 'model.context'),
  numeric('dropout', 'probability of dropout (0)', 'model.dropout'),
  numeric('epsilon', 'added to the variance in layer norms (1e-5)', 'model.epsilon'),
  { name: 'gelu', value: '<form>', help: 'tanh or exact (tanh)', sets: 'model.gelu' },
  numeric(
    'vocabulary',
    'rows of the embedding (as many as the tokenizer has tokens)',
    'model.vocabulary',
  ),
  { name: 'no-bias', help: 'no biases', sets: 'model.bias', gives: false },
  {
    name: 'no-tied',
    help: 'an output layer with weights of its own',
    sets: 'model.tied',
    gives: false,
  },
]

const tuning: Flag[] = [
  { name: 'lora', help: 'learn a LoRA adapter beside the base, which stays as it is' },
  numeric('lora-rank', 'columns of its matrices (8)', 'lora.rank'),
  numeric('lora-alpha', 'its output is scaled by alpha / rank (twice the rank)', 'lora.alpha'),
  numeric('lora-dropout', 'probability of dropout of its input (0)', 'lora.dropout'),
  {
    name: 'lora-targets',
    value: '<a,b>',
    help: 'layers that have one: c_attn, mlp.c_proj ... (all)',
    sets: 'lora.targets',
    parse: list,
  },
  { name: 'rs-lora', help: 'scale by alpha / sqrt(rank) instead', sets: 'lora.rsLora' },
  { name: 'merge', help: 'write the whole model with the adapter in it' },
  {
    name: 'freeze',
    value: '<a,b>',
    help: "parameters that stay as they are: wte, 'h.0', 'h.*.mlp'",
    parse: list,
  },
  numeric('neftune', 'alpha of the noise on embeddings while training (0)'),
  numeric(
    'label-smoothing',
    'share of each target that goes to all tokens while training (0)',
    'labelSmoothing',
  ),
]

const data: Flag[] = [
  {
    name: 'tokenizer',
    value: '<kind>',
    help: 'auto, gpt2, character, bpe or bpe:<size> (auto)',
    parse: tokenizer,
  },
  {
    name: 'weights',
    value: '<a,b,...>',
    help: 'how often an epoch shows the examples of each path (1 each)',
    parse: numbers,
  },
  ...dataFlags,
  {
    name: 'cache',
    value: '<folder>',
    help: 'keep prepared examples there, for the next run on the same',
  },
  {
    name: 'split',
    value: '<how>',
    help: 'what validates: random rows, or the newest: time (random)',
  },
  numeric('validation', 'the share for validation; of text, at its end (0.1)'),
]

const course: Flag[] = [
  numeric('steps', 'steps of the optimizer (1000)'),
  numeric('epochs', 'instead of steps: times through the data, or auto'),
  numeric('max-tokens', 'end after so many learned tokens', 'maxTokens'),
  {
    name: 'max-time',
    value: '<time>',
    help: 'end after so long: 90s, 30m, 2h',
    sets: 'maxTime',
    parse: seconds,
  },
  numeric('patience', 'end after so many evaluations without a lower loss'),
  {
    name: 'on-spike',
    value: '<what>',
    help: 'of a step whose loss is no number or far too high: ignore, skip, restore, lower, stop (ignore)',
    sets: 'onSpike',
  },
  numeric('batch', "sequences in a micro-batch, or auto (about 4096 tokens' worth)"),
  numeric('accumulate', 'micro-batches in a step (1)'),
  numeric('learning-rate', "peak learning rate (by the model's size)", 'learningRate'),
  numeric('min-learning-rate', 'learning rate at the end (a tenth of the peak)', 'minLearningRate'),
  { name: 'schedule', value: '<name>', help: 'cosine, linear, constant or wsd (cosine)' },
  numeric('warmup', 'steps of linear warm-up (a twentieth, at most 200)'),
  {
    name: 'betas',
    value: '<a,b>',
    help: "decay rates of AdamW's moments (0.9,0.99)",
    parse: numbers,
  },
  numeric('weight-decay', "AdamW's decay of matrices (0.1)", 'weightDecay'),
  numeric('clip', "bound on the gradient's norm, 0 for none (1)"),
  numeric('seed', 'names all random numbers (0)'),
]

const watching: Flag[] = [
  numeric(
    'evaluate-every',
    'steps between evaluations (a tenth of all, at least 10)',
    'evaluateEvery',
  ),
  {
    ...numeric(
      'evaluate-tokens',
      'the most tokens of an evaluation, or all (32768)',
      'evaluateTokens',
    ),
    parse: orAll,
  },
  numeric('checkpoint-every', 'steps between checkpoints, 0 for the end only', 'checkpointEvery'),
  numeric(
    'keep-checkpoints',
    'how many of the newest are kept, beside that of the best evaluation (2)',
    'keepCheckpoints',
  ),
  numeric('sample-every', 'steps between samples of text, 0 for none', 'sampleEvery'),
  { name: 'sample-prompt', value: '<text>', help: 'what samples start with', sets: 'samplePrompt' },
  numeric('sample-tokens', 'the most tokens in a sample (64)', 'sampleTokens'),
]

const machine: Flag[] = [
  ...machineFlags,
  {
    name: 'precision',
    value: '<dtype>',
    help: 'auto, float32, tf32 or bfloat16 (bfloat16 on a GPU that has it)',
  },
  numeric('max-memory', 'bytes that training may take (what there is)', 'maxMemory'),
  {
    name: 'stochastic-rounding',
    help: 'with bfloat16, round the weights at random instead of keeping exact ones as well',
    sets: 'stochasticRounding',
  },
  {
    name: 'recompute',
    help: 'compute activations again instead of keeping them: less memory, more time',
  },
]

export const train: Verb = {
  name: 'train',
  usage: '<file or folder ...> --out <folder> [options]',
  summary: 'train a model on text or conversations',
  flags: [
    { title: 'Output', flags: output },
    { title: 'Model: a preset, and sizes that differ from it', flags: model },
    { title: 'Tuning a base', flags: tuning },
    { title: 'Data', flags: data },
    { title: 'Training', flags: course },
    { title: 'Watching', flags: watching },
    { title: 'Machine', flags: machine },
  ],
  examples: [
    'gptloom train book.txt --out my-model',
    'gptloom train notes/ more.txt --out my-model --model mini --context 256 --steps 2000',
    'gptloom train chats.jsonl --out my-model --context 512',
    'gptloom train chats.jsonl --out my-model --base openai-community/gpt2 --download --lora',
    'gptloom train book.txt --out my-model --resume',
  ],
  run,
}

async function run(parsed: Parsed, args: readonly string[]): Promise<number> {
  const { json, quiet, help: _, ...values } = parsed.values
  if (!parsed.positionals.some(Boolean)) {
    throw new UsageError('Name the data to learn from: a file or a folder')
  }
  if (!values.output) {
    throw new UsageError('Name the folder for the model: --out <folder>')
  }
  const stop = new Stop()
  const display = openDisplay(process.stdout, {
    json: !!json,
    quiet: !!quiet,
    output: String(values.output),
  })
  try {
    const training = startTraining(toOptions(parsed.positionals, values, stop.signal))
    for await (const event of training) display.event(event)
    const { model } = await training
    model.dispose()
    return 0
  } catch (error) {
    display.end()
    if (!(error instanceof AbortError)) throw error
    const { code, message, saved } = error
    if (json) process.stdout.write(JSON.stringify({ type: 'error', code, message, saved }) + '\n')
    if (!stop.piped) process.stderr.write(farewell(error, args))
    return stop.code
  } finally {
    stop.close()
  }
}

function toOptions(
  data: string[],
  values: Record<string, unknown>,
  signal: AbortSignal,
): TrainOptions {
  const { model: preset, lora: adapter, ...rest } = values
  const options: Record<string, unknown> = { data, signal }
  const parts: Record<string, Record<string, unknown>> = { model: {}, lora: {} }
  for (const [name, value] of Object.entries(rest)) {
    const [, part, own] = /^(model|lora)\.(.*)$/.exec(name) ?? []
    if (part) parts[part]![own!] = value
    else options[name] = value
  }
  const given = (part: object) => Object.keys(part).length > 0
  const model = given(parts.model!) ? { preset, ...parts.model } : preset
  const lora = given(parts.lora!) ? parts.lora : adapter
  // train() itself checks what was typed.
  return { ...options, model, lora } as unknown as TrainOptions
}

function farewell({ message, saved }: AbortError, args: readonly string[]): string {
  if (!saved) return `${message}. Nothing was trained yet.\n`
  const again = [...args, ...(args.includes('--resume') ? [] : ['--resume'])].map(quote).join(' ')
  const where = `Stopped after step ${saved.step}. The model so far is in ${saved.folder}`
  return `${where}\nGo on with:  gptloom train ${again}\n`
}

function tokenizer(text: string): unknown {
  const size = /^bpe:(.*)$/s.exec(text)?.[1]
  return size === undefined ? text : { kind: 'bpe', size: number(size) }
}

function numbers(text: string): unknown {
  return text.split(',').map(number)
}

function list(text: string): unknown {
  return text.split(',')
}

function seconds(text: string): unknown {
  const [, amount, unit = 's'] = /^(\d+(?:\.\d+)?)([smh])?$/.exec(text) ?? []
  if (amount === undefined) return text
  return Number(amount) * { s: 1, m: 60, h: 3600 }[unit]!
}

function orAll(text: string): unknown {
  return text === 'all' ? Infinity : number(text)
}

// Milliseconds. npm and npx pass on a signal that the terminal has sent to the whole group already:
// two signals of one key press.
const SAME_KEY_PRESS = 300

/**
 * Stops a run when the process is asked to end: the first time after the current step, the second
 * time at once.
 */
class Stop {
  /** The exit code of a process that the signal would have ended. */
  code = 0
  /** Whether nobody reads the output any more. */
  piped = false
  readonly #controller = new AbortController()
  #since = 0

  constructor() {
    process.on('SIGINT', this.#onSignal)
    process.on('SIGTERM', this.#onSignal)
    process.stdout.on('error', this.#onError)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  close(): void {
    process.off('SIGINT', this.#onSignal)
    process.off('SIGTERM', this.#onSignal)
  }

  readonly #onSignal = (name: NodeJS.Signals): void => {
    const now = performance.now()
    if (this.signal.aborted) {
      if (now - this.#since > SAME_KEY_PRESS) process.exit(128 + constants.signals[name])
      return
    }
    this.#since = now
    this.#stop(128 + constants.signals[name])
    process.stderr.write('\nStopping after this step and saving; once more to quit at once.\n')
  }

  // main.ts has looked which error it is.
  readonly #onError = (): void => {
    if (this.signal.aborted) return
    this.piped = true
    this.#stop(128 + 13)
  }

  #stop(code: number): void {
    this.code = code
    this.#controller.abort()
  }
}
