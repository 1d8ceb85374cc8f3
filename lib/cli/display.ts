// How a run is shown: a live line on a terminal, plain lines elsewhere, JSON for programs, or
// nothing.
import type {
  EvaluationEvent,
  ProbeEvent,
  SampleEvent,
  SpikeEvent,
  StartEvent,
  StepEvent,
  TrainEvent,
} from '../train/index.js'
import { clock, count, harmless, plural, short } from './format.js'
import { reportTable, startTable } from './summary.js'

/** What is needed of process.stdout. */
export interface Output {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
}

export interface Display {
  event(event: TrainEvent): void
  /** Takes the live line away; what is printed next starts on a line of its own. */
  end(): void
}

export interface DisplayOptions {
  json?: boolean
  quiet?: boolean
  /** The folder of the model, for what to do next. */
  output: string
  environment?: NodeJS.ProcessEnv
}

export function openDisplay(out: Output, options: DisplayOptions): Display {
  const { json, quiet, output, environment = process.env } = options
  if (quiet && !json) return { event() {}, end() {} }
  if (json) return { event: (event) => out.write(JSON.stringify(event) + '\n'), end() {} }
  const live = Boolean(out.isTTY) && environment.TERM !== 'dumb'
  return live ? new LiveDisplay(out, output, !environment.NO_COLOR) : new PlainDisplay(out, output)
}

const phases = {
  download: 'fetching the base',
  read: 'reading the data',
  vocabulary: 'learning the vocabulary',
  encode: 'encoding the text',
}

// The bar gives way to the figures where the terminal is narrow.
const BAR = { least: 5, most: 20 }
// Milliseconds between redrawings: as often as one can read.
const REDRAW = 80

class LiveDisplay implements Display {
  #drawn = 0 // when, in ms; 0 for not at all
  #shown = false
  #validation: number | undefined

  constructor(
    readonly out: Output,
    readonly output: string,
    readonly color: boolean,
  ) {}

  event(event: TrainEvent): void {
    if (event.type === 'prepare') {
      this.#draw(event.progress, `  ${phases[event.phase]}`, event.progress === 1)
    } else if (event.type === 'step') {
      this.#draw(
        event.step / event.steps,
        stepLine(event, this.#validation),
        event.step === event.steps,
      )
    } else {
      const text = lines(event, this.output)
      if (text) this.#print(text)
      if (event.type === 'evaluation') this.#validation = event.loss
    }
  }

  end(): void {
    if (this.#shown) this.out.write('\r\x1b[K')
    this.#shown = false
  }

  #print(text: string): void {
    this.end()
    this.out.write(text)
    this.#drawn = 0 // the line comes back with the next step
  }

  #draw(share: number, text: string, must: boolean): void {
    const now = performance.now()
    if (!must && this.#drawn && now - this.#drawn < REDRAW) return
    this.#drawn = now
    this.#shown = true
    // One column stays free: some terminals wrap when the last one is written.
    const room = (this.out.columns || 80) - 1
    const figures = ` ${String(Math.floor(share * 100)).padStart(3)} %${text}`
    const bar = Math.min(BAR.most, Math.max(BAR.least, room - figures.length))
    const full = Math.round(share * bar)
    const line = ('█'.repeat(full) + '░'.repeat(bar - full) + figures).slice(0, room)
    const painted = this.color ? `\x1b[36m${line.slice(0, bar)}\x1b[0m${line.slice(bar)}` : line
    this.out.write(`\r${painted}\x1b[K`)
  }
}

class PlainDisplay implements Display {
  #last = performance.now()
  #validation: number | undefined

  constructor(
    readonly out: Output,
    readonly output: string,
  ) {}

  event(event: TrainEvent): void {
    if (event.type === 'step') return this.#step(event)
    const text = lines(event, this.output)
    if (text) this.out.write(text)
    if (event.type === 'evaluation') this.#validation = event.loss
  }

  end(): void {}

  // At most one line in two seconds and about a hundred in a run: what is kept should stay short.
  #step(event: StepEvent): void {
    const now = performance.now()
    if (event.step % Math.ceil(event.steps / 100) !== 0 || now - this.#last < 2000) return
    this.#last = now
    this.out.write(`${stepLine(event, this.#validation).trimStart()}\n`)
  }
}

function stepLine(event: StepEvent, validation: number | undefined): string {
  const { step, steps, loss, tokensPerSecond, secondsLeft } = event
  const checked = validation === undefined ? '' : `  val ${validation.toFixed(3)}`
  return (
    `  step ${step}/${steps}  loss ${loss.toFixed(3)}${checked}  ${short(tokensPerSecond)} tok/s` +
    `  ETA ${clock(secondsLeft)}`
  )
}

/** What stays on the screen of an event. */
function lines(event: TrainEvent, output: string): string {
  if (event.type === 'notice') return `${harmless(event.message)}\n`
  if (event.type === 'spike') return spike(event)
  if (event.type === 'probe') return probed(event)
  if (event.type === 'start') return start(event)
  if (event.type === 'evaluation') return evaluation(event)
  if (event.type === 'sample') return sample(event)
  return event.type === 'done' ? reportTable(event.report, output) : ''
}

function spike({ step, loss, action, rate, from }: SpikeEvent): string {
  const done = {
    skip: 'it was skipped',
    restore: `the weights are those of step ${from} again`,
    lower: `it was skipped, and the learning rate is ${rate} of what it would be`,
  }
  return `step ${step}  the loss was ${loss}: ${done[action]}\n`
}

function probed({ answers, stopped, repeated, strayed, warnings }: ProbeEvent): string {
  const found = `${stopped} end by themselves, ${repeated} repeat, ${strayed} leave the template`
  return [`${answers} answers probed: ${found}`, ...warnings].join('\n') + '\n'
}

function start(event: StartEvent): string {
  const done = `all of ${plural(event.step, 'step')} done already`
  const going = event.step < event.steps ? `going on after step ${count(event.step)}` : done
  const resumed = event.step > 0 ? `${going}\n` : ''
  return startTable(event) + '\n' + resumed
}

function evaluation({ step, loss, perplexity, bitsPerByte, best }: EvaluationEvent): string {
  const figures = `validation loss ${loss.toFixed(4)}  perplexity ${short(perplexity)}`
  const remark = best ? '' : '  (not the best)'
  return `step ${step}  ${figures}  bits per byte ${bitsPerByte.toFixed(3)}${remark}\n`
}

function sample({ prompt, text }: SampleEvent): string {
  const shown = harmless(prompt + text).trim()
  return shown ? shown.replace(/^/gm, '  | ') + '\n' : ''
}
