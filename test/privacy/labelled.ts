// The labelled test set: several hundred short documents with the places of what is personal in
// them, and near-misses that are not. Templates and values come in two parts: 'tuned' was looked at
// while the recognisers were adjusted, 'held' was only measured.
import { Random, identities, makers } from './values.js'
import type { Part } from './values.js'

export interface Truth {
  kind: string
  start: number
  end: number
}

export interface Labelled {
  part: Part
  text: string
  truths: Truth[]
}

/** {kind} is personal and labelled, {{pattern}} is not: see Random.fill. */
const sentences: Record<Part, string[]> = {
  tuned: [
    'Hi, my name is {person} and my order {{####-####-##}} has not arrived.',
    'You can reach me at {email} or on {phone}.',
    'Customer: {person}\nE-mail: {email}\nPhone: {phone}',
    'Dear {person}, thank you for contacting us about ticket #{{#######}}.',
    'Please ship it to {address}, it is the blue house.',
    'I paid with card {card} on 03/{{##}}/2023.',
    'Bitte überweisen Sie den Betrag auf {iban}, danke.',
    'My {national-id} is on the form I sent you.',
    'Formulaire: {national-id}',
    'The login came from {ip} at 12:3{{#}}:07.',
    'Router MAC address {mac}, firmware 2.4.{{#}}.{{##}}.',
    'export GITHUB_TOKEN={api-key}',
    'Here is the key we use in production: "{api-key}"',
    'Authorization: Bearer {jwt}',
    'ssh key below\n{private-key}\nplease rotate',
    'Send the refund to {crypto-address} if you can.',
    'My password: {password} and it still does not work.',
    'git clone https://{url-credentials}@git.example.com/shop.git',
    'Date of birth: {birth-date}. Member since 2019-04-0{{%}}.',
    'Er ist am {birth-date} geboren.',
    'Ich heiße {person}, meine Nummer ist {phone}.',
    'Bonjour, je m’appelle {person}. Mon adresse : {address}.',
    'Hola, soy {person} y mi correo es {email}.',
    'Regards,\n{person}\nSales, tel. {phone}',
    'Mrs {person} called about the invoice {{INV-2023-####}}.',
    'Contact {email} ({phone}).',
    '{person} wrote on 2023-0{{%}}-1{{#}} 14:22: any news?',
    'Sie wohnt in der {address}.',
    'born {birth-date} in Leeds',
    'pwd={password}',
  ],
  held: [
    'Hello! {person} here again, still waiting for parcel {{1Z999AA1##########}}.',
    'cc: {email}; fax {phone}',
    'Name: {person} / Mobile: {phone} / Mail: <{email}>',
    'Hey {person},\n\nthe replacement is on its way.',
    'Deliver to: {address} (ring twice).',
    'CC {card} exp 0{{%}}/2{{#}} was declined twice.',
    'IBAN: {iban}\nBIC: COBADEFFXXX',
    'For the records: {national-id}.',
    'Please verify {national-id}, thank you',
    'Blocked {ip} after {{##}} failed attempts.',
    'client={ip} status=200 bytes={{####}}',
    'DHCP lease for {mac} expired',
    'const client = new Client({ token: "{api-key}" })',
    'curl -H "X-Api-Key: {api-key}" https://api.example.com/v{{%}}/items',
    'Cookie: session={jwt}; path=/',
    'The file starts like this: {private-key}',
    'wallet {crypto-address}',
    'user: admin password: {password}',
    'Das Passwort lautet {password}, bitte ändern.',
    'postgres://{url-credentials}@db.internal:5432/orders',
    'DOB {birth-date}, policy {{##-######}}',
    'Née le {birth-date}, elle habite {address}.',
    'Geburtsdatum: {birth-date}',
    'Mein Name ist {person} und ich habe eine Frage.',
    'Buongiorno, mi chiamo {person}, telefono {phone}.',
    'Thanks again,\n{person}',
    'Herr {person} hat gestern angerufen.',
    'I spoke with {person} from your team yesterday.',
    'WhatsApp me: {phone}',
    'the account of {person} ({email}) is locked',
    'Mijn adres is {address}.',
    'Nazywam się {person}, mój telefon: {phone}',
    'call me back on {phone} after 6pm',
    'mit freundlichen Grüßen\n{person}\n{address}',
  ],
}

