// From an example to tokens with a mask, within the context.
import { END_OF_TEXT, encodeSegments } from '../tokenizer/index.js'
import type { ChatMessage, ChatTemplate, Rendered, Segment, Tokenizer } from '../tokenizer/index.js'
import { GptloomError } from '../errors.js'
import type { CleanRow } from './clean.js'
import type { LedgerEntry } from './ledger.js'
import type { Example } from './record.js'

/**
 * What to do with an example of more tokens than the context holds. 'cut' drops its last turns, or the
 * end of its text; 'split' makes several of it; 'auto' cuts conversations and splits text.
 */
export type LongPolicy = 'auto' | 'cut' | 'split' | 'drop' | 'fail'
export const longPolicies: readonly LongPolicy[] = ['auto', 'cut', 'split', 'drop', 'fail']

export interface RenderSettings {
  tokenizer: Pick<Tokenizer, 'encode' | 'special' | 'endOfText'>
  template: ChatTemplate
  /** T: an example may have T + 1 tokens, the last one only as a target. */
  context: number
  long: LongPolicy
  /** 'answers' learns what the assistant says and completions; 'all' every token. */
  learn: 'answers' | 'all'
}

/** What became of an example. */
export type Outcome =
  | { parts: Rendered[]; change?: 'cut' | 'split' }
  | { parts: []; reason: 'too-long' | 'nothing-to-learn'; tokens: number }

/**
 * Tokenizes one example. No part is longer than the context + 1, and each has something to learn
 * behind its first token.
 * @throws GptloomError ERR_TEMPLATE when the template cannot render a conversation
 */
export function renderExample(example: Example, settings: RenderSettings): Outcome {
  const { context } = settings
  const whole = encode(example, settings)
  if (whole.tokens.length <= context + 1) {
    return learns(whole)
      ? { parts: [whole] }
      : { parts: [], reason: 'nothing-to-learn', tokens: whole.tokens.length }
  }
  const parts = shorten(example, whole, settings).filter(learns)
  if (parts.length === 0) return { parts: [], reason: 'too-long', tokens: whole.tokens.length }
  return { parts, change: parts.length > 1 ? 'split' : 'cut' }
}

/**
 * Tokenizes a clean row, and says what becomes of it: the ledger's line of a row that is kept, or of
 * one that is too long, teaches nothing, or is refused by the template. Then there are no parts.
 */
export function renderRow(
  { origin, example, redacted }: Extract<CleanRow, { example: Example }>,
  settings: RenderSettings,
): { parts: Rendered[]; entry: LedgerEntry } {
  const dropped = (reason: string, message: string) => {
    return { parts: [], entry: { ...origin, status: 'dropped', reason, message } as const }
  }
  let outcome: Outcome
  try {
    outcome = renderExample(example, settings)
  } catch (error) {
    if (!(error instanceof GptloomError && error.code === 'ERR_TEMPLATE')) throw error
    return dropped('template', error.message)
  }
  if ('reason' in outcome) {
    const { reason, tokens } = outcome
    const { context } = settings
    const long = `It has ${tokens} tokens, and ${context + 1} are the most for a context of ${context}`
    const nothing = 'It holds nothing to learn: no answer, or an empty one'
    return dropped(reason, reason === 'too-long' ? long : nothing)
  }
  const { parts, change } = outcome
  const entry: LedgerEntry = {
    ...origin,
    status: 'kept',
    ...(change === 'cut' && { cut: true }),
    ...(change === 'split' && { split: parts.length }),
    ...(redacted && { redacted }),
  }
  return { parts, entry }
}

function learns({ learn }: Rendered): boolean {
  return learn.indexOf(1, 1) > 0
}

function encode(example: Example, settings: RenderSettings): Rendered {
  if (example.kind === 'chat') return encodeChat(example.messages, settings)
  const { tokenizer } = settings
  const end: Segment[] =
    tokenizer.endOfText === undefined ? [] : [{ text: END_OF_TEXT, special: true, learn: true }]
  const text = (text: string, learn: boolean) => ({ text, special: false, learn })
  if (example.kind === 'text')
    return mask(encodeSegments(tokenizer, [text(example.text, true), ...end]), settings)
  if (example.kind === 'completion') {
    const both = [text(example.prompt, false), text(example.completion, true)]
    return mask(encodeSegments(tokenizer, [...both, ...end]), settings)
  }
  return encodeChat([...example.messages, { role: 'assistant', content: example.chosen }], settings)
}

