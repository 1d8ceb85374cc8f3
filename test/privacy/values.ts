// Invented personal data for the labelled set, in the forms in which people and forms write it.
// Nothing here is taken from lib/privacy: check digits are found by trying, with the rule as the
// issuer states it.
import { createHash } from 'node:crypto'

/** A small seeded generator (mulberry32). */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }
  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)]!
  }
  /** '#' a digit, '%' a digit that is not 0, '@' a capital, '~' a hex digit, '*' a letter or digit. */
  fill(pattern: string): string {
    return pattern.replace(/[#%@~*]/g, (mark) => {
      if (mark === '#') return String(this.int(0, 9))
      if (mark === '%') return String(this.int(1, 9))
      if (mark === '@') return this.pick([...'ABCDEFGHJKLMNPRSTUVWXYZ'])
      if (mark === '~') return this.pick([...'0123456789abcdef'])
      return this.pick([...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'])
    })
  }
}

/** 'tuned' is what the recognisers were adjusted on; 'held' was only ever measured. */
export type Part = 'tuned' | 'held'
export type Make = (r: Random, part: Part) => string

const two = (n: number) => String(n).padStart(2, '0')
const digits = (text: string) => [...text].filter((c) => c >= '0' && c <= '9').map(Number)
const weighted = (text: string, weights: readonly number[]) =>
  digits(text).reduce((sum, digit, i) => sum + digit * (weights[i] ?? 0), 0)

/** Fills the pattern until the rule holds; '?' stands for the digit or letter that makes it hold. */
function until(r: Random, pattern: string, holds: (text: string) => boolean, marks = '0123456789') {
  for (;;) {
    const base = r.fill(pattern)
    for (const mark of marks) {
      const text = base.replace('?', mark)
      if (holds(text)) return text
    }
  }
}

function luhn(text: string): boolean {
  const sum = digits(text)
    .reverse()
    .reduce((sum, digit, i) => sum + (i % 2 ? [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][digit]! : digit), 0)
  return sum % 10 === 0
}

function group(text: string, sizes: readonly number[], separator: string): string {
  let at = 0
  return sizes.map((size) => text.slice(at, (at += size))).join(separator)
}

// ---- people ------------------------------------------------------------------------------------

const given: Record<Part, string[]> = {
  tuned: (
    'Anna Thomas Sarah Michael Laura James Emily Daniel Sophie David Maria Robert Julia Peter ' +
    'Katharina Stefan Claire Pierre Isabelle Carlos Lucía Javier Giulia Marco Lotte Pieter Agnieszka ' +
    'Krzysztof Joana Miguel Astrid Lars Päivi Mikko Aisha Omar Priya Rahul Mei Hiroshi Fatima Elena'
  ).split(' '),
  held: (
    'Jessica Andrew Karen Steven Megan Patrick Hannah Kevin Brigitte Jürgen Uwe Antje Nathalie ' +
    'Guillaume Aurélie Mathieu Pilar Álvaro Chiara Lorenzo Femke Joost Małgorzata Tomasz Beatriz ' +
    'Tiago Ingrid Björn Kaisa Jukka Yusuf Leila Ananya Vikram Xiaoling Kenji Oksana Dmitri Zainab ' +
    'Siobhan Niamh Caoimhe'
  ).split(' '),
}
const family: Record<Part, string[]> = {
  tuned: (
    'Keller Miller Johnson Brown Schneider Fischer Hoffmann Dubois Moreau Lefebvre García Fernández ' +
    'Romero Rossi Ferrari Bakker Visser Kowalski Nowak Silva Pereira Lindqvist Johansson Virtanen ' +
    'Korhonen Khan Patel Sharma Chen Tanaka Williams Taylor Okafor Haddad'
  ).split(' '),
  held: (
    'Henderson Whitfield Castellano Brandt Schulze Vogelsang Baumgartner Girard Chevalier Roux ' +
    'Domínguez Navarro Iglesias Esposito Ricci Hendriks Vermeulen Wiśniewski Zając Carvalho Teixeira ' +
    'Söderberg Holmgren Mäkinen Nieminen Rahman Iyer Banerjee Zhang Yamamoto Kavanagh Abdullahi'
  ).split(' '),
}
const person: Make = (r, part) => {
  const [first, last] = [r.pick(given[part]), r.pick(family[part])]
  if (part === 'tuned' || r.next() < 0.7) return `${first} ${last}`
  return r.pick([
    `${first} ${r.fill('@')}. ${last}`,
    `${first} ${r.pick(given[part])} ${last}`,
    `${first} ${last}-${r.pick(family[part])}`,
  ])
}

// ---- reaching them -----------------------------------------------------------------------------

const plain = (text: string) =>
  text
    .normalize('NFD')
    .replace(/[^A-Za-z]/g, '')
    .toLowerCase()
const email: Make = (r, part) => {
  const [first, last] = [plain(r.pick(given[part])), plain(r.pick(family[part]))]
  const host =
    part === 'tuned'
      ? r.pick(['gmail.com', 'web.de', 'acme-tools.com', 'orange.fr', 'example.co.uk'])
      : r.pick(['yahoo.co.jp', 'posteo.net', 'uni-wien.ac.at', 'mail.kunde24.shop', 'gov.pl'])
  const local = [`${first}.${last}`, `${first[0]}${last}`, `${first}_${r.int(1, 99)}`, `info`]
  if (part === 'held') local.push(`${first}+shop`, `${last}.${first}-${r.int(60, 99)}`, `o'${last}`)
  const text = `${r.pick(local)}@${host}`
  return r.next() < 0.1 ? text.toUpperCase() : text
}

/** National and international forms; what stands in "held" was not looked at in tuning. */
const phones: Record<Part, string[]> = {
  tuned: [
    '(2%#) 5##-####', '212-5##-####', '+1 415 5## ####', '1-8##-5##-####', // US
    '020 7### ####', '07### ######', '+44 20 7### ####', // UK
    '030 ########', '0171 #######', '+49 171 #######', '0221/######', // DE
    '06 ## ## ## ##', '+33 6 ## ## ## ##', // FR
    '+34 6## ### ###', '+39 06 ########', '+31 6 ########', '06-########', '0478 ## ## ##',
    '+48 6## ### ###', '+351 91# ### ###', '070-### ## ##', '+358 40 ### ####',
  ],
  held: [
    '(617)5##-####', '303.5##.####', '+1-646-5##-####', '+1 (702) 5##-####',
    '0161 ### ####', '+44 (0)7### ######', '01632 ######', '+447#########',
    '+49 (0)89 ### ## ##', '0049 40 ######', '040-########', '0151 - ########',
    '01.4#.##.##.##', '0033 6 ## ## ## ##', '+33 (0)1 4# ## ## ##',
    '+34 91 ### ## ##', '+39 3## ### ####', '020-#######', '+32 2 ### ## ##', '+48 22 ### ## ##',
    '08-### ### ##', '+46 70 ### ## ##', '050 ### ####', '+91 98### #####', '+81 90-####-####',
    '+55 11 9####-####', '+61 4## ### ###', '+353 86 ### ####', '+43 664 #######', '+41 79 ### ## ##',
  ],
} // prettier-ignore
const phone: Make = (r, part) => r.fill(r.pick(phones[part]))

const address: Make = (r, part) => {
  const n = r.int(1, 199)
  if (part === 'tuned')
    return r.pick([
      `${n} Maple Street`, `${r.int(100, 9999)} Oak Hill Drive`, `${n} King's Road`,
      `Hauptstraße ${n}`, `Lindenweg ${n}a`, `${n} rue de la République`, `Calle Mayor, ${n}`,
      `Via Garibaldi ${n}`, `Kerkstraat ${n}`, `ul. Długa ${n}`, `Rua Augusta, ${n}`,
      `Storgatan ${n}`, `Mannerheimintie ${n}`, `P.O. Box ${r.int(100, 9999)}`,
    ]) // prettier-ignore
  return r.pick([
    `${r.int(100, 9999)} N. Lexington Ave`, `${n} Whitechapel High Street`, `${n}B Station Rd.`,
    `${n} West 42nd Street, Apt. 5C`, `Bahnhofstr. ${n}`, `Am Stadtpark ${n}`, `Berliner Allee ${n}`,
    `${n} bis, avenue Jean Jaurès`, `${n}, impasse des Lilas`, `Avda. de América ${n}`,
    `Paseo de Gracia, ${n}`, `Viale Monza, ${n}`, `Piazza Dante ${n}`, `Prinsengracht ${n}`,
    `Oude Singel ${n}`, `al. Jana Pawła II ${n}`, `Avenida da Liberdade, ${n}`, `Kungsgatan ${n} B`,
    `Fleminginkatu ${n} A`, `Sonnenallee ${n}, 12045 Berlin`,
  ]) // prettier-ignore
}

const months = 'January February March April May June July August September October'.split(' ')
const birthDate: Make = (r, part) => {
  const [d, m, y] = [r.int(1, 28), r.int(1, 9), r.int(1940, 2008)]
  if (part === 'tuned')
    return r.pick([`${two(d)}.${two(m)}.${y}`, `${y}-${two(m)}-${two(d)}`, `${m}/${d}/${y}`])
  return r.pick([
    `${d} ${months[m]} ${y}`, `${months[m]} ${d}, ${y}`, `${two(d)}-${two(m)}-${y}`, `${d}.${m}.${y}`,
    `${two(d)}/${two(m)}/${two(y % 100)}`, `${d}. März ${y}`,
    `${d} ${r.pick(['mars', 'juin', 'août'])} ${y}`,
  ]) // prettier-ignore
}

// ---- money -------------------------------------------------------------------------------------

const card: Make = (r, part) => {
  const [pattern, sizes] = r.pick([
    ['4##############?', [4, 4, 4, 4]],
    ['52#############?', [4, 4, 4, 4]],
    ['37############?', [4, 6, 5]],
  ] as const)
  const text = until(r, pattern, luhn)
  return group(text, r.next() < 0.4 ? [19] : sizes, part === 'held' && r.next() < 0.5 ? '-' : ' ')
}

const ibans: Record<Part, string[]> = {
  tuned: [
    'DE|##################', 'FR|#######################', 'ES|####################',
    'NL|INGB##########', 'GB|BARC##############', 'IT|X######################',
  ],
  held: [
    'AT|################', 'BE|############', 'PL|########################', 'PT|#####################',
    'SE|####################', 'FI|##############', 'CH|#################', 'IE|AIBK##############',
    'DK|##############', 'CZ|####################',
  ],
} // prettier-ignore
const iban: Make = (r, part) => {
  const [country, rest] = r.pick(ibans[part]).split('|') as [string, string]
  const account = r.fill(rest)
  const number = [...`${account}${country}00`].map((c) => parseInt(c, 36)).join('')
  const text = `${country}${two(98 - Number(BigInt(number) % 97n))}${account}`
  if (r.next() < 0.4) return text
  return text.replace(/(.{4})(?!$)/g, part === 'held' && r.next() < 0.1 ? '$1-' : '$1 ')
}

// ---- identity numbers --------------------------------------------------------------------------

const day = (r: Random) => [two(r.int(45, 99)), two(r.int(1, 12)), two(r.int(1, 28))] as const

/** ISO 7064 mod 11,10 as the German tax number uses it. */
function mod1110(text: string): boolean {
  let product = 10
  for (const digit of digits(text).slice(0, -1)) {
    const sum = (digit + product) % 10 || 10
    product = (sum * 2) % 11
  }
  return (11 - product) % 10 === digits(text).at(-1)
}

function taxDe(r: Random): string {
  for (;;) {
    const order = [...'0123456789'].sort(() => r.next() - 0.5)
    order[r.int(5, 9)] = order[r.int(1, 4)]!
    if (order[0] === '0') continue
    for (const last of '0123456789') {
      const text = order.join('') + last
      if (mod1110(text)) return text
    }
  }
}

const control = 'TRWAGMYFPDXBNJZSQVHLCKE'
const cfOdd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25]
const cfRest = [24, 23]

