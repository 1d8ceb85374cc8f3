// Cuts what mails carry beside what is said: quoted replies, signatures, boilerplate.

/** Lines are looked at up to here: no pattern sees more. */
const LOOK = 300

/** "On <date>, <who> wrote:" in the languages of the common mail programs. */
const ATTRIBUTION_START = /^\s*(?:On|Am|Le|El|Il|Op|Em|No dia|W dniu|Dne|Den|På)\s\S/
const WROTE = [
  'wrote',
  'writes',
  'schrieb',
  'a écrit',
  'escribió',
  'ha scritto',
  'schreef',
  'escreveu',
  'napisał(?:\\(a\\))?',
  'napsal(?:\\(a\\))?',
  'skrev',
]
const ATTRIBUTION_END = new RegExp(`(?:${WROTE.join('|')})(?:\\s.{0,120})?\\s?:\\s*$`)
const ORIGINAL = [
  'Original Message',
  'Original-Nachricht',
  'Ursprüngliche Nachricht',
  "Message d'origine",
  'Mensaje original',
  'Messaggio originale',
  'Oorspronkelijk bericht',
  'Mensagem original',
]
const SEPARATOR = new RegExp(`^\\s*(?:-{2,}|_{2,})\\s*(?:${ORIGINAL.join('|')})\\b`, 'i')
const HEADER_FROM = /^\s*\*?(?:From|Von|De|Da|Van)\s?:\*?\s+\S/
const HEADERS = [
  'Sent|Date|To|Subject',
  'Gesendet|Datum|An|Betreff',
  'Envoyé|À|Objet',
  'Enviado|Fecha|Para|Asunto',
  'Inviato|Data|Oggetto',
  'Verzonden|Aan|Onderwerp',
]
const HEADER_NEXT = new RegExp(`^\\s*\\*?(?:${HEADERS.join('|')})\\s?:\\*?\\s`)
/** What helpdesks write over the thread that they quote. */
const REPLY_ABOVE = new RegExp(
  '^\\s*(?:#{2,}-?|-{2,})?\\s*(?:(?:Please )?(?:type your )?reply above this line' +
    '|Bitte antworten Sie oberhalb dieser Zeile)',
  'i',
)

const SIGNATURE = /^\s*(?:--\s?|—|_{5,}|-{10,})\s*$/
const PHONES = [
  'Sent from (?:my|Mail|Outlook|Yahoo|Proton)',
  'Get Outlook for',
  'Von meinem .{0,40} gesendet',
  'Gesendet mit',
  'Envoyé de (?:mon|ma)',
  'Enviado desde mi',
  'Enviado do meu',
  'Inviato da',
  'Verstuurd vanaf',
]
const MOBILE = new RegExp(`^\\s*(?:${PHONES.join('|')})`, 'i')
/** Ends of letters that stand for nothing else. */
const GREETINGS = [
  '(?:with )?(?:best|kind|kindest|warm|warmest|many|my best) (?:regards|wishes)',
  'regards|best|cheers|sincerely|many thanks|thanks and regards',
  'yours (?:truly|sincerely|faithfully)',
  'mit (?:freundlichen|besten|lieben) grüßen',
  '(?:viele|liebe|beste|freundliche) grüße',
  'mfg|lg|vg',
  '(?:bien )?cordialement|bien à vous',
  '(?:un )?saludos?(?: cordial(?:es)?)?|atentamente',
  '(?:cordiali|distinti) saluti',
  'met vriendelijke groet(?:en)?',
  'atenciosamente|abraços',
]
const SIGN_OFF = new RegExp(`^\\s*(?:${GREETINGS.join('|')})\\s*[,.!]?\\s*$`, 'i')
/** These are said in answers too: they end one only with a comma and a name behind it. */
const THANKS =
  /^\s*(?:thanks|thank you|thx|danke|merci|gracias|grazie|bedankt|obrigad[oa])\s*,\s*$/i

const NOTICES = [
  'this (?:e-?mail|message|communication)',
  'confidentiality|disclaimer',
  'the (?:information|contents?) (?:contained )?(?:in|of) this',
  'diese (?:e-?mail|nachricht)',
  'ce (?:message|courriel)',
  'este (?:mensaje|correo)',
  'questo messaggio',
]
const NOTICE_START = new RegExp(`^\\s*\\*?(?:${NOTICES.join('|')})`, 'i')
const NOTICE_WORD =
  /confidential|privileged|intended (?:only|solely|for)|vertraulich|confidentiel|confidencial|riservat/i
