// Personal data in examples: every text of one is scrubbed, and what was found is counted.
import type { Finding, Scrubbed, Scrubber } from '../privacy/index.js'
import type { Scrub } from './clean.js'
import type { Example } from './record.js'

/** Counts what personal data is left in plain text, by kind. */
export class LeftIn {
  /** Kinds are named by people, 'constructor' and '__proto__' too. */
  readonly #counts = new Map<string, number>()

  add(findings: readonly Finding[]): void {
    for (const { kind } of findings)
      // In books and articles names are the rule, and most of them are nobody's secret.
      if (kind !== 'person') this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
  }

  /** What was counted since the last time, to be counted elsewhere. */
  drain(): [kind: string, count: number][] {
    const counts = [...this.#counts]
    this.#counts.clear()
    return counts
  }

  count(counts: Iterable<readonly [kind: string, count: number]>): void {
    for (const [kind, n] of counts) this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + n)
  }

  /** As in '12 email, 3 phone', the most frequent first; '' for nothing. */
  toString(): string {
    const counts = [...this.#counts].sort(([k, a], [l, b]) => b - a || (k < l ? -1 : 1))
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
  const { names } = scrubber
  return (example) => {
    if (only === 'chats' && example.kind === 'text') {
      left?.add(scrubber.finder.find(example.text))
      return { example }
    }
    const findings: Finding[] = []
    const take = (found: Scrubbed) => {
      for (const finding of found.findings) findings.push(finding)
      return found.text
    }
    if (!names) {
      const changed = withTexts(
        example,
        textsOf(example).map((text) => take(scrubber.scrub(text))),
      )
      return outcome(example, changed, findings, scrubber)
    }
    return (async () => {
      const texts: string[] = []
      for (const text of textsOf(example)) texts.push(take(await scrubber.scrubLater(text)))
      return outcome(example, withTexts(example, texts), findings, scrubber)
    })()
  }
}

function outcome(
  example: Example,
  changed: Example,
  findings: readonly Finding[],
  scrubber: Scrubber,
): ReturnType<Scrub> {
  if (findings.length === 0) return { example }
  const dropping = findings.find(({ kind }) => scrubber.operatorOf(kind) === 'drop')
  if (dropping) return { example, drop: dropping.kind }
  const counts = new Map<string, number>()
  for (const { kind } of findings)
    if (scrubber.operatorOf(kind) !== 'keep') counts.set(kind, (counts.get(kind) ?? 0) + 1)
  if (counts.size === 0) return { example }
  return { example: changed, redacted: Object.fromEntries(counts) }
}

/** All texts in an example. */
function textsOf(example: Example): string[] {
  if (example.kind === 'text') return [example.text]
  if (example.kind === 'completion') return [example.prompt, example.completion]
  return example.messages.flatMap(({ content, name }) =>
    name === undefined ? [content] : [content, name],
  )
}

/** An example with other texts, in the order of textsOf(). */
function withTexts(example: Example, texts: readonly string[]): Example {
  if (example.kind === 'text') return { ...example, text: texts[0]! }
  if (example.kind === 'completion') return { ...example, prompt: texts[0]!, completion: texts[1]! }
  let at = 0
  const messages = example.messages.map(({ name, ...rest }) => {
    const content = texts[at++]!
    return { ...rest, content, ...(name !== undefined && { name: texts[at++]! }) }
  })
  return { ...example, messages }
}
