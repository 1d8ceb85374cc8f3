// What tokens of letters and digits hold: keys of the common providers, web tokens, addresses of
// crypto currencies, account and identity numbers with letters; and secrets that a word announces.
import { base58Check, bech32, iban, ibanLength } from './checksums.js'
import { mixedIdentities } from './identities.js'
import { LONGEST, isWordCode } from './scan.js'
import type { Scan } from './scan.js'
import { Word } from './vocabulary.js'

const W = '[\\w-]'
const A = '[A-Za-z0-9]'
const H = '[0-9a-fA-F]'

// The forms that the providers publish, or that their own secret scanners look for. Anchored at the
// start of a token; what follows the quantifier ends the key.
const providers: readonly (readonly [prefix: string, rest: string, name: string])[] = [
  ['AKIA', '[A-Z0-9]{16}', 'AWS access key'],
  ['ASIA', '[A-Z0-9]{16}', 'AWS access key'],
  ['ABIA', '[A-Z0-9]{16}', 'AWS access key'],
  ['ghp_', `${A}{36,}`, 'GitHub token'],
  ['gho_', `${A}{36,}`, 'GitHub token'],
  ['ghu_', `${A}{36,}`, 'GitHub token'],
  ['ghs_', `${A}{36,}`, 'GitHub token'],
  ['ghr_', `${A}{36,}`, 'GitHub token'],
  ['github_pat_', '\\w{22,}', 'GitHub token'],
  ['glpat-', `${W}{20,}`, 'GitLab token'],
  ['gldt-', `${W}{20,}`, 'GitLab token'],
  ['xoxb-', `${W}{20,}`, 'Slack token'],
  ['xoxa-', `${W}{20,}`, 'Slack token'],
  ['xoxp-', `${W}{20,}`, 'Slack token'],
  ['xoxr-', `${W}{20,}`, 'Slack token'],
  ['xoxs-', `${W}{20,}`, 'Slack token'],
  ['xapp-', `${W}{20,}`, 'Slack token'],
  ['sk_live_', `${A}{16,}`, 'Stripe key'],
  ['sk_test_', `${A}{16,}`, 'Stripe key'],
  ['rk_live_', `${A}{16,}`, 'Stripe key'],
  ['rk_test_', `${A}{16,}`, 'Stripe key'],
  ['whsec_', `${A}{24,}`, 'webhook secret'],
  ['sk-ant-', `${W}{20,}`, 'Anthropic key'],
  ['sk-or-', `${W}{20,}`, 'OpenRouter key'],
  ['sk-', `${W}{20,}`, 'OpenAI key'],
  ['gsk_', `${A}{40,}`, 'Groq key'],
  ['xai-', `${A}{40,}`, 'xAI key'],
  ['pplx-', `${A}{32,}`, 'Perplexity key'],
  ['hf_', `${A}{30,}`, 'Hugging Face token'],
  ['r8_', `${A}{30,}`, 'Replicate token'],
  ['AIza', `${W}{35}`, 'Google API key'],
  ['GOCSPX-', `${W}{20,}`, 'Google client secret'],
  ['npm_', `${A}{36}`, 'npm token'],
  ['pypi-', `${W}{40,}`, 'PyPI token'],
  ['dop_v1_', `${H}{64}`, 'DigitalOcean token'],
  ['doo_v1_', `${H}{64}`, 'DigitalOcean token'],
  ['dapi', `${H}{32}`, 'Databricks token'],
  ['shpat_', `${H}{32}`, 'Shopify token'],
  ['shpss_', `${H}{32}`, 'Shopify secret'],
  ['shpca_', `${H}{32}`, 'Shopify token'],
  ['sq0atp-', `${W}{22,}`, 'Square token'],
  ['sq0csp-', `${W}{40,}`, 'Square secret'],
  ['AC', `${H}{32}`, 'Twilio account'],
  ['SK', `${H}{32}`, 'Twilio key'],
  ['key-', `${H}{32}`, 'Mailgun key'],
  ['lin_api_', `${A}{32,}`, 'Linear key'],
  ['ntn_', `${A}{40,}`, 'Notion token'],
  ['secret_', `${A}{40,}`, 'Notion token'],
  ['ATATT3', `${W}{40,}`, 'Atlassian token'],
  ['PMAK-', `${W}{40,}`, 'Postman key'],
  ['NRAK-', '[A-Z0-9]{27}', 'New Relic key'],
  ['sntrys_', `${W}{40,}`, 'Sentry token'],
  ['glsa_', `${W}{32,}`, 'Grafana token'],
  ['sbp_', `${H}{40}`, 'Supabase token'],
  ['AGE-SECRET-KEY-1', '[A-Z0-9]{58}', 'age key'],
  ['EAACEdEose0cBA', `${A}+`, 'Facebook token'],
  ['figd_', `${W}{40}`, 'Figma token'],
  ['tfp_', `${W}{40,}`, 'Typeform token'],
]