const LINES = [
  'please consider the environment before printing',
  '\\[cid:[^\\]]{0,200}\\]',
  '\\[image: [^\\]]{0,200}\\]',
  '(?:to )?unsubscribe\\b',
  'you received this (?:e-?mail|message) because',
]
const NOISE = new RegExp(`^\\s*(?:${LINES.join('|')})`, 'i')

/**
 * What a mail says: without the mail that it answers, its signature and notices. What is nothing
 * but these (a "Thanks!") stays. Time is linear in the text.
 */
export function cleanMail(mail: string): string {
  const lines = mail.replaceAll('\r\n', '\n').split('\n')
  const unquoted = cutQuotes(lines)
  const unsigned = cutSignature(unquoted)
  const kept = tidy(cutNotices(unsigned))
  return kept || tidy(unquoted)
}

/** Lines joined, without blanks at their ends and more than one empty line in a row. */
function tidy(lines: readonly string[]): string {
  return lines
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
}

function cutQuotes(lines: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!.slice(0, LOOK)
    if (line.startsWith('>')) continue
    const attribution = attributionLength(lines, i)
    if (attribution > 0) {
      const next = lines.slice(i + attribution, i + attribution + 3).find((text) => text.trim())
      // Marked quotes may have answers between them; what is not marked goes to the end.
      if (next !== undefined && !next.startsWith('>')) break
      i += attribution - 1
      continue
    }
    if (SEPARATOR.test(line)) break
    if (REPLY_ABOVE.test(line)) {
      if (kept.some((text) => text.trim())) break
      continue
    }
    const following = lines
      .slice(i + 1, i + 4)
      .filter((text) => HEADER_NEXT.test(text.slice(0, LOOK)))
    if (HEADER_FROM.test(line) && following.length >= 2) break
    kept.push(lines[i]!)
  }
  return kept
}

/** Lines that "On <date>, <who> wrote:" takes from here, 0 where it does not begin. */
function attributionLength(lines: readonly string[], at: number): number {
  if (!ATTRIBUTION_START.test(lines[at]!.slice(0, LOOK))) return 0
  for (let count = 1; count <= 3 && at + count <= lines.length; count++) {
    const line = lines[at + count - 1]!.slice(0, LOOK)
    if (!line.trim()) return 0
    // A date, an address or a time must stand in it: people write "On Monday she wrote:" too.
    if (ATTRIBUTION_END.test(line)) {
      const all = lines
        .slice(at, at + count)
        .join(' ')
        .slice(0, 3 * LOOK)
      return /\d{4}|\d[:.]\d\d|@/.test(all) ? count : 0
    }
  }
  return 0
}

/** A signature has at most so many lines, and those are short. */
const SIGNATURE_LINES = 10
const SHORT = 90

function cutSignature(lines: readonly string[]): string[] {
  const marked = lines.findIndex((line, i) => i > 0 && SIGNATURE.test(line.slice(0, LOOK)))
  const kept = (marked < 0 ? lines : lines.slice(0, marked)).filter(
    (line) => !MOBILE.test(line.slice(0, LOOK)),
  )
  let short = 0
  for (let i = kept.length - 1; i > 0 && short <= SIGNATURE_LINES; i--) {
    const line = kept[i]!
    if (!line.trim()) continue
    const look = line.slice(0, LOOK)
    if (SIGN_OFF.test(look) || (THANKS.test(look) && short <= 4)) return kept.slice(0, i)
    if (line.length > SHORT && !NOTICE_START.test(look)) break
    short++
  }
  return kept
}

function cutNotices(lines: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!.slice(0, LOOK)
    if (NOISE.test(line)) continue
    if (NOTICE_START.test(line)) {
      let end = i
      while (end < lines.length && lines[end]!.trim()) end++
      if (NOTICE_WORD.test(lines.slice(i, end).join(' ').slice(0, 3000))) {
        i = end - 1
        continue
      }
    }
    kept.push(lines[i]!)
  }
  return kept
}
