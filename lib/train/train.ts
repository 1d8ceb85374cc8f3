import { join } from 'node:path'
import { outOfRange } from '../errors.js'
import { readJson, writeFileAtomic } from '../files.js'
import { writeModel } from '../formats/huggingface.js'
import { LanguageModel } from '../generate/index.js'
import { trainingFlops } from '../models/index.js'
import { version } from '../package.js'
import { writeCard } from './card.js'
import { windowInterval } from './evaluate.js'
import { EventLog } from './eventlog.js'
import type { TrainEvent, TrainReport } from './events.js'
import { openJob } from './job.js'
import type { Job } from './job.js'
import { isOver, perByte, trainLoop } from './loop.js'
import { resolveOptions } from './options.js'
import type { Settings, TrainOptions } from './options.js'
import { peakFlops } from './peak.js'
import { probe } from './probe.js'

/** What a run ends with. */
export interface TrainResult {
  /** The trained model, with the weights of the lowest validation loss. */
  model: LanguageModel
  report: TrainReport
}

/**
 * A run in progress: a promise of its result, and an async iterable of what happens. A loop over the
 * events that starts with the run sees all of them, and ends with it; a failure is thrown there too.
 */
export class TrainRun implements PromiseLike<TrainResult>, AsyncIterable<TrainEvent> {
  readonly #events = new EventLog<TrainEvent>()
  readonly #result: Promise<TrainResult>

  /** @internal */
  constructor(settings: Settings) {
    this.#result = run(settings, (event) => this.#events.push(event)).then(
      (result) => {
        this.#events.end()
        return result
      },
      (error) => {
        this.#events.end(error)
        throw error
      },
    )
  }

  then<A = TrainResult, B = never>(
    onFulfilled?: ((result: TrainResult) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#result.then(onFulfilled, onRejected)
  }

  catch<B = never>(
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<TrainResult | B> {
    return this.#result.catch(onRejected)
  }

  finally(onFinally?: (() => void) | null): Promise<TrainResult> {
    return this.#result.finally(onFinally)
  }

  [Symbol.asyncIterator](): AsyncIterator<TrainEvent, undefined> {
    this.#result.catch(() => {}) // whoever reads the events is told there
    return this.#events.read()
  }
}

/**
 * Trains a GPT on text.
 *
 *     const run = train({ data: 'book.txt', output: './my-model', steps: 2000 })
 *     for await (const event of run) if (event.type === 'step') console.log(event.step, event.loss)
 *     const { model, report } = await run
 *
 * @throws TypeError, RangeError at once for options that cannot be; the run rejects with GptloomError
 *   (ERR_DATA, ERR_FILE, ERR_OUTPUT_EXISTS, ERR_OUT_OF_MEMORY, ERR_DIVERGED ...) or AbortError
 */
export function train(options: TrainOptions): TrainRun {
  return new TrainRun(resolveOptions(options))
}

async function run(settings: Settings, emit: (event: TrainEvent) => void): Promise<TrainResult> {
  const started = performance.now()
  const job = await openJob(settings, emit)
  const { optimizer, progress, corpus } = job
  const before = progress.tokens
  try {
    const done = await finished(job)
    if (!done) await trainLoop(job)
    optimizer.dispose()
    const seconds = (performance.now() - started) / 1000
    if ((done?.bestStep ?? progress.best!.step) !== progress.step) await job.learner.load()
    const report = done ?? (await makeReport(job, progress.tokens - before, seconds))
    if (!done) await writeFileAtomic(reportOf(job), JSON.stringify(report, null, 2) + '\n')
    const model = await trained(job)
    if (!done) await writeCard(settings.output, report)
    emit({ type: 'done', report })
    return { model, report }
  } catch (error) {
    await job.saver.ready()
    optimizer.dispose()
    job.learner.lora?.dispose()
    job.model.dispose()
    throw error
  } finally {
    await corpus.close()
    await job.release()
  }
}

/** The model with what was learned; an adapter is merged into it where that is asked for. */
async function trained({
  model,
  learner,
  tokenizer,
  template,
  settings,
}: Job): Promise<LanguageModel> {
  const { lora, base = null } = learner
  const result = new LanguageModel(model, tokenizer, template)
  if (lora) result.addAdapter('default', lora, base)
  if (!settings.merge) return result
  result.merge()
  await writeModel(settings.output, model, tokenizer, { chatTemplate: template?.source })
  return result
}

function reportOf({ settings }: Job): string {
  return join(settings.output, 'report.json')
}

/**
 * The report of a run that is resumed with nothing left to do; undefined where there is something.
 * @throws RangeError for fewer steps than the run has done
 */
async function finished(job: Job): Promise<TrainReport | undefined> {
  const { progress, settings } = job
  if (!isOver(job) || progress.last?.step !== progress.step) return undefined
  const report = (await readJson(reportOf(job)).catch(() => null)) as TrainReport | null
  if (report?.steps !== progress.step) return undefined
  if (progress.step <= settings.steps) return report
  const what = `at least ${progress.step}, which the run that ${settings.output} holds has done,`
  throw outOfRange(what, 'steps', settings.steps)
}

async function makeReport(job: Job, tokens: number, seconds: number): Promise<TrainReport> {
  const { progress, model, corpus, seed, settings, data, learner, stopped } = job
  const { guard } = progress
  const { loss: bestLoss, step: bestStep, interval: byBatches } = progress.best!
  const tokensPerSecond = tokens / seconds
  const interval =
    byBatches ?? (await windowInterval(model, corpus.validation, settings.evaluateTokens))
  const found = await probe(job)
  if (found) job.emit({ type: 'probe', ...found })
  const flopsPerSecond = tokensPerSecond * trainingFlops(model.config)
  return {
    firstLoss: progress.firstLoss!,
    lastLoss: progress.last!.loss,
    bestLoss,
    bestStep,
    ...(interval && { interval }),
    perplexity: Math.exp(bestLoss),
    ...perByte(bestLoss, corpus.validation),
    trainLoss: progress.recent.reduce((a, b) => a + b, 0) / Math.max(1, progress.recent.length),
    steps: progress.step,
    tokens: progress.tokens,
    epochs: corpus.train.epoch(progress.step),
    seconds,
    totalSeconds: (performance.now() - job.began) / 1000,
    tokensPerSecond,
    flopsPerSecond,
    utilisation: flopsPerSecond / (await peakFlops(model.device)),
    peakMemory: process.resourceUsage().maxRSS * 1024,
    stalled: job.saver.stalled,
    guard: { skipped: guard.skipped, restored: guard.restored, rate: guard.rate },
    ...(found && { probe: found }),
    ...(stopped && { stopped }),
    parameters: model.size,
    learned: learner.trainable.reduce((sum, [, { size }]) => sum + size, 0),
    model: model.config,
    ...(settings.base !== undefined && { base: settings.base }),
    ...(settings.lora && { lora: settings.lora }),
    data,
    learningRate: job.peak,
    batch: job.batch * settings.accumulate,
    precision: model.dtype,
    ...(settings.freeze.length > 0 && { freeze: settings.freeze }),
    device: model.device.name,
    seed,
    versions: { gptloom: version, node: process.versions.node },
  }
}
