// A mail as in RFC 5322 and MIME (RFC 2045 to 2047): its headers and its text.
import { htmlToText } from './html.js'

export interface Mail {
  /** Address of the sender in lower case; empty where there is none. */
  from: string
  /** Name of the sender; empty where there is none. */
  name: string
  subject: string
  id?: string
  /** What it answers, the nearest first. */
  references: string[]
  /** Milliseconds since 1970. */
  time?: number
  /** Sent by a machine: out of office, lists, delivery failures. */
  automatic: boolean
  text: string
}

/** Multiparts in multiparts; mails that are forwarded again and again have a few. */
const DEPTH = 8
/** Parts of one multipart that are looked at. */
const PARTS = 200

/** Reads a mail; bytes that are no mail give one without sender. Never throws. */
export function parseMail(bytes: Buffer): Mail {
  const { headers, body } = split(bytes)
  const from = decodeWords(headers.get('from') ?? '')
  const address =
    /<([^<>\s]{1,320})>/.exec(from)?.[1] ?? /[^\s<>"',;]{1,100}@[^\s<>"',;]{1,255}/.exec(from)?.[0]
  const name = from
    .replace(/<[^<>]*>/, '')
    .trim()
    .replace(/^"(.*)"$/, '$1')
  const ids = (value: string | undefined) =>
    value?.slice(0, 20_000).match(/<[^<>\s]{1,500}>/g) ?? []
  const time = Date.parse((headers.get('date') ?? '').replace(/\([^()]*\)/g, ''))
  const references = [
    ...ids(headers.get('in-reply-to')),
    ...ids(headers.get('references')).reverse(),
  ]
  const id = ids(headers.get('message-id'))[0]
  return {
    from: address?.toLowerCase() ?? '',
    name: name === address ? '' : name,
    subject: decodeWords(headers.get('subject') ?? ''),
    ...(id && { id }),
    references,
    ...(Number.isFinite(time) && { time }),
    automatic: isAutomatic(headers),
    text: textOf(headers, body, 0)?.text ?? '',
  }
}

function isAutomatic(headers: Map<string, string>): boolean {
  const submitted = headers.get('auto-submitted')?.trim().toLowerCase() ?? 'no'
  const precedence = headers.get('precedence')?.trim().toLowerCase() ?? ''
  return (
    submitted !== 'no' ||
    headers.has('x-autoreply') ||
    headers.has('x-autorespond') ||
    ['bulk', 'junk', 'auto_reply'].includes(precedence) ||
    /^(?:multipart\/report|message\/delivery-status)/i.test(headers.get('content-type') ?? '')
  )
}

/** Headers by name in lower case, the first of each; the body behind the empty line. */
function split(bytes: Buffer): { headers: Map<string, string>; body: Buffer } {
  const headers = new Map<string, string>()
  let at = 0
  let name = ''
  let isFirst = false
  while (at < bytes.length) {
    const newline = bytes.indexOf(10, at)
    const end = newline < 0 ? bytes.length : newline
    const line = bytes.toString('utf8', at, Math.min(end, at + 50_000)).replace(/\r$/, '')
    if (line === '') return { headers, body: bytes.subarray(end + 1) }
    const match = /^([!-9;-~]{1,100}):\s?(.*)$/s.exec(line)
    if (/^[ \t]/.test(line)) {
      const before = headers.get(name)
      if (isFirst && before !== undefined && before.length < 50_000) {
        headers.set(name, `${before} ${line.trim()}`)
      }
    } else if (match) {
      name = match[1]!.toLowerCase()
      isFirst = !headers.has(name)
      if (isFirst) headers.set(name, match[2]!)
    } else if (headers.size === 0) return { headers, body: bytes } // no headers at all
    at = end + 1
  }
  return { headers, body: Buffer.alloc(0) }
}

/** The best text of a part: plain rather than HTML; attachments have none. */
function textOf(
  headers: Map<string, string>,
  body: Buffer,
  depth: number,
): { text: string; plain: boolean } | undefined {
  const type = headers.get('content-type') ?? 'text/plain'
  const media = type.split(';')[0]!.trim().toLowerCase()
  if (/^\s*attachment\b/i.test(headers.get('content-disposition') ?? '')) return undefined
  if (media.startsWith('multipart/')) {
    const boundary = parameter(type, 'boundary')
    if (!boundary || depth >= DEPTH) return undefined
    let best: { text: string; plain: boolean } | undefined
    for (const part of cutParts(body, boundary)) {
      const { headers: inner, body: rest } = split(part)
      const found = textOf(inner, rest, depth + 1)
      if (found?.text.trim() && (!best || (found.plain && !best.plain))) best = found
      // Mixed parts follow each other: the first text is the mail, others are footers and files.
      if (best && media !== 'multipart/alternative') break
    }
    return best
  }
  if (media !== 'text/plain' && media !== 'text/html') return undefined
  const decoded = decodeBody(body, headers.get('content-transfer-encoding') ?? '')
  const text = decodeCharset(decoded, parameter(type, 'charset') ?? 'utf-8').replaceAll(
    '\r\n',
    '\n',
  )
  return media === 'text/html' ? { text: htmlToText(text), plain: false } : { text, plain: true }
}

function parameter(header: string, name: string): string | undefined {
  for (const part of header.slice(0, 5000).split(';').slice(1)) {
    const equals = part.indexOf('=')
    if (equals < 0 || part.slice(0, equals).trim().toLowerCase() !== name) continue
    return part
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1')
  }
  return undefined
}

function cutParts(body: Buffer, boundary: string): Buffer[] {
  const mark = Buffer.from(`--${boundary}`)
  const parts: Buffer[] = []
  let start = -1
  for (let at = body.indexOf(mark); at >= 0; at = body.indexOf(mark, at + mark.length)) {
    if (at > 0 && body[at - 1] !== 10) continue // not at the start of a line
    // The line end before a boundary belongs to it.
    const end = body[at - 2] === 13 ? at - 2 : at - 1
    if (start >= 0) parts.push(body.subarray(start, Math.max(start, end)))
    const newline = body.indexOf(10, at)
    const isLast = body.toString('latin1', at + mark.length, at + mark.length + 2) === '--'
    start = isLast || newline < 0 ? -1 : newline + 1
    if (start < 0 || parts.length >= PARTS) return parts
  }
  if (start >= 0) parts.push(body.subarray(start)) // the end was cut off
  return parts
}

function decodeBody(body: Buffer, encoding: string): Buffer {
  const kind = encoding.trim().toLowerCase()
  if (kind === 'base64') return Buffer.from(body.toString('latin1'), 'base64')
  return kind === 'quoted-printable' ? decodeQuoted(body) : body
}

/** Quoted-printable; what is not well formed stays as it is. */
function decodeQuoted(body: Uint8Array, spaces = false): Buffer {
  const out = Buffer.alloc(body.length)
  let length = 0
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]!
    if (byte === 0x5f && spaces) out[length++] = 0x20
    else if (byte !== 0x3d) out[length++] = byte
    else if (body[at + 1] === 10) at++
    else if (body[at + 1] === 13 && body[at + 2] === 10) at += 2
    else {
      const code = parseInt(String.fromCharCode(body[at + 1] ?? 0, body[at + 2] ?? 0), 16)
      const valid = isHex(body[at + 1]) && isHex(body[at + 2])
      out[length++] = valid ? code : byte
      if (valid) at += 2
    }
  }
  return out.subarray(0, length)
}

function isHex(byte: number | undefined): boolean {
  return byte !== undefined && /^[0-9a-fA-F]$/.test(String.fromCharCode(byte))
}

function decodeCharset(bytes: Uint8Array, charset: string): string {
  try {
    return new TextDecoder(charset.trim()).decode(bytes)
  } catch {
    return new TextDecoder().decode(bytes) // a name that nobody knows
  }
}

/** Words such as =?UTF-8?Q?Gr=C3=BC=C3=9Fe?= of RFC 2047. */
function decodeWords(text: string): string {
  if (!text.includes('=?')) return text
  const joined = text.slice(0, 20_000).replace(/\?=\s{1,10}=\?/g, '?==?')
  return joined.replace(
    /=\?([^?\s]{1,50})\?([bBqQ])\?([^?]{0,1000})\?=/g,
    (_, charset, kind, word) => {
      const isBase64 = String(kind).toLowerCase() === 'b'
      const bytes = isBase64
        ? Buffer.from(String(word), 'base64')
        : decodeQuoted(Buffer.from(String(word)), true)
      return decodeCharset(bytes, String(charset).split('*')[0]!)
    },
  )
}
