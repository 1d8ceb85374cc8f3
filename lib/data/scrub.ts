// Personal data in examples: every text of one is scrubbed, and what was found is counted.
import type { Finding, Scrubber } from '../privacy/index.js'
import type { Scrub } from './clean.js'
import type { Example, Message } from './record.js'

/** Counts what personal data is left in plain text, by kind. */
export class LeftIn {
  /** Kinds are named by people, 'constructor' and '__proto__' too. */
  readonly #counts = new Map<string, number>()

  add(findings: readonly Finding[]): void {
    for (const { kind } of findings)
      // In books and articles names are the rule, and most of them are nobody's secret.
      if (kind !== 'person') this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
  }

  /** As in '12 email, 3 phone', the most frequent first; '' for nothing. */
  toString(): string {
    const counts = [...this.#counts].sort(([, a], [, b]) => b - a)
    return counts.map(([kind, n]) => `${n} ${kind}`).join(', ')
  }
}

/**
 * A Scrub that applies a scrubber to the texts of examples.
 * @param only 'chats' leaves plain text as it is
 * @param left told what is left in it
 */
export function exampleScrubber(
  scrubber: Scrubber,
  only: 'chats' | 'all' = 'all',
  left?: LeftIn,
): Scrub {
  return async (example) => {
    if (only === 'chats' && example.kind === 'text') {
      left?.add(scrubber.finder.find(example.text))
      return { example }
    }
    const findings: Finding[] = []
    const scrub = async (text: string) => {
      const found = scrubber.names ? await scrubber.scrubLater(text) : scrubber.scrub(text)
      for (const finding of found.findings) findings.push(finding)
      return found.text
    }
    const changed = await mapTexts(example, scrub)
    if (findings.length === 0) return { example }
    const dropping = findings.find(({ kind }) => scrubber.operatorOf(kind) === 'drop')
    if (dropping) return { example, drop: dropping.kind }
    const counts = new Map<string, number>()
    for (const { kind } of findings)
      if (scrubber.operatorOf(kind) !== 'keep') counts.set(kind, (counts.get(kind) ?? 0) + 1)
    if (counts.size === 0) return { example }
    return { example: changed, redacted: Object.fromEntries(counts) }
  }
}

async function mapTexts(
  example: Example,
  change: (text: string) => Promise<string>,
): Promise<Example> {
  if (example.kind === 'text') return { ...example, text: await change(example.text) }
  if (example.kind === 'completion') {
    const { prompt, completion } = example
    return { ...example, prompt: await change(prompt), completion: await change(completion) }
  }
  const messages: Message[] = []
  for (const message of example.messages) {
    const { name, ...rest } = message
    const content = await change(message.content)
    messages.push({ ...rest, content, ...(name !== undefined && { name: await change(name) }) })
  }
  return { ...example, messages }
}
