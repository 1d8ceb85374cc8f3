// Prepared examples on disk: every token with whether it is learned, and the row that it came from.
import { open, readFile } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { GptloomError, checkInteger } from '../errors.js'
import { AtomicFile, guarded, readFully, writeFileAtomic } from '../files.js'
import type { Rendered } from '../tokenizer/template.js'
import { TokenFile, TokenWriter } from './tokens.js'

/*
 * Beside the tokens (see tokens.ts) lie
 *
 *     NAME.learn   one bit a token, the lowest bit first: 1 when the token is learned
 *     NAME.index   40 bytes an example, little endian:
 *          0  u64  first token        8  u32  tokens          12  u32  bytes of learned text
 *         16  u64  line              24  u32  row             28  u32  source
 *         32  u32  learned tokens that are targets            36  u32  0
 *     NAME.parts   one byte an example: 0 for training, 1 for validation
 */
const ENTRY = 40

/** Learned tokens that are targets: the first one never is. */
export function targets(learn: Uint8Array): number {
  let sum = 0
  for (let i = 1; i < learn.length; i++) sum += learn[i]!
  return sum
}

/** Where an example came from: a source by its number, and the line and row there. */
export interface ExampleOrigin {
  source: number
  line: number
  row: number
}

/** What is added to a file of examples. */
export interface EncodedExample extends Rendered {
  origin: ExampleOrigin
  /** Bytes of the text that the learned tokens stand for. */
  learnedBytes: number
}

/** Bits, or entries, that are gathered before they are written. */
const PIECE = 1 << 16

/** Writes examples as they come; the files appear when finish() succeeds. */
export class ExampleWriter {
  count = 0
  #bits = new Uint8Array(PIECE)
  #bit = 0
  #entries = Buffer.alloc(ENTRY * 1024)
  #entry = 0

  private constructor(
    private readonly tokens: TokenWriter,
    private readonly learn: AtomicFile,
    private readonly index: AtomicFile,
    private readonly partsPath: string,
  ) {}

  /**
   * @param size size of the vocabulary
   * @throws GptloomError ERR_FILE when the file system refuses
   */
  static async create(folder: string, name: string, size: number): Promise<ExampleWriter> {
    const path = (extension: string) => join(folder, `${name}.${extension}`)
    const files: { abort(): Promise<void> }[] = []
    try {
      const tokens = await TokenWriter.create(path('tokens'), size)
      files.push(tokens)
      const learn = await AtomicFile.create(path('learn'))
      files.push(learn)
      const index = await AtomicFile.create(path('index'))
      return new ExampleWriter(tokens, learn, index, path('parts'))
    } catch (error) {
      for (const file of files) await file.abort()
      throw error
    }
  }

