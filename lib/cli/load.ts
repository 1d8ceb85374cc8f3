// What the verbs that open a model have in common.
import { load } from '../generate/index.js'
import type { LanguageModel, LoadOptions } from '../generate/index.js'
import { number } from './arguments.js'
import type { Flag } from './arguments.js'

/** A flag that takes a number. */
export const numeric = (name: string, help: string, sets?: string): Flag => ({
  name,
  value: '<n>',
  help,
  sets,
  parse: number,
})

export const downloadFlag: Flag = {
  name: 'download',
  help: 'fetch a model that is named as on the hub, where its cache does not hold it',
}

export const weightsFlag: Flag = {
  name: 'weights',
  value: '<format>',
  help: 'on the CPU, in memory: float32, bfloat16 or int8 (float32)',
}

export const machineFlags: Flag[] = [
  { name: 'device', value: '<name>', help: 'auto, cpu, cuda or cuda:<n> (auto)' },
  numeric('threads', 'threads to use (all that the process may)'),
]

/** How text is chosen. */
export const samplingFlags: Flag[] = [
  numeric('max-tokens', 'the most tokens to write (200)', 'maxTokens'),
  numeric('temperature', '0 always takes the likeliest token (0.8)'),
  numeric('top-k', 'choose among the k likeliest tokens (all)', 'topK'),
  numeric('top-p', 'choose among those that together have this probability (1)', 'topP'),
  numeric('min-p', 'leave out what is less likely than this share of the likeliest (0)', 'minP'),
  numeric(
    'repetition-penalty',
    'above 1, what was written already becomes less likely (1)',
    'repetitionPenalty',
  ),
  numeric('presence-penalty', 'taken from the logits of what was written (0)', 'presencePenalty'),
  numeric(
    'frequency-penalty',
    'the same for each time that it was written (0)',
    'frequencyPenalty',
  ),
  { name: 'stop', value: '<text>', help: 'ends the text where this would come' },
  numeric('seed', 'the same seed gives the same text (a new one each time)'),
]

/** Takes out of values those that belong to flags. */
export function valuesOf(
  flags: readonly Flag[],
  values: Record<string, unknown>,
): Record<string, unknown> {
  const names = flags.map(({ name, sets }) => sets ?? name).filter((name) => name in values)
  return Object.fromEntries(names.map((name) => [name, values[name]]))
}

/** Opens a model as the flags say. */
export function open(
  path: string,
  values: Record<string, unknown>,
  more: Partial<LoadOptions> = {},
): Promise<LanguageModel> {
  const flags = [...machineFlags, weightsFlag, downloadFlag]
  return load(path, { ...(valuesOf(flags, values) as LoadOptions), ...more })
}
