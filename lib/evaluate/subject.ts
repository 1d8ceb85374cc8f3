// Models that are measured, and the rows that are read together.
import { AbortError, wrongType } from '../errors.js'
import { renderExample } from '../data/index.js'
import type { Example } from '../data/index.js'
import { LanguageModel } from '../generate/index.js'
import { END_OF_TEXT, chatTemplate, plainTemplate } from '../tokenizer/index.js'
import type { ChatMessage, Rendered } from '../tokenizer/index.js'
import { answerMetrics } from './answers.js'
import type { Measure } from './bootstrap.js'
import type { Settings } from './evaluate.js'
import { rowLosses } from './losses.js'
import type { RowLoss } from './losses.js'

// Tokens of rows that are gathered before any is read, so that there are rows of like length among
// them.
const GATHERED = 4096

// Answers that are written together: each reading of the weights serves so many.
const TOGETHER = 8

/** A row as one model, and the other one beside it, reads it. */
interface Gathered {
  example: Example
  ours: Rendered[]
  theirs: Rendered[] | undefined
}

/** One or two models on rows that come one by one. */
export class Measuring {
  /** Rows that were measured, and that could not be. */
  rows = 0
  left = 0
  readonly ours: Subject
  readonly theirs: Subject | undefined
  #gathered: Gathered[] = []
  #tokens = 0

  constructor(
    model: LanguageModel,
    private readonly settings: Settings,
  ) {
    this.ours = new Subject(model, settings)
    this.theirs = settings.base && new Subject(settings.base, settings)
  }

  /** @param example undefined for a row that cannot be used */
  async take(example: Example | undefined): Promise<void> {
    this.#goOn()
    const ours = example ? this.ours.render(example) : []
    const theirs = example && this.theirs?.render(example)
    if (!example || ours.length === 0 || theirs?.length === 0) return this.#passed('left')
    this.#gathered.push({ example, ours, theirs })
    this.#tokens += ours.reduce((sum, { tokens }) => sum + tokens.length, 0)
    if (this.#tokens >= GATHERED) await this.flush()
  }

  /** Measures what was gathered. */
  async flush(): Promise<void> {
    const rows = this.#gathered
    this.#gathered = []
    this.#tokens = 0
    const check = () => this.#goOn()
    const ours = await this.ours.measure(
      rows.map((row) => row.ours),
      check,
    )
    const theirs = await this.theirs?.measure(
      rows.map((row) => row.theirs!),
      check,
    )
    for (let from = 0; from < rows.length; from += TOGETHER) {
      this.#goOn()
      const some = rows.slice(from, from + TOGETHER).map(({ example }) => example)
      const answers = await this.ours.answers(some)
      const others = await this.theirs?.answers(some)
      for (const [k, example] of some.entries()) {
        const [a, b] = [ours[from + k]!, theirs?.[from + k]]
        const apart =
          !b || (a.length === b.length && a.every(({ bytes }, part) => bytes === b[part]!.bytes))
        await this.ours.add(example, apart ? a : [whole(a)], answers[k])
        if (b) await this.theirs!.add(example, apart ? b : [whole(b)], others![k])
        this.#passed('rows')
      }
    }
  }

  #goOn(): void {
    const { signal } = this.settings
    if (!signal?.aborted) return
    throw new AbortError('The evaluation was aborted', undefined, { cause: signal.reason })
  }

  #passed(what: 'rows' | 'left'): void {
    this[what]++
    this.settings.onProgress?.({ rows: this.rows + this.left })
  }
}

/** A model, and what was found of it so far: row by row. */
export class Subject {
  /** Of rows, and of each part of a row that was split. */
  readonly losses: RowLoss[] = []
  /** For each metric, what rows with an answer add, by where their losses begin. */
  readonly #answers = new Map<string, Map<number, number[]>>()
  readonly #model: LanguageModel

  constructor(
    { network, tokenizer, template }: LanguageModel,
    private readonly settings: Settings,
  ) {
    const asked =
      settings.template === undefined
        ? (template ?? plainTemplate)
        : chatTemplate(settings.template, {
            special: [...tokenizer.special.keys()],
            endOfText: tokenizer.endOfText === undefined ? undefined : END_OF_TEXT,
          })
    this.#model = new LanguageModel(network, tokenizer, asked)
  }

  get answered(): number {
    return this.#answers.get('exactMatch')?.size ?? 0
  }