  async add({ tokens, learn, origin, learnedBytes }: EncodedExample): Promise<void> {
    const entry = this.#entries
    const at = this.#entry
    entry.writeBigUInt64LE(BigInt(this.tokens.count), at)
    entry.writeUInt32LE(tokens.length, at + 8)
    entry.writeUInt32LE(learnedBytes, at + 12)
    entry.writeBigUInt64LE(BigInt(origin.line), at + 16)
    entry.writeUInt32LE(origin.row, at + 24)
    entry.writeUInt32LE(origin.source, at + 28)
    entry.writeUInt32LE(targets(learn), at + 32)
    this.#entry += ENTRY
    if (this.#entry === entry.length) await this.#flushEntries()
    await this.tokens.write(tokens)
    for (let i = 0; i < learn.length; i++) {
      if (learn[i]) this.#bits[this.#bit >> 3]! |= 1 << (this.#bit & 7)
      if (++this.#bit === 8 * PIECE) await this.#flushBits()
    }
    this.count++
  }

  /**
   * @param bytes bytes of the text that all tokens stand for
   * @param parts for each example, 0 for training and 1 for validation
   */
  async finish(bytes: number, parts: Uint8Array): Promise<void> {
    checkInteger('parts.length', parts.length, this.count, this.count)
    await writeFileAtomic(this.partsPath, parts)
    await this.#flushBits()
    await this.#flushEntries()
    await this.learn.commit()
    await this.index.commit()
    await this.tokens.finish(bytes)
  }

  /** Gives up; does nothing after finish(). Never throws. */
  async abort(): Promise<void> {
    await Promise.all([this.tokens.abort(), this.learn.abort(), this.index.abort()])
  }

  async #flushBits(): Promise<void> {
    await this.learn.write(this.#bits.subarray(0, (this.#bit + 7) >> 3))
    this.#bits.fill(0)
    this.#bit = 0
  }

  async #flushEntries(): Promise<void> {
    await this.index.write(this.#entries.subarray(0, this.#entry))
    this.#entry = 0
  }
}

/** What is known of an example besides its tokens. */
export interface ExampleEntry {
  origin: ExampleOrigin
  /** Its tokens that are targets, and the bytes of the text that they stand for. */
  learnedTokens: number
  learnedBytes: number
}

/** Tokens to learn, and bytes of the text that they stand for. */
export interface Learned {
  tokens: number
  bytes: number
}

/** What is held in memory of the examples: 3 bytes each, or 5 where some are very long. */
interface Index {
  lengths: Uint16Array | Uint32Array
  parts: Uint8Array
  /** Of all examples of each part. */
  learned: [Learned, Learned]
}

/** Examples that an ExampleWriter has written, any of them at any time. */
export class ExampleFile {
  private constructor(
    readonly tokens: TokenFile,
    private readonly learn: FileHandle,
    private readonly entries: FileHandle,
    private readonly index: Index,
    private readonly path: (extension: string) => string,
  ) {}

  /** @throws GptloomError ERR_FILE when a file cannot be read, ERR_FORMAT when one is damaged */
  static async open(folder: string, name: string): Promise<ExampleFile> {
    const path = (extension: string) => join(folder, `${name}.${extension}`)
    const tokens = await TokenFile.open(path('tokens'))
    const opened: FileHandle[] = []
    const openOne = async (extension: string) => {
      const file = await guarded(path(extension), 'open', open(path(extension), 'r'))
      opened.push(file)
      return file
    }
    try {
      const learn = await openOne('learn')
      const { size } = await guarded(path('learn'), 'read', learn.stat())
      if (size !== Math.ceil(tokens.count / 8)) throw damaged(path('learn'))
      const parts = await guarded(path('parts'), 'read', readFile(path('parts')))
      if (parts.some((part) => part > 1)) throw damaged(path('parts'))
      const entries = await openOne('index')
      const index = await readIndex(entries, path, tokens.count, parts)
      return new ExampleFile(tokens, learn, entries, index, path)
    } catch (error) {
      await tokens.close()
      for (const file of opened) await file.close()
      throw error
    }
  }

  /** Number of examples. */
  get count(): number {
    return this.index.lengths.length
  }

  /** Tokens of example i. */
  length(i: number): number {
    return this.index.lengths[i]!
  }

  /** 0 for training, 1 for validation. */
  part(i: number): number {
    return this.index.parts[i]!
  }

  /** What all examples of a part teach. */
  learned(part: 0 | 1): Learned {
    return this.index.learned[part]
  }

  /** Where example i came from, and what it teaches. */
  async entry(i: number): Promise<ExampleEntry> {
    const entry = await this.#entry(i)
    const line = Number(entry.readBigUInt64LE(16))
    return {
      origin: { source: entry.readUInt32LE(28), line, row: entry.readUInt32LE(24) },
      learnedTokens: entry.readUInt32LE(32),
      learnedBytes: entry.readUInt32LE(12),
    }
  }

  /** The source of every example. */
  async sources(): Promise<Uint32Array> {
    const sources = new Uint32Array(this.count)
    await scanIndex(this.entries, this.path('index'), (entry, i) => {
      if (i < sources.length) sources[i] = entry.readUInt32LE(28)
    })
    return sources
  }

  /** The tokens of example i, and which of them are learned. */
  async read(i: number): Promise<Rendered> {
    const length = this.length(i)
    const first = Number((await this.#entry(i)).readBigUInt64LE(0))
    const bits = new Uint8Array(Math.floor((first + length + 7) / 8) - Math.floor(first / 8))
    const learn = new Uint8Array(length)
    const path = this.path('learn')
    const [tokens, count] = await Promise.all([
      this.tokens.read(first, length, new Int32Array(length)),
      guarded(path, 'read', readFully(this.learn, bits, Math.floor(first / 8))),
    ])
    if (count < bits.length) throw damaged(path)
    for (let t = 0; t < length; t++) {
      const bit = (first % 8) + t
      learn[t] = (bits[bit >> 3]! >> (bit & 7)) & 1
    }
    return { tokens, learn }
  }

  async close(): Promise<void> {
    await this.tokens.close()
    await this.learn.close()
    await this.entries.close()
  }

  async #entry(i: number): Promise<Buffer> {
    const path = this.path('index')
    const entry = Buffer.alloc(ENTRY)
    if ((await guarded(path, 'read', readFully(this.entries, entry, i * ENTRY))) < ENTRY)
      throw damaged(path)
    return entry
  }
}

/** Reads the index, checking that the examples lie one after another and cover the tokens. */
async function readIndex(
  file: FileHandle,
  pathOf: (extension: string) => string,
  tokens: number,
  parts: Uint8Array,
): Promise<Index> {
  const path = pathOf('index')
  const { size } = await guarded(path, 'read', file.stat())
  const count = size / ENTRY
  if (!Number.isInteger(count) || count > 2 ** 31) throw damaged(path)
  if (count !== parts.length) throw damaged(pathOf('parts'))
  let lengths: Index['lengths'] = new Uint16Array(count)
  const learned: Index['learned'] = [
    { tokens: 0, bytes: 0 },
    { tokens: 0, bytes: 0 },
  ]
  let next = 0
  const read = await scanIndex(file, path, (entry, i) => {
    if (i >= count || Number(entry.readBigUInt64LE(0)) !== next) throw damaged(path)
    const length = entry.readUInt32LE(8)
    if (length > 0xffff && lengths instanceof Uint16Array) lengths = Uint32Array.from(lengths)
    lengths[i] = length
    next += length
    const part = learned[parts[i]!]!
    part.bytes += entry.readUInt32LE(12)
    part.tokens += entry.readUInt32LE(32)
  })
  if (read !== count || next !== tokens) throw damaged(path)
  return { lengths, parts, learned }
}

/** Shows every entry of an index; returns how many there are. */
async function scanIndex(
  file: FileHandle,
  path: string,
  see: (entry: Buffer, i: number) => void,
): Promise<number> {
  const piece = Buffer.alloc(ENTRY * 4096)
  let count = 0
  for (;;) {
    const read = await guarded(path, 'read', readFully(file, piece, count * ENTRY))
    for (let at = 0; at + ENTRY <= read; at += ENTRY) see(piece.subarray(at, at + ENTRY), count++)
    if (read < piece.length) return count
  }
}

function damaged(path: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path} does not go with the tokens beside it`)
}
