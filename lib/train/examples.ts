// Conversations, prompts with answers and rows of text as a corpus of packed examples.
import { mkdir, rm } from 'node:fs/promises'
import { join, sep } from 'node:path'
import {
  ExampleFile,
  LeftIn,
  PackedLoader,
  RECORD,
  Spool,
  cleanRows,
  encodeExamples,
  exampleScrubber,
  findSources,
  openExamples,
  prepareWith,
  readBatches,
  helpersFor,
} from '../data/index.js'
import type { CleanOptions, EncodedExamples, Mixed } from '../data/index.js'
import { AbortError, GptloomError } from '../errors.js'
import { exists, guarded, writeFileAtomic } from '../files.js'
import type { GPT2Config } from '../models/index.js'
import { Scrubber } from '../privacy/index.js'
import {
  BpeTokenizer,
  END_OF_TEXT,
  characterTokenizer,
  chatTemplate,
  chatml,
  gpt2Tokenizer,
  loadTokenizer,
  plainTemplate,
  trainTokenizer,
} from '../tokenizer/index.js'
import type { ChatTemplate, Tokenizer } from '../tokenizer/index.js'
import { cacheEntry, copyPrepared } from './cache.js'
import { noteLeft } from './corpus.js'
import type { Corpus, Cut, Emit, Source } from './corpus.js'
import { addon } from '../tensor/binding.js'
import { pathsOf } from './check.js'
import type { Settings } from './options.js'
import type { Prompt } from './probe.js'
import { MOST_BYTES, MOST_WORDS, presetTokenizer, sizeFor } from './vocabulary.js'

/** Rows of whatever people have. They are read once, into a spool, since a pipe can be read only once. */
export class ExampleSource implements Source {
  #spool: Spool | undefined
  /** How many rows of the corpus are conversations. */
  #chats = 0
  /** Where the cache has, or will have, what is made of these data. */
  #entry: Promise<string | undefined> | undefined

  /**
   * @param folder where the examples are kept
   * @param resumed whether they are there already
   */
  constructor(
    private readonly settings: Settings,
    private readonly folder: string,
    private readonly resumed: boolean,
    private readonly emit: Emit,
  ) {}

  async tokenizer(): Promise<Tokenizer> {
    const { tokenizer } = this.settings
    const cached = await this.#cached()
    if (cached) return loadTokenizer(cached)
    const spool = await this.#read()
    const special = spool.chats > 0 ? this.#specialOf() : []
    if (typeof tokenizer === 'object' && 'encode' in tokenizer)
      return tokenizer instanceof BpeTokenizer ? tokenizer.withSpecial(special) : tokenizer
    if (presetTokenizer(this.settings)) return (await gpt2Tokenizer()).withSpecial(special)
    const all = [...new Set([...special, END_OF_TEXT])]
    if (tokenizer === 'character')
      return characterTokenizer(this.#texts(spool, 1), { special: all })
    const size = typeof tokenizer === 'object' ? tokenizer.size : sizeFor(spool.bytes)
    const texts = this.#texts(spool, Math.ceil(spool.bytes / MOST_BYTES))
    const { signal } = this.settings
    return trainTokenizer(texts, { size, special: all, maxWords: MOST_WORDS, signal })
  }

  template(tokenizer: Tokenizer): ChatTemplate | undefined {
    // A model that learned no conversation must not be asked as if it had.
    return this.#chats > 0 ? this.#template(tokenizer) : undefined
  }

  #template(tokenizer: Tokenizer): ChatTemplate {
    const { template } = this.settings
    if (template === undefined)
      return chatml.special.every((name) => tokenizer.special.has(name)) ? chatml : plainTemplate
    return chatTemplate(template, {
      special: [...tokenizer.special.keys()],
      endOfText: tokenizer.endOfText === undefined ? undefined : END_OF_TEXT,
    })
  }

