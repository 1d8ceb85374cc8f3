import { isUtf8 } from 'node:buffer'
import type { Chunks } from '../formats/input.js'
import { splitLines, tooLong } from '../formats/lines.js'
import { problem } from '../formats/problem.js'
import { notUtf8 } from '../formats/value.js'
import type { ThreadRow } from './mbox.js'
import { agentTest, toChat } from './thread.js'
import type { Turn } from './thread.js'

/** Which of a date's numbers is which. */
export type DateOrder = 'dmy' | 'mdy' | 'ymd'

export interface WhatsAppOptions {
  limit: number
  order: DateOrder
  /** Hours of silence after which a new conversation begins. */
  pause: number
  agents?: readonly string[]
}

// A line such as "12/31/25, 9:41 PM - Ana: Hello", "[31.12.25, 21:41:07] Ana: Hello" or
// "2025-12-31 21:41 - Ana: Hello". Marks of direction and narrow blanks are there in some versions.
const STAMP = new RegExp(
  '^[\\u200e\\u200f\\ufeff]{0,3}\\[?(\\d{1,4})[./-](\\d{1,2})[./-](\\d{1,4})\\.?,?\\s{1,2}' +
    '(?:\\p{L}{1,4}\\.?\\s)?' + // "at", "um", "à"
    '(\\d{1,2})[:.](\\d{2})(?:[:.](\\d{2}))?(?:\\s?([ap])\\.?\\s?m\\.?)?' +
    '\\]?\\s(?:[-–—]\\s)?',
  'iu',
)
const HIDDEN = /[\u200e\u200f\u202a-\u202c\u2066-\u2069]/g

interface Stamp {
  /** The numbers of the date as they stand there. */
  date: [number, number, number]
  isYearFirst: boolean
  hasHalves: boolean
  hour: number
  minute: number
  second: number
  rest: string
}

