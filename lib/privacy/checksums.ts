// Check digits. Every function takes the characters without separators and looks at no more than
// it is given; a wrong length is a failed check.
import { createHash } from 'node:crypto'

const value = (text: string, i: number) => text.charCodeAt(i) - 48

/** The digits of a text times the weights, summed. */
export function weighted(text: string, weights: readonly number[]): number {
  let sum = 0
  for (let i = 0; i < weights.length; i++) sum += value(text, i) * weights[i]!
  return sum
}

/** Luhn: ISO/IEC 7812-1, annex B. */
export function luhn(digits: string): boolean {
  let sum = 0
  for (let i = digits.length - 1, double = false; i >= 0; i--, double = !double) {
    const digit = value(digits, i)
    sum += double ? (digit > 4 ? 2 * digit - 9 : 2 * digit) : digit
  }
  return sum % 10 === 0
}

/** The remainder by 97 of digits and letters (A = 10 ... Z = 35): ISO/IEC 7064. */
export function mod97(text: string): number {
  let rest = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    rest = code < 58 ? (rest * 10 + code - 48) % 97 : (rest * 100 + (code & 31) + 9) % 97
  }
  return rest
}

/** ISO/IEC 7064 MOD 11,10, the last digit being the check digit. */
export function mod1110(digits: string): boolean {
  let product = 10
  for (let i = 0; i < digits.length - 1; i++) {
    const sum = (value(digits, i) + product) % 10 || 10
    product = (sum * 2) % 11
  }
  return (11 - product) % 10 === value(digits, digits.length - 1)
}

/** Length of an IBAN by country: the SWIFT registry. */
const IBAN_LENGTHS: Record<string, number> = {
  AD: 24, AE: 23, AL: 28, AT: 20, AZ: 28, BA: 20, BE: 16, BG: 22, BH: 22, BR: 29, BY: 28, CH: 21,
  CR: 22, CY: 28, CZ: 24, DE: 22, DK: 18, DO: 28, EE: 20, EG: 29, ES: 24, FI: 18, FO: 18, FR: 27,
  GB: 22, GE: 22, GI: 23, GL: 18, GR: 27, GT: 28, HR: 21, HU: 28, IE: 22, IL: 23, IQ: 23, IS: 26,
  IT: 27, JO: 30, KW: 30, KZ: 20, LB: 28, LC: 32, LI: 21, LT: 20, LU: 20, LV: 21, LY: 25, MC: 27,
  MD: 24, ME: 22, MK: 19, MR: 27, MT: 31, MU: 30, NL: 18, NO: 15, PK: 24, PL: 28, PS: 29, PT: 25,
  QA: 29, RO: 24, RS: 22, SA: 24, SC: 31, SE: 24, SI: 19, SK: 24, SM: 27, ST: 25, SV: 28, TL: 23,
  TN: 24, TR: 26, UA: 29, VA: 22, VG: 24, XK: 20,
} // prettier-ignore
const ibanLengths = new Map(Object.entries(IBAN_LENGTHS))

/** Length of the IBANs of a country, 0 where there are none. */
export function ibanLength(country: string): number {
  return ibanLengths.get(country) ?? 0
}

export function iban(text: string): boolean {
  return (
    text.length === ibanLength(text.slice(0, 2)) && mod97(text.slice(4) + text.slice(0, 4)) === 1
  )
}

/** Payment cards by the first digits and lengths that the networks have, and Luhn. */
export function card(digits: string): boolean {
  const length = digits.length
  const two = Number(digits.slice(0, 2))
  const four = Number(digits.slice(0, 4))
  const known =
    (digits[0] === '4' && (length === 16 || length === 13 || length === 19)) ||
    (two >= 51 && two <= 55 && length === 16) ||
    (four >= 2221 && four <= 2720 && length === 16) ||
    ((two === 34 || two === 37) && length === 15) ||
    ((four === 6011 || two === 65 || (four >= 6440 && four <= 6499)) && length === 16) ||
    (four >= 3528 && four <= 3589 && length === 16) ||
    ((two === 36 || two === 38 || (four >= 3000 && four <= 3059)) && length === 14) ||
    (two === 62 && length >= 16 && length <= 19) ||
    ((two === 50 || (two >= 56 && two <= 58)) && length === 16)
  return known && luhn(digits)
}

/** ISBN-10 (the last may be X) and ISBN-13. */
export function isbn(text: string): boolean {
  if (text.length === 13) {
    if (!text.startsWith('978') && !text.startsWith('979')) return false
    return weighted(text, [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]) % 10 === 0
  }
  if (text.length !== 10) return false
  const last = text[9] === 'X' ? 10 : value(text, 9)
  return (weighted(text, [10, 9, 8, 7, 6, 5, 4, 3, 2]) + last) % 11 === 0
}

// Base58: digits and letters but 0, O, I and l.
const BASE58 = new Map(
  [...'123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'].map((c, i) => [c, BigInt(i)]),
)

/** 25 bytes whose last 4 begin the double SHA-256 of the rest: Bitcoin's Base58Check. */
export function base58Check(text: string): boolean {
  let number = 0n
  for (const c of text) {
    const digit = BASE58.get(c)
    if (digit === undefined) return false
    number = number * 58n + digit
  }
  const hex = number.toString(16).padStart(50, '0')
  if (hex.length !== 50) return false
  const bytes = Buffer.from(hex, 'hex')
  const once = createHash('sha256').update(bytes.subarray(0, 21)).digest()
  const twice = createHash('sha256').update(once).digest()
  return twice.subarray(0, 4).equals(bytes.subarray(21))
}

const BECH32 = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATORS = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]

/** Segregated witness addresses, lower case: BIP-173 (checksum 1) and BIP-350. */
export function bech32(text: string): boolean {
  const at = text.lastIndexOf('1')
  if (at < 1 || text.length - at < 7 || text.length > 90) return false
  const prefix = [...text.slice(0, at)].map((c) => c.charCodeAt(0))
  const data = [...text.slice(at + 1)].map((c) => BECH32.indexOf(c))
  if (data.includes(-1)) return false
  let sum = 1
  for (const v of [...prefix.map((c) => c >> 5), 0, ...prefix.map((c) => c & 31), ...data]) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ v
    GENERATORS.forEach((generator, i) => (sum ^= (top >> i) & 1 ? generator : 0))
  }
  return sum === 1 || sum === 0x2bc830a3
}
