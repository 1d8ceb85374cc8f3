// What each option may be.
import {
  checkInteger,
  checkKeys,
  checkNumber,
  checkPath,
  checkSignal,
  outOfRange,
  show,
  wrongType,
} from '../errors.js'
import { checkOptions, longPolicies } from '../data/index.js'
import type { Data } from '../data/index.js'
import { scheduleNames } from '../optim/index.js'
import { Scrubber } from '../privacy/index.js'
import { templateNames } from '../tokenizer/index.js'
import { checkTuning } from './adapt.js'
import type { Settings } from './options.js'

/** @throws TypeError, RangeError naming the option */
export function check(s: Settings): void {
  checkData(s)
  checkPath('a folder', 'output', s.output)
  if (s.base !== undefined) checkBase(s)
  checkTuning(s)
  checkTokenizer(s.tokenizer)
  if (s.batch !== undefined && s.batch !== 'auto') checkInteger('batch', s.batch, 1, 2 ** 20)
  if (s.maxMemory !== undefined) checkInteger('maxMemory', s.maxMemory)
  checkInteger('accumulate', s.accumulate, 1, 2 ** 20)
  if (s.learningRate !== undefined) checkNumber('learningRate', s.learningRate, 0)
  if (s.minLearningRate !== undefined)
    checkNumber('minLearningRate', s.minLearningRate, 0, s.learningRate)
  if (!scheduleNames.includes(s.schedule)) {
    throw outOfRange(`one of ${scheduleNames.map(show).join(', ')}`, 'schedule', s.schedule)
  }
  checkOne('precision', s.precision, ['auto', 'float32', 'tf32', 'bfloat16'])
  checkInteger('warmup', s.warmup, 0)
  if (!Array.isArray(s.betas) || s.betas.length !== 2)
    throw wrongType('two numbers', 'betas', s.betas)
  s.betas.forEach((beta, i) => checkNumber(`betas[${i}]`, beta, 0, 0.99999))
  checkNumber('weightDecay', s.weightDecay, 0)
  checkNumber('clip', s.clip, 0)
  if (s.validation !== undefined) checkNumber('validation', s.validation, 1e-6, 0.99)
  if (s.evaluateTokens !== Infinity) checkInteger('evaluateTokens', s.evaluateTokens)
  checkInteger('checkpointEvery', s.checkpointEvery, 0)
  checkInteger('keepCheckpoints', s.keepCheckpoints)
  checkInteger('sampleEvery', s.sampleEvery, 0)
  if (typeof s.samplePrompt !== 'string')
    throw wrongType('a string', 'samplePrompt', s.samplePrompt)
  checkInteger('sampleTokens', s.sampleTokens)
  if (s.seed !== undefined) checkInteger('seed', s.seed, 0)
  for (const name of ['resume', 'recompute', 'download', 'merge', 'stochasticRounding'] as const) {
    if (typeof s[name] !== 'boolean') throw wrongType('true or false', name, s[name])
  }
  checkSignal(s.signal)
}

function checkData(s: Settings): void {
  const { data } = s
  const what = 'a path, a list of paths or an iterable of records'
  const isIterable =
    typeof data === 'object' &&
    data !== null &&
    (Symbol.iterator in data || Symbol.asyncIterator in data)
  if (typeof data !== 'string' && !isIterable) throw wrongType(what, 'data', data)
  const mixed = Array.isArray(data) && data.some((item) => typeof item === 'string')
  if ((mixed && !pathsOf(data)) || (Array.isArray(data) && data.length === 0))
    throw wrongType(what, 'data', data)
  for (const path of pathsOf(data) ?? []) checkPath(what, 'data', path)
  checkOptions({
    ...(s.format !== undefined && { format: s.format }),
    ...(s.columns !== undefined && { columns: s.columns }),
    ...(s.agents !== undefined && { agents: s.agents }),
  })
  if (s.cache !== undefined) checkPath('a folder', 'cache', s.cache)
  if (s.weights !== undefined) checkWeights(s.weights, pathsOf(data))
  if (s.template !== undefined && (typeof s.template !== 'string' || s.template === ''))
    throw wrongType(
      `${templateNames.map(show).join(', ')} or a Jinja template`,
      'template',
      s.template,
    )
  checkOne('learn', s.learn, ['answers', 'all'])
  checkOne('long', s.long, longPolicies)
  checkOne('duplicates', s.duplicates, ['drop', 'keep'])
  checkOne('split', s.split, ['random', 'time'])
  if (typeof s.privacy === 'object')
    new Scrubber(s.privacy) // says what is wrong with it
  else if (s.privacy !== undefined && typeof s.privacy !== 'boolean')
    throw wrongType('true, false or an object of options', 'privacy', s.privacy)
}