const byStart = new Map<string, (readonly [pattern: RegExp, name: string])[]>()
for (const [prefix, rest, name] of providers) {
  const start = prefix.slice(0, 2)
  const pattern = new RegExp(`^${prefix}${rest}(?!${W})`)
  byStart.set(start, [...(byStart.get(start) ?? []), [pattern, name]])
}
const LONGEST_KEY = 512

/** Looks at the token [start, end): letters, digits, '-' and '_'. */
export function token(scan: Scan, start: number, end: number): void {
  const { text } = scan
  // Dashes around it are no part of it: --password, "- item".
  while (start < end && text.charCodeAt(start) === 45) start++
  while (end > start && text.charCodeAt(end - 1) === 45) end--
  const length = end - start
  if (length < 4) return
  if (length >= 18 && longToken(scan, start, end)) return
  if (length <= 40) shortToken(scan, start, end)
}

function longToken(scan: Scan, start: number, end: number): boolean {
  const { text } = scan
  const length = end - start
  if (text.startsWith('eyJ', start) && webToken(scan, start, end)) return true
  if (length <= LONGEST_KEY) {
    const value = text.slice(start, end)
    for (const [pattern, name] of byStart.get(value.slice(0, 2)) ?? []) {
      if (!pattern.test(value)) continue
      scan.add('api-key', start, end, 0.95, name)
      return true
    }
    if (dotted(scan, start, end) || crypto(scan, start, value)) return true
  }
  return false
}

/** Three parts of base64url with dots between them: RFC 7519. */
function webToken(scan: Scan, start: number, end: number): boolean {
  let at = end
  for (let part = 0; part < 2; part++) {
    if (scan.code(at) !== 46) return false
    const limit = Math.min(scan.text.length, at + LONGEST)
    const from = ++at
    while (at < limit && isTokenCode(scan.text.charCodeAt(at))) at++
    if (at - from < (part === 0 ? 4 : 0)) return false
  }
  scan.add('jwt', start, at, 0.98)
  return true
}

function isTokenCode(code: number): boolean {
  return code < 128 && (isWordCode(code) || code === 45)
}

// Keys of several parts, found at their long one: how the text before it must end.
const parts: readonly { before: RegExp; token: RegExp; name: string }[] = [
  { before: /(?<![\w.])SG\.[\w-]{16,32}\.$/, token: /^[\w-]{43}$/, name: 'SendGrid key' },
  { before: /(?<![\w.])\d{8,10}:$/, token: /^AA[\w-]{33}$/, name: 'Telegram bot token' },
  { before: /(?<![\w.])ya29\.$/, token: /^[\w-]{30,}$/, name: 'Google access token' },
  { before: /(?<![\w.])hv[sbr]\.$/, token: /^[\w-]{24,}$/, name: 'Vault token' },
  { before: /(?<![\w.])[MNO][\w-]{23,27}\.[\w-]{6}\.$/, token: /^[\w-]{27,40}$/, name: 'Discord token' },
  {
    before: /hooks\.slack\.com\/services\/T\w{6,14}\/B\w{6,14}\/$/,
    token: /^\w{20,30}$/,
    name: 'Slack webhook',
  },
  { before: /(?<![\w.])[ps]k\.$/, token: /^eyJ[\w-]{40,}$/, name: 'Mapbox token' },
] // prettier-ignore
const BEFORE_PARTS = 64

