// The words that the scan stops at: what they say of what follows, and what they begin.
import { doubtfulFamilies, doubtfulNames, familyNames, givenNames, places } from './wordlists.js'

/**
 * What a word is for, as bits. The first ones say what the next number is; the scan notes where
 * they were last seen. The others begin a search to their right.
 */
export const Word = {
  phone: 1 << 0,
  identity: 1 << 1,
  card: 1 << 2,
  network: 1 << 3,
  street: 1 << 4,
  /** The next number is an order, a version, a price: no person's. */
  other: 1 << 5,
  birth: 1 << 6,
  secret: 1 << 7,
  given: 1 << 8,
  doubtful: 1 << 9,
  family: 1 << 10,
  /** Beside `family`: it is a word of its own. */
  common: 1 << 20,
  title: 1 << 11,
  greeting: 1 << 12,
  introduction: 1 << 13,
  signature: 1 << 14,
  pem: 1 << 15,
  at: 1 << 16,
  place: 1 << 17,
  address: 1 << 18,
  rule: 1 << 19,
} as const

/** How many of the bits are notes for what follows. */
export const NOTES = 6
const NEEDS_CAPITAL = Word.given | Word.doubtful | Word.family | Word.common | Word.place

const words: readonly (readonly [flags: number, words: string])[] = [
  [
    Word.phone,
    `phone phones telephone tel telefon telefono teléfono téléphone telefone telefoon telefonnummer
    telefonnumer telefoonnummer telnr puhelin puhelinnumero puh mobile mobil mobiel móvil movil cell
    cellphone handy handynummer mobilnummer portable cellulare cellulaire telemóvel komórka call
    called calling callback dial fax whatsapp sms ring rufen anrufen appeler llamar chiamare bel
    dzwonić rückruf signal viber fono tlf tfn gsm hotline landline festnetz kom numero`,
  ],
  [
    Word.identity,
    `ssn social security insurance nino nhs patient steuerid steuer steuernummer steueridentifikation
    identifikationsnummer idnr tin nir insee sécurité securite sociale dni nie nif cif codice
    fiscale cf bsn burgerservicenummer sofinummer rijksregisternummer registre registernummer
    national nationale nationaal pesel contribuinte personnummer personnr samordningsnummer
    henkilötunnus henkilotunnus hetu pps ppsn sozialversicherungsnummer svnr versicherungsnummer
    passport reisepass passeport pasaporte passaporto paspoort passaporte paszport passi identity
    identität identité identidad identità ausweis personalausweis ausweisnummer taxpayer tax
    identification licence license ni`,
  ],
  [
    Word.card,
    `card cards visa mastercard amex credit debit karte kreditkarte kartennummer carte tarjeta carta
    creditcard kreditkort karta cartão luottokortti cc pan cardnumber`,
  ],
  [Word.network, 'ip ipv ipaddress host hostname client server login'],
  [
    Word.other,
    `order orders bestellung bestellnummer auftrag auftragsnummer commande pedido ordine bestelling
    invoice rechnung rechnungsnummer facture factura fattura factuur tracking sendungsnummer
    shipment parcel paket fedex ups dhl usps version release firmware build revision rev ver isbn
    issn ean upc gtin sku serial seriennummer article artikel artikelnummer item part product model
    ticket case commit sha md5 uuid guid hash epoch timestamp unix price cost total amount betrag
    summe kundennummer reference ref vorgang population coordinates latitude longitude lat lon
    chapter section page pages port ports error code id ids request trace span bytes ms chrome
    safari firefox edge imei vin doi pmid arxiv rfc iso din v isbn13 isbn10 quantity qty`,
  ],
  [
    Word.birth,
    `born birth birthday birthdate dob geboren geb geburtsdatum geburtstag né née naissance nacido
    nacida nacimiento nato nata nascita geboortedatum geboorte urodzenia urodzony urodzona ur född
    födelsedatum fødselsdato syntynyt syntymäaika nascido nascida nascimento`,
  ],
  [
    Word.secret,
    `password passwd pwd pass passwort kennwort passphrase contraseña contrasena senha hasło haslo
    wachtwoord lösenord losenord salasana passcode pin secret token apikey api_key secretkey
    accesskey accountkey auth bearer passe kennung credential credentials clientsecret key`,
  ],
  [
    Word.title,
    `mr mrs ms miss mister dr prof professor herr frau herrn fräulein monsieur madame mme mlle señor
    señora sr sra srta don doña signor signora sig dott dhr mevrouw mevr meneer mw heer senhor
    senhora sir dame`,
  ],
  [
    Word.greeting,
    `hi hello hey dear hallo liebe lieber moin servus bonjour salut cher chère chere hola querido
    querida estimado estimada ciao caro cara gentile beste geachte cześć witam drogi droga olá caro
    prezado hej hejsan hei kära bästa`,
  ],
  [
    Word.introduction,
    `name i heiße heisse heiß appelle llamo soy chiamo heet nazywam heter nimeni nombre nom naam namn
    nome imię customer contact attn attention kunde author jestem sono suis`,
  ],
  [
    Word.signature,
    `regards thanks thank sincerely cheers best yours wishes faithfully greetings grüße grüßen grüsse
    gruß gruss mfg lg vg cordialement merci amitiés salutations saludos atentamente gracias saluti
    grazie groet groeten groetjes pozdrawiam dziękuję cumprimentos obrigado obrigada hälsningar mvh
    hälsning terveisin ystävällisin kiitos danke`,
  ],
  [
    Word.street,
    `calle avenida avda av plaza paseo camino rambla carrer ronda via viale piazza piazzale corso
    largo vicolo rue avenue boulevard bd chemin allée allee impasse quai place cours route square ul
    ulica aleja al pl plac os osiedle rua r travessa praça praca estrada alameda c`,
  ],
  [
    Word.address,
    'address adresse anschrift wohnhaft dirección direccion domicilio indirizzo adres end' +
      'ereço morada adress osoite',
  ],
  [Word.pem, 'begin'],
  [Word.at, 'at'],
  [Word.given, givenNames.filter((name) => !doubtfulNames.includes(name)).join(' ')],
  [Word.doubtful, doubtfulNames.join(' ')],
  [Word.family, familyNames.join(' ')],
  [Word.common, doubtfulFamilies.join(' ')],
  [Word.place, places.join(' ')],
]

