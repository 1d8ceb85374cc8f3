import { readModel, writeModel } from '../formats/huggingface.js'
import type { GPT2, GPT2Config } from '../models/index.js'
import { openDevice } from '../tensor/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { checkKeys, checkPath, wrongType } from '../errors.js'
import { checkGenerateOptions, generateTokens } from './generate.js'
import type { GenerateOptions } from './generate.js'

/** A model with its tokenizer: what reads and writes text. */
export class LanguageModel {
  constructor(
    /** The network, for those who work on tensors. */
    readonly network: GPT2,
    readonly tokenizer: Tokenizer,
  ) {}

  get config(): GPT2Config {
    return this.network.config
  }

  /** How many numbers the model holds. */
  get parameters(): number {
    return this.network.size
  }

  /**
   * Text that continues the prompt, piece by piece as it is written. No piece ends within a character.
   * @throws TypeError, RangeError at once for bad options; AbortError when the signal stops it
   */
  generate(prompt = '', options: GenerateOptions = {}): AsyncGenerator<string, void, void> {
    if (typeof prompt !== 'string') throw wrongType('a string', 'prompt', prompt)
    checkGenerateOptions(options)
    return this.#pieces(this.tokenizer.encode(prompt), options)
  }

  /** generate(), gathered into one string. */
  async complete(prompt = '', options: GenerateOptions = {}): Promise<string> {
    let text = ''
    for await (const piece of this.generate(prompt, options)) text += piece
    return text
  }

  async *#pieces(prompt: Int32Array, options: GenerateOptions): AsyncGenerator<string, void, void> {
    const decoder = this.tokenizer.decoder()
    for await (const token of generateTokens(this.network, this.tokenizer, prompt, options)) {
      const piece = decoder.push(token)
      if (piece) yield piece
    }
    const rest = decoder.end()
    if (rest) yield rest
  }

  /**
   * Writes a model folder in Hugging Face's GPT-2 layout: config.json, model.safetensors and the tokenizer.
   * @throws GptloomError ERR_FILE when the file system refuses
   */
  async save(folder: string): Promise<void> {
    await writeModel(folder, this.network, this.tokenizer)
  }

  /** Frees the weights. */
  dispose(): void {
    this.network.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

export interface LoadOptions {
  /** 'auto' (the default) for the best there is, or 'cpu'. */
  device?: string
  /** Threads to use. Default: as many as the process may. */
  threads?: number
}

/**
 * Opens a model folder.
 * @throws GptloomError ERR_FILE, ERR_FORMAT naming the file and what is wrong with it
 */
export async function load(folder: string, options: LoadOptions = {}): Promise<LanguageModel> {
  checkPath('a folder', 'folder', folder)
  checkKeys('load()', options, ['device', 'threads'])
  const { model, tokenizer } = await readModel(folder, openDevice(options.device, options))
  return new LanguageModel(model, tokenizer)
}
