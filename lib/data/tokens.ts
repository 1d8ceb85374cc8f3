import { open } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { GptloomError, checkInteger, outOfRange } from '../errors.js'
import { AtomicFile, guarded, readFully } from '../files.js'

/**
 * A file of tokens, little endian:
 *
 *     0  8 bytes  'GPTLOOMT'
 *     8  u32      version, 1
 *    12  u32      bytes a token: 2 when every id fits, else 4
 *    16  u64      number of tokens
 *    24  u64      bytes of the text that they stand for
 *    32  u64      size of the vocabulary: every token is below it
 *    40           zeros
 *    64           the tokens
 */
const MAGIC = 'GPTLOOMT'
const VERSION = 1
const HEADER = 64
const BUFFER = 1 << 20
/** Bytes of tokens that are held in memory: the batches of a short text read all over it. */
const HELD = 1 << 20

/** Writes a token file as the tokens come; the file appears when finish() succeeds. */
export class TokenWriter {
  /** Tokens written so far. */
  count = 0
  readonly #buffer = new ArrayBuffer(BUFFER)
  readonly #width: number
  readonly #slots: Uint16Array | Int32Array
  #used = 0

  private constructor(
    private readonly file: AtomicFile,
    readonly size: number,
  ) {
    this.#width = size <= 65536 ? 2 : 4
    this.#slots = this.#width === 2 ? new Uint16Array(this.#buffer) : new Int32Array(this.#buffer)
  }

  /**
   * @param path where the file will appear
   * @param size size of the vocabulary: tokens are 0 to size - 1
   * @throws GptloomError('ERR_FILE') when the file system refuses
   */
  static async create(path: string, size: number): Promise<TokenWriter> {
    checkInteger('size', size, 1, 2 ** 31)
    const file = await AtomicFile.create(path)
    file.position = HEADER
    return new TokenWriter(file, size)
  }

  /** @throws RangeError for a token outside the vocabulary */
  async write(tokens: Int32Array): Promise<void> {
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!
      if (token < 0 || token >= this.size) {
        throw outOfRange(`an integer from 0 to ${this.size - 1}`, 'a token', token)
      }
      this.#slots[this.#used++] = token
      if (this.#used === this.#slots.length) await this.#flush()
    }
    this.count += tokens.length
  }

  /**
   * Writes what is left and makes the file appear.
   * @param bytes bytes of the text that the tokens stand for
   */
  async finish(bytes: number): Promise<void> {
    await this.#flush()
    const header = Buffer.alloc(HEADER)
    header.write(MAGIC, 'latin1')
    header.writeUInt32LE(VERSION, 8)
    header.writeUInt32LE(this.#width, 12)
    header.writeBigUInt64LE(BigInt(this.count), 16)
    header.writeBigUInt64LE(BigInt(bytes), 24)
    header.writeBigUInt64LE(BigInt(this.size), 32)
    await this.file.writeAt(header, 0)
    await this.file.commit()
  }

  /** Gives up; does nothing after finish(). Never throws. */
  async abort(): Promise<void> {
    await this.file.abort()
  }

  async #flush(): Promise<void> {
    await this.file.write(new Uint8Array(this.#buffer, 0, this.#used * this.#width))
    this.#used = 0
  }
}

/** A token file open for reading, any part at any time; it may be larger than memory. */
export class TokenFile {
  private constructor(
    readonly path: string,
    /** Number of tokens. */
    readonly count: number,
    /** Bytes of the text that the tokens stand for. */
    readonly bytes: number,
    /** Size of the vocabulary. */
    readonly size: number,
    private readonly width: number,
    private readonly file: FileHandle,
    /** All of it, where that is little. */
    private readonly held: Uint8Array | undefined,
  ) {}

  /**
   * @throws GptloomError('ERR_FILE') when it cannot be read, ERR_FORMAT when it is damaged or no
   *   token file
   */
  static async open(path: string): Promise<TokenFile> {
    const file = await guarded(path, 'open', open(path, 'r'))
    try {
      const header = Buffer.alloc(HEADER)
      const read = await guarded(path, 'read', readFully(file, header, 0))
      if (read < HEADER || header.toString('latin1', 0, 8) !== MAGIC) {
        throw damaged(path, `it does not begin with a ${HEADER}-byte header`)
      }
      const version = header.readUInt32LE(8)
      if (version !== VERSION) throw damaged(path, `its version is ${version}, expected ${VERSION}`)
      const width = header.readUInt32LE(12)
      const [count, bytes, size] = [16, 24, 32].map((at) => Number(header.readBigUInt64LE(at)))
      if (size! < 1 || size! > 2 ** 31 || width !== (size! <= 65536 ? 2 : 4)) {
        throw damaged(path, `a vocabulary of ${size} does not go with ${width} bytes a token`)
      }
      const found = (await guarded(path, 'read', file.stat())).size
      const expected = HEADER + count! * width
      if (found !== expected || !Number.isSafeInteger(bytes)) {
        throw damaged(path, `it is ${found} bytes long, expected ${expected} for ${count} tokens`)
      }
      const held = count! * width <= HELD ? new Uint8Array(count! * width) : undefined
      if (held) await readAll(path, file, held, HEADER)
      return new TokenFile(path, count!, bytes!, size!, width, file, held)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /**
   * Reads tokens [offset, offset + length) into the first places of `into`. Several reads may be
   * under way at once.
   *
   * @throws RangeError when they are not all in the file and in `into`; GptloomError('ERR_FORMAT')
   *   when one is outside the vocabulary
   */
  async read(offset: number, length: number, into: Int32Array): Promise<Int32Array> {
    checkInteger('offset', offset, 0, this.count)
    checkInteger('length', length, 0, Math.min(this.count - offset, into.length))
    const target = into.subarray(0, length)
    const stored = this.width === 4 ? target : new Uint16Array(length)
    const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength)
    const start = offset * this.width
    if (this.held) bytes.set(this.held.subarray(start, start + bytes.length))
    else await readAll(this.path, this.file, bytes, HEADER + start)
    if (stored !== target) target.set(stored)
    for (let i = 0; i < length; i++) {
      const token = target[i]!
      if (token >= 0 && token < this.size) continue
      throw damaged(this.path, `token ${offset + i} is ${token}, expected 0 to ${this.size - 1}`)
    }
    return into
  }

  /** Closes the file once the reads under way have ended. */
  async close(): Promise<void> {
    await this.file.close()
  }
}

async function readAll(
  path: string,
  file: FileHandle,
  into: Uint8Array,
  position: number,
): Promise<void> {
  const count = await guarded(path, 'read', readFully(file, into, position))
  if (count < into.length) throw damaged(path, 'it became shorter since it was opened')
}

function damaged(path: string, what: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path} is not a valid token file: ${what}`)
}
