import {
  AbortError,
  checkInteger,
  checkKeys,
  checkNumber,
  nearest,
  wrongType,
} from '../../errors.js'
import { checkColumns } from './columns.js'
import type { Columns } from './columns.js'
import { FORMATS } from './detect.js'
import type { Format } from './detect.js'
import type { Notice } from './notice.js'

/** How data are read. */
export interface ReadOptions {
  /** What the data is, where detection is wrong: a layout, or what rows mean. */
  format?: Format
  /** Which column or name is what, as in { prompt: 'question', completion: 'answer' }. */
  columns?: Columns
  /** Who the agents are in chats and mails: names, ids, addresses, '@domain'. */
  agents?: readonly string[]
  /** Hours of silence after which a chat (WhatsApp, Slack) is a new conversation. Default 12. */
  pause?: number
  /** Longest row in bytes; longer ones are problems. Bounds the memory used. Default 16 MiB. */
  maxRowBytes?: number
  /** Told what each file was taken for, before its rows. */
  onNotice?: (notice: Notice) => void
  /** Told how much has been read: bytes of files as they are, packed ones packed. */
  onProgress?: (progress: { file: string; bytes: number; totalBytes: number }) => void
  signal?: AbortSignal
  /** What '-' reads. Default process.stdin. */
  stdin?: AsyncIterable<Uint8Array>
}

const KEYS = [
  'format',
  'columns',
  'agents',
  'pause',
  'maxRowBytes',
  'onNotice',
  'onProgress',
  'signal',
  'stdin',
]
/** Default of maxRowBytes. */
export const MAX_ROW = 16 << 20

/**
 * @throws TypeError or RangeError
 */
export function checkOptions(options: ReadOptions): void {
  if (typeof options !== 'object' || options === null)
    throw wrongType('an object', 'options', options)
  checkKeys('options', options, KEYS)
  const { format, columns, agents, pause, maxRowBytes } = options
  if (format !== undefined && !FORMATS.includes(format)) {
    const near = typeof format === 'string' ? nearest(format, FORMATS) : undefined
    const what = near ? `a format (did you mean '${near}'?)` : `one of ${FORMATS.join(', ')}`
    throw wrongType(what, 'format', format)
  }
  if (columns !== undefined) checkColumns(columns)
  if (
    agents !== undefined &&
    (!Array.isArray(agents) || agents.some((a) => typeof a !== 'string'))
  ) {
    throw wrongType('a list of names', 'agents', agents)
  }
  if (pause !== undefined) checkNumber('pause', pause, 0)
  // Strings have at most 2^29 characters.
  if (maxRowBytes !== undefined) checkInteger('maxRowBytes', maxRowBytes, 100, 2 ** 29 - 1)
}

export function checkSignal(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return
  throw new AbortError('Stopped while data was read', undefined, { cause: signal.reason })
}
