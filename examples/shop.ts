// The tickets of an invented shop for lamps, as conversations: something to try training on.
// Run it to have them as a file: node --import tsx examples/shop.ts > tickets.jsonl
import { pathToFileURL } from 'node:url'

export interface Ticket {
  messages: { role: 'system' | 'user' | 'assistant'; content: string }[]
  /** The customer; all tickets of one stay on one side of a split. */
  customer: string
}

const products = [
  ['Luna', 'desk lamp'],
  ['Orbit', 'floor lamp'],
  ['Pebble', 'night light'],
  ['Beam', 'reading lamp'],
  ['Halo', 'ceiling lamp'],
  ['Wick', 'oil lamp'],
] as const
const faults = ['flickers', 'hums', 'does not turn on', 'gets too hot', 'came with a broken switch']
const colours = ['brass', 'white', 'black', 'copper', 'green']
const names = ['Mira', 'Jonas', 'Ada', 'Tomasz', 'Leila', 'Hugo', 'Ines', 'Pavel', 'Nora', 'Samir']
const hellos = ['Hi', 'Hello', 'Good morning', 'Hey there', 'Hello Lamplight']
const thanks = ['Thanks', 'Thank you', 'Cheers', 'Many thanks']

/** Numbers that are the same each time: a linear congruential generator (Knuth, MMIX). */
class Draw {
  #state: bigint

  constructor(seed: number) {
    this.#state = BigInt(seed)
  }

  below(n: number): number {
    this.#state = (this.#state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n)
    return Number((this.#state >> 33n) % BigInt(n))
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}

type Topic = (draw: Draw) => [question: string, answer: string][]

// Each topic has an answer that follows from the question, so that there is something to learn.
const topics: Topic[] = [
  (draw) => {
    const order = 1000 + draw.below(9000)
    const days = 1 + (order % 5)
    const ask = draw.of(['where is my order', 'any news about order', 'when will I get order'])
    return [
      [`${ask} ${order}?`, `Order ${order} is on its way and arrives in ${days} days.`],
      ...(draw.below(2)
        ? ([['Can I still change the address?', 'No, it has left our house already.']] as const)
        : []),
    ].map(([question, answer]) => [question!, answer!])
  },
  (draw) => {
    const [name, kind] = draw.of(products)
    const fault = draw.of(faults)
    return [
      [
        `my ${name} ${kind} ${fault}.`,
        `I am sorry that your ${name} ${fault}. Please send us a photo, and we replace it.`,
      ],
      ['Do I have to send it back?', `No, you may keep or recycle the old ${kind}.`],
    ]
  },
  (draw) => {
    const [name, kind] = draw.of(products)
    const colour = draw.of(colours)
    const has = (name.length + colour.length) % 2 === 0
    const ask = draw.of([
      `is the ${name} there in ${colour}?`,
      `do you have the ${name} in ${colour}?`,
    ])
    const other = colours[(colours.indexOf(colour) + 1) % colours.length]!
    return [
      [
        ask,
        has
          ? `Yes, the ${name} ${kind} comes in ${colour}.`
          : `Not at the moment, but the ${name} ${kind} comes in ${other}.`,
      ],
    ]
  },
  (draw) => {
    const days = 3 + draw.below(40)
    return [
      [
        `I bought a lamp ${days} days ago and want to return it.`,
        days <= 30
          ? 'Of course. Returns are free within 30 days; the label is in your account.'
          : 'I am sorry, returns end after 30 days. We can repair it instead.',
      ],
    ]
  },
  (draw) => {
    const [name] = draw.of(products)
    const watts = 4 + 2 * draw.below(6)
    return [
      [
        `can the ${name} take a bulb of ${watts} watts?`,
        watts <= 10 ? 'Yes, up to 10 watts are fine.' : 'No, 10 watts are the most.',
      ],
    ]
  },
]

/**
 * Tickets, all different in something.
 * @param count how many
 * @param seed the same seed gives the same tickets
 */
export function tickets(count = 240, seed = 1): Ticket[] {
  const draw = new Draw(seed)
  return Array.from({ length: count }, (_, i) => {
    const name = draw.of(names)
    const turns = topics[i % topics.length]!(draw)
    const messages: Ticket['messages'] = [
      { role: 'system', content: 'You answer for Lamplight, a shop for lamps.' },
    ]
    for (const [turn, [question, answer]] of turns.entries()) {
      const greeting = turn === 0 ? `${draw.of(hellos)}, ` : ''
      const ending =
        turn === turns.length - 1 && draw.below(3) === 0 ? ` ${draw.of(thanks)}, ${name}` : ''
      messages.push({ role: 'user', content: greeting + question + ending })
      messages.push({ role: 'assistant', content: answer })
    }
    return { messages, customer: `${name} ${i % 80}` }
  })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  for (const ticket of tickets()) console.log(JSON.stringify(ticket))
