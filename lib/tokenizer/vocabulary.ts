import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GptloomError, show } from '../errors.js'
import { root } from '../package.js'
import { BpeTokenizer } from './bpe.js'
import { byteOrder } from './bytes.js'
import { Merges } from './merges.js'
import { END_OF_TEXT } from './tokenizer.js'

const TOKENS = 50256

let gpt2: Promise<BpeTokenizer> | undefined

/**
 * GPT-2's vocabulary: 50257 ids, the same as in every GPT-2 checkpoint. Read once, from the
 * package's own assets.
 * @throws {GptloomError} ERR_FILE when the asset is missing, ERR_FORMAT when it is damaged
 */
export function gpt2Tokenizer(): Promise<BpeTokenizer> {
  gpt2 ??= readGpt2(join(root, 'assets', 'gpt2.tiktoken'))
  gpt2.catch(() => {
    gpt2 = undefined
  })
  return gpt2
}

/**
 * Reads GPT-2's vocabulary from a file of one line a token: base64 of its bytes, a space, its id.
 */
export async function readGpt2(path: string): Promise<BpeTokenizer> {
  let text: string
  try {
    text = await readFile(path, 'latin1')
  } catch (cause) {
    throw new GptloomError(
      'ERR_FILE',
      `The vocabulary of GPT-2 cannot be read from ${path}: the package is ` +
        'incomplete. Install it again, or in a checkout of its source run `npm run build:assets`',
      { cause },
    )
  }
  const lines = text.trimEnd().split('\n')
  const damaged = (what: string) => new GptloomError('ERR_FORMAT', `${path}: ${what}`)
  if (lines.length !== TOKENS) throw damaged(`expected ${TOKENS} lines, received ${lines.length}`)
  const tokens: string[] = []
  for (const [index, line] of lines.entries()) {
    const space = line.indexOf(' ')
    if (space < 1 || line.slice(space + 1).trimEnd() !== String(index)) {
      throw damaged(
        `line ${index + 1}: expected a token and the id ${index}, received ${show(line)}`,
      )
    }
    tokens.push(Buffer.from(line.slice(0, space), 'base64').toString('latin1'))
  }
  const merges = recoverMerges(tokens)
  if (typeof merges === 'string') throw damaged(merges)
  tokens.push(END_OF_TEXT)
  return new BpeTokenizer('gpt2', tokens, merges, new Map([[END_OF_TEXT, TOKENS]]))
}

/**
 * The merges behind tokens whose ids are their ranks, or what is wrong with them. The merges before
 * a token bring its bytes down to two parts, and these are what its own merge joins.
 */
function recoverMerges(tokens: readonly string[]): Merges | string {
  const byteIds = new Int32Array(256)
  for (const [id, byte] of byteOrder.entries()) {
    if (tokens[id] !== String.fromCharCode(byte)) return `expected the byte ${byte} at id ${id}`
    byteIds[byte] = id
  }
  const merges = new Merges()
  const parts = new Int32Array(256)
  for (let id = 256; id < tokens.length; id++) {
    const token = tokens[id]!
    if (token.length > parts.length) return `the token ${id} is longer than ${parts.length} bytes`
    for (let i = 0; i < token.length; i++) parts[i] = byteIds[token.charCodeAt(i)]!
    if (merges.apply(parts, token.length) !== 2) {
      return `the token ${id} does not join two tokens before it`
    }
    merges.add(parts[0]!, parts[1]!, id)
  }
  return merges
}
