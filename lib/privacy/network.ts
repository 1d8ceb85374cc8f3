// What is found at '@' and ':': e-mail addresses, credentials in addresses, hardware and IPv6
// addresses.
import { isDigit, isWordCode } from './scan.js'
import type { Scan } from './scan.js'

const LOCAL = 64 // octets before the @: RFC 5321, 4.5.3.1.1
const DOMAIN = 255

function isLocal(code: number): boolean {
  // . % + - ' and what a word may hold
  return isWordCode(code) || code === 46 || code === 37 || code === 43 || code === 45 || code === 39
}

// image@2x.png and module@file.js are none, nor is the user that everybody is on a git server.
const NOT_HOSTS = /\.(?:png|jpe?g|gif|svg|webp|ico|js|mjs|cjs|ts|css|html?|json|py|md|map)$/i
const EDGE = /^[.'%+-]+/

/** An e-mail address around an '@'. */
export function at(scan: Scan, position: number): void {
  const { text } = scan
  let start = position
  while (start > 0 && position - start < LOCAL && isLocal(text.charCodeAt(start - 1))) start--
  start += EDGE.exec(text.slice(start, position))?.[0].length ?? 0
  const end = hostEnd(scan, position + 1)
  if (start === position || end === 0 || text.charCodeAt(position - 1) === 46) return
  const host = text.slice(position + 1, end)
  if (NOT_HOSTS.test(host) || text.slice(start, position) === 'git') return
  scan.add('email', start, end, 0.95)
}

/** End of a host name with at least two labels, the last of them of letters; 0 for none. */
export function hostEnd(scan: Scan, start: number): number {
  const { text } = scan
  const limit = Math.min(text.length, start + DOMAIN)
  let end = 0
  let label = start
  let letters = true
  for (let i = start; i <= limit; i++) {
    const code = i < limit ? text.charCodeAt(i) : 0
    if (code === 45 || (isWordCode(code) && code !== 95)) {
      if (isDigit(code) || code === 45) letters = false
      continue
    }
    if (i === label) break
    const punycode = text.startsWith('xn--', label)
    if (label > start && i - label >= 2 && (letters || punycode)) end = i
    if (code !== 46) break
    label = i + 1
    letters = true
  }
  return end
}

const WRITTEN_OUT = new RegExp(
  String.raw`(?<=[\w.+-]{1,64}) {0,2}[[({] ?at ?[\])}] {0,2}[\w-]{1,63}(?:(?: {0,2}[[({] ?(?:dot` +
    String.raw`|punkt) ?[\])}] {0,2}|\.)[\w-]{1,63}){1,4}`,
  'iy',
)

/** `anna [at] example [dot] com` */
export function writtenOut(scan: Scan, word: number): void {
  const { text } = scan
  let open = word - 1
  if (text.charCodeAt(open) === 32) open--
  if (!'[({'.includes(text.charAt(open)) || open < 0) return
  let from = open
  while (from > 0 && open - from < 2 && text.charCodeAt(from - 1) === 32) from--
  WRITTEN_OUT.lastIndex = from
  const match = WRITTEN_OUT.exec(text)
  if (!match) return
  let start = from
  while (start > 0 && from - start < LOCAL && isLocal(text.charCodeAt(start - 1))) start--
  scan.add('email', start, from + match[0].length, 0.8)
}

const USER = /[^\s/@:"'<>\\?#]{0,64}:[^\s/@"'<>\\]{1,128}@(?=[\w[])/y
const TOKEN_USER = /[\w-]{20,128}@(?=\w)/y

/** Credentials after "://", or an address of hex digits around a ':'. */
export function colon(scan: Scan, position: number): void {
  const { text } = scan
  if (text.charCodeAt(position + 1) === 47 && text.charCodeAt(position + 2) === 47) {
    const start = position + 3
    for (const pattern of [USER, TOKEN_USER]) {
      pattern.lastIndex = start
      const match = pattern.exec(text)
      if (!match) continue
      // A template, https://${user}:${password}@host, or what stands in the place of one.
      if (/[${}]{2}|%s|\*{3}|^\[/.test(match[0])) return
      scan.add('url-credentials', start, start + match[0].length - 1, 0.97)
      return
    }
  } else if (position >= scan.colonsEnd) colons(scan, position)
}

function isHex(code: number): boolean {
  return isDigit(code) || ((code | 32) >= 97 && (code | 32) <= 102)
}

/** Groups of hex digits with ':' between them, the first of which ends at `position`. */
function colons(scan: Scan, position: number): void {
  const { text } = scan
  let start = position
  while (start > 0 && position - start <= 4 && isHex(text.charCodeAt(start - 1))) start--
  if (position - start > 4 || (start > 0 && isWordCode(text.charCodeAt(start - 1)))) return
  let end = start
  const limit = Math.min(text.length, start + 64)
  while (end < limit && (isHex(text.charCodeAt(end)) || text.charCodeAt(end) === 58)) end++
  scan.colonsEnd = end
  if (end === limit && end < text.length && isHex(text.charCodeAt(end))) return
  const after = scan.code(end)
  // The colon of "error: " belongs to the sentence.
  let run = text.slice(start, end)
  if (/[^:]:$/.test(run)) run = run.slice(0, -1)
  else if (isWordCode(after)) return
  const stop = start + run.length
  if (/^[\da-f]{2}(?::[\da-f]{2}){5}$/i.test(run)) scan.add('mac', start, stop, 0.9)
  else if (isIpv6(run)) scan.add('ip', start, stop, 0.85, 'IPv6')
}

/** RFC 4291, 2.2, without the forms that end in IPv4; '::' and '::1' tell of nobody. */
function isIpv6(run: string): boolean {
  if (run.length < 6 || run.includes(':::')) return false
  const halves = run.split('::')
  if (halves.length > 2) return false
  const groups = run.split(':').filter((group) => group !== '')
  if (groups.some((group) => group.length > 4)) return false
  if (halves.length === 1) return groups.length === 8
  // a::b may be the name of a function.
  return groups.length >= 2 && groups.length < 8 && /\d/.test(run)
}
