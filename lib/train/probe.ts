// What a tuned model does when it is left alone: whether it ends its answers, goes round in circles, or
// falls out of its template.
import { generateTokens } from '../generate/index.js'
import type { Tokenizer } from '../tokenizer/index.js'
import type { Job } from './job.js'

/** An example cut before its first learned token. */
export interface Prompt {
  tokens: Int32Array
  /** Learned tokens that follow. */
  answer: number
}

/** What the probe of a model found: counts of answers, written greedily to validation prompts. */
export interface Probe {
  answers: number
  /** Ended by themselves within twice the length of what was to be learned. */
  stopped: number
  /** Had nothing in them. */
  empty: number
  /** Half of their runs of four tokens had been there before. */
  repeated: number
  /** Went on with a turn of somebody else, or with a special token in their midst. */
  strayed: number
  /** For each thing found, what to change. */
  warnings: string[]
}

const ANSWERS = 6
const LONGEST = 128
// Shorter answers than this are not judged for repetition.
const LEAST = 16

/** Probes the model that a run has made; undefined where its data asks nothing, or when it is stopped. */
export async function probe(job: Job): Promise<Probe | undefined> {
  const { model, tokenizer, template, corpus, settings, seed } = job
  const { signal } = settings
  const { context } = model.config
  const prompts = (await corpus.prompts?.(ANSWERS, context - LEAST)) ?? []
  const end = template && tokenizer.special.get(template.endOfTurn)
  const counts = { answers: 0, stopped: 0, empty: 0, repeated: 0, strayed: 0 }
  for (const { tokens, answer } of prompts) {
    const limit = Math.min(LONGEST, context - tokens.length, Math.max(LEAST, 2 * answer))
    const ends = end === undefined ? [] : [end]
    const options = { maxTokens: limit, temperature: 0, seed, ends }
    const written: number[] = []
    for await (const token of generateTokens(model, tokenizer, tokens, options)) {
      if (signal?.aborted) return undefined
      written.push(token)
    }
    counts.answers++
    if (written.length < limit) counts.stopped++
    if (written.length === 0) counts.empty++
    if (goesRound(written)) counts.repeated++
    if (strays(written, tokenizer, template !== undefined)) counts.strayed++
  }
  return counts.answers > 0 ? { ...counts, warnings: warningsOf(counts) } : undefined
}

/** Whether half of all runs of four tokens have been there before. */
export function goesRound(tokens: readonly number[]): boolean {
  if (tokens.length < LEAST) return false
  const runs = tokens.slice(3).map((_, i) => tokens.slice(i, i + 4).join())
  return new Set(runs).size <= runs.length / 2
}

/** Whether an answer holds what belongs to the frame around it. */
export function strays(tokens: readonly number[], tokenizer: Tokenizer, chat: boolean): boolean {
  const special = new Set(tokenizer.special.values())
  if (tokens.some((token) => special.has(token))) return true
  return chat && /^(system|user|assistant|tool):/im.test(tokenizer.decode(tokens))
}

/** What to change, for each thing that more than a few answers do. */
export function warningsOf(counts: Omit<Probe, 'warnings'>): string[] {
  const { answers, stopped, empty, repeated, strayed } = counts
  const many = (n: number) => n > answers / 10
  const of = (n: number) => `${n} of ${answers} probed answers`
  const unended = answers - stopped
  return [
    ...(many(unended)
      ? [
          `${of(unended)} did not end by themselves: train longer, see that examples are not cut ` +
            '(a longer context), and give maxTokens when generating',
        ]
      : []),
    ...(many(empty)
      ? [`${of(empty)} were empty: look for empty answers in the data, or lower the learning rate`]
      : []),
    ...(many(repeated)
      ? [
          `${of(repeated)} repeat themselves: more data, or fewer epochs with a lower learning rate ` +
            'and labelSmoothing 0.1; a repetition penalty when generating',
        ]
      : []),
    ...(many(strayed)
      ? [
          `${of(strayed)} leave the template, going on as somebody else: train longer, or tune with ` +
            "the base's own template",
        ]
      : []),
  ]
}