// A filter before the map: a byte for each value of 16 bits of the hash, 1 where only words with a
// capital matter, 3 where all do.
const FILTER_BITS = 16
const FILTER_MASK = (1 << FILTER_BITS) - 1
const ANY_CASE = 3
const CAPITAL = 1

/** One step of the hash of a word: a capital and its small letter give the same. */
export function hashStep(hash: number, code: number): number {
  return (Math.imul(hash, 31) + (code | 32)) | 0
}

export class Vocabulary {
  readonly #flags = new Map<string, number>()
  readonly #filter = new Uint8Array(1 << FILTER_BITS)

  /** @param own words of custom rules and of the deny list, lower case */
  constructor(own: Iterable<string> = []) {
    for (const [flags, text] of words) {
      for (const word of text.split(/\s+/)) this.#add(word, flags)
    }
    for (const word of own) this.#add(word, Word.rule)
  }

  #add(word: string, flag: number): void {
    const flags = (this.#flags.get(word) ?? 0) | flag
    this.#flags.set(word, flags)
    const level = (flags & ~NEEDS_CAPITAL) === 0 ? CAPITAL : ANY_CASE
    // Letters beyond Latin-1 hash apart by case.
    for (const form of [word, word.toUpperCase(), word[0]!.toUpperCase() + word.slice(1)]) {
      let hash = 0
      for (let i = 0; i < form.length; i++) hash = hashStep(hash, form.charCodeAt(i))
      this.#filter[fold(hash)] = Math.max(this.#filter[fold(hash)]!, level)
    }
  }

  /** Whether a word with this hash may be known; most that are not end here. */
  mayHold(hash: number, capital: boolean): boolean {
    const level = this.#filter[fold(hash)]!
    return level === ANY_CASE || (capital && level === CAPITAL)
  }

  /** The flags of a word, 0 for one that is not known. */
  flags(word: string): number {
    return this.#flags.get(word) ?? this.#flags.get(word.toLowerCase()) ?? 0
  }
}

function fold(hash: number): number {
  return (hash ^ (hash >>> FILTER_BITS)) & FILTER_MASK
}