function encodeChat(messages: readonly ChatMessage[], settings: RenderSettings): Rendered {
  return mask(encodeSegments(settings.tokenizer, settings.template.render(messages)), settings)
}

function mask(rendered: Rendered, { learn }: RenderSettings): Rendered {
  if (learn === 'all') rendered.learn.fill(1)
  return rendered
}

function shorten(example: Example, whole: Rendered, settings: RenderSettings): Rendered[] {
  const { context, long } = settings
  const policy = long !== 'auto' ? long : example.kind === 'text' ? 'split' : 'cut'
  if (policy === 'drop' || policy === 'fail') return []
  if (example.kind === 'chat') {
    return policy === 'split'
      ? splitTurns(example.messages, settings)
      : cutTurns(example.messages, settings)
  }
  // The last token of a part is only a target: the next one begins with it.
  const most = policy === 'split' && example.kind === 'text' ? whole.tokens.length : context + 1
  const parts: Rendered[] = []
  for (let from = 0; from + 1 < most; from += context) {
    const to = Math.min(from + context + 1, whole.tokens.length)
    parts.push({ tokens: whole.tokens.slice(from, to), learn: whole.learn.slice(from, to) })
  }
  return parts
}

/** As many turns from the first one as fit; where not even the first answer does, its beginning. */
function cutTurns(messages: readonly ChatMessage[], settings: RenderSettings): Rendered[] {
  const { context } = settings
  const ends = [...messages.keys()].filter((i) => messages[i]!.role === 'assistant')
  // Longer conversations have more tokens: halve until the longest that fits is found.
  let [low, high] = [0, ends.length]
  let best: Rendered | undefined
  while (low < high) {
    const middle = (low + high) >> 1
    const rendered = encodeChat(messages.slice(0, ends[middle]! + 1), settings)
    if (rendered.tokens.length <= context + 1) {
      best = rendered
      low = middle + 1
    } else high = middle
  }
  if (best && learns(best)) return [best]
  const { tokens, learn } = encodeChat(messages.slice(0, (ends[0] ?? 0) + 1), settings)
  return [{ tokens: tokens.slice(0, context + 1), learn: learn.slice(0, context + 1) }]
}

/** Runs of whole turns that fit, each behind the system's message. What fits nowhere is cut. */
function splitTurns(messages: readonly ChatMessage[], settings: RenderSettings): Rendered[] {
  const first = messages.findIndex(({ role }) => role !== 'system')
  const system = messages.slice(0, Math.max(0, first))
  const turns = turnsOf(messages.slice(Math.max(0, first)))
  const parts: Rendered[] = []
  let run: ChatMessage[] = []
  let held: Rendered | undefined
  for (const turn of turns) {
    const longer = encodeChat([...system, ...run, ...turn], settings)
    if (longer.tokens.length <= settings.context + 1) {
      run = [...run, ...turn]
      held = longer
      continue
    }
    if (held) parts.push(held)
    const alone = encodeChat([...system, ...turn], settings)
    const fits = alone.tokens.length <= settings.context + 1
    run = fits ? turn : []
    held = fits ? alone : undefined
    if (!fits) parts.push(...cutTurns([...system, ...turn], settings))
  }
  if (held) parts.push(held)
  return parts
}

/** Messages up to and with each answer that another message than an answer follows. */
function turnsOf(messages: readonly ChatMessage[]): ChatMessage[][] {
  const turns: ChatMessage[][] = []
  for (const [i, message] of messages.entries()) {
    const begins = message.role !== 'assistant' && messages[i - 1]?.role === 'assistant'
    if (i === 0 || begins) turns.push([])
    turns.at(-1)!.push(message)
  }
  return turns
}