function codiceFiscale(r: Random): string {
  const base = r.fill('@@@@@@') + two(r.int(40, 99)) + r.pick([...'ABCDEHLMPRST'])
  const head = base + two(r.int(1, 28)) + r.fill('@###')
  const odd = [...cfOdd, ...cfRest]
  const sum = [...head].reduce((sum, c, i) => {
    const value = c <= '9' ? Number(c) : c.charCodeAt(0) - 65
    return sum + (i % 2 === 0 ? odd[value]! : value)
  }, 0)
  return head + String.fromCharCode(65 + (sum % 26))
}

const pesel = (text: string) => weighted(text, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 === 0
const bsn = (text: string) => weighted(text, [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 === 0
const nhs = (text: string) => weighted(text, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) % 11 === 0
const nif = (text: string) => {
  const rest = weighted(text.slice(0, 8), [9, 8, 7, 6, 5, 4, 3, 2]) % 11
  return digits(text)[8] === (rest < 2 ? 0 : 11 - rest)
}

function belgian(r: Random): string {
  const [y, m, d] = day(r)
  const serial = String(r.int(1, 997)).padStart(3, '0')
  return `${y}.${m}.${d}-${serial}.${two(97 - (Number(y + m + d + serial) % 97))}`
}

function french(r: Random): string {
  const base =
    r.pick(['1', '2']) +
    two(r.int(40, 99)) +
    two(r.int(1, 12)) +
    two(r.int(10, 95)) +
    r.fill('######')
  return base + two(97 - Number(BigInt(base) % 97n))
}

function finnish(r: Random): string {
  const [y, m, d] = day(r)
  const serial = String(r.int(2, 899)).padStart(3, '0')
  return `${d}${m}${y}-${serial}${'0123456789ABCDEFHJKLMNPRSTUVWXY'[Number(d + m + y + serial) % 31]}`
}

function spanish(r: Random): string {
  const n = r.int(10_000_000, 99_999_999)
  return `${n}${control[n % 23]}`
}

function nie(r: Random): string {
  const [letter, n] = [r.int(0, 2), r.fill('#######')]
  return `${'XYZ'[letter]}${n}${control[Number(`${letter}${n}`) % 23]}`
}

/** Each with the words around it: some forms carry no meaning without them. */
export const identities: Record<Part, ((r: Random) => [before: string, id: string])[]> = {
  tuned: [
    (r) => ['SSN ', `${r.int(101, 665)}-${two(r.int(1, 99))}-${r.fill('%###')}`],
    (r) => ['National Insurance number ', `AB ${r.fill('## ## ##')} ${r.pick([...'ABCD'])}`],
    (r) => ['NHS number ', group(until(r, '%########?', nhs), [3, 3, 4], ' ')],
    (r) => ['Steuer-ID ', taxDe(r)],
    (r) => ['numéro de sécurité sociale ', group(french(r), [1, 2, 2, 2, 3, 3, 2], ' ')],
    (r) => ['DNI ', spanish(r)],
    (r) => ['codice fiscale ', codiceFiscale(r)],
    (r) => ['BSN ', until(r, '%#######?', bsn)],
    (r) => ['rijksregisternummer ', belgian(r)],
    (r) => ['PESEL ', until(r, `${day(r).join('')}####?`, pesel)],
    (r) => ['NIF ', until(r, '2#######?', nif)],
    (r) => ['personnummer ', swedish(r)],
    (r) => ['henkilötunnus ', finnish(r)],
  ],
  held: [
    (r) => ['my social is ', `${r.int(101, 665)}-${two(r.int(1, 99))}-${r.fill('%###')}`],
    (r) => ['NI no: ', `${r.pick(['JK', 'SC', 'WP'])}${r.fill('######')}${r.pick([...'ABCD'])}`],
    (r) => ['patient (NHS: ', until(r, '%########?', nhs)],
    (r) => ['IdNr. ', group(taxDe(r), [2, 3, 3, 3], ' ')],
    (r) => ['', french(r)],
    (r) => ['con NIE ', nie(r)],
    (r) => ['', spanish(r).replace(/(.)$/, '-$1')],
    (r) => ['C.F. ', codiceFiscale(r).toLowerCase()],
    (r) => ['burgerservicenummer: ', group(until(r, '%#######?', bsn), [4, 2, 3], '.')],
    (r) => ['numéro national ', belgian(r).replace(/\D/g, '')],
    (r) => ['numer PESEL: ', until(r, `${day(r).join('')}####?`, pesel)],
    (r) => ['contribuinte ', group(until(r, '1#######?', nif), [3, 3, 3], ' ')],
    (r) => ['', `19${swedish(r)}`],
    (r) => ['', finnish(r)],
  ],
}
function swedish(r: Random): string {
  return until(r, `${day(r).join('')}###?`, luhn).replace(/(.{6})/, '$1-')
}

// ---- machines and secrets ----------------------------------------------------------------------

const octet = (r: Random) => r.int(11, 254)
const ip: Make = (r, part) => {
  const v4 = `${r.int(60, 220)}.${octet(r)}.${octet(r)}.${octet(r)}`
  if (part === 'tuned') return r.next() < 0.8 ? v4 : r.fill('2001:db8:~~~~:~~~~::1')
  return r.pick([
    v4,
    r.fill('fe80::%~~~:~~ff:fe~~:~~~~'),
    r.fill('2a02:%~~:%~~~:1:%~~:%~~~:%~~~:%~'),
  ])
}
const mac: Make = (r, part) => {
  const text = r.fill('~~:~~:~~:~~:~~:~~')
  return part === 'tuned' ? text : r.pick([text.replaceAll(':', '-').toUpperCase(), text])
}
const keys: Record<Part, string[]> = {
  tuned: [
    'ghp_' + '*'.repeat(36), 'AKIA' + 'ABCDEFGH' + '@@@@@@@@', 'xoxb-##########-##########-' + '*'.repeat(24),
    'sk_live_' + '*'.repeat(24), 'AIza' + '*'.repeat(35), 'sk-proj-' + '*'.repeat(48),
  ],
  held: [
    'glpat-' + '*'.repeat(20), 'npm_' + '*'.repeat(36), 'hf_' + '*'.repeat(34),
    'ASIA' + 'QRSTUVWX' + '@@@@@@@@',
    'SG.' + '*'.repeat(22) + '.' + '*'.repeat(43), 'github_pat_' + '*'.repeat(22) + '_' + '*'.repeat(59),
    'rk_live_' + '*'.repeat(24), 'sk-ant-api03-' + '*'.repeat(80),
    '##########:AA' + '*'.repeat(33), 'shpat_' + '~'.repeat(32),
    'AC' + '~'.repeat(32), 'ya29.' + '*'.repeat(60), 'dop_v1_' + '~'.repeat(64),
  ],
} // prettier-ignore
const apiKey: Make = (r, part) => r.fill(r.pick(keys[part]))

const base64 = (text: string) => Buffer.from(text).toString('base64url')
const jwt: Make = (r) =>
  `${base64('{"alg":"HS256","typ":"JWT"}')}.${base64(r.fill('{"sub":"####","iat":17########}'))}.` +
  r.fill('*'.repeat(43))

const privateKey: Make = (r, part) => {
  const name = part === 'tuned' ? 'RSA PRIVATE KEY' : r.pick(['OPENSSH PRIVATE KEY', 'PRIVATE KEY'])
  const lines = Array.from({ length: 6 }, () => r.fill('*'.repeat(64)))
  return `-----BEGIN ${name}-----\n${lines.join('\n')}\n-----END ${name}-----`
}

const alphabet58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const bitcoin = (r: Random): string => {
  const body = Buffer.from([r.pick([0, 5]), ...Array.from({ length: 20 }, () => r.int(1, 255))])
  const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest()
  let n = BigInt(`0x${Buffer.concat([body, hash(hash(body)).subarray(0, 4)]).toString('hex')}`)
  let text = ''
  for (; n > 0n; n /= 58n) text = alphabet58[Number(n % 58n)] + text
  return body[0] === 0 ? `1${text}` : text
}
const crypto: Make = (r, part) =>
  r.next() < 0.5
    ? r.fill('0x' + '~'.repeat(40))
    : part === 'tuned'
      ? bitcoin(r)
      : // The examples of BIP-173 and BIP-350.
        r.pick([bitcoin(r), 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4'])

const password: Make = (r, part) =>
  part === 'tuned'
    ? r.pick([r.fill('Sommer20##!'), r.fill('hunter##'), r.fill('*******#')])
    : r.pick([
        r.fill('P@ssw0rd').replace('@', 'a$'),
        r.fill('correct-horse-##'),
        r.fill('qwErty_###'),
      ])

const credentials: Make = (r, part) =>
  `${r
    .pick(given[part])
    .replace(/[^a-z]/gi, 'x')
    .toLowerCase()}:${r.fill('******##')}`

/** What a template's {name} is filled with; the spans are labelled with the name. */
export const makers: Record<string, Make> = {
  person, email, phone, address, 'birth-date': birthDate, card, iban, ip, mac, 'api-key': apiKey, jwt,
  'private-key': privateKey, 'crypto-address': crypto, password, 'url-credentials': credentials,
} // prettier-ignore
