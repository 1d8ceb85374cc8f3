// What a run learns from, whatever it was made of: text, or examples.
import { LeftIn, Loader, openPrepared, openText, prepareText } from '../data/index.js'
import type { BatchSource, LedgerSummary, Prepared, TokenRange } from '../data/index.js'
import { AbortError } from '../errors.js'
import type { GPT2Config } from '../models/index.js'
import { Scrubber, TextScrubber } from '../privacy/index.js'
import type { ChatTemplate, Tokenizer } from '../tokenizer/index.js'
import type { TrainEvent } from './events.js'
import type { Settings } from './options.js'
import type { Prompt } from './probe.js'
import { chooseTokenizer } from './vocabulary.js'

/** One of the two sides of the data. */
export interface Part extends BatchSource {
  /** Tokens that are predicted when all of it is gone through. */
  readonly tokens: number
  /** Bytes of the text that these stand for. */
  readonly bytes: number
}

/** Data ready for training. */
export interface Corpus {
  train: Part
  validation: Part
  /** Sequences in a micro-batch. */
  batch: number
  /** Files of text, or examples. */
  documents: number
  /** Of examples: what became of each row, and the share of places that nothing fills. */
  ledger?: LedgerSummary
  padding?: number
  /** Of examples mixed by weight: each path's share. */
  sources?: { path: string; examples: number; weight: number }[]
  /** Of examples: up to `count` from the validation part, cut before what is learned of them. */
  prompts?(count: number, longest: number): Promise<Prompt[]>
  close(): Promise<void>
}

/** What a corpus is cut into. */
export interface Cut {
  /** Sequences in a micro-batch, given the places for tokens that an epoch has. */
  batch: (tokens: number) => number
  /** Micro-batches a step. */
  accumulate: number
  seed: number
  /** The share of the data for validation. */
  validation: number
}

/** Data on its way to a corpus. What is done when depends on what the run needs first. */
export interface Source {
  /** The tokenizer that the settings ask for, learned from the data if need be. */
  tokenizer(): Promise<Tokenizer>
  /**
   * How conversations are written, once the corpus is made; undefined for data without any.
   */
  template(tokenizer: Tokenizer): ChatTemplate | undefined
  corpus(tokenizer: Tokenizer, config: GPT2Config, cut: Cut): Promise<Corpus>
  /** Removes what lies on disk only until the corpus is made. Never throws. */
  dispose(): Promise<void>
}

export type Emit = (event: TrainEvent) => void

/** Text as one long stream, cut where a window ends. */
export class TextSource implements Source {
  /**
   * @param folder where the tokens are kept
   * @param resumed whether they are there already
   */
  constructor(
    private readonly settings: Settings,
    private readonly folder: string,
    private readonly resumed: boolean,
    private readonly emit: Emit,
  ) {}

  tokenizer(): Promise<Tokenizer> {
    return chooseTokenizer(this.settings, this.emit)
  }

  template(): undefined {}

  async corpus(tokenizer: Tokenizer, config: GPT2Config, cut: Cut): Promise<Corpus> {
    const prepared = await this.#prepare(tokenizer, config.context, cut.validation)
    const { file, documents } = prepared
    try {
      const { context } = config
      const batch = cut.batch(prepared.train.end - prepared.train.start)
      const common = { batch, context, seed: cut.seed, endOfText: tokenizer.endOfText }
      const part = (range: TokenRange, micros = 1) =>
        Object.assign(new Loader(file, range, { ...common, micros }), {
          tokens: range.end - range.start,
          bytes: range.bytes,
        })
      return {
        batch,
        train: part(prepared.train, cut.accumulate),
        validation: part(prepared.validation),
        documents,
        close: () => file.close(),
      }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async dispose(): Promise<void> {}

  async #prepare(tokenizer: Tokenizer, context: number, validation: number): Promise<Prepared> {
    const { folder, emit } = this
    if (this.resumed) return openPrepared(folder)
    const { data, signal, privacy } = this.settings
    if (privacy === undefined) await this.#lookForPersonalData(data as string | readonly string[])
    const onProgress = ({ bytes, totalBytes }: { bytes: number; totalBytes: number }) => {
      emit({ type: 'prepare', phase: 'encode', progress: totalBytes ? bytes / totalBytes : 1 })
    }
    try {
      const paths = data as string | readonly string[]
      const options = { data: paths, tokenizer, folder, validation, context, signal, onProgress }
      return await prepareText(options)
    } catch (error) {
      if (!(error instanceof AbortError)) throw error
      const what = 'Stopped while the text was encoded'
      throw new AbortError(what, undefined, { cause: error.cause })
    }
  }

  /** Plain text is learned as it is; what of people is in it is said. */
  async #lookForPersonalData(paths: string | readonly string[]): Promise<void> {
    const { emit } = this
    const { signal } = this.settings
    const left = new LeftIn()
    const source = await openText(paths)
    let read = 0
    for await (const { text } of source) {
      const finder = new TextScrubber(new Scrubber({ operator: 'keep' }), false)
      for await (const piece of text) {
        if (signal?.aborted)
          throw new AbortError('Stopped while the text was read', undefined, {
            cause: signal.reason,
          })
        left.add((await finder.push(piece))?.findings ?? [])
        read += piece.length
        emit({ type: 'prepare', phase: 'read', progress: Math.min(1, read / source.bytes) })
      }
      left.add((await finder.push('', true))?.findings ?? [])
    }
    noteLeft(left, emit)
  }
}

/** Says what personal data is learned along with plain text. */
export function noteLeft(left: LeftIn, emit: Emit): void {
  const found = String(left)
  if (!found) return
  const remedy = '`privacy: true` (--privacy) takes it out, and `gptloom scrub IN OUT` shows it'
  emit({ type: 'notice', message: `left in plain text: ${found}; ${remedy}` })
}
