// What a run is going to do, and what it has done.
import type { LedgerSummary } from '../data/index.js'
import type { StartEvent, TrainReport } from '../train/index.js'
import { quote } from './arguments.js'
import { bytes, clock, count, measure, percent, plural, short, table } from './format.js'

export function startTable(event: StartEvent): string {
  const { device, model, parameters, memory, tokenizer, data, steps, batch, accumulate } = event
  const micro = accumulate > 1 ? ` in ${accumulate} micro-batches` : ''
  return table([
    ['device', device],
    [
      'model',
      `${plural(model.layers, 'layer')}, ${plural(model.heads, 'head')}, width ${model.width}, ` +
        `context ${model.context}${model.dropout ? `, dropout ${model.dropout}` : ''}`,
    ],
    ['parameters', count(parameters)],
    [
      'memory',
      `about ${bytes(memory.total)}: weights ${bytes(memory.weights)}, gradients ` +
        `${bytes(memory.gradients)}, optimizer ${bytes(memory.optimizer)}, ` +
        `activations ${bytes(memory.activations)}`,
    ],
    ['tokenizer', `${tokenizer.kind}, ${plural(tokenizer.size, 'token')}`],
    ...ledgerRows(data.ledger),
    [
      'data',
      `${plural(data.train, 'token')} to learn from, ${count(data.validation)} for validation, ` +
        `from ${plural(data.documents, data.ledger ? 'example' : 'document')}` +
        (data.padding === undefined ? '' : ` (${percent(data.padding)} of places empty)`),
    ],
    ...(data.sources ?? []).map(({ path, examples, epochs }): [string, string] => [
      'source',
      `${path}: ${plural(examples, 'example')}, ${+epochs.toPrecision(2)} times`,
    ]),
    [
      'training',
      `${plural(steps, 'step')} of ${plural(event.tokensPerStep, 'token')} ` +
        `(${plural(batch, 'sequence')}${micro}): the data ${+event.epochs.toPrecision(2)} times`,
    ],
    ['settings', `learning rate ${event.learningRate}, seed ${event.seed}`],
    ...(event.chosen ? [['chosen', event.chosen] as [string, string]] : []),
  ])
}

/** What became of the rows of examples. */
export function ledgerRows(ledger: LedgerSummary | undefined): [string, string][] {
  if (!ledger) return []
  const { rows, kept, duplicates, dropped, broken, cut, split, redacted, redactions } = ledger
  const notes = [
    ...(cut ? [`${count(cut)} cut to the context`] : []),
    ...(split ? [`${count(split)} split`] : []),
  ]
  const lost = [
    ...(duplicates ? [plural(duplicates, 'duplicate')] : []),
    ...(dropped ? [`${count(dropped)} left out`] : []),
    ...(broken ? [`${count(broken)} broken`] : []),
  ]
  const kinds = Object.entries(redactions).sort(([, a], [, b]) => b - a)
  const found = kinds.map(([kind, n]) => `${count(n)} ${kind}`).join(', ')
  return [
    [
      'rows',
      [`${count(rows)}: ${count(kept)} learned from`, ...lost].join(', ') +
        (notes.length > 0 ? ` (${notes.join(', ')})` : ''),
    ],
    ...(redacted > 0
      ? [
          ['taken out', `${found}, in ${plural(redacted, 'row')} (--no-privacy leaves it in)`] as [
            string,
            string,
          ],
        ]
      : []),
  ]
}

const bounds = {
  tokens: 'enough tokens',
  time: 'the time is over',
  patience: 'the loss falls no more',
}

/** @param output the folder of the model, for what to do next */
export function reportTable(report: TrainReport, output: string): string {
  const { firstLoss, lastLoss, bestLoss, bestStep } = report
  const flops = measure(report.flopsPerSecond, 'FLOP/s')
  const speed = `${count(report.tokensPerSecond)} tokens/s, ${flops}`
  const figures = table([
    [
      'validation loss',
      `${firstLoss.toFixed(4)} at first, ${lastLoss.toFixed(4)} at last, best ` +
        `${bestLoss.toFixed(4)} after step ${count(bestStep)}`,
    ],
    ['perplexity', short(report.perplexity)],
    ['bits per byte', report.bitsPerByte.toFixed(3)],
    ['training loss', `${report.trainLoss.toFixed(4)} over the last steps`],
    ['tokens', `${count(report.tokens)} in ${plural(report.steps, 'step')}`],
    ['time', clock(report.seconds)],
    ['speed', `${speed}: ${percent(report.utilisation)} of this machine's measured peak`],
    ['peak memory', bytes(report.peakMemory)],
    ['seed', String(report.seed)],
  ])
  const next = report.data.ledger
    ? `Talk to it:  gptloom chat ${quote(output)}`
    : `Let it write:  gptloom generate ${quote(output)} "The"`
  const ended = report.stopped ? ` (ended early: ${bounds[report.stopped]})` : ''
  return `\nDone${ended}. The model is in ${output}\n${figures}\n${next}\n`
}
