import { AbortError } from '../errors.js'
import type { Tensor } from '../tensor/index.js'
import { generateTokens } from '../generate/index.js'
import { meanLoss } from './evaluate.js'
import { diverged, isSpike, onBadStep, restore } from './guard.js'
import type { Job } from './job.js'
import { Passes } from './passes.js'
import { heedFailure, save } from './save.js'

/**
 * Trains until the last step. Each step is: batches forward and backward, one step of the optimizer,
 * its loss read.
 * @throws AbortError after the step in which the signal came, saved; GptloomError ERR_DIVERGED when the
 *   loss is no number
 */
export async function trainLoop(job: Job): Promise<void> {
  const { settings, progress } = job
  const { steps } = settings
  if (progress.step === 0) await begin(job)
  const clock = new Clock(steps)
  const passes = passesOf(job)
  try {
    while (!isOver(job) && !aborted(job)) {
      await heedFailure(job)
      await trainStep(job, passes, clock)
      await clock.pausedFor(afterStep(job))
    }
  } finally {
    passes.dispose()
  }
  // A run that was stopped between its last step and the evaluation is resumed only for that.
  const unfinished = () => !isOver(job) || progress.last?.step !== progress.step
  if (unfinished() && !aborted(job)) await afterStep(job)
  if (unfinished()) await stop(job)
  await job.saver.idle()
}

/** Whether the run has come to its last step, or to another bound, which the job then names. */
export function isOver(job: Job): boolean {
  const { settings, progress } = job
  if (progress.step >= settings.steps) return true
  if (progress.step > 0) job.stopped ??= boundOf(job)
  return job.stopped !== undefined
}

function boundOf({ settings, progress, deadline }: Job): Job['stopped'] {
  const { maxTokens, patience, evaluateEvery } = settings
  const { tokens, last, best } = progress
  if (tokens >= maxTokens) return 'tokens'
  if (last && best && last.step - best.step >= patience * evaluateEvery) return 'patience'
  return performance.now() >= deadline ? 'time' : undefined
}

function aborted({ settings }: Job): boolean {
  return settings.signal?.aborted ?? false
}

// The weights are written at once, so that whatever happens the output folder can be loaded.
async function begin(job: Job): Promise<void> {
  const checkpoint = job.settings.onSpike === 'restore' // there must be something to go back to
  await save(job, { weights: true, checkpoint })
  await evaluate(job)
  await job.saver.idle()
}

async function afterStep(job: Job): Promise<void> {
  const { settings, progress } = job
  const due = (every: number) => isOver(job) || (every > 0 && progress.step % every === 0)
  if (aborted(job)) return
  if (isOver(job)) {
    // What could not be saved is not the best that there is.
    await job.saver.ready()
    await heedFailure(job)
  }
  const weights = due(settings.evaluateEvery) && (await evaluate(job))
  const checkpoint = !aborted(job) && due(settings.checkpointEvery)
  if (weights || checkpoint) await save(job, { weights, checkpoint })
  if (!aborted(job) && settings.sampleEvery > 0 && due(settings.sampleEvery)) await sample(job)
}

function passesOf({ settings, batch, seed, model, learner }: Job): Passes {
  const { recompute, neftune: noise, labelSmoothing: smoothing } = settings
  return new Passes(model, learner.kept, { seed, batch, recompute, noise, smoothing })
}

async function trainStep(job: Job, passes: Passes, clock: Clock): Promise<void> {
  const { settings, optimizer, corpus, progress, emit } = job
  const { train } = corpus
  const { accumulate, clip, steps } = settings
  const { step } = progress
  // Of the micro-batches, one runs while the next is read: no more than two are held, however many
  // a step has.
  let sum = 0
  let targets = 0
  let running: Tensor | undefined
  const settle = async () => {
    sum += (await running?.item()) ?? 0
    running = undefined
  }
  for (let micro = 0; micro < accumulate; micro++) {
    const next = await train.batch(step, micro)
    await settle()
    targets += next.targetCount
    running = passes.run(next, step * accumulate + micro, micro === 0)
  }
  // Gradients are of sums of losses: one division by all targets of the step makes them those of the mean.
  const learningRate = job.rate(step) * progress.guard.rate
  // A guarded step waits for its loss before the weights move.
  if (settings.onSpike !== 'ignore') await settle()
  const spike = settings.onSpike !== 'ignore' && isSpike(sum / targets, progress.recent)
  let gradientNorm = NaN
  if (!spike) {
    using norm = optimizer.norm()
    // Both are asked for at once, and before the weights move: the next step is enqueued while they do.
    const read = Promise.all([norm.item(), settle()])
    optimizer.step({ learningRate, gradientScale: 1 / targets, maxNorm: clip, norm })
    gradientNorm = (await read)[0] / targets
  }
  passes.zeroGrad()
  const loss = sum / targets
  const moved = !spike && Number.isFinite(loss) && Number.isFinite(gradientNorm)
  // Where the gradients were no numbers the optimizer has counted the step, and moved nothing.
  if (spike) optimizer.steps++
  progress.step++
  progress.tokens += targets
  if (moved) progress.recent = [...progress.recent, loss].slice(-50)
  if (!moved) await onBadStep(job, loss, gradientNorm)
  const { tokensPerSecond, secondsLeft } = clock.tick(progress.step, targets)
  emit({
    type: 'step',
    step: progress.step,
    steps,
    loss,
    gradientNorm,
    learningRate,
    tokens: progress.tokens,
    tokensPerSecond,
    secondsLeft,
    epoch: train.epoch(progress.step),
  })
}

