// Names of persons without a model for them: by lists of frequent names, and by what stands before a
// name: a title, a greeting, "my name is", the end of a letter.
import { lazily } from './lazily.js'
import type { Scan } from './scan.js'
import { Word } from './vocabulary.js'

// One more word of a name, with what may stand before it: " Keller", "-Marie", " van der Berg", " J."
const PARTICLE =
  'van|von|der|den|de|del|della|di|da|dos|das|do|du|la|le|ten|ter|te|bin|ibn|al|el|zu|zum|af|st\\.?'
const MORE = lazily(
  `(?:[ \\u00a0](?:(?:${PARTICLE}) ){0,3}|-)(?:\\p{Lu}\\.(?= \\p{Lu})|` +
    `(?:[dDlLO]['’])?\\p{Lu}[\\p{L}]{1,24}(?:['’]\\p{Lu}?\\p{L}{2,24})?)`,
  'uy',
)
const FIRST = lazily("(?:[dDlLO]['’])?\\p{Lu}\\p{L}{1,24}|\\p{Lu}\\.(?= \\p{Lu})", 'uy')
const MOST_WORDS = 4
const SHOUTED = /\p{Lu}\p{Lu}$/u

// Words with a capital that follow a name, or a greeting, without being one.
const NOT_NAMES = new Set(
  `monday tuesday wednesday thursday friday saturday sunday january february march april june july
  august september october november december and or but the this that please thank thanks customer
  customers sir madam team all there everyone everybody support service world user users member friend
  friends colleague colleagues guest client sirs ladies gentlemen damen herren kunde kunden kundin
  zusammen leute freunde tous toutes équipe monsieur madame cliente clientes todos todas equipo clienti
  allemaal klant klanten inc ltd llc gmbh ag kg co corp company group bank street road avenue university
  hotel restaurant park airport station house garden store shop sale day order ticket number account
  email phone regards best kind hi hello dear hey i we you he she they it my your our is was are has have
  for with from about not no yes ok sent by via on in at to as if when while where what who how date
  address street city mr mrs ms dr herr frau from re subject cc bcc tel fax mobile hallo guten sehr
  geehrte geehrter liebe lieber mit und der die das ich wir sie bonjour merci cher chère hola gracias
  buenos buenas ciao grazie buongiorno beste geachte hej hei olá api app admin manager sales
  department office security again order here is`.split(/\s+/),
)