function dotted(scan: Scan, start: number, end: number): boolean {
  const joint = scan.code(start - 1)
  if (joint !== 46 && joint !== 58 && joint !== 47) return false
  const before = scan.text.slice(Math.max(0, start - BEFORE_PARTS), start)
  const value = scan.text.slice(start, end)
  for (const { before: pattern, token, name } of parts) {
    const match = token.test(value) ? pattern.exec(before) : null
    if (!match) continue
    scan.add('api-key', start - match[0].length, end, 0.95, name)
    return true
  }
  return false
}

function crypto(scan: Scan, start: number, value: string): boolean {
  const add = (score: number, name: string) => {
    scan.add('crypto-address', start, start + value.length, score, name)
    return true
  }
  if (/^0x[\da-fA-F]{40}$/.test(value)) return add(0.85, 'Ethereum')
  if (/^(?:bc|tb|ltc)1[02-9ac-hj-np-z]{20,80}$/i.test(value))
    return bech32(value.toLowerCase()) && add(0.97, 'segregated witness')
  if (/^[48][1-9A-HJ-NP-Za-km-z]{94}$/.test(value)) return add(0.8, 'Monero')
  // Bitcoin, Litecoin, Dogecoin, Dash, Tron
  if (!/^[13LMDAXT9][1-9A-HJ-NP-Za-km-z]{25,34}$/.test(value)) return false
  return base58Check(value) && add(0.97, 'Base58Check')
}

const IBAN_LOOSE = /[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{1,4}){3,10}/y

function shortToken(scan: Scan, start: number, end: number): void {
  const { text } = scan
  const value = text.slice(start, end)
  if (/^[A-Z]{2}\d\d/.test(value) && ibanAt(scan, start, value.slice(0, 2))) return
  if (value.length > 20 || !/\d/.test(value)) return
  if (/^[\da-f]{2}(?:-[\da-f]{2}){5}$/i.test(value)) scan.add('mac', start, end, 0.85)
  identity(scan, start, end, value)
}

function identity(scan: Scan, start: number, end: number, value: string): void {
  const upper = value.toUpperCase()
  const compact = upper.replaceAll('-', '')
  for (const { country, name, pattern, score, valid } of mixedIdentities) {
    if (!scan.setup.countries.has(country)) continue
    // Between the day and the serial of the Finnish code the dash means the century.
    const code = pattern.test(upper) ? upper : compact
    if (!pattern.test(code) || !valid(code)) continue
    const doubt = code === value || code.length === 16 ? 0 : 0.05
    scan.add(
      'national-id',
      start,
      end,
      scan.weigh(start, score - doubt, Word.identity),
      `${country} ${name}`,
    )
    return
  }
  // A passport or a card that a word announces.
  if (/^(?=\D{0,3}\d)[A-Z0-9]{7,12}$/.test(value) && scan.near(start, Word.identity))
    scan.add('national-id', start, end, scan.weigh(start, 0.2, Word.identity), 'document number')
}

/** An IBAN, in groups or not: as many characters as its country has. */
function ibanAt(scan: Scan, start: number, country: string): boolean {
  const { text } = scan
  const length = ibanLength(country)
  if (length === 0) return false
  IBAN_LOOSE.lastIndex = start
  const match = IBAN_LOOSE.exec(text)
  if (!match) return false
  let compact = ''
  let at = start
  while (at < start + match[0].length && compact.length < length) {
    const c = text[at++]!
    if (c !== ' ' && c !== '-') compact += c
  }
  if (isWordCode(scan.code(at)) || !iban(compact)) return false
  scan.add('iban', start, at, 0.97, country)
  scan.done = at
  return true
}

const NINO = /[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D](?![A-Za-z0-9])/y

/** Two capitals before a space and digits: the National Insurance number in groups. */
export function insurance(scan: Scan, start: number): void {
  if (isWordCode(scan.code(start - 1))) return
  NINO.lastIndex = start
  const match = NINO.exec(scan.text)
  if (match) identity(scan, start, start + match[0].length, match[0].replaceAll(' ', ''))
}

/** 12.345.678-Z */
const DOTTED_DNI = /\d{1,2}\.\d{3}\.\d{3}-? ?[A-Z](?![A-Za-z0-9])/y

export function dottedIdentity(scan: Scan, start: number): void {
  DOTTED_DNI.lastIndex = start
  const match = DOTTED_DNI.exec(scan.text)
  if (match) identity(scan, start, start + match[0].length, match[0].replace(/[. -]/g, ''))
}

