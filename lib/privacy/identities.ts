// Identity numbers of persons by country, each with the check that its issuer defines.
import { luhn, mod1110, mod97, weighted } from './checksums.js'
import type { Country } from './kinds.js'

export interface Identity {
  country: Country
  name: string
  /**
   * How it is written: lengths of the groups of digits with what stands between them, and the score
   * that the form and the check earn without a word before it.
   */
  shapes: Readonly<Record<string, number>>
  /** Takes the digits alone. */
  valid: (digits: string) => boolean
}

function isDay(year: number, month: number, day: number): boolean {
  if (month < 1 || month > 12 || day < 1 || day > 31) return false
  const date = new Date(Date.UTC(year, month - 1, day))
  return date.getUTCDate() === day
}

const number = (digits: string, start: number, end: number) => Number(digits.slice(start, end))

/** A day written as YYMMDD of an unknown century. */
function isShortDay(text: string): boolean {
  return isDay(2000 + number(text, 0, 2), number(text, 2, 4), number(text, 4, 6))
}

/** No area 000, 666 or 9xx, no group 00, no serial 0000 (Social Security Administration). */
function socialSecurity(digits: string): boolean {
  const area = number(digits, 0, 3)
  return (
    area > 0 &&
    area !== 666 &&
    area < 900 &&
    digits.slice(3, 5) !== '00' &&
    digits.slice(5) !== '0000'
  )
}

/** Modulus 11 of the NHS data dictionary. */
function nhs(digits: string): boolean {
  return digits[0] !== '0' && weighted(digits, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]) % 11 === 0
}

/** Of the first ten digits one stands there twice or three times and no other twice. */
function steuerId(digits: string): boolean {
  if (digits[0] === '0' || !mod1110(digits)) return false
  const counts = new Array<number>(10).fill(0)
  for (const digit of digits.slice(0, 10)) counts[Number(digit)]!++
  const repeated = counts.filter((count) => count > 1)
  return repeated.length === 1 && repeated[0]! <= 3
}

/** NIR: sex, year, month, place, order, and 97 less the remainder by 97. */
function nir(digits: string): boolean {
  const month = number(digits, 3, 5)
  const known = (month >= 1 && month <= 12) || (month >= 20 && month <= 42) || month >= 50
  if (!known || (digits[0] !== '1' && digits[0] !== '2')) return false
  return 97 - mod97(digits.slice(0, 13)) === number(digits, 13, 15)
}

/** The eleven-test of the burgerservicenummer. */
function bsn(digits: string): boolean {
  const sum = weighted(digits, [9, 8, 7, 6, 5, 4, 3, 2, -1])
  return sum !== 0 && sum % 11 === 0
}

/** Birthday, serial, 97 less the remainder by 97; a 2 goes before it for who was born from 2000. */
function belgian(digits: string): boolean {
  const [month, day, base] = [number(digits, 2, 4), number(digits, 4, 6), digits.slice(0, 9)]
  // Births not known stand as 00, and some numbers add 20 or 40 to the month.
  if (month % 20 > 12 || month > 52 || day > 31) return false
  const check = number(digits, 9, 11)
  return 97 - mod97(base) === check || 97 - mod97(`2${base}`) === check
}

