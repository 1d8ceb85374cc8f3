// Check digits against numbers that the issuers publish as examples, and against every number that
// differs from them in one digit.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { base58Check, bech32, card, iban, isbn, luhn } from '../../lib/privacy/checksums.js'
import { digitIdentities, mixedIdentities } from '../../lib/privacy/identities.js'

/** Every text that differs from this one in one digit. */
function* neighbours(text: string): Generator<string> {
  for (let i = 0; i < text.length; i++) {
    if (!/\d/.test(text[i]!)) continue
    for (const digit of '0123456789') {
      if (digit !== text[i]) yield text.slice(0, i) + digit + text.slice(i + 1)
    }
  }
}

function catchesAll(valid: (text: string) => boolean, text: string): void {
  assert.ok(valid(text), text)
  for (const other of neighbours(text)) assert.not.ok(valid(other), `${other}, near ${text}`)
}

test("cards: the networks' own test numbers", () => {
  for (const number of [
    '4111111111111111',
    '5555555555554444',
    '2223003122003222',
    '378282246310005',
    '6011111111111117',
    '3530111333300000',
    '30569309025904',
    '6205500000000000004',
  ])
    assert.ok(card(number), number)
  catchesAll(luhn, '4111111111111111')
  assert.not.ok(card('9999999999999995'), 'Luhn holds but no network has it')
  assert.not.ok(card('41111111111'), 'too short')
})

test('IBAN: the examples of the registry', () => {
  for (const number of [
    'DE89370400440532013000',
    'GB29NWBK60161331926819',
    'FR1420041010050500013M02606',
    'ES9121000418450200051332',
    'NL91ABNA0417164300',
    'IT60X0542811101000000123456',
    'BE68539007547034',
    'PL61109010140000071219812874',
    'PT50000201231234567890154',
    'SE4550000000058398257466',
    'FI2112345600000785',
    'MT84MALT011000012345MTLCAST001S',
  ])
    assert.ok(iban(number), number)
  catchesAll(iban, 'DE89370400440532013000')
  assert.not.ok(iban('DE8937040044053201300'), 'one digit less')
  assert.not.ok(iban('XX89370400440532013000'), 'no country')
})

test('ISBN: the examples of the standard', () => {
  catchesAll(isbn, '9780306406157')
  catchesAll(isbn, '0306406152')
  assert.ok(isbn('080442957X'))
})

test("crypto currencies: the first block's address, and BIP-173 and BIP-350", () => {
  catchesAll(base58Check, '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa')
  assert.ok(base58Check('3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy'))
  catchesAll(bech32, 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4')
  assert.ok(bech32('bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0'))
  assert.not.ok(bech32('bc1'))
})

// The numbers that descriptions of each scheme give as their example; that no neighbour passes is
// what the schemes promise.
const published: [country: string, shape: string, number: string][] = [
  ['US', '3-2-4', '219099999'], // printed on a pamphlet of the Social Security Administration, 1940
  ['GB', '3 3 4', '9434765919'],
  ['DE', '11', '86095742719'],
  ['DE', '11', '65929970489'],
  ['FR', '15', '255081416802538'],
  ['NL', '9', '111222333'],
  ['BE', '11', '85073003328'],
  ['PL', '11', '44051401359'],
  ['PT', '9', '123456789'],
  ['SE', '6-4', '8112289874'],
  ['AT', '4 6', '1237010180'],
]

for (const [country, shape, number] of published) {
  test(`${country} ${number}`, () => {
    const identity = digitIdentities.find((one) => one.country === country && shape in one.shapes)!
    assert.ok(identity.valid(number))
    if (country === 'US') return // no check digit
    const passing = [...neighbours(number)].filter((other) => identity.valid(other))
    assert.equal(passing, [])
  })
}

const passes = (country: string, text: string) =>
  mixedIdentities.some(
    (one) => one.country === country && one.pattern.test(text) && one.valid(text),
  )

for (const [country, code] of [
  ['ES', '12345678Z'],
  ['ES', 'X1234567L'],
  ['IT', 'RSSMRA85T10A562S'],
  ['FI', '131052-308T'],
  ['IE', '1234567FA'],
] as const) {
  test(`${country} ${code}`, () => {
    assert.ok(passes(country, code))
    assert.equal(
      [...neighbours(code)].filter((text) => passes(country, text)),
      [],
    )
  })
}

test('a French number from Corsica counts 2A as 19', () => {
  // 97 less the remainder by 97, as the rule says.
  const key = String(97 - Number(1800319123456n % 97n)).padStart(2, '0')
  assert.ok(passes('FR', `180032A123456${key}`))
  assert.not.ok(passes('FR', `180032B123456${key}`))
})

test('a National Insurance number has no letters that are not given out', () => {
  const nino = mixedIdentities.find(({ country }) => country === 'GB')!
  for (const code of ['QQ123456C', 'BG123456C', 'AO123456C', 'AB123456E', 'AB12345C'])
    assert.not.ok(nino.pattern.test(code), code)
})

test.run()