function toStamp(line: string): Stamp | undefined {
  if (!/^[[\d\u200e\u200f\ufeff]/.test(line)) return undefined // most lines that go on
  const match = STAMP.exec(line.slice(0, 80))
  if (!match) return undefined
  const half = match[7]?.toLowerCase()
  const hour = Number(match[4])
  return {
    date: [Number(match[1]), Number(match[2]), Number(match[3])],
    isYearFirst: match[1]!.length === 4,
    hasHalves: half !== undefined,
    hour: half === undefined ? hour : (hour % 12) + (half === 'p' ? 12 : 0),
    minute: Number(match[5]),
    second: Number(match[6] ?? 0),
    rest: line.slice(match[0].length),
  }
}

function timeOf({ date, hour, minute, second }: Stamp, order: DateOrder): number | undefined {
  const day = date[{ dmy: 0, mdy: 1, ymd: 2 }[order]]!
  const month = date[{ dmy: 1, mdy: 0, ymd: 1 }[order]]!
  const year = date[order === 'ymd' ? 0 : 2]!
  const time = Date.UTC(year < 100 ? 2000 + year : year, month - 1, day, hour, minute, second)
  const fits = new Date(time).getUTCDate() === day && month >= 1 && month <= 12 && hour < 24
  return fits && minute < 60 && Number.isFinite(time) ? time : undefined
}

/** Whether a text begins as an export does: most of the first lines with a stamp and a sender. */
export function isWhatsApp(lines: readonly string[]): boolean {
  const stamped = lines.filter((line) => /^[^:]{1,100}: /.test(toStamp(line)?.rest ?? ''))
  return toStamp(lines[0] ?? '') !== undefined && stamped.length >= Math.min(2, lines.length)
}

/**
 * The order of the dates in an export, which its phone's language chose: the one under which fewest
 * dates are impossible or run backwards. Where none is better, 12-hour clocks have the month first.
 */
export function guessOrder(lines: readonly string[]): DateOrder {
  const stamps = lines.flatMap((line) => toStamp(line) ?? [])
  if (stamps[0]?.isYearFirst) return 'ymd'
  const faults = (order: DateOrder) => {
    let count = 0
    let before = 0
    for (const stamp of stamps) {
      const time = timeOf(stamp, order)
      if (time === undefined || time < before) count++
      before = time ?? before
    }
    return count
  }
  const [dmy, mdy] = [faults('dmy'), faults('mdy')]
  if (dmy !== mdy) return dmy < mdy ? 'dmy' : 'mdy'
  return stamps.some(({ hasHalves }) => hasHalves) && /^\W?\d+\//.test(lines[0] ?? '')
    ? 'mdy'
    : 'dmy'
}

/** What stands in place of pictures, calls and deleted messages, in the common languages. */
const PLACEHOLDERS = [
  '^<[^<>]{1,60}(?:omitted|ausgeschlossen|weggelaten|omis|omitid[oa]|omess[oi])[^<>]{0,20}>$',
  '^(?:image|video|audio|sticker|GIF|document|Contact card|Bild) (?:omitted|weggelassen)$',
  '^(?:Video|Audio|Sticker) weggelassen$',
  '^<(?:attached|adjunto|Anhang|pièce jointe|allegato): [^<>]{1,200}>$',
  '\\((?:file attached|Datei angehängt|archivo adjunto|fichier joint|file allegato)\\)$',
  '^(?:This message was deleted|You deleted this message)\\.?$',
  '^(?:Diese Nachricht wurde gelöscht|Du hast diese Nachricht gelöscht)\\.?$',
  '^(?:Se eliminó este mensaje|Ce message a été supprimé)\\.?$',
  '^Questo messaggio è stato eliminato\\.?$',
  '^(?:Missed (?:voice|video) call|Verpasster (?:Sprach|Video)anruf|null)\\b',
]
const PLACEHOLDER = new RegExp(PLACEHOLDERS.join('|'), 'i')
const EDITED =
  /\s?<(?:This message was edited|Diese Nachricht wurde bearbeitet|Se editó este mensaje)>$/

/** Characters of one conversation. A longer one is cut in two; a longer message is a problem. */
const LONGEST = 1 << 20

interface Message {
  line: number
  sender: string
  time: number
  text: string
}

/**
 * Reads a chat that WhatsApp exported as text. A pause begins a new conversation. The one who
 * writes first is the user in all of them and everybody else the assistant, unless `agents` names
 * the agents. Messages of the system, media and deleted messages are left out.
 */
export async function* readWhatsApp(
  chunks: Chunks,
  { limit, order, pause, agents }: WhatsAppOptions,
): AsyncGenerator<ThreadRow[]> {
  const isAgent = agentTest(agents)
  let first: string | undefined
  let open: Message[] = []
  let length = 0
  const finish = (): ThreadRow => {
    const turns = open.map(({ sender, text }): Turn => {
      const isUser = isAgent ? !isAgent([sender]) : sender === first
      return { role: isUser ? 'user' : 'assistant', text }
    })
    const [{ line, time }] = open as [Message]
    const outcome =
      length > 2 * LONGEST
        ? tooLong(Buffer.from(open[0]!.text.slice(0, 200)), 2 * LONGEST, length)
        : toChat({ turns: turns.map(clean), group: first, time })
    open = []
    length = 0
    return { line, outcome }
  }
  for await (const lines of splitLines(chunks, limit)) {
    const batch: ThreadRow[] = []
    for (const { number: line, bytes, tooLong: size } of lines) {
      if (size !== undefined) batch.push({ line, outcome: tooLong(bytes, limit, size) })
      else if (!isUtf8(bytes)) batch.push({ line, outcome: notUtf8(bytes) })
      else {
        const text = bytes.toString('utf8')
        const message = toMessage(text, line, order)
        const last = open[open.length - 1]
        if (message === 'time') batch.push({ line, outcome: badTime(text, order) })
        else if (message === undefined) {
          if (last && length <= 2 * LONGEST) last.text += `\n${text.replace(HIDDEN, '')}`
          length += text.length
        } else if (message !== 'system') {
          const isNew = last && message.time - last.time > pause * 3_600_000
          if (isNew || (last && length > LONGEST)) batch.push(finish())
          first ??= isAgent?.([message.sender]) ? undefined : message.sender
          open.push(message)
          length += text.length
        }
      }
    }
    if (batch.length > 0) yield batch
  }
  if (open.length > 0) yield [finish()]
}

function badTime(text: string, order: DateOrder) {
  const read = { dmy: 'day, month, year', mdy: 'month, day, year', ymd: 'year, month, day' }[order]
  return problem('time', `There is no such date, read as ${read}`, {
    text,
    hint: 'The file was edited or joined from several exports: give them one by one.',
  })
}

/** What a line begins: a message, one of the system, or nothing where it goes on with the last. */
function toMessage(
  text: string,
  line: number,
  order: DateOrder,
): Message | 'system' | 'time' | undefined {
  const stamp = toStamp(text)
  if (!stamp) return undefined
  const time = timeOf(stamp, order)
  if (time === undefined) return 'time'
  const rest = stamp.rest.replace(HIDDEN, '')
  const colon = rest.indexOf(': ')
  if (colon <= 0 || colon > 100) return 'system'
  return { line, sender: rest.slice(0, colon), time, text: rest.slice(colon + 2) }
}

function clean({ role, text }: Turn): Turn {
  const said = text.replace(EDITED, '').trim()
  const lines = said.split('\n')
  // A caption stands below its picture.
  if (PLACEHOLDER.test(lines[0]!.slice(0, 300))) return { role, text: lines.slice(1).join('\n') }
  return { role, text: said }
}
