// Street addresses by pattern, found at their number: it stands before the name in English and
// French, after it elsewhere.
import { lazily } from './lazily.js'
import type { Scan } from './scan.js'
import { Word } from './vocabulary.js'

const CAP = "\\p{Lu}[\\p{L}'’.-]{0,24}"
// Words within a name: West 42nd, Martin Luther King, O'Farrell
const PART = `(?:${CAP}|\\d{1,3}(?:st|nd|rd|th))`
const ENGLISH =
  'Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Way|Place|Pl' +
  '|Square|Sq|Terrace|' +
  'Close|Crescent|Cres|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Row|Mews|Gardens|Grove|Hill' +
  '|Walk|Trail|Broadway'
const UNIT = '(?:,? {0,2}(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|#)\\.? {0,2}#?[\\w-]{1,6})?'
const CITY =
  `(?:, {0,2}${CAP}(?: ${CAP}){0,2}(?:, {0,2}[A-Z]{2})?(?: \\d{5}(?:-\\d{4})?` +
  `| [A-Z]{1,2}\\d[A-Z\\d]? \\d[A-Z]{2})?)?`
const AFTER_ENGLISH = lazily(
  `[A-Za-z]?,? (?:(?:${PART}) ){1,4}(?:${ENGLISH})(?![\\p{L}\\d])\\.?(?: (?:N|S|E|W|NE` +
    `|NW|SE|SW)\\b)?${UNIT}${CITY}`,
  'uy',
)
/** Words of small letters, with or without a capital. */
const eitherCase = (words: string) =>
  words.replace(/(?<=^|\|)\p{Ll}/gu, (c) => `[${c}${c.toUpperCase()}]`)

const FRENCH = eitherCase(
  'rue|avenue|av\\.|boulevard|bd|chemin|allée|impasse|quai|place|cours|route|square|passage|voie',
)
const SMALL = "de la |de l['’]|de |du |des |d['’]|la |le |les |l['’]"
const POSTCODE = `(?:,? (?:[A-Z]{1,2}-)?\\d{4,5}(?: [A-Z]{2})? ${CAP}(?:[ -]${CAP}){0,2})?`
const AFTER_FRENCH = lazily(
  `(?: ?(?:bis|ter|[A-D]))?,? (?:${FRENCH}) (?:${SMALL}){0,2}${CAP}(?:[ -](?:${SMALL})?` +
    `${CAP}){0,3}${POSTCODE}`,
  'uy',
)

// Compounds: Hauptstraße, Lindenweg, Kerkstraat, Storgatan, Mannerheimintie
const COMPOUND = eitherCase(
  'stra(?:ß|ss)e|str\\.|weg|allee|gasse|platz|damm|ufer|ring|steig|chaussee|straat' +
    '|laan|plein|gracht|' +
    'kade|dijk|singel|gatan|vägen|gränd|torget|katu|tie|kuja|polku|tori',
)
const COMPOUND_END = lazily(`(?:${COMPOUND}),? $`, 'u')
const COMPOUND_NAME = lazily(
  `(?<![\\p{L}\\d])(?:${CAP}[ -](?:(?:de|der` +
    `|den) )?){0,3}(?:\\p{Lu}\\p{Ll}{1,30})?(?:${COMPOUND}),? $`,
  'u',
)
const PREFIX = eitherCase(
  'calle|c/|avenida|avda\\.?|av\\.|plaza|paseo|camino|rambla|carrer|ronda|via|viale' +
    '|piazza|piazzale|corso|' +
    'largo|vicolo|ul\\.|ulica|al\\.|aleja|pl\\.|os\\.|rua|r\\.|travessa|praça|estrada' +
    '|alameda|rue|avenue',
)
const PREFIX_NAME = lazily(
  `(?<![\\p{L}\\d])(?:${PREFIX}) {0,2}(?:(?:de|del|della|dei|da|do|das|dos|di|la|las` +
    `|los|el) ){0,2}` +
    `${CAP}(?: (?:(?:de|da|do|di|del|della|e|y) )?(?:${CAP}|[IVX]{1,4})){0,3},? (?:n[º°.]? ?)?$`,
  'u',
)
const NUMBER = lazily(`\\d{1,4}(?: ?[A-Za-z])?(?![\\p{L}\\d])${POSTCODE}`, 'uy')
const NAME_REACH = 80
const BOX = /(?:p\.? ?o\.? ?)?(?:box|postfach|bp|apartado)[ .:]{1,3}$/i

const ANNOUNCED = lazily(
  `(?:: {0,3}|=| is | lautet | est )(?<address>\\d{1,5}[A-Za-z]?,? ${PART}(?: ${PART}){` +
    `1,4}|${CAP}(?:[ -](?:(?:de|del|di|da|der|den` +
    `|la) ){0,2}${CAP}){0,4},? \\d{1,4}(?: ?[A-Za-z])?)(?![\\p{L}\\d])${UNIT}${CITY}`,
  'uy',
)

/** Words with a capital and a number after "address:", whatever the kind of the street. */
export function announcedAddress(scan: Scan, end: number): void {
  ANNOUNCED().lastIndex = end
  const match = ANNOUNCED().exec(scan.text)
  if (!match) return
  const stop = end + match[0].length
  scan.add(
    'address',
    stop - (match[0].length - match[0].indexOf(match.groups!.address!)),
    stop,
    0.7,
  )
}

/** A street address whose number is the digits [start, end). */
export function streetAround(scan: Scan, start: number, end: number): void {
  const { text } = scan
  if (start < scan.done) return
  const next = scan.code(end)
  const goesOn = next === 32 || next === 44 || (next | 32) >= 97
  if (
    goesOn &&
    (numberFirst(scan, start, end, AFTER_ENGLISH()) ||
      numberFirst(scan, start, end, AFTER_FRENCH()))
  )
    return
  if (end - start > 4) return
  const before = scan.code(start - 1)
  if (before !== 32 && before !== 176 && before !== 186) return
  const left = () => text.slice(Math.max(0, start - NAME_REACH), start)
  if (scan.near(start, Word.street)) numberLast(scan, start, PREFIX_NAME().exec(left()))
  if (COMPOUND_END().test(text.slice(Math.max(0, start - 12), start)))
    numberLast(scan, start, COMPOUND_NAME().exec(left()))
  const box = end - start >= 3 ? BOX.exec(text.slice(Math.max(0, start - 20), start)) : null
  if (box) scan.add('address', start - box[0].length, end, 0.6)
}

function numberFirst(scan: Scan, start: number, end: number, pattern: RegExp): boolean {
  pattern.lastIndex = end
  const match = pattern.exec(scan.text)
  if (!match) return false
  scan.add('address', start, end + match[0].length, 0.92)
  return true
}

function numberLast(scan: Scan, start: number, name: RegExpExecArray | null): void {
  if (!name) return
  NUMBER().lastIndex = start
  const number = NUMBER().exec(scan.text)
  if (number) scan.add('address', start - name[0].length, start + number[0].length, 0.92)
}
