// The model card: README.md in a model's folder, with Hugging Face's metadata, filled from the run.
import { join } from 'node:path'
import { writeFileAtomic } from '../files.js'
import type { TrainReport } from './events.js'

/** A figure with its 95 % interval, for the card. */
interface CardFigure {
  value: number
  low: number
  high: number
}

/** What an evaluation found, as evaluate() gives it. */
export interface CardEvaluation {
  rows: number
  figures: Record<string, CardFigure>
  comparison?: {
    verdict: string
    figures: Record<string, { base: number; difference: number; low: number; high: number }>
  }
}

// Watts that a machine is taken to draw while it trains, for a thread and for a GPU: nothing here can
// measure them.
const WATTS = { thread: 10, gpu: 500 }
// More files than these are only counted.
const MOST_FILES = 20

const many = (n: number, what: string) => `${number(n)} ${what}${n === 1 ? '' : 's'}`
const number = (n: number) => n.toLocaleString('en-US', { maximumFractionDigits: 0 })
const figure = (n: number) => n.toPrecision(4)
/** A place that only people can fill. */
const ask = (what: string) => `> **To be filled in by a person:** ${what}`

/** Writes the card into a model's folder, over an earlier one. */
export async function writeCard(
  folder: string,
  report: TrainReport,
  evaluation?: CardEvaluation,
): Promise<void> {
  await writeFileAtomic(join(folder, 'README.md'), modelCard(report, evaluation))
}

/** The text of a card. */
export function modelCard(report: TrainReport, evaluation?: CardEvaluation): string {
  const sections = [
    '# A GPT-2 model trained with gptloom',
    ask('a name, what the model is for, who made it and how to reach them.'),
    summary(report),
    `## Data\n\n${data(report)}`,
    `## Training\n\n${training(report)}`,
    `## Evaluation\n\n${measured(report, evaluation)}`,
    `## Energy\n\n${energy(report)}`,
    `## Limits\n\n${limits(report)}`,
  ]
  return `${metadata(report)}\n${sections.join('\n\n')}\n`
}

function metadata({ base, lora, bitsPerByte, perplexity }: TrainReport): string {
  const isRepository = base !== undefined && /^[\w.-]+\/[\w.-]+$/.test(base)
  const lines = [
    'library_name: ' + (lora ? 'peft' : 'transformers'),
    'pipeline_tag: text-generation',
    ...(isRepository ? [`base_model: ${base}`] : []),
    'tags:',
    '- gptloom',
    '- gpt2',
    ...(lora ? ['- lora'] : []),
    'model-index:',
    '- name: model',
    '  results:',
    '  - task:',
    '      type: text-generation',
    '    dataset:',
    '      name: validation part of the training data',
    '      type: private',
    '    metrics:',
    '    - type: perplexity',
    `      value: ${figure(perplexity)}`,
    '    - type: bits_per_byte',
    `      value: ${figure(bitsPerByte)}`,
  ]
  return `---\n# license: and language: are for a person to add\n${lines.join('\n')}\n---\n`
}

function summary({ model, parameters, base, lora }: TrainReport): string {
  const { layers, heads, width, context, vocabulary } = model
  const from = base === undefined ? 'trained from random weights' : `tuned from \`${base}\``
  const how = lora
    ? ` by a LoRA adapter (rank ${lora.rank}, alpha ${lora.alpha}, dropout ${lora.dropout}` +
      `${lora.rsLora ? ', rsLoRA' : ''}; ${lora.targets.join(', ')})`
    : ''
  return (
    `${number(parameters)} parameters: ${many(layers, 'layer')}, ${many(heads, 'head')}, width ` +
    `${width}, context ${number(context)}, ${number(vocabulary)} tokens; ${from}${how}.`
  )
}

function data({ data }: TrainReport): string {
  const { train, validation, documents, ledger } = data
  const what = ledger ? 'example' : 'document'
  return [
    ask('where the data come from, under what licence, and on what ground they may be used.'),
    `${many(documents, what)}: ${number(train)} tokens to learn from, ${number(validation)} for ` +
      'validation.',
    sources(data),
    ...(ledger ? [removed(ledger)] : []),
  ].join('\n\n')
}

function sources({ files, sources }: TrainReport['data']): string {
  if (files.length === 0) return 'The program that trained it gave the records: no files were read.'
  const lines = files.slice(0, MOST_FILES).map(({ name, bytes }) => {
    return `- \`${name}\`, ${number(bytes)} bytes`
  })
  if (files.length > MOST_FILES)
    lines.push(`- and ${many(files.length - MOST_FILES, 'other file')}`)
  for (const { path, examples, epochs } of sources ?? [])
    lines.push(`- of \`${path}\`: ${many(examples, 'example')}, shown ${epochs.toFixed(2)} times`)
  return lines.join('\n')
}

function removed(ledger: NonNullable<TrainReport['data']['ledger']>): string {
  const { rows, kept, duplicates, dropped, broken, redactions, redacted, reasons } = ledger
  const list = (counts: Record<string, number>) =>
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([kind, n]) => `${number(n)} ${kind}`)
      .join(', ')
  const why = list(reasons)
  const found = list(redactions)
  return [
    `- rows read: ${number(rows)}; learned from: ${number(kept)}`,
    `- left out: ${number(duplicates)} duplicates, ${number(dropped)} others, ` +
      `${number(broken)} broken${why && ` (${why})`}`,
    found
      ? `- personal data taken out of ${number(redacted)} rows: ${found}`
      : '- personal data taken out: none was found or none was looked for',
  ].join('\n')
}

