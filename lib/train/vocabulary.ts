import { openText } from '../data/index.js'
import { characterTokenizer, gpt2Tokenizer, trainTokenizer } from '../tokenizer/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import { AbortError } from '../errors.js'
import type { PrepareEvent } from './events.js'
import type { Settings } from './options.js'

/** Learning a vocabulary gains nothing from text beyond this. */
export const MOST_BYTES = 100e6
/** Distinct words that are counted, 75 MB of them: merges come from the frequent ones. */
export const MOST_WORDS = 2 ** 18

/**
 * The tokenizer that the settings ask for; 'auto' is GPT-2's for the gpt2 presets, and else a BPE
 * vocabulary learned from the data, the larger the more text there is: a small model must not spend its
 * weights on words it sees once.
 */
export async function chooseTokenizer(
  settings: Settings,
  emit: (event: PrepareEvent) => void,
): Promise<Tokenizer> {
  const { tokenizer, data } = settings
  if (typeof tokenizer === 'object' && 'encode' in tokenizer) return tokenizer
  if (presetTokenizer(settings)) return gpt2Tokenizer()
  const source = await openText(data as string | readonly string[])
  const total = Math.min(source.bytes, tokenizer === 'character' ? Infinity : MOST_BYTES)
  const text = chunks(source, total, settings.signal, (progress) => {
    emit({ type: 'prepare', phase: 'vocabulary', progress })
  })
  if (tokenizer === 'character') return characterTokenizer(text)
  const size = typeof tokenizer === 'object' ? tokenizer.size : sizeFor(source.bytes)
  return trainTokenizer(text, { size, maxWords: MOST_WORDS, signal: settings.signal })
}

/** Whether the vocabulary is GPT-2's: asked for, or because of the model. */
export function presetTokenizer({ tokenizer, model }: Settings): boolean {
  const preset = typeof model === 'string' ? model : (model?.preset ?? '')
  return tokenizer === 'gpt2' || (tokenizer === 'auto' && preset.startsWith('gpt2'))
}

/** A vocabulary's size for so many bytes of text. */
export function sizeFor(bytes: number): number {
  if (bytes < 1e5) return 512
  if (bytes < 5e5) return 1024
  if (bytes < 3e6) return 2048
  if (bytes < 2e7) return 4096
  return bytes < 2e8 ? 8192 : 32768
}

async function* chunks(
  source: Awaited<ReturnType<typeof openText>>,
  total: number,
  signal: AbortSignal | undefined,
  progress: (share: number) => void,
): AsyncGenerator<string> {
  let read = 0
  for await (const { text } of source) {
    for await (const chunk of text) {
      if (signal?.aborted)
        throw new AbortError('Stopped while learning the vocabulary', undefined, {
          cause: signal.reason,
        })
      yield chunk
      read += chunk.length
      progress(Math.min(1, read / total))
      if (read >= total) return
    }
    yield '\n' // no word spans two documents
  }
}
