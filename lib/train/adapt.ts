// Which parameters a run learns, and how they are kept: a whole model, parts of one, or an adapter.
import { join, resolve } from 'node:path'
import {
  GptloomError,
  checkInteger,
  checkKeys,
  checkNumber,
  outOfRange,
  show,
  wrongType,
} from '../errors.js'
import { exists } from '../files.js'
import { parseJson } from '../json.js'
import {
  ADAPTER,
  LORA_TARGETS,
  WEIGHTS,
  loadLora,
  loadWeights,
  openSafetensors,
  weightsOf,
  writeLora,
  writeWeights,
} from '../formats/index.js'
import type { ReadTensor } from '../formats/index.js'
import type { GPT2, GPT2Config } from '../models/index.js'
import { Lora } from '../nn/index.js'
import type { LoraSettings, Module } from '../nn/index.js'
import type { Tensor } from '../tensor/index.js'
import type { Best } from './checkpoint.js'
import type { Settings } from './options.js'

/** Low-rank adaptation (Hu et al. 2021): an adapter is trained and the model left as it is. */
export interface LoraOptions {
  /** Columns of the two matrices beside each weight. Default 8. */
  rank?: number
  /** The adapter's output is scaled by alpha / rank. Default: twice the rank. */
  alpha?: number
  /** The probability of dropout of the adapter's input. Default 0. */
  dropout?: number
  /**
   * The layers that have an adapter, by the end of their names: 'c_attn', 'mlp.c_proj',
   * 'h.0.attn.c_attn'. Default: all linear layers of the blocks.
   */
  targets?: readonly string[]
  /** Scale by alpha / sqrt(rank) instead (Kalajdzievski 2023). Default false. */
  rsLora?: boolean
}

/** LoRA with every default filled in. */
export type LoraPlan = LoraSettings & { targets: readonly string[] }

/** @throws TypeError, RangeError naming the option */
export function resolveLora(options: boolean | LoraOptions | undefined): LoraPlan | undefined {
  if (options === undefined || options === false) return undefined
  const asked = options === true ? {} : options
  if (typeof asked !== 'object' || asked === null)
    throw wrongType('true, false or an object of options', 'lora', options)
  checkKeys('lora', asked, ['rank', 'alpha', 'dropout', 'targets', 'rsLora'])
  const rank = checkInteger('lora.rank', asked.rank ?? 8, 1, 4096)
  const { targets = LORA_TARGETS, rsLora = false } = asked
  if (typeof rsLora !== 'boolean') throw wrongType('true or false', 'lora.rsLora', rsLora)
  if (!Array.isArray(targets) || targets.length === 0)
    throw wrongType('a list of layers', 'lora.targets', targets)
  for (const target of targets as unknown[])
    if (typeof target !== 'string') throw wrongType('the name of a layer', 'lora.targets', target)
  return {
    rank,
    alpha: checkNumber('lora.alpha', asked.alpha ?? 2 * rank),
    dropout: checkNumber('lora.dropout', asked.dropout ?? 0, 0, 0.9),
    rsLora,
    targets: [...targets],
  }
}

/** @throws TypeError, RangeError for what cannot go together */
export function checkTuning(s: Settings): void {
  const { lora, freeze } = s
  if (lora && s.base === undefined) throw outOfRange('a base beside lora', 'base', s.base)
  if (s.merge && !lora) throw outOfRange('lora beside it', 'merge', s.merge)
  if (!Array.isArray(freeze) || freeze.some((name) => typeof name !== 'string' || name === ''))
    throw wrongType('a list of names', 'freeze', freeze)
  if (lora && freeze.length > 0)
    throw outOfRange('nothing beside lora, which freezes the whole base,', 'freeze', freeze)
  checkNumber('neftune', s.neftune, 0)
  checkNumber('labelSmoothing', s.labelSmoothing, 0, 0.99)
}

/** The layers of a model that have an adapter, by name. */
function targetsOf({ targets }: LoraPlan, layers: number): string[] {
  const all = Array.from({ length: layers }, (_, i) =>
    LORA_TARGETS.map((kind) => `h.${i}.${kind}`),
  ).flat()
  const means = (target: string, name: string) => name === target || name.endsWith(`.${target}`)
  const wrong = targets.find((target) => !all.some((name) => means(target, name)))
  if (wrong !== undefined) {
    const known = `the end of a layer's name: c_attn, c_proj, c_fc, ${LORA_TARGETS.join(', ')}`
    throw outOfRange(known, 'lora.targets', wrong)
  }
  return all.filter((name) => targets.some((target) => means(target, name)))
}

