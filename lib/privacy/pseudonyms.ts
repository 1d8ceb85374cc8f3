// Stand-ins: the same person gets the same invented one through a whole data set, and who has the
// key file can put the originals back.
import { createHmac, randomBytes } from 'node:crypto'
import { open, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { GptloomError, wrongType } from '../errors.js'
import { exists, guarded, readJson, syncFolder } from '../files.js'
import { isWordCode } from './scan.js'

const FORMAT = 'gptloom pseudonyms'
const VERSION = 1
const SECRET_BYTES = 32
const LARGEST_KEY_FILE = 1 << 30
const PREFIX = 3

// Syllables of names that nobody has.
const ONSETS = 'b br d dr f fl g gr h j k kl l m n p pl r s st t tr v w z'.split(' ')
const VOWELS = 'a e i o u ai'.split(' ')
const MIDDLES = 'b d f g k l ld lm lt m n nd nt p r rd rk rn s sk st t v'.split(' ')
const CODAS = 'k l m n nd r rt s sk t th x'.split(' ')

interface Entry {
  kind: string
  original: string
  standIn: string
}

const keyOf = (kind: string, text: string) => `${kind}\0${text}`

/**
 * The table of stand-ins and the secret that they are derived from. With the same secret a text
 * gets the same stand-in in every run, unless two texts would get one and the same: then the later
 * one gets another. The table grows with the number of different texts, about 200 bytes each.
 */
export class Pseudonyms {
  readonly secret: Buffer
  readonly #byOriginal = new Map<string, string>()
  readonly #byStandIn = new Map<string, Entry>()
  // Lengths of the stand-ins by their first characters, the longest first.
  readonly #lengths = new Map<string, number[]>()

  /** @param secret 32 bytes; default: random ones */
  constructor(secret: Uint8Array = randomBytes(SECRET_BYTES)) {
    if (!(secret instanceof Uint8Array) || secret.length !== SECRET_BYTES)
      throw wrongType(`${SECRET_BYTES} bytes`, 'secret', secret)
    this.secret = Buffer.from(secret)
  }

  /**
   * Opens a key file, or begins a new one where there is none: nothing is written before save().
   *
   * @throws GptloomError('ERR_FILE') when it cannot be read, or others than its owner could read it;
   *   ERR_FORMAT when it is no key file
   */
  static async open(path: string): Promise<Pseudonyms> {
    if (!(await exists(path))) return new Pseudonyms()
    const { mode, size } = await guarded(path, 'read', stat(path))
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      const found = (mode & 0o777).toString(8)
      throw new GptloomError(
        'ERR_FILE',
        `The key file ${path} can be read by others (mode ${found}): run chmod 600 on it`,
      )
    }
    const damaged = (what: string) =>
      new GptloomError('ERR_FORMAT', `${path} is not a key file for pseudonyms: ${what}`)
    if (size > LARGEST_KEY_FILE) throw damaged(`it has ${size} bytes`)
    const value = (await readJson(path)) as Record<string, unknown> | null
    if (value?.format !== FORMAT) throw damaged(`its format is not "${FORMAT}"`)
    if (value.version !== VERSION) throw damaged(`its version is not ${VERSION}`)
    if (typeof value.secret !== 'string' || !/^[\da-f]{64}$/.test(value.secret))
      throw damaged('its secret is not 64 hex digits')
    const pseudonyms = new Pseudonyms(Buffer.from(value.secret, 'hex'))
    if (!Array.isArray(value.entries)) throw damaged('it has no entries')
    for (const entry of value.entries as unknown[]) {
      const isEntry = Array.isArray(entry) && entry.length === 3
      if (!isEntry || entry.some((text) => typeof text !== 'string' || text === ''))
        throw damaged('an entry is not a kind, an original and a stand-in')
      const [kind, original, standIn] = entry as [string, string, string]
      pseudonyms.#set({ kind, original, standIn })
    }
    return pseudonyms
  }

  /**
   * Writes the key file: readable for its owner only, and never half-written.
   *
   * @throws GptloomError('ERR_FILE') when the file system refuses
   */
  async save(path: string): Promise<void> {
    const entries = [...this.#byOriginal].map(([key, standIn]) => {
      const end = key.indexOf('\0')
      return [key.slice(0, end), key.slice(end + 1), standIn]
    })
    const temporary = join(dirname(path), `.${basename(path).slice(0, 50)}.${process.pid}.0.tmp`)
    const file = await guarded(path, 'write', open(temporary, 'wx', 0o600))
    try {
      await file.write(
        `{"format":"${FORMAT}","version":${VERSION},"secret":"${this.secret.toString('hex')}","entries":[\n`,
      )
      for (let i = 0; i < entries.length; i += 1000) {
        const lines = entries.slice(i, i + 1000).map((entry) => JSON.stringify(entry))
        await file.write((i === 0 ? '' : ',\n') + lines.join(',\n'))
      }
      await file.write('\n]}\n')
      await file.sync()
      await file.close()
      await guarded(path, 'write', rename(temporary, path))
      await syncFolder(dirname(path))
    } catch (error) {
      await file.close().catch(() => {})
      await unlink(temporary).catch(() => {})
      return guarded(path, 'write', Promise.reject(error))
    }
  }

  /** How many different texts have a stand-in. */
  get size(): number {
    return this.#byOriginal.size
  }

  /** What stands for a text: always the same, and for no other text. */
  standIn(kind: string, text: string): string {
    if (kind === 'person') return this.#names(text)
    const known = this.#byOriginal.get(keyOf(kind, text))
    if (known !== undefined) return known
    for (let attempt = 0; ; attempt++) {
      const standIn = this.#invent(kind, text, attempt)
      if (this.#byStandIn.has(standIn.toLowerCase())) continue
      this.#set({ kind, original: text, standIn })
      return standIn
    }
  }

  /**
   * The text with the originals in the place of their stand-ins. Names come back in the case in
   * which they were first met.
   */
  reverse(text: string): string {
    let result = ''
    let done = 0
    for (let i = 0; i < text.length;) {
      const isStart = i === 0 || !isWordCode(text.charCodeAt(i - 1))
      const entry = isStart ? this.#at(text, i) : undefined
      if (entry) {
        result += text.slice(done, i) + recased(entry, text.slice(i, i + entry.standIn.length))
        i = done = i + entry.standIn.length
      } else i++
    }
    return result + text.slice(done)
  }

  /** The longest stand-in at a place, ending where a word does. */
  #at(text: string, start: number): Entry | undefined {
    const first = text.slice(start, start + PREFIX).toLowerCase()
    for (const length of this.#lengths.get(first) ?? []) {
      const end = start + length
      if (isWordCode(text.charCodeAt(end)) && isWordCode(text.charCodeAt(end - 1))) continue
      const entry = this.#byStandIn.get(text.slice(start, end).toLowerCase())
      if (entry) return entry
    }
    return undefined
  }

  #set(entry: Entry): void {
    this.#byOriginal.set(keyOf(entry.kind, entry.original), entry.standIn)
    this.#byStandIn.set(entry.standIn.toLowerCase(), entry)
    const first = entry.standIn.slice(0, PREFIX).toLowerCase()
    const lengths = this.#lengths.get(first) ?? []
    if (lengths.includes(entry.standIn.length)) return
    this.#lengths.set(
      first,
      [...lengths, entry.standIn.length].sort((a, b) => b - a),
    )
  }

  /** Every word of a name by itself, so that a part of the name stands for the same part. */
  #names(text: string): string {
    return text.replace(/[\p{L}\p{M}]{2,}/gu, (word) =>
      PARTICLES.has(word) ? word : this.#nameWord(word),
    )
  }

  #nameWord(word: string): string {
    const key = keyOf('name', word.toLowerCase())
    let standIn = this.#byOriginal.get(key)
    for (let attempt = 0; standIn === undefined; attempt++) {
      const made = this.#word(word.toLowerCase(), attempt)
      if (this.#byStandIn.has(made)) continue
      this.#set({ kind: 'name', original: word.toLowerCase(), standIn: made })
      standIn = made
    }
    return inCaseOf(word, standIn)
  }

  #invent(kind: string, text: string, attempt: number): string {
    const digits = (count: number) => this.#digits(`${kind}\0${text}`, attempt, count)
    const bytes = this.#bytes(`${kind}\0${text}`, attempt)
    if (kind === 'email') return this.#email(text, attempt)
    // No country has the code 999, no card begins with 99, no IBAN has the check digits 00.
    if (kind === 'phone') return `+999 ${digits(3)} ${digits(3)} ${digits(4)}`
    if (kind === 'card') return `9999 ${digits(4)} ${digits(4)} ${digits(4)}`
    if (kind === 'iban') return `${text.slice(0, 2).toUpperCase()}00${digits(16)}`
    // The addresses that RFC 1112 keeps for later, and those that RFC 3849 keeps for documents.
    if (kind === 'ip' && text.includes(':'))
      return `2001:db8:${bytes.toString('hex', 0, 6).replace(/.{4}(?!$)/g, '$&:')}::1`
    if (kind === 'ip') return `${240 + (bytes[0]! % 15)}.${bytes[1]}.${bytes[2]}.${bytes[3]}`
    // The bit for addresses that no maker has given out is set.
    if (kind === 'mac') return `02:${bytes.toString('hex', 0, 5).replace(/..(?!$)/g, '$&:')}`
    return `${kind.toUpperCase()}-${base32(bytes)}`
  }

  /** The words of the local part as in names: anna.keller@acme.de is who Anna Keller is. */
  #email(text: string, attempt: number): string {
    const at = text.lastIndexOf('@')
    if (at < 0) return `EMAIL-${base32(this.#bytes(`email\0${text}`, attempt))}`
    const local = text
      .slice(0, at)
      .replace(/\p{L}{2,}|\d+/gu, (part) =>
        /\d/.test(part)
          ? this.#digits(`email digits\0${part}`, attempt, part.length)
          : this.#nameWord(part),
      )
    const host = this.#word(`host\0${text.slice(at + 1).toLowerCase()}`, 0)
    const number = attempt === 0 ? '' : `-${attempt + 1}`
    return `${local}${number}@${host}.example`
  }

  /** A word of three syllables; there are about 31 million. */
  #word(text: string, attempt: number): string {
    const bytes = this.#bytes(`word\0${text}`, attempt)
    const pick = (list: readonly string[], at: number) =>
      list[bytes.readUInt16LE(at) % list.length]!
    const syllables = [ONSETS, VOWELS, MIDDLES, VOWELS, MIDDLES, VOWELS, CODAS]
    return syllables.map((list, i) => pick(list, 2 * i)).join('')
  }

  #digits(text: string, attempt: number, count: number): string {
    const bytes = this.#bytes(`digits\0${text}`, attempt)
    return Array.from({ length: count }, (_, i) => bytes[i % bytes.length]! % 10).join('')
  }

  #bytes(text: string, attempt: number): Buffer {
    return createHmac('sha256', this.secret).update(`${attempt}\0${text}`).digest()
  }
}

const PARTICLES = new Set(
  'van von der den de del della di da dos das do du la le ten ter zu bin al el'.split(' '),
)

function base32(bytes: Buffer): string {
  return Array.from(
    bytes.subarray(0, 10),
    (byte) => 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'[byte & 31],
  ).join('')
}

/** A stand-in written as the original is: ANNA, Anna, anna. */
function inCaseOf(word: string, standIn: string): string {
  if (word.length > 1 && word === word.toUpperCase()) return standIn.toUpperCase()
  return word[0] === word[0]!.toUpperCase() ? standIn[0]!.toUpperCase() + standIn.slice(1) : standIn
}

function recased({ kind, original }: Entry, found: string): string {
  return kind === 'name' ? inCaseOf(found, original) : original
}
