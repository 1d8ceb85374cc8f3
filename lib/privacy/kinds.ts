import { nearest, outOfRange, wrongType } from '../errors.js'

/** Every kind of personal data and secret that is known here, with what stands in its place. */
export const placeholders = {
  email: '[EMAIL]',
  phone: '[PHONE]',
  card: '[CARD]',
  iban: '[IBAN]',
  'national-id': '[NATIONAL_ID]',
  ip: '[IP]',
  mac: '[MAC]',
  'url-credentials': '[CREDENTIALS]',
  'birth-date': '[BIRTH_DATE]',
  address: '[ADDRESS]',
  'api-key': '[API_KEY]',
  'private-key': '[PRIVATE_KEY]',
  jwt: '[JWT]',
  'crypto-address': '[CRYPTO_ADDRESS]',
  password: '[PASSWORD]',
  person: '[PERSON]',
  place: '[PLACE]',
} as const

export type BuiltInKind = keyof typeof placeholders
/** A built-in kind, or the name that a custom rule gives to what it finds. */
export type Kind = BuiltInKind | (string & {})

export const kinds = Object.keys(placeholders) as BuiltInKind[]

/** Kinds looked for when none are named: all but places, which tell of nobody by themselves. */
export const defaultKinds: readonly BuiltInKind[] = kinds.filter((kind) => kind !== 'place')

/** Kinds whose text is not to be shown, not even to who runs the search. */
export const secretKinds: ReadonlySet<string> = new Set<BuiltInKind>([
  'api-key',
  'card',
  'jwt',
  'password',
  'private-key',
  'url-credentials',
])

/** Countries whose identity numbers and ways to write a phone number are known. */
export const countries = [
  'US', 'GB', 'DE', 'FR', 'ES', 'IT', 'NL', 'BE', 'PL', 'PT', 'SE', 'FI', 'AT', 'IE',
] as const // prettier-ignore
export type Country = (typeof countries)[number]

/** What was found: `text` is the input from `start` to `end` (UTF-16 units). */
export interface Finding {
  kind: Kind
  start: number
  end: number
  text: string
  /** 0 to 1: how sure the pattern, its check digits and the words before it make it. */
  score: number
  /** What it is in words, where the kind alone does not say: 'DE tax number', 'GitHub token'. */
  detail?: string
}

/** The list as a set, or an error naming the entry that is not known. */
export function checkNames<T extends string>(
  name: string,
  list: unknown,
  known: readonly T[],
): ReadonlySet<T> {
  if (!Array.isArray(list)) throw wrongType('an array of names', name, list)
  for (const entry of list as unknown[]) {
    if (known.includes(entry as T)) continue
    const near = typeof entry === 'string' ? nearest(entry, known) : undefined
    const what = near === undefined ? `names among ${known.join(', ')}` : `"${near}"`
    throw outOfRange(what, name, entry)
  }
  return new Set(list as T[])
}