/** The century is in the month: 80 for 18xx, 20 for 20xx, 40 and 60 for what follows. */
function pesel(digits: string): boolean {
  const month = number(digits, 2, 4)
  const century = [1900, 2000, 2100, 2200, 1800][Math.floor(month / 20)]!
  if (!isDay(century + number(digits, 0, 2), month % 20, number(digits, 4, 6))) return false
  return weighted(digits, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 === 0
}

/** Persons have 1, 2, 3 or 45 in front. */
function nif(digits: string): boolean {
  if (!/^(?:[123]|45)/.test(digits)) return false
  const rest = weighted(digits, [9, 8, 7, 6, 5, 4, 3, 2]) % 11
  return number(digits, 8, 9) === (rest < 2 ? 0 : 11 - rest)
}

/** The day may be increased by 60 (samordningsnummer); Luhn over the ten short digits. */
function personnummer(digits: string): boolean {
  const short = digits.slice(-10)
  if (digits.length === 12 && !/^(?:18|19|20)/.test(digits)) return false
  const day = number(short, 4, 6)
  const date = short.slice(0, 4) + String(day > 60 ? day - 60 : day).padStart(2, '0')
  return isShortDay(date) && luhn(short)
}

/** Three digits, the check digit, then the birthday DDMMYY. */
function svnr(digits: string): boolean {
  const [day, month] = [number(digits, 4, 6), number(digits, 6, 8)]
  if (digits[0] === '0' || day < 1 || day > 31 || month < 1 || month > 15) return false
  return weighted(digits, [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 === number(digits, 3, 4)
}

/**
 * Numbers of digits only. Scores without a word before them follow the chance that any number in
 * that form passes: one in a thousand earns more than one in ten.
 */
export const digitIdentities: readonly Identity[] = [
  {
    country: 'US',
    name: 'Social Security number',
    shapes: { '3-2-4': 0.65, '3 2 4': 0.5, '9': 0.2 },
    valid: socialSecurity,
  },
  {
    country: 'GB',
    name: 'NHS number',
    shapes: { '3 3 4': 0.6, '3-3-4': 0.45, '10': 0.25 },
    valid: nhs,
  },
  {
    country: 'DE',
    name: 'tax number (Steuer-ID)',
    shapes: { '11': 0.55, '2 3 3 3': 0.75, '3 3 3 2': 0.6, '2/3/3/3': 0.7 },
    valid: steuerId,
  },
  {
    country: 'FR',
    name: 'social security number (NIR)',
    shapes: { '15': 0.75, '13 2': 0.9, '1 2 2 2 3 3 2': 0.95, '1-2-2-2-3-3-2': 0.95 },
    valid: nir,
  },
  {
    country: 'NL',
    name: 'citizen service number (BSN)',
    shapes: { '9': 0.3, '4.2.3': 0.7, '3.3.3': 0.4, '3 3 3': 0.4, '4 2 3': 0.5 },
    valid: bsn,
  },
  {
    country: 'BE',
    name: 'national register number',
    shapes: { '2.2.2-3.2': 0.95, '11': 0.55, '6-3-2': 0.8, '6 3 2': 0.7, '2 2 2 3 2': 0.7 },
    valid: belgian,
  },
  { country: 'PL', name: 'PESEL', shapes: { '11': 0.5 }, valid: pesel },
  { country: 'PT', name: 'tax number (NIF)', shapes: { '9': 0.3, '3 3 3': 0.4 }, valid: nif },
  {
    country: 'SE',
    name: 'personal identity number (personnummer)',
    shapes: { '6-4': 0.75, '8-4': 0.85, '10': 0.3, '12': 0.5 },
    valid: personnummer,
  },
  {
    country: 'FI',
    name: 'personal identity code (HETU)',
    shapes: { '6-4': 0.75 },
    valid: (digits) => finnish(`${digits.slice(0, 6)}-${digits.slice(6)}`),
  },
  {
    country: 'AT',
    name: 'social insurance number',
    shapes: { '4 6': 0.55, '10': 0.25, '4-6': 0.5 },
    valid: svnr,
  },
]

const CONTROL_ES = 'TRWAGMYFPDXBNJZSQVHLCKE'
const CONTROL_FI = '0123456789ABCDEFHJKLMNPRSTUVWXY'
const CONTROL_IE = 'WABCDEFGHIJKLMNOPQRSTUV'
// The value of a character at an odd place of the codice fiscale: 0 and A, 1 and B, ...
const ODD_IT = [
  1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
]
// Digits may be replaced by these letters where two persons would have the same code.
const CODICE =
  /^[A-Z]{6}[\dLMNPQRSTUV]{2}[ABCDEHLMPRST][\dLMNPQRSTUV]{2}[A-Z][\dLMNPQRSTUV]{3}[A-Z]$/

function codiceFiscale(code: string): boolean {
  if (!CODICE.test(code)) return false
  let sum = 0
  for (let i = 0; i < 15; i++) {
    const c = code.charCodeAt(i)
    const n = c < 58 ? c - 48 : c - 65
    sum += i % 2 === 0 ? ODD_IT[n]! : n
  }
  return code.charCodeAt(15) - 65 === sum % 26
}

function finnish(code: string): boolean {
  if (!isShortDay(code.slice(4, 6) + code.slice(2, 4) + code.slice(0, 2))) return false
  return CONTROL_FI[Number(code.slice(0, 6) + code.slice(7, 10)) % 31] === code[10]
}

function ppsn(code: string): boolean {
  const second = code[8] ? (code.charCodeAt(8) - 64) * 9 : 0
  return CONTROL_IE[(weighted(code, [8, 7, 6, 5, 4, 3, 2]) + second) % 23] === code[7]
}

/** Numbers with letters, in capitals and without separators. */
export const mixedIdentities: readonly {
  country: Country
  name: string
  pattern: RegExp
  score: number
  valid: (code: string) => boolean
}[] = [
  {
    country: 'ES',
    name: 'identity number (DNI, NIE)',
    pattern: /^(?:\d{8}|[XYZ]\d{7})[A-Z]$/,
    score: 0.75,
    valid: (code) =>
      CONTROL_ES[Number(code.slice(0, -1).replace(/^[XYZ]/, (c) => `${'XYZ'.indexOf(c)}`)) % 23] ===
      code.at(-1),
  },
  {
    country: 'FR',
    name: 'social security number (NIR)',
    // Corsica has letters in its number.
    pattern: /^[12]\d{4}2[AB]\d{8}$/,
    score: 0.95,
    valid: (code) => nir(code.replace('2A', '19').replace('2B', '18')),
  },
  {
    country: 'IT',
    name: 'codice fiscale',
    pattern: /^[A-Z0-9]{16}$/,
    score: 0.95,
    valid: codiceFiscale,
  },
  {
    country: 'FI',
    name: 'personal identity code (HETU)',
    pattern: /^\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]$/,
    score: 0.9,
    valid: finnish,
  },
  {
    country: 'IE',
    name: 'personal public service number',
    pattern: /^\d{7}[A-W][A-IW]?$/,
    score: 0.6,
    valid: ppsn,
  },
  {
    country: 'GB',
    name: 'National Insurance number',
    pattern: /^(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]$/,
    score: 0.75,
    valid: () => true,
  },
]