function training(report: TrainReport): string {
  const { steps, tokens, epochs, learningRate, learned, parameters, device, guard } = report
  const part = learned === parameters ? 'all of them' : number(learned)
  const frozen = report.freeze ? ` (left as they were: ${report.freeze.join(', ')})` : ''
  const ended = report.stopped ? ` (ended early by ${report.stopped})` : ''
  const { batch, model, precision, totalSeconds } = report
  return [
    `- ${number(steps)} steps${ended}, ${number(tokens)} tokens, ${epochs.toFixed(2)} epochs`,
    `- AdamW; ${many(batch, 'sequence')} of ${number(model.context)} tokens a step, ${precision}`,
    `- peak learning rate ${learningRate}; parameters learned: ${part}${frozen}`,
    ...(guard.skipped > 0
      ? [`- ${many(guard.skipped, 'step')} skipped, as the loss was not to be trusted`]
      : []),
    `- seed ${report.seed}; ${device}; ${(totalSeconds / 3600).toFixed(2)} hours`,
    `- gptloom ${report.versions.gptloom}, Node.js ${report.versions.node}`,
  ].join('\n')
}

function measured(report: TrainReport, evaluation: CardEvaluation | undefined): string {
  const { firstLoss, bestLoss, bestStep, interval } = report
  const spread = interval
    ? ` (95 % interval ${figure(interval[0])} to ${figure(interval[1])}, by bootstrap)`
    : ''
  const own =
    `On the validation part, which was not learned from: loss ${figure(bestLoss)} nats a token${spread} ` +
    `after step ${number(bestStep)}, ${figure(firstLoss)} before the first; perplexity ` +
    `${figure(report.perplexity)}, ${figure(report.bitsPerByte)} bits a byte.`
  if (!evaluation) return own
  const { rows, figures, comparison } = evaluation
  const between = ({ low, high }: { low: number; high: number }) =>
    `${figure(low)} to ${figure(high)}`
  const lines = Object.entries(figures).map(([name, own]) => {
    const other = comparison?.figures[name]
    const empty = comparison ? ' | |' : ''
    const base = other
      ? ` ${figure(other.base)} | ${figure(other.difference)} (${between(other)}) |`
      : empty
    return `| ${name} | ${figure(own.value)} | ${between(own)} |${base}`
  })
  const head = comparison
    ? '| figure | value | 95 % interval | base | difference (95 % interval) |\n|---|---|---|---|---|'
    : '| figure | value | 95 % interval |\n|---|---|---|'
  const verdict = comparison
    ? `\n\nAgainst the base, in bits a byte: **${comparison.verdict}**.`
    : ''
  return `${own}\n\nOn ${number(rows)} other rows:\n\n${head}\n${lines.join('\n')}${verdict}`
}

function energy({ totalSeconds, device }: TrainReport): string {
  const threads = Number(/(\d+) threads?/.exec(device)?.[1] ?? NaN)
  const isGpu = Number.isNaN(threads)
  const watts = isGpu ? WATTS.gpu : threads * WATTS.thread
  const hours = totalSeconds / 3600
  const taken = isGpu ? 'for the GPU and what is around it' : `at ${WATTS.thread} W a thread`
  return (
    `Estimate, not a measurement: ${(hours * (watts / 1000)).toPrecision(2)} kWh, for ${hours.toFixed(2)} ` +
    `hours at an assumed ${watts} W (${taken}); half or double of it may be true.\n\n` +
    ask('the measured figure, if there is one.')
  )
}

function limits(report: TrainReport): string {
  const { model, data, bestLoss, bestStep, lastLoss, steps, trainLoss, probe } = report
  const gap = bestLoss - trainLoss
  const { cut = 0, kept = 0 } = data.ledger ?? {}
  const lines = [
    `At most ${number(model.context)} tokens are read at once.`,
    `Training loss ${figure(trainLoss)}, validation loss ${figure(bestLoss)}` +
      (gap > 0.5 ? ': it has learned much of its data by heart.' : '.'),
  ]
  if (lastLoss > bestLoss)
    lines.push(
      `The validation loss rose again after step ${number(bestStep)}, to ${figure(lastLoss)} at step ` +
        `${number(steps)}: the weights are those of step ${number(bestStep)}.`,
    )
  if (cut > 0)
    lines.push(
      `${number(cut)} of ${many(kept, 'row')} did not fit into the context and were cut: what stood ` +
        'there it has not learned.',
    )
  if (probe)
    lines.push(
      `Of ${probe.answers} answers to validation prompts, written greedily, ${probe.stopped} ended ` +
        `by themselves, ${probe.repeated} repeated themselves and ${probe.strayed} left the template.`,
      ...probe.warnings.map((warning) => `${warning}.`),
    )
  if (data.train < 1e6)
    lines.push(
      `It has learned from ${number(data.train)} tokens only: what they do not hold it makes up.`,
    )
  const asked = ask('what it must not be used for, and what was found when people tried it.')
  return `${lines.map((line) => `- ${line}`).join('\n')}\n\n${asked}`
}