  render(example: Example): Rendered[] {
    const { tokenizer, template, config } = this.#model
    const { learn, long } = this.settings
    const { context } = config
    return renderExample(example, { tokenizer, template: template!, context, long, learn }).parts
  }

  /** The losses of the parts of each of some rows. */
  async measure(rows: readonly (readonly Rendered[])[], check: () => void): Promise<RowLoss[][]> {
    const losses = await rowLosses(this.#model, rows.flat(), check)
    let from = 0
    return rows.map((parts) => losses.slice(from, (from += parts.length)))
  }

  /** What the model says to each of some rows; undefined where nothing is asked. */
  async answers(examples: readonly Example[]): Promise<(Answer | undefined)[]> {
    const { generate, signal } = this.settings
    if (!generate) return []
    const questions = examples.map(questionOf)
    const prompts = questions.flatMap((question) => {
      if (!question) return []
      const { prompt } = question
      const text = typeof prompt === 'string'
      return [text ? this.#model.tokenizer.encode(prompt) : this.#model.encodeChat(prompt)]
    })
    const options = { temperature: 0, overflow: 'shift' as const, ...generate, signal }
    const texts = (await this.#model.completeEach(prompts, options)).values()
    return questions.map((question) => {
      return question && { answer: texts.next().value!, reference: question.reference }
    })
  }

  async add(example: Example, losses: readonly RowLoss[], answer?: Answer): Promise<void> {
    if (answer) await this.#judge(example, answer)
    this.losses.push(...losses)
  }

  async #judge(example: Example, { answer, reference }: Answer): Promise<void> {
    for (const [name, { row }] of Object.entries(answerMetrics))
      this.#add(name, row(answer, reference))
    for (const [name, metric] of Object.entries(this.settings.metrics)) {
      const value = await metric(answer, reference, example)
      if (!Number.isFinite(value)) throw wrongType('a number', `what ${name}() returns`, value)
      this.#add(name, [value, 1])
    }
  }

  #add(name: string, row: number[]): void {
    const rows = this.#answers.get(name) ?? new Map<number, number[]>()
    this.#answers.set(name, rows.set(this.losses.length, row))
  }

  /** @param among of the rows, those that count */
  measures(among?: readonly boolean[]): Record<string, Measure> {
    const counts = (i: number) => among?.[i] ?? true
    const losses = this.losses.filter((_, i) => counts(i))
    const ratio = ([part, whole]: readonly number[]) => part! / whole!
    const perToken = losses.map(({ nats, tokens }) => [nats, tokens])
    const measures: Record<string, Measure> = {
      loss: { better: 'lower', rows: perToken, of: ratio },
      perplexity: { better: 'lower', rows: perToken, of: (sums) => Math.exp(ratio(sums)) },
      bitsPerByte: {
        better: 'lower',
        rows: losses.map(({ nats, bytes }) => [nats / Math.LN2, bytes]),
        of: ratio,
      },
      accuracy: {
        better: 'higher',
        rows: losses.map(({ correct, tokens }) => [correct, tokens]),
        of: ratio,
      },
    }
    const known: Record<string, Pick<Measure, 'of'>> = answerMetrics
    for (const [name, all] of this.#answers) {
      const rows = [...all].filter(([i]) => counts(i)).map(([, row]) => row)
      // Of JSON there may be none.
      const any = rows.some((row) => row[1]! > 0 || name === 'bleu')
      if (any) measures[name] = { better: 'higher', rows, of: known[name]?.of ?? ratio }
    }
    return measures
  }
}

export function whole(losses: readonly RowLoss[]): RowLoss {
  const sum: RowLoss = { nats: 0, tokens: 0, correct: 0, bytes: 0 }
  for (const loss of losses)
    for (const key of ['nats', 'tokens', 'correct', 'bytes'] as const) sum[key] += loss[key]
  return sum
}

/** What a model said, beside what it should have said. */
interface Answer {
  answer: string
  reference: string
}

interface Question {
  prompt: string | readonly ChatMessage[]
  reference: string
}

/** What the model is asked, and what it should say; undefined for a text. */
function questionOf(example: Example): Question | undefined {
  if (example.kind === 'completion')
    return { prompt: example.prompt, reference: example.completion.trim() }
  if (example.kind !== 'chat') return undefined
  const { messages } = example
  const last = messages.findLastIndex(({ role }) => role === 'assistant')
  if (last < 1) return undefined
  return { prompt: messages.slice(0, last), reference: messages[last]!.content }
}