// ---- what a word announces ---------------------------------------------------------------------

const SEPARATOR = new RegExp(
  String.raw`["'’\])]{0,2}(?: ?(?::=|=>|[:=→])| (?:is|was|are|ist|lautet|war|es|est|è|jest|är|on` +
    '|to)(?: now|:)?(?= )| (?:no|number|nr)\\.?:)\\s{0,2}["\'`“„«]?',
  'iy',
)
const VALUE = /[^\s"'`<>“”«»]{4,128}/y
const BEARER = / [\w.~+/-]{16,512}={0,2}/y
const EMPTY = new RegExp(
  String.raw`^(?:[[<{$%(]|\*+$|x{4,}$|[•.]+$|null\b|none\b|nil\b|undefined|true\b|false\b` +
    String.raw`|required|invalid|incorrect|wrong|reset|must|forgotten|expired|changed|process\.` +
    String.raw`|os\.|env\b|getenv|https?:)`,
  'i',
)

/** A password, a key or a PIN after the word for it. */
export function secret(scan: Scan, start: number, end: number): void {
  const { text } = scan
  // What stands in the place of a password: [PASSWORD:hkcapjdofmbe]
  if (scan.code(start - 1) === 91) return
  const name = text.slice(start, end).toLowerCase()
  if (name === 'bearer') {
    BEARER.lastIndex = end
    const match = BEARER.exec(text)
    if (match) scan.add('api-key', end + 1, end + match[0].length, 0.7, 'bearer token')
    return
  }
  SEPARATOR.lastIndex = end
  const separator = SEPARATOR.exec(text)
  if (!separator) return
  VALUE.lastIndex = end + separator[0].length
  const match = VALUE.exec(text)
  if (!match || EMPTY.test(match[0])) return
  // The sentence's own marks are no part of it; after '=' only those of a list are.
  const value = match[0].replace(separator[0].includes('=') ? /[,;)]+$/ : /[.,;:?)\]}]+$/, '')
  const score = secretScore(name, separator[0], value)
  const kind = /^(?:token|key|api|accesskey|accountkey)/.test(name) ? 'api-key' : 'password'
  if (score > 0) scan.add(kind, match.index, match.index + value.length, score)
}

function secretScore(name: string, separator: string, value: string): number {
  const assigned = separator.includes('=')
  const hasDigit = /\d/.test(value)
  const isStrong = (hasDigit && /\p{L}/u.test(value)) || /[@#$%^&*!?+~].|[a-z][A-Z]/.test(value)
  if (name === 'pin' || name === 'passcode') return /^\d{4,8}$/.test(value) ? 0.7 : 0
  // These words speak of other things more often.
  if (/^(?:key|token|secret|pass|auth|credentials?|kennung)$/.test(name) || name.endsWith('key')) {
    if (value.length < 8 || !isStrong || !hasDigit)
      return assigned && isStrong && name === 'secret' ? 0.6 : 0
    return value.length >= 16 || assigned ? 0.75 : name === 'key' || name === 'token' ? 0.3 : 0.6
  }
  if (isStrong || (hasDigit && value.length >= 4)) return 0.8
  return assigned && value.length >= 4 ? 0.6 : /[:]/.test(separator) ? 0.4 : 0.2
}

const PEM = /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/y
const FOOTER = /-----END [A-Z0-9 ]{0,40}-----/y
const PEM_LINES = /(?:(?:\s|\\[nr]){0,4}[A-Za-z0-9+/=]{16,128}){0,100}/y

/** A private key in PEM; the word "BEGIN" stands at `start`. Without an end its lines are taken. */
export function pem(scan: Scan, start: number): void {
  const { text } = scan
  const from = start - '-----'.length
  if (from < scan.done) return
  PEM.lastIndex = from
  const header = from >= 0 ? PEM.exec(text) : null
  if (!header) return
  const body = from + header[0].length
  FOOTER.lastIndex = scan.footerAfter(body)
  const footer = FOOTER.lastIndex - from < LONGEST - 64 ? FOOTER.exec(text) : null
  PEM_LINES.lastIndex = body
  const end = footer ? footer.index + footer[0].length : body + PEM_LINES.exec(text)![0].length
  scan.add('private-key', from, end, 0.99)
  scan.done = end
}
