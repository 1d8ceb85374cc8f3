// What a known word begins: a date of birth, a secret, a key, a name.
import { pem, secret } from './credentials.js'
import { lazily } from './lazily.js'
import { namesAt } from './names.js'
import { writtenOut } from './network.js'
import { isDigit } from './scan.js'
import type { Scan } from './scan.js'
import { announcedAddress } from './streets.js'
import { Word } from './vocabulary.js'

const NAMES =
  Word.given |
  Word.doubtful |
  Word.family |
  Word.title |
  Word.greeting |
  Word.introduction |
  Word.signature

export function word(
  scan: Scan,
  start: number,
  end: number,
  flags: number,
  capital: boolean,
): void {
  if (flags & Word.birth) birthDate(scan, start, end)
  if (flags & Word.secret) secret(scan, start, end)
  if (flags & Word.pem) pem(scan, start)
  if (flags & Word.at) writtenOut(scan, start)
  if (flags & Word.address) announcedAddress(scan, end)
  if (!scan.setup.names) return
  if (flags & NAMES) namesAt(scan, start, end, flags, capital)
  if (flags & Word.place && capital) place(scan, start, end)
}

const MONTH =
  'jan(?:uary|uar|vier)?|feb(?:ruary|ruar)?|f[ée]vr(?:ier)?|mar(?:ch|s|zo|ço)?|märz' +
  '|m[äa]r|apr(?:il|ile)?|avr(?:il)?|' +
  'may|mai|mei|maj|maggio|mayo|maio|jun(?:e|i|io|ho)?|juin|giugno|jul(?:y|i|io|ho)?' +
  '|juil(?:let)?|luglio|' +
  'aug(?:ust|ustus|usti)?|août|agosto|sep(?:t|tember|tembre|tiembre)?|settembre' +
  '|setembro|o[ck]t(?:ober|obre|ubre)?|' +
  'ottobre|outubro|nov(?:ember|embre|iembre|embro)?|de[cz](?:ember)?|d[ée]c(?:embre)?' +
  '|diciembre|dicembre|' +
  'dezembro|enero|gennaio|janeiro|febrero|febbraio|fevereiro|abril|aprile|januari' +
  '|februari|maart|augusti|' +
  'stycznia|lutego|marca|kwietnia|maja|czerwca|lipca|sierpnia|września|października' +
  '|listopada|grudnia|' +
  '\\p{L}{3,6}kuuta'
const YEAR = '(?:19|20)\\d\\d'
const DAY = '(?:0?[1-9]|[12]\\d|3[01])'
const DATES = [
  `${YEAR}[-./](?:0?[1-9]|1[0-2])[-./]${DAY}`,
  `\\d{1,2} ?[-./] ?\\d{1,2} ?[-./] ?(?:${YEAR}|\\d\\d)`,
  `${DAY}(?:st|nd|rd|th|er|º|\\.)?(?: of| de)? {0,2}(?:${MONTH})\\.?,?(?: de| del)? {0,2}${YEAR}`,
  `(?:${MONTH})\\.? ${DAY}(?:st|nd|rd|th)?,? ${YEAR}`,
]
// The words between "born" and the date: ": ", "on the ", "am ", "date is ", "le ".
const BIRTH = lazily(
  `[^\\p{L}\\d\\n]{0,4}(?:(?:on|the|am|le|the|el|il|em|op|w|den|of|de|du|dnia|date` +
    `|datum|is|ist|est|es|was|day|dato) ?:? ?){0,4}` +
    `[^\\p{L}\\d]{0,4}(?<date>${DATES.join('|')})(?![\\p{L}\\d])`,
  'iuy',
)

// "am 3.5.1980 geboren": the date may stand before the word too.
const BEFORE_BIRTH = lazily(`(?<![\\p{L}\\d./-])(?<date>${DATES.join('|')}) $`, 'iu')
const LONGEST_DATE = 28
const LONGEST_LINK = 48

function birthDate(scan: Scan, start: number, end: number): void {
  const before =
    scan.code(start - 1) === 32
      ? BEFORE_BIRTH().exec(scan.text.slice(Math.max(0, start - LONGEST_DATE), start))
      : null
  if (before) scan.add('birth-date', start - before[0].length, start - 1, 0.75)
  if (!hasDigit(scan, end)) return
  BIRTH().lastIndex = end
  const match = BIRTH().exec(scan.text)
  if (!match) return
  const stop = end + match[0].length
  scan.add('birth-date', stop - match.groups!.date!.length, stop, 0.85)
}

/** Whether a number follows soon: cheap, since most such words speak of no date. */
function hasDigit(scan: Scan, from: number): boolean {
  for (let i = from; i < from + LONGEST_LINK; i++) if (isDigit(scan.code(i))) return true
  return false
}

const NEAR_PLACE =
  /(?:\b(?:in|from|to|near|at|live|lives|aus|nach|bei|à|de|en|di|da|te|naar|w|z) |, )$/i

function place(scan: Scan, start: number, end: number): void {
  const before = scan.text.slice(Math.max(0, start - 8), start)
  scan.add('place', start, end, NEAR_PLACE.test(before) ? 0.7 : 0.5)
}
