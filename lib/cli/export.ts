import { readFile, readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { GptloomError } from '../errors.js'
import { exists, guarded, writeFileAtomic } from '../files.js'
import {
  GGUF_TYPES,
  adapterOf,
  modelfile,
  readBase,
  writeGguf,
  writeGgufAdapter,
  writeModel,
} from '../formats/index.js'
import type { GgufType } from '../formats/index.js'
import type { LanguageModel } from '../generate/index.js'
import { resolveModelPath } from '../hub/index.js'
import type { DownloadProgress } from '../hub/index.js'
import { UsageError } from './arguments.js'
import type { Parsed, Verb } from './arguments.js'
import { bytes } from './format.js'
import { downloadFlag, open } from './load.js'

export const exportVerb: Verb = {
  name: 'export',
  usage:
    '<model folder> (--gguf <type> <file> | --huggingface <folder> | --adapter <folder or file>)',
  summary: 'write a model for other programs',
  flags: [
    {
      title: 'As what: one of them',
      flags: [
        {
          name: 'gguf',
          value: '<type>',
          help: `for llama.cpp and Ollama, with a Modelfile: ${GGUF_TYPES.join(', ')}`,
        },
        { name: 'huggingface', value: '<folder>', help: 'for Transformers: the whole model' },
        {
          name: 'adapter',
          value: '<path>',
          help: "the LoRA adapter alone: a folder in PEFT's layout, or a file.gguf",
        },
      ],
    },
    {
      title: 'Of what',
      flags: [
        { name: 'merge', help: "add the LoRA adapter to the model's weights first" },
        { name: 'base', value: '<model>', help: 'the model that an adapter goes with' },
        downloadFlag,
      ],
    },
  ],
  examples: [
    'gptloom export my-model --gguf q8_0 my-model.gguf',
    'gptloom export my-adapter --merge --huggingface my-model',
  ],
  run: runExport,
}

export const importVerb: Verb = {
  name: 'import',
  usage: '<model> <folder> [options]',
  summary: 'copy a model from a hub, or from another program, into a folder',
  flags: [{ title: 'From where', flags: [downloadFlag] }],
  examples: [
    'gptloom import openai-community/gpt2 ./gpt2 --download',
    'gptloom import nanogpt/out/ckpt.pt ./mine',
    'gptloom import gpt2.gguf ./gpt2',
  ],
  run: runImport,
}

async function runExport({ positionals, values }: Parsed): Promise<number> {
  const [folder, file, ...more] = positionals
  if (!folder) throw new UsageError('Name the folder of a model')
  const kinds = ['gguf', 'huggingface', 'adapter'].filter((kind) => values[kind] !== undefined)
  if (kinds.length !== 1)
    throw new UsageError('Say as what: one of --gguf, --huggingface and --adapter')
  const wanted = values.gguf === undefined ? 1 : 2
  if (more.length > 0 || positionals.length !== wanted) {
    const where = 'Name the file after the type: --gguf q8_0 model.gguf'
    throw new UsageError(wanted === 2 ? where : `Unknown word ${file ?? ''} behind the model`)
  }
  const { gguf, huggingface, adapter, merge, base } = values as Record<string, string | undefined>
  using model = await open(folder, values, { device: 'cpu', ...(base !== undefined && { base }) })
  if (merge) {
    if (!model.lora) throw new UsageError(`${folder} holds no adapter: leave out --merge`)
    model.merge()
  }
  const written =
    gguf !== undefined
      ? await writeGgufs(file!, gguf as GgufType, model, basename(folder))
      : huggingface !== undefined
        ? await writeFolder(huggingface, model)
        : await writeAdapter(adapter!, model, folder)
  process.stdout.write(written.map((path) => `${path}\n`).join(''))
  return 0
}

/** The model's GGUF, that of its adapter, and how Ollama is told of them. */
async function writeGgufs(
  path: string,
  type: GgufType,
  { network, tokenizer, template, lora, config }: LanguageModel,
  name: string,
): Promise<string[]> {
  const stop = template?.endOfTurn
  const endOfTurn = stop === undefined ? undefined : tokenizer.special.get(stop)
  const chatTemplate = template?.source
  if (config.gelu === 'exact') {
    process.stderr.write(
      "The model has the exact GELU; llama.cpp computes a GPT-2's by tanh, which is near\n",
    )
  }
  await writeGguf(path, network, tokenizer, { type, chatTemplate, endOfTurn, name })
  const adapter = lora && path.replace(/(\.gguf)?$/, '.adapter.gguf')
  if (adapter) await writeGgufAdapter(adapter, adapterOf(lora.lora, lora.base))
  const gguf = basename(path)
  const text = modelfile({
    gguf,
    ...(adapter && { adapter: basename(adapter) }),
    chatTemplate,
    stop: endOfTurn === undefined ? [] : [stop!],
    context: config.context,
  })
  // The Modelfile of another model in the same folder stays.
  const usual = join(dirname(path), 'Modelfile')
  const theirs = await readFile(usual, 'utf8').catch(() => undefined)
  const free = theirs === undefined || theirs.startsWith(`FROM ./${gguf}\n`)
  const file = free ? usual : `${path}.Modelfile`
  await writeFileAtomic(file, text)
  return [path, ...(adapter ? [adapter] : []), file]
}

async function writeFolder(folder: string, model: LanguageModel): Promise<string[]> {
  if (model.lora) {
    throw new GptloomError(
      'ERR_FORMAT',
      'This is a LoRA adapter with its base: give --merge for one model of the two, or --adapter for ' +
        'the adapter alone',
    )
  }
  await refuseFull(folder)
  await model.save(folder)
  return [folder]
}

async function writeAdapter(path: string, model: LanguageModel, from: string): Promise<string[]> {
  const { lora } = model
  if (!lora) throw new GptloomError('ERR_FORMAT', `${from} is a whole model, not an adapter`)
  if (path.endsWith('.gguf')) await writeGgufAdapter(path, adapterOf(lora.lora, lora.base))
  else {
    await refuseFull(path)
    await model.save(path)
  }
  return [path]
}

async function runImport({ positionals, values }: Parsed): Promise<number> {
  const [name, folder, ...more] = positionals
  if (!name || !folder || more.length > 0)
    throw new UsageError('Name the model and the folder that it is copied to')
  await refuseFull(folder)
  const download = values.download === true
  const path = await resolveModelPath(name, { download, onProgress: progress })
  const base = await readBase(path)
  try {
    const tokenizer = await base.tokenizer()
    await writeModel(folder, base, tokenizer, { chatTemplate: base.extras.chatTemplate })
    for (const note of base.extras.notes) process.stderr.write(`${name}: ${note}\n`)
  } finally {
    await base.close()
  }
  process.stdout.write(`${folder}\n`)
  return 0
}

function progress({ file, received, size, index, files }: DownloadProgress): void {
  if (!process.stderr.isTTY) return
  const end = received === size ? '\n' : ''
  process.stderr.write(
    `\r${index}/${files} ${file}: ${bytes(received)} of ${bytes(size)}\x1b[K${end}`,
  )
}

async function refuseFull(folder: string): Promise<void> {
  if (!(await exists(folder))) return
  if ((await guarded(folder, 'read', readdir(folder))).length === 0) return
  throw new GptloomError(
    'ERR_OUTPUT_EXISTS',
    `The folder ${folder} is not empty: choose another, or empty this one`,
  )
}