function checkBase({ base, tokenizer, model }: Settings): void {
  checkPath('a model folder or checkpoint', 'base', base)
  if (tokenizer !== 'auto')
    throw outOfRange("'auto': the base's own is taken", 'tokenizer', tokenizer)
  if (typeof model === 'string') throw outOfRange('no preset beside a base', 'model', model)
  const own = Object.keys(model ?? {}).find((name) => !['dropout', 'context'].includes(name))
  if (own !== undefined)
    throw outOfRange('dropout and context alone beside a base', 'model', `with ${own}`)
}

/** Throws for bounds of a run that cannot be. */
export function checkEnd(s: Settings, steps: number | undefined): void {
  if (s.epochs !== undefined) {
    if (s.epochs !== 'auto') checkNumber('epochs', s.epochs, 1e-6, 1e9)
    if (steps !== undefined) throw outOfRange('no steps beside epochs', 'steps', steps)
  }
  if (s.maxTokens !== Infinity) checkInteger('maxTokens', s.maxTokens)
  if (s.maxTime !== Infinity) checkNumber('maxTime', s.maxTime, 0)
  if (s.patience !== Infinity) checkInteger('patience', s.patience)
  checkOne('onSpike', s.onSpike, ['ignore', 'skip', 'restore', 'lower', 'stop'])
}

function checkWeights(weights: unknown, paths: readonly string[] | undefined): void {
  if (!Array.isArray(weights)) throw wrongType('a list of numbers', 'weights', weights)
  weights.forEach((weight, i) => checkNumber(`weights[${i}]`, weight, 0.001, 1000))
  if (weights.length !== paths?.length)
    throw outOfRange(`one weight for each of ${paths?.length ?? 'no'} paths`, 'weights', weights)
}

/** The paths that data names; undefined for records. */
export function pathsOf(data: Data): readonly string[] | undefined {
  if (typeof data === 'string') return [data]
  const isList = Array.isArray(data) && data.every((item) => typeof item === 'string')
  return isList ? (data as string[]) : undefined
}

function checkOne(name: string, value: string, known: readonly string[]): void {
  if (!known.includes(value)) throw outOfRange(`one of ${known.map(show).join(', ')}`, name, value)
}

function checkTokenizer(tokenizer: Settings['tokenizer']): void {
  const names = ['auto', 'gpt2', 'character', 'bpe']
  if (typeof tokenizer === 'string') {
    if (!names.includes(tokenizer))
      throw outOfRange(`one of ${names.map(show).join(', ')}`, 'tokenizer', tokenizer)
  } else if (typeof tokenizer !== 'object' || tokenizer === null) {
    throw wrongType('a name, { kind, size } or a Tokenizer', 'tokenizer', tokenizer)
  } else if ('encode' in tokenizer) {
    const methods = ['encode', 'decode', 'decodeBytes', 'stream', 'decoder', 'files'] as const
    const isTokenizer =
      methods.every((name) => typeof tokenizer[name] === 'function') &&
      Number.isSafeInteger(tokenizer.size)
    if (!isTokenizer)
      throw wrongType('a name, { kind, size } or a Tokenizer', 'tokenizer', tokenizer)
  } else {
    checkKeys('tokenizer', tokenizer, ['kind', 'size'])
    const kind: string = tokenizer.kind
    if (kind !== 'bpe') throw outOfRange("'bpe'", 'tokenizer.kind', kind)
    checkInteger('tokenizer.size', tokenizer.size, 257, 2 ** 20)
  }
}
