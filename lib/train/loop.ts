import { AbortError, GptloomError } from '../errors.js'
import { writeWeights } from '../formats/huggingface.js'
import { Tape } from '../tensor/index.js'
import { generateTokens } from '../generate/index.js'
import { saveCheckpoint } from './checkpoint.js'
import { meanLoss } from './evaluate.js'
import type { Job } from './job.js'

/**
 * Trains until the last step. Each step is: batches forward and backward, one step of the optimizer, its loss read.
 * @throws AbortError after the step in which the signal came, saved; GptloomError ERR_DIVERGED when the loss is no number
 */
export async function trainLoop(job: Job): Promise<void> {
  const { settings, progress } = job
  const { steps, signal } = settings
  const clock = new Clock(steps)
  const due = (every: number) => every > 0 && (progress.step % every === 0 || progress.step === steps)
  if (progress.step === 0) await evaluate(job)
  while (progress.step < steps) {
    if (signal?.aborted) return stop(job)
    await trainStep(job, clock)
    if (due(settings.evaluateEvery)) await clock.pausedFor(evaluate(job))
    if (due(settings.sampleEvery)) await clock.pausedFor(sample(job))
    if (due(settings.checkpointEvery) || progress.step === steps) await clock.pausedFor(checkpoint(job))
  }
}

async function trainStep(job: Job, clock: Clock): Promise<void> {
  const { settings, model, optimizer, train, progress, emit } = job
  const { accumulate, batch, seed, clip, recompute, steps } = settings
  const { context } = model.config
  const { device } = model
  const { step } = progress
  const batches = await Promise.all(Array.from({ length: accumulate }, (_, micro) => train.batch(step, micro)))
  const losses = batches.map(({ tokens, targets, starts }, micro) => {
    using tape = new Tape()
    const loss = tape.run(() => {
      const upload = (values: Int32Array) => device.tensor(values, [batch, context])
      const dropout = { seed, step: step * accumulate + micro }
      return model.loss(upload(tokens), upload(targets), { starts: starts && upload(starts), dropout, recompute })
    })
    tape.backward(loss)
    tape.release(loss)
    return loss
  })
  // Gradients are of sums of losses: one division by all targets of the step makes them those of the mean.
  const targets = batches.reduce((sum, { targetCount }) => sum + targetCount, 0)
  const learningRate = job.rate(step)
  const norm = optimizer.step({ learningRate, gradientScale: 1 / targets, maxNorm: clip })
  model.zeroGrad()
  const sums = await Promise.all(losses.map((loss) => loss.item()))
  const gradientNorm = (await norm.item()) / targets
  for (const tensor of [...losses, norm]) tensor.dispose()
  const loss = sums.reduce((a, b) => a + b, 0) / targets
  if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) await diverged(job, loss, gradientNorm)

  progress.step++
  progress.tokens += targets
  progress.recent = [...progress.recent, loss].slice(-50)
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

async function evaluate(job: Job): Promise<void> {
  const { settings, model, validation, data, progress, emit } = job
  const aborted = () => settings.signal?.aborted ?? false
  const loss = await meanLoss(model, validation, settings.evaluateTokens, aborted)
  if (aborted()) return
  if (!Number.isFinite(loss)) await diverged(job, loss, NaN)
  progress.firstLoss ??= loss
  progress.lastLoss = loss
  const best = loss < (progress.best?.loss ?? Infinity)
  if (best) {
    progress.best = { loss, step: progress.step }
    if (progress.step > 0) await writeWeights(settings.output, model)
  }
  const { bitsPerByte } = perByte(loss, data.validation)
  emit({ type: 'evaluation', step: progress.step, loss, perplexity: Math.exp(loss), bitsPerByte, best })
}

/** A loss in nats a token, as bits a byte of the text. */
export function perByte(
  loss: number,
  { start, end, bytes }: { start: number; end: number; bytes: number },
): { bitsPerByte: number } {
  return { bitsPerByte: (loss * (end - start)) / bytes / Math.LN2 }
}

async function sample({ settings, model, tokenizer, progress, emit }: Job): Promise<void> {
  const { samplePrompt: prompt, sampleTokens: maxTokens, seed } = settings
  const decoder = tokenizer.decoder()
  let text = ''
  const tokens = generateTokens(model, tokenizer, tokenizer.encode(prompt), { maxTokens, seed, topK: 40 })
  for await (const token of tokens) text += decoder.push(token)
  emit({ type: 'sample', step: progress.step, prompt, text: text + decoder.end() })
}

async function checkpoint({ settings, model, optimizer, progress, emit }: Job): Promise<void> {
  const folder = await saveCheckpoint(settings.output, model, optimizer, progress)
  emit({ type: 'checkpoint', step: progress.step, folder })
}

// Leaves a folder that can be resumed and, from the first step on, loaded.
async function save(job: Job): Promise<void> {
  const { progress, settings, model } = job
  if (!progress.best || progress.best.step === 0) await writeWeights(settings.output, model)
  await checkpoint(job)
}

async function stop(job: Job): Promise<never> {
  const { progress, settings } = job
  await save(job)
  const { output: folder, steps, signal } = settings
  throw new AbortError(
    `Stopped after step ${progress.step} of ${steps}. The run is saved in ${folder}: resume it from there`,
    { folder, step: progress.step },
    { cause: signal?.reason },
  )
}

// The optimizer leaves the weights alone when the gradient is not finite, so the model still is that of the last good step.
async function diverged(job: Job, loss: number, gradientNorm: number): Promise<never> {
  const { progress, settings } = job
  await save(job)
  throw new GptloomError(
    'ERR_DIVERGED',
    `Step ${progress.step + 1} gave a loss of ${loss} (gradient norm ${gradientNorm}). The weights of step ` +
      `${progress.step} are kept in ${settings.output}. Resume with a lower learning rate, a longer warm-up or clipping`,
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