/** How many numbers an adapter for such a model has. */
export function loraSize(plan: LoraPlan, { layers, width }: GPT2Config): number {
  const sides = { 'attn.c_attn': 4, 'attn.c_proj': 2, 'mlp.c_fc': 5, 'mlp.c_proj': 5 }
  const sizes = targetsOf(plan, layers).map((name) => {
    return sides[name.replace(/^h\.\d+\./, '') as keyof typeof sides] * width * plan.rank
  })
  return sizes.reduce((a, b) => a + b, 0)
}

/**
 * Whether a parameter is meant by one of the patterns: its whole name, the beginning of it up to a
 * dot, or either with * for any characters.
 */
export function isFrozen(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => meaning(pattern).test(name))
}

function meaning(pattern: string): RegExp {
  const source = pattern.replace(/[\\^$.+?()[\]{}|]/g, '\\$&').replaceAll('*', '.*')
  return new RegExp(`^${source}(\\..*)?$`)
}

/** @throws RangeError for a pattern that means nothing, or when nothing is left to learn */
export function checkFrozen(names: readonly string[], patterns: readonly string[]): void {
  const idle = patterns.find((pattern) => !names.some((name) => isFrozen(name, [pattern])))
  if (idle !== undefined) {
    const first = names.slice(0, 4).map(show).join(', ')
    throw outOfRange(`a parameter's name, such as ${first},`, 'freeze', idle)
  }
  if (names.every((name) => isFrozen(name, patterns)))
    throw outOfRange('patterns that leave something to learn', 'freeze', patterns)
}

/** What a run learns. */
export interface Learner {
  /** What a checkpoint holds. */
  readonly kept: Module
  /** What the optimizer moves. */
  readonly trainable: readonly (readonly [string, Tensor])[]
  readonly lora?: Lora
  /** What the adapter goes with: a name on a hub, or a path. */
  readonly base?: string
  /**
   * Writes what was learned into the output folder, which can be loaded from there on.
   * @param best how good it is, if that was measured: kept in the same file, so that both are of one step
   */
  save(from: ReadTensor, best: Best | null): Promise<void>
  /** What the last save() said of it; undefined where nobody did. */
  saved(): Promise<Best | undefined>
  /** Takes what was saved. */
  load(): Promise<void>
}

/** The folder of an adapter: the output itself, or one inside it when that will hold the merged model. */
function adapterFolder({ output, merge }: Settings): string {
  return merge ? join(output, 'adapter') : output
}

/** Decides what is learned, and marks it in the model. */
export async function openLearner(model: GPT2, settings: Settings, seed: number): Promise<Learner> {
  const { output, freeze, lora: plan } = settings
  if (!plan) {
    checkFrozen(
      Array.from(model.namedParameters(), ([name]) => name),
      freeze,
    )
    for (const [name, parameter] of model.namedParameters())
      parameter.requiresGrad = !isFrozen(name, freeze)
    return {
      kept: model,
      trainable: [...model.namedParameters()].filter(([, { requiresGrad }]) => requiresGrad),
      save: (from, best) => writeWeights(output, weightsOf(model, from), metadata(best)),
      saved: () => savedIn(join(output, WEIGHTS)),
      load: () => loadWeights(output, model),
    }
  }
  for (const parameter of model.parameters()) parameter.requiresGrad = false
  const linears = model.linears()
  const layers = targetsOf(plan, model.config.layers).map((name) => {
    const [inputs, outputs] = linears.get(name)!.weight.shape as [number, number]
    return { name, inputs, outputs }
  })
  const { targets: _, ...lora } = plan
  const { device, dtype } = model
  const adapter = Lora.fresh(lora, layers, { device, dtype, seed })
  model.useAdapter(adapter)
  const folder = adapterFolder(settings)
  const base = (await exists(settings.base!)) ? resolve(settings.base!) : settings.base!
  return {
    kept: adapter,
    trainable: [...adapter.namedParameters()],
    lora: adapter,
    base,
    save: (from, best) =>
      writeLora(folder, adapter, model, base, { from, metadata: metadata(best) }),
    saved: () => savedIn(join(folder, ADAPTER)),
    load: () => loadLora(folder, adapter),
  }
}

const BEST = 'gptloom.best'

function metadata(best: Best | null): Record<string, string> {
  return best ? { [BEST]: JSON.stringify(best) } : {}
}

async function savedIn(path: string): Promise<Best | undefined> {
  if (!(await exists(path))) return undefined
  const file = await openSafetensors(path)
  try {
    const text = file.metadata[BEST]
    if (text === undefined) return undefined
    const { step, loss, interval } = (parseJson(Buffer.from(text), `${path} (${BEST})`) ??
      {}) as Best
    const isRange = Array.isArray(interval) && interval.every(Number.isFinite)
    if (Number.isSafeInteger(step) && Number.isFinite(loss) && (isRange || interval === undefined))
      return { step, loss, ...(interval && { interval }) }
    throw new GptloomError('ERR_FORMAT', `${path}: ${BEST} is not what a run writes there`)
  } finally {
    await file.close()
  }
}