  async corpus(tokenizer: Tokenizer, config: GPT2Config, cut: Cut): Promise<Corpus> {
    const { folder, settings, emit } = this
    const { context } = config
    const { long, learn, signal } = settings
    const template = this.#template(tokenizer)
    const encode = async (): Promise<EncodedExamples> => {
      const spool = await this.#read()
      const split = { fraction: cut.validation, by: settings.split, seed: cut.seed }
      const onProgress = (done: number) =>
        emit({ type: 'prepare', phase: 'encode', progress: done / Math.max(1, spool.total) })
      const common = { spool, tokenizer, template, context, long, learn, folder, split }
      const onNotice = (message: string) => emit({ type: 'notice', message })
      const pathOf = await this.#pathOf()
      const helpers = this.#helpersFor(spool.bytes)
      return encodeExamples({ ...common, helpers, signal, onProgress, onNotice, pathOf })
    }
    const before = this.resumed ? await openExamples(folder) : await this.#fromCache(context)
    const encoded = before ?? (await encode())
    await this.dispose()
    const entry = await this.#entry
    if (entry && !before) await this.#keep(entry, tokenizer)
    this.#chats = encoded.chats
    const { file, ledger } = encoded
    try {
      const shares = await this.#shares(encoded)
      let places = 0
      for (const { examples } of shares) for (const i of examples) places += file.length(i)
      const batch = cut.batch(places)
      const common = { batch, context, seed: cut.seed, filler: tokenizer.endOfText }
      const train = new PackedLoader(file, shares, { ...common, micros: cut.accumulate })
      const validation = new PackedLoader(file, [{ examples: examplesOf(file, 1) }], common)
      return {
        batch,
        train: Object.assign(train, file.learned(0)),
        validation: Object.assign(validation, file.learned(1)),
        documents: file.count,
        ledger,
        padding: train.padding,
        prompts: (count, longest) => promptsOf(file, count, longest),
        ...(settings.weights && { sources: sourcesOf(settings, shares) }),
        close: () => file.close(),
      }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** What was made of these data before, for the same context; damaged, it is made again. */
  async #fromCache(context: number): Promise<EncodedExamples | undefined> {
    const entry = await this.#cached()
    if (!entry) return undefined
    try {
      await copyPrepared(entry, this.folder)
      const encoded = await openExamples(this.folder)
      if (encoded.context === context) {
        this.emit({ type: 'notice', message: `prepared before: taken from ${entry}` })
        return encoded
      }
      await encoded.file.close()
    } catch (error) {
      if ((error as GptloomError).code !== 'ERR_FORMAT') throw error
    }
    await rm(entry, { recursive: true, force: true })
    return undefined
  }

  /** Which of the paths in the settings led to a file. */
  async #pathOf(): Promise<(file: string) => number> {
    const paths = pathsOf(this.settings.data) ?? []
    const numbers = new Map<string, number>()
    for (const [i, path] of paths.entries()) {
      if (path === '-') numbers.set('stdin', i)
      else for (const source of await findSources([path])) numbers.set(source.path, i)
    }
    // The files of a Slack export lie below the folder that was found.
    const folders = [...numbers].map(([path, i]) => [`${path}${sep}`, i] as const)
    const below = (file: string) => folders.find(([folder]) => file.startsWith(folder))?.[1]
    return (file) => numbers.get(file) ?? below(file) ?? -1
  }

  /** The folder with what was made of these data before. */
  async #cached(): Promise<string | undefined> {
    const entry = await (this.#entry ??= cacheEntry(this.settings))
    return entry && (await exists(join(entry, RECORD))) ? entry : undefined
  }