/** Scans the words of a name from the first one on; returns its end. */
function extend(scan: Scan, end: number): { end: number; words: number; family: boolean } {
  const { text, setup } = scan
  let words = 1
  let family = false
  while (words < MOST_WORDS) {
    MORE().lastIndex = end
    const match = MORE().exec(text)
    if (!match) break
    const last = /[\p{L}'’.]+$/u.exec(match[0])![0].toLowerCase()
    if (NOT_NAMES.has(last)) break
    // ATM after Notting Hill; ANNA KELLER is a name all the same.
    if (SHOUTED.test(match[0]) && !SHOUTED.test(text.slice(Math.max(0, end - 2), end))) break
    if (setup.vocabulary.flags(last) & Word.family) family = true
    end += match[0].length
    words++
  }
  return { end, words, family }
}

/** A name that begins at `start`, wherever that is; 0 words when no capital stands there. */
function nameAt(scan: Scan, start: number): { end: number; words: number; known: boolean } {
  FIRST().lastIndex = start
  const match = FIRST().exec(scan.text)
  if (!match || NOT_NAMES.has(match[0].toLowerCase())) return { end: start, words: 0, known: false }
  const flags = scan.setup.vocabulary.flags(match[0])
  const { end, words, family } = extend(scan, start + match[0].length)
  return { end, words, known: family || (flags & (Word.given | Word.family)) !== 0 }
}

export function namesAt(
  scan: Scan,
  start: number,
  end: number,
  flags: number,
  capital: boolean,
): void {
  if (flags & Word.title) titled(scan, start, end, capital)
  if (flags & Word.greeting) greeted(scan, start, end)
  if (flags & Word.introduction) introduced(scan, start, end)
  if (flags & Word.signature) signed(scan, end)
  if (!capital || start < scan.done) return
  if (flags & (Word.given | Word.doubtful)) given(scan, start, end, flags)
  else if (flags & Word.family && !(flags & Word.common)) beforeFamily(scan, start, end)
}

function add(scan: Scan, start: number, end: number, score: number): void {
  scan.add('person', start, end, score)
}

const SAINT = /(?<!\p{L})(?:San|Santa|Santo|St\.?|Saint|São|Fort|Port|Lake|Mount|Mt\.?) $/u
const PLACE_TYPE = lazily(
  String.raw` (?:County|City|Airport|Street|Road|Avenue|Park|Island|Beach|River|Lake|University` +
    String.raw`|College|Hospital|Hotel|Bridge|Station|Inc|Ltd|GmbH)(?!\p{L})`,
  'uy',
)

/** A given name, alone or with what follows it. */
function given(scan: Scan, start: number, end: number, flags: number): void {
  const name = extend(scan, end)
  const isDoubtful = (flags & Word.doubtful) !== 0
  // "Frank" may be the adjective, "Frank Miller" hardly is.
  let score = isDoubtful ? 0.2 : 0.55
  if (name.words > 1) score += name.family ? 0.35 : isDoubtful ? 0.1 : 0.2
  // MIA may be an airport; San Francisco and Wayne County are places.
  else if (SHOUTED.test(scan.text.slice(start, end)) && end - start < 4) score -= 0.2
  if (SAINT.test(scan.text.slice(Math.max(0, start - 6), start))) score -= 0.3
  PLACE_TYPE().lastIndex = name.end
  if (PLACE_TYPE().test(scan.text)) score -= 0.3
  add(scan, start, name.end, score)
  if (name.words > 1) scan.done = Math.max(scan.done, start + 1)
}

const LEFT_WORD = /(?<![\p{L}\d])(?:\p{Lu}\p{L}{1,24}|\p{Lu}\.) $/u

/** A family name: with the capital word before it, which no list knows. */
function beforeFamily(scan: Scan, start: number, end: number): void {
  const match = LEFT_WORD.exec(scan.text.slice(Math.max(0, start - 27), start))
  if (!match || NOT_NAMES.has(match[0].trim().toLowerCase())) return
  add(scan, start - match[0].length, extend(scan, end).end, 0.5)
}

/** The word itself is no part of the finding. */
function titled(scan: Scan, start: number, end: number, capital: boolean): void {
  const word = scan.text.slice(start, end)
  if (!capital && !/^(?:señora?|sra?|signora?|dhr|mevrouw|meneer|mevr)$/.test(word)) return
  let from = end
  if (scan.code(from) === 46) from++
  if (scan.code(from) !== 32) return
  // Frau Dr. Keller
  const next = /^(?:(?:Dr|Prof|Ing|Mag|Dipl)\.?(?:-Ing\.)? ){0,3}/.exec(
    scan.text.slice(from + 1, from + 24),
  )!
  const first = from + 1 + next[0].length
  const name = nameAt(scan, first)
  // MS Word is none, MS KELLER is.
  const isShouted = SHOUTED.test(word) && !SHOUTED.test(scan.text.slice(first, first + 2))
  if (name.words > 0 && !isShouted) add(scan, first, name.end, 0.8)
}

const AFTER_GREETING =
  /(?:,? (?:(?:mr|mrs|ms|dr|prof|herr|frau|monsieur|madame|señora?|signora?)\.? )?)?/iy

function greeted(scan: Scan, start: number, end: number): void {
  AFTER_GREETING.lastIndex = end
  const from = end + AFTER_GREETING.exec(scan.text)![0].length
  if (from === end || start < 0) return
  const name = nameAt(scan, from)
  if (name.words === 0) return
  // What follows tells a salutation from "Dear Valued Friends of the House".
  const closed = ',!.?\n;:-)'.includes(scan.text.charAt(name.end)) || name.end === scan.text.length
  if (name.known) add(scan, from, name.end, 0.75)
  else if (closed && name.words < 4) add(scan, from, name.end, 0.55)
}

const BE =
  /(?: {0,2}[:=] {0,2}|['’]m | am | is | ist | est | es | è | to |e )(?=\p{Lu}|[dDl]['’])/uy
const SAYS = /(?: {1,2}| {0,2}[:=] {1,2})(?=\p{Lu}|[dDl]['’])/uy
const WHOSE = lazily(
  String.raw`(?:\b(?:my|full|first|last|his|her|mein|meine|votre|son|mon|mi|su|il mio|mijn|meu` +
    String.raw`|nazwisko|user|customer|contact|family|given|author|is) |[\n\r] {0,4}|^)$`,
  'i',
)
const LABELS =
  /^(?:name|naam|nom|nombre|nome|imię|namn|customer|contact|attn|attention|kunde|author)$/i

function introduced(scan: Scan, start: number, end: number): void {
  const { text } = scan
  const word = text.slice(start, end)
  const isLabel = LABELS.test(word)
  const pattern = isLabel || word === 'I' || word === 'i' ? BE : SAYS
  pattern.lastIndex = end
  const link = pattern.exec(text)
  if (!link) return
  const from = end + link[0].length
  const name = nameAt(scan, from)
  if (name.words === 0) return
  if (isLabel) {
    const before = text.slice(Math.max(0, start - 12), start)
    // A field called "name" may be that of a product.
    const isField = link[0] === '=' && before === ''
    const owned = /^[ck]|^att/i.test(word) || (!isField && WHOSE().test(before))
    if (owned || name.known)
      add(
        scan,
        from,
        name.end,
        name.known ? 0.8 : name.words > 1 || !/[:=]/.test(link[0]) ? 0.6 : 0.45,
      )
  } else if (word.length === 1 || /^(?:soy|sono|suis|jestem)$/i.test(word)) {
    // "I am German" is no name.
    if (name.known) add(scan, from, name.end, 0.75)
  } else add(scan, from, name.end, name.known ? 0.85 : 0.65)
}

const CLOSING =
  /(?: [\p{L}']{1,14}){0,4}[,.!;]?[ \t]{0,3}\r?\n(?:[ \t]*\r?\n)?[ \t]{0,3}(?:-{1,2} ?)?/uy

/** The line after "Regards," holds a name when it holds nothing else. */
function signed(scan: Scan, end: number): void {
  CLOSING.lastIndex = end
  const closing = CLOSING.exec(scan.text)
  if (!closing) return
  const from = end + closing[0].length
  const name = nameAt(scan, from)
  if (name.words === 0) return
  const next = scan.code(name.end)
  const alone = next === 10 || next === 13 || next === 44 || next === 0
  if (alone || name.known) add(scan, from, name.end, name.known ? 0.8 : 0.6)
}
