// A model from a folder, or from a hub's cache.
import { isAbsolute, join } from 'node:path'
import { GptloomError, checkKeys, checkPath, outOfRange, wrongType } from '../errors.js'
import { exists } from '../files.js'
import { readBase, readChatTemplate } from '../formats/base.js'
import { readModel } from '../formats/huggingface.js'
import { readLora } from '../formats/lora.js'
import { readAdapter } from '../formats/peft.js'
import { resolveModelPath } from '../hub/index.js'
import type { GPT2Config } from '../models/index.js'
import { openDevice } from '../tensor/index.js'
import type { CompactFormat, Device } from '../tensor/index.js'
import { END_OF_TEXT, chatTemplate, loadTokenizer } from '../tokenizer/index.js'
import type { ChatTemplate, Tokenizer } from '../tokenizer/index.js'
import { LanguageModel } from './language.js'

/** What load() takes. */
export interface LoadOptions {
  /** 'auto' (the default) for the best there is; 'cpu'; 'cuda', or 'cuda:1' for the second GPU. */
  device?: string
  /** Threads to use on the CPU. Default: as many as the process may. */
  threads?: number
  /** Whether a model that is named as on a hub, and not in its cache yet, is fetched. Default false. */
  download?: boolean
  /** Of an adapter: the model that it goes with. Default: the one that it names. */
  base?: string
  /**
   * How the matrices of weights are kept in memory: 'float32' (the default), or for generation on the
   * CPU in fewer bytes, which is faster by nearly as much: 'bfloat16', or 'int8' in blocks of 32 with a
   * scale each. A model in fewer bytes cannot be saved, merged or trained.
   */
  weights?: 'float32' | CompactFormat
}

/**
 * Opens a model folder, one of an adapter with its base, a file of nanoGPT, llm.c or llama.cpp (GGUF),
 * or a model of the hub's cache by its name.
 * @throws GptloomError ERR_FILE, ERR_FORMAT naming the file and what is wrong with it
 */
export async function load(path: string, options: LoadOptions = {}): Promise<LanguageModel> {
  checkPath('a folder', 'folder', path)
  checkKeys('load()', options, ['device', 'threads', 'download', 'base', 'weights'])
  const { base, download = false } = options
  if (base !== undefined) checkPath('a model', 'base', base)
  if (typeof download !== 'boolean') throw wrongType('true or false', 'download', download)
  const format = checkWeights(options.weights)
  const device = openDevice(options.device, options)
  if (format && device.kind !== 'cpu')
    throw outOfRange("'float32' on a GPU (or device: 'cpu')", 'weights', format)
  const folder = await resolveModelPath(path, { download })
  const language = (await isAdapter(folder))
    ? await loadAdapted(folder, device, { base, download })
    : await loadWhole(folder, device)
  if (format) await shrink(language, format)
  return language
}

function checkWeights(weights: unknown): CompactFormat | undefined {
  if (weights === undefined || weights === 'float32') return undefined
  if (weights === 'bfloat16' || weights === 'int8') return weights
  throw outOfRange("'float32', 'bfloat16' or 'int8'", 'weights', weights)
}

async function loadWhole(folder: string, device: Device): Promise<LanguageModel> {
  const { model, tokenizer, extras } = await readModel(folder, device)
  return new LanguageModel(model, tokenizer, templateOf(extras.chatTemplate, tokenizer))
}

/** Keeps the weights in fewer bytes, and gives the memory of the exact ones back to the system. */
async function shrink(language: LanguageModel, format: CompactFormat): Promise<void> {
  const { network } = language
  try {
    network.compact(format)
    await network.device.idle()
    network.device.native.trim()
  } catch (error) {
    language.dispose()
    throw error
  }
}

/**
 * How a model reads, without its weights: a model folder, an adapter's, or a model of the hub's cache.
 * @throws GptloomError ERR_FILE, ERR_FORMAT
 */
export async function readReading(
  path: string,
  options: Pick<LoadOptions, 'download'> = {},
): Promise<{ config: GPT2Config; tokenizer: Tokenizer; template: ChatTemplate | undefined }> {
  const folder = await resolveModelPath(path, options)
  const adapter = (await isAdapter(folder)) ? folder : undefined
  const base = await readBase(
    adapter ? await resolveModelPath(await baseOf(adapter), options) : folder,
  )
  try {
    const { config, extras } = base
    const own = await base.tokenizer()
    const { tokenizer, source } = adapter
      ? await besideAdapter(adapter, own, extras.chatTemplate)
      : { tokenizer: own, source: extras.chatTemplate }
    return { config, tokenizer, template: templateOf(source, tokenizer) }
  } finally {
    await base.close()
  }
}

async function isAdapter(folder: string): Promise<boolean> {
  const has = (name: string) => exists(join(folder, name))
  return (await has('adapter_config.json')) && !(await has('config.json'))
}

/** The tokenizer and the template beside an adapter, or else those of its base. */
async function besideAdapter(folder: string, own: Tokenizer, template: string | null) {
  const names = ['tokenizer.json', 'vocab.json'].map((name) => exists(join(folder, name)))
  const tokenizer = (await Promise.all(names)).some(Boolean) ? await loadTokenizer(folder) : own
  return { tokenizer, source: (await readChatTemplate(folder)) ?? template }
}

/** An adapter with the model that it goes with; the tokenizer beside the adapter, where there is one. */
async function loadAdapted(
  folder: string,
  device: Device,
  { base, download }: { base: string | undefined; download: boolean },
): Promise<LanguageModel> {
  const path = await resolveModelPath(base ?? (await baseOf(folder)), { download })
  if (!(await exists(path))) {
    throw new GptloomError(
      'ERR_FILE',
      `${folder} is an adapter for ${path}, which is not there: name its base with \`base\``,
    )
  }
  const { model, tokenizer: own, extras } = await readModel(path, device)
  try {
    const { lora, base } = await readLora(folder, model)
    const { tokenizer, source } = await besideAdapter(folder, own, extras.chatTemplate)
    const result = new LanguageModel(model, tokenizer, templateOf(source, tokenizer))
    result.addAdapter('default', lora, base)
    return result
  } catch (error) {
    model.dispose()
    throw error
  }
}

/** What an adapter names as its base: a name on a hub, or a path, also from beside the adapter. */
async function baseOf(folder: string): Promise<string> {
  const adapter = await readAdapter(folder)
  await adapter.close()
  const { base } = adapter
  if (base === null) {
    throw new GptloomError(
      'ERR_FORMAT',
      `${folder} is an adapter that does not say for what model: name its base with \`base\``,
    )
  }
  const beside = join(folder, base)
  return !isAbsolute(base) && !(await exists(base)) && (await exists(beside)) ? beside : base
}

/** The template that a model folder keeps, by which its model was trained. */
function templateOf(source: string | null, tokenizer: Tokenizer): ChatTemplate | undefined {
  if (source === null) return undefined
  return chatTemplate(source, {
    special: [...tokenizer.special.keys()],
    endOfText: tokenizer.endOfText === undefined ? undefined : END_OF_TEXT,
  })
}