  async #keep(entry: string, tokenizer: Tokenizer): Promise<void> {
    const files = Object.entries(tokenizer.files())
    for (const [name, text] of files) await writeFileAtomic(join(this.folder, name), text)
    try {
      await copyPrepared(this.folder, entry, { tokenizer: true })
    } finally {
      for (const [name] of files) await rm(join(this.folder, name), { force: true })
    }
  }

  /** The examples to learn from, by the paths that the settings give weights to. */
  async #shares({ file, paths }: EncodedExamples): Promise<Mixed[]> {
    const { weights } = this.settings
    const examples = examplesOf(file, 0)
    if (!weights) return [{ examples }]
    const sources = await file.sources()
    return [...weights.keys(), -1].map((number) => ({
      weight: weights[number] ?? 1,
      examples: examples.filter((i) => paths[sources[i]!] === number),
    }))
  }

  async dispose(): Promise<void> {
    await this.#spool?.remove()
    this.#spool = undefined
  }

  /** The special tokens that the vocabulary grows by. */
  #specialOf(): readonly string[] {
    const { template, tokenizer } = this.settings
    if (template === undefined || template === chatml.name) return chatml.special
    if (template === plainTemplate.name) return []
    const given = typeof tokenizer === 'object' && 'encode' in tokenizer ? tokenizer.special : []
    const special = [...new Set([...given].map(([name]) => name)).add(END_OF_TEXT)]
    return chatTemplate(template, { special, endOfText: END_OF_TEXT }).special
  }

  async #read(): Promise<Spool> {
    if (this.#spool) return this.#spool
    const { settings, emit, folder } = this
    const { data, format, columns, agents, duplicates, signal } = settings
    await guarded(folder, 'create', mkdir(folder, { recursive: true }))
    const spool = (this.#spool = await Spool.create(folder))
    const left = new LeftIn()
    const options = {
      ...(format !== undefined && { format }),
      ...(columns !== undefined && { columns }),
      ...(agents !== undefined && { agents }),
      signal,
      onNotice: ({ message }: { message: string }) => emit({ type: 'notice', message }),
      onProgress: ({ bytes, totalBytes }: { bytes: number; totalBytes: number }) =>
        emit({ type: 'prepare', phase: 'read', progress: totalBytes ? bytes / totalBytes : 0 }),
    }
    try {
      const sources = await findSources(pathsOf(data) ?? [])
      const helpers = this.#helpersFor(sources.reduce((sum, { bytes }) => sum + bytes, 0))
      const rules = { ...scrubOf(settings, left, helpers), duplicates }
      for await (const rows of cleanRows(readBatches(data, options), rules)) await spool.add(rows)
    } catch (error) {
      if (!(error instanceof AbortError)) throw error
      const what = 'Stopped while the data was read'
      throw new AbortError(what, undefined, { cause: error.cause })
    }
    if (spool.clean > 0) {
      noteLeft(left, emit)
      return spool
    }
    throw new GptloomError(
      'ERR_DATA',
      `There is nothing to learn from: none of ${spool.total} rows can be used. ` +
        `\`gptloom check\` says what is wrong with each. The first: ${spool.firstProblem}`,
    )
  }

  #helpersFor(bytes: number): number {
    return helpersFor(bytes, this.settings.threads ?? addon().cpu().threads)
  }

  /** The text of every nth row. */
  async *#texts(spool: Spool, n: number): AsyncGenerator<string> {
    const { emit } = this
    let rows = 0
    // What the template itself says must be in a vocabulary of characters too.
    yield 'system\nuser\nassistant\ntool\nSystem:\nUser:\nAssistant:\nTool:\n'
    for await (const text of spool.texts()) {
      if (rows++ % n > 0) continue
      yield `${text}\n`
      emit({ type: 'prepare', phase: 'vocabulary', progress: rows / spool.clean })
    }
  }
}

/** Personal data is taken out of conversations unless the settings say otherwise. */
function scrubOf(
  { privacy }: Settings,
  left: LeftIn,
  helpers: number,
): Pick<CleanOptions, 'scrub' | 'scrubText' | 'prepare'> {
  if (privacy === false) return { prepare: prepareWith(helpers, undefined, left) }
  const options = typeof privacy === 'object' ? privacy : {}
  const only = privacy === undefined ? 'chats' : 'all'
  // What is said about broken rows is for people: a placeholder will do, whatever the rules.
  const plain = new Scrubber()
  return {
    scrub: exampleScrubber(new Scrubber(options), only, left),
    scrubText: (text) => plain.scrub(text).text,
    prepare: prepareWith(helpers, { privacy: options, only }, left),
  }
}

function sourcesOf({ data, weights }: Settings, shares: readonly Mixed[]): Corpus['sources'] {
  return pathsOf(data)!.map((path, i) => {
    return { path, examples: shares[i]!.examples.length, weight: weights![i]! }
  })
}

function examplesOf(file: ExampleFile, part: number): Uint32Array {
  let [count, at] = [0, 0]
  for (let i = 0; i < file.count; i++) if (file.part(i) === part) count++
  const examples = new Uint32Array(count)
  for (let i = 0; i < file.count; i++) if (file.part(i) === part) examples[at++] = i
  return examples
}

async function promptsOf(file: ExampleFile, count: number, longest: number): Promise<Prompt[]> {
  const prompts: Prompt[] = []
  for (const i of examplesOf(file, 1)) {
    if (prompts.length === count) break
    const { tokens, learn } = await file.read(i)
    const first = learn.indexOf(1)
    // What is learned from its beginning asks nothing.
    if (first < 2 || first > longest) continue
    const end = learn.indexOf(0, first)
    const answer = (end < 0 ? learn.length : end) - first
    prompts.push({ tokens: Int32Array.from(tokens.subarray(0, first)), answer })
  }
  return prompts
}
