// What a file was taken for, in words.
import { basename } from 'node:path'
import type { Container, Detected } from './detect.js'
import type { RowFormat } from './shapes.js'

/** What a file was taken for, to be shown to the user. */
export interface Notice extends Detected {
  file: string
  /** One line that says it. */
  message: string
}

const LAYOUTS: Readonly<Record<Container, string>> = {
  jsonl: 'JSON lines',
  json: 'JSON',
  csv: 'CSV',
  tsv: 'TSV',
  parquet: 'Parquet',
  document: 'plain text',
  mbox: 'a mailbox (mbox), threads as conversations',
  whatsapp: 'a WhatsApp chat',
  slack: 'a Slack export, threads as conversations',
}
const MEANINGS: Readonly<Record<RowFormat, string>> = {
  chat: 'chats (messages)',
  completion: 'prompts and completions',
  preference: 'preferences (chosen, rejected)',
  alpaca: 'instructions (Alpaca)',
  sharegpt: 'conversations (ShareGPT)',
  text: 'texts',
  turns: 'one message a row',
  zendesk: 'Zendesk tickets',
  intercom: 'Intercom conversations',
  freshdesk: 'Freshdesk tickets',
}
const DATES = { dmy: 'day, month, year', mdy: 'month, day, year', ymd: 'year, month, day' }

/** The line that tells the user how a file is read. */
export function notice(file: string, detected: Detected): Notice {
  const { container, format, columns, delimiter, list, dates, guessed } = detected
  const parts = [LAYOUTS[container]]
  if (delimiter !== undefined && delimiter !== ',' && container === 'csv') {
    parts.push(`delimiter ${delimiter === '\t' ? 'tab' : delimiter}`)
  }
  if (list !== undefined) parts.push(`the list "${list}"`)
  if (dates !== undefined) parts.push(`dates as ${DATES[dates]}`)
  if (Object.hasOwn(MEANINGS, format)) parts.push(MEANINGS[format as RowFormat])
  const mapped = Object.entries(columns ?? {}).map(([meaning, name]) => `${meaning} = ${name}`)
  if (mapped.length > 0) parts.push(mapped.join(', ') + (guessed ? ' (guessed)' : ''))
  return { file, ...detected, message: `${basename(file)}: ${parts.join('; ')}` }
}

/** The notice of a Slack export, which is a folder. */
export function slackNotice(file: string): Notice {
  return notice(file, { container: 'slack', format: 'slack', guessed: false })
}