/** Measures the validation loss, and tells whether it is the lowest after a step. */
async function evaluate(job: Job): Promise<boolean> {
  const { settings, model, corpus, progress, emit } = job
  const { step } = progress
  const stop = () => aborted(job)
  const measure = () => meanLoss(model, corpus.validation, settings.evaluateTokens, stop)
  let { loss, interval } = await measure()
  if (!Number.isFinite(loss) && settings.onSpike === 'restore' && !aborted(job)) {
    await restore(job, { loss, gradientNorm: NaN })
    ;({ loss, interval } = await measure())
  }
  if (aborted(job)) return false
  if (!Number.isFinite(loss))
    await diverged(job, `After step ${step} the validation loss is ${loss}`)
  if (step === 0) progress.firstLoss = loss
  progress.last = { loss, step }
  // A run that was killed and resumed comes by its best step again.
  const best = loss < (progress.best?.loss ?? Infinity) || step === progress.best?.step
  if (best && step > 0) progress.best = { loss, step, ...(interval && { interval }) }
  const { bitsPerByte } = perByte(loss, corpus.validation)
  emit({ type: 'evaluation', step, loss, perplexity: Math.exp(loss), bitsPerByte, best })
  return best && step > 0
}

/** A loss in nats a token, as bits a byte of the text. */
export function perByte(
  loss: number,
  { tokens, bytes }: { tokens: number; bytes: number },
): { bitsPerByte: number } {
  return { bitsPerByte: (loss * tokens) / bytes / Math.LN2 }
}

async function sample(job: Job): Promise<void> {
  const { settings, seed, model, tokenizer, template, progress, emit } = job
  const { samplePrompt: prompt, sampleTokens: maxTokens } = settings
  const end = template && tokenizer.special.get(template.endOfTurn)
  const decoder = tokenizer.decoder()
  let text = ''
  const tokens = generateTokens(model, tokenizer, tokenizer.encode(prompt), {
    maxTokens,
    seed,
    topK: 40,
    ends: end === undefined ? [] : [end],
  })
  for await (const token of tokens) {
    if (aborted(job)) return
    text += decoder.push(token)
  }
  emit({ type: 'sample', step: progress.step, prompt, text: text + decoder.end() })
}

async function stop(job: Job): Promise<never> {
  const { progress, settings } = job
  const { output: folder, steps, signal } = settings
  await save(job, { weights: !progress.best, checkpoint: true })
  await job.saver.idle()
  throw new AbortError(
    `Stopped after step ${progress.step} of ${steps}. The run is saved in ${folder}: resume it from there`,
    { folder, step: progress.step },
    { cause: signal?.reason },
  )
}

/** How fast the run is, over the last steps, without the time for evaluating and saving. */
class Clock {
  #marks: { time: number; tokens: number }[] = [{ time: performance.now(), tokens: 0 }]
  #paused = 0

  constructor(readonly steps: number) {}

  tick(step: number, tokens: number): { tokensPerSecond: number; secondsLeft: number } {
    const last = this.#marks.at(-1)!
    this.#marks.push({ time: performance.now() - this.#paused, tokens: last.tokens + tokens })
    if (this.#marks.length > 21) this.#marks.shift()
    const [from, to] = [this.#marks[0]!, this.#marks.at(-1)!]
    const seconds = Math.max(1e-6, (to.time - from.time) / 1000)
    const stepsCounted = this.#marks.length - 1
    return {
      tokensPerSecond: (to.tokens - from.tokens) / seconds,
      secondsLeft: ((this.steps - step) * seconds) / stepsCounted,
    }
  }

  async pausedFor(work: Promise<void>): Promise<void> {
    const start = performance.now()
    await work
    this.#paused += performance.now() - start
  }
}
