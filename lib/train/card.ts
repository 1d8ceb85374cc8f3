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

// Watts that a machine is taken to draw while it trains: nothing here can measure them.
const WATTS = { cpu: 100, gpu: 400 }

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
  const lines = [
    ask('where the data come from, under what licence, and on what ground they may be used.'),
    `${many(documents, what)}: ${number(train)} tokens to learn from, ${number(validation)} for ` +
      'validation.',
  ]
  if (!ledger) return lines.join('\n\n')
  const { rows, kept, duplicates, dropped, broken, redactions, redacted } = ledger
  const found = Object.entries(redactions).map(([kind, n]) => `${number(n)} ${kind}`)
  lines.push(
    [
      `- rows read: ${number(rows)}; learned from: ${number(kept)}`,
      `- left out: ${number(duplicates)} duplicates, ${number(dropped)} others, ${number(broken)} broken`,
      found.length > 0
        ? `- personal data taken out of ${number(redacted)} rows: ${found.join(', ')}`
        : '- personal data taken out: none was found or none was looked for',
    ].join('\n'),
  )
  return lines.join('\n\n')
}

function training(report: TrainReport): string {
  const { steps, tokens, epochs, learningRate, learned, parameters, seconds, device } = report
  const part = learned === parameters ? 'all of them' : number(learned)
  const ended = report.stopped ? ` (ended early by ${report.stopped})` : ''
  const hours = (seconds / 3600).toFixed(2)
  return [
    `- ${number(steps)} steps${ended}, ${number(tokens)} tokens, ${epochs.toFixed(2)} epochs`,
    `- peak learning rate ${learningRate}; parameters learned: ${part}`,
    `- seed ${report.seed}; ${device}; ${hours} hours in the last process`,
    `- gptloom ${report.versions.gptloom}, Node.js ${report.versions.node}`,
  ].join('\n')
}

function measured(report: TrainReport, evaluation: CardEvaluation | undefined): string {
  const { firstLoss, bestLoss, bestStep, interval } = report
  const spread = interval
    ? ` (95 % interval ${figure(interval[0])} to ${figure(interval[1])}, by bootstrap over batches)`
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

function energy({ seconds, device }: TrainReport): string {
  const watts = /cuda|nvidia|gpu/i.test(device) ? WATTS.gpu : WATTS.cpu
  const kilowattHours = (seconds / 3600) * (watts / 1000)
  return (
    `Estimate, not a measurement: ${kilowattHours.toPrecision(2)} kWh, for ${(seconds / 3600).toFixed(2)} ` +
    `hours at an assumed ${watts} W.\n\n${ask('the measured figure, if there is one.')}`
  )
}

function limits({ model, data, bestLoss, trainLoss, probe }: TrainReport): string {
  const gap = bestLoss - trainLoss
  return [
    `- At most ${number(model.context)} tokens are read at once.`,
    `- Training loss ${figure(trainLoss)}, validation loss ${figure(bestLoss)}` +
      (gap > 0.5 ? ': it has learned much of its data by heart.' : '.'),
    ...(probe
      ? [
          `- Of ${probe.answers} answers to validation prompts, written greedily, ${probe.stopped} ended ` +
            `by themselves, ${probe.repeated} repeated themselves and ${probe.strayed} left the template.`,
          ...probe.warnings.map((warning) => `- ${warning}.`),
        ]
      : []),
    ...(data.train < 1e6
      ? [
          `- It has learned from ${number(data.train)} tokens only: what they do not hold it makes up.`,
        ]
      : []),
    `\n${ask('what it must not be used for, and what was found when people tried it.')}`,
  ].join('\n')
}