const misses: Record<Part, string[]> = {
  tuned: [
    'Order {{#########}} was shipped with tracking number {{############}}.',
    'We run version {{#}}.{{##}}.{{#}}.{{#}} of the firmware.',
    'ISBN 978-0-306-40615-7 and ISBN 0-306-40615-2 are out of print.',
    'The build took {{####}} ms; commit {{~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~}}.',
    'Request id {{~~~~~~~~-~~~~-4~~~-a~~~-~~~~~~~~~~~~}} failed.',
    'It costs $1,{{###}}.{{##}} or 1 {{###}},{{##}} €.',
    'Logged at 2023-11-{{0%}}T08:{{1#}}:3{{#}}Z, epoch 17{{########}}.',
    'The invoice date is 12.03.2024, due 26.03.2024.',
    'Use std::vector or Foo::bar; the ratio was 16:9 and the score 3:1.',
    'Part no. {{@@-####-##}} replaces {{@@-####-##}}.',
    'Dear Customer, Dear Sir or Madam, Hello World!',
    'The password must have 12 characters; reset your password in the app.',
    'In May and June the Summer Sale starts on Main Street.',
    'See https://example.com/a/{{########}}?page={{##}} for details.',
    'Follow @gptloom or look for #sale2023.',
    'sha256:{{~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~}}',
    'The population is 83 {{###}} {{###}}, up from 81 {{###}} {{###}}.',
    'Monday to Friday, 9:00-17:30, room 2.14, floor 3.',
    'Mark the box and choose Grant access under File.',
  ],
  held: [
    'Bestellnummer {{########}}, Rechnung {{2023-######}}, Kundennummer {{######}}.',
    'Upgrade from v{{%}}.{{#}}.{{#}} to {{1#}}.{{#}}.{{1#}}-beta.{{#}}.',
    'ISBN-13: 9783161484100, EAN 4006381333931.',
    'npm ERR! integrity sha512-{{' + '*'.repeat(86) + '}}==',
    'trace {{~~~~~~~~~~~~~~~~}} span {{~~~~~~~~}} took 0.{{###}} s',
    'Total: 12.{{###}},{{##}} EUR, 19 % VAT included.',
    'time="2024-02-1{{#}} 23:59:{{5#}}.{{######}}" level=info',
    'Between 1998-2003 and 2010-2015 we sold 1.200.000 units.',
    'Coordinates 52.{{######}}, 13.{{######}} near the lake.',
    'The part measures 120 x 340 x 55 mm and weighs 1{{###}} g.',
    'FedEx {{7###}} {{####}} {{####}}, UPS 1Z{{######}}{{##########}}.',
    'Hi there, hi all, hello team, good morning!',
    'Your PIN will be sent by post; never share your token with anyone.',
    'New York, Lexington and Charlotte are stops on this line.',
    'ratio 1:2:3, aspect 21:9, chapter 12:34-56',
    'Windows NT 10.0; Win64; x64 AppleWebKit/537.36 Chrome/120.0.6099.{{##}}',
    'Rev. A{{####}}, serial {{@@###@####}}, SKU {{#####}}-{{@@@}}-{{##}}.',
    'Call stack: main.c:{{###}}, util.c:{{##}}.',
    'The White House and Apple Inc. announced it on March 3.',
    'Ports 8080, 5432 and 65535 are open; error 0x8007{{~~~~}}.',
    '{{#}} out of 10 for the Rose Garden hotel, Will come again!',
    'Track at https://t.example/{{########}}-{{~~~~~~~~}} until 12/2025.',
  ],
}

function fill(template: string, part: Part, r: Random, into: Labelled): void {
  for (const piece of template.split(/(\{\{.*?\}\}|\{[a-z-]+\})/)) {
    if (piece.startsWith('{{')) into.text += r.fill(piece.slice(2, -2))
    else if (/^\{[a-z-]+\}$/.test(piece)) {
      const kind = piece.slice(1, -1)
      let value: string
      if (kind === 'national-id') {
        const [before, id] = r.pick(identities[part])(r)
        into.text += before
        value = id
      } else value = makers[kind]!(r, part)
      into.truths.push({ kind, start: into.text.length, end: into.text.length + value.length })
      into.text += value
    } else into.text += piece
  }
}

/** Documents of one part, the same for the same seed. */
export function documents(part: Part, count: number, seed = 1): Labelled[] {
  const r = new Random(seed * 2 + (part === 'held' ? 1 : 0))
  // Every template is met before any is met again.
  const queues = [[], []] as [string[], string[]]
  const next = (which: 0 | 1) => {
    const all = which === 0 ? sentences[part] : misses[part]
    if (queues[which].length === 0) queues[which] = [...all].sort(() => r.next() - 0.5)
    return queues[which].pop()!
  }
  return Array.from({ length: count }, () => {
    const document: Labelled = { part, text: '', truths: [] }
    const n = r.int(1, 4)
    for (let i = 0; i < n; i++) {
      if (i > 0) document.text += r.pick([' ', '\n', '\n\n'])
      fill(next(r.next() < 0.6 ? 0 : 1), part, r, document)
    }
    return document
  })
}
