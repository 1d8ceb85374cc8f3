// Regular expressions of custom rules in linear time: a nondeterministic automaton whose states are
// followed side by side (Thompson 1968, with the order of states that gives the same match as
// backtracking would). What cannot be matched so, back references and looking around, is refused.
import { outOfRange, wrongType } from '../errors.js'
import { isWordCode } from './scan.js'

type Node =
  | { type: 'set'; test: (code: number) => boolean }
  | { type: 'assert'; what: '^' | '$' | 'b' | 'B' }
  | { type: 'sequence'; items: Node[] }
  | { type: 'choice'; items: Node[] }
  | { type: 'repeat'; item: Node; min: number; max: number; greedy: boolean }

type Step =
  | { op: 'set'; test: (code: number) => boolean }
  | { op: 'assert'; what: '^' | '$' | 'b' | 'B' }
  | { op: 'split'; first: number; second: number }
  | { op: 'jump'; to: number }
  | { op: 'match' }

/** A match ends here at the latest, in UTF-16 units: it bounds what is looked at more than once. */
export const LONGEST_MATCH = 512
const MOST_STEPS = 2000
const UNITS = 1 << 16
const MOST_DEPTH = 100

/** The test that one character passes, by the syntax of the platform; each answer is kept. */
function setOf(source: string, flags: string): (code: number) => boolean {
  const pattern = new RegExp(`^${source}$`, flags)
  const known = new Uint8Array(UNITS)
  return (code) => {
    if (code >= UNITS) return pattern.test(String.fromCodePoint(code))
    if (known[code] === 0) known[code] = pattern.test(String.fromCharCode(code)) ? 2 : 1
    return known[code] === 2
  }
}

class Parser {
  #at = 0
  #depth = 0
  readonly #flags: string
  readonly #sets = new Map<string, (code: number) => boolean>()

  constructor(
    readonly source: string,
    flags: string,
  ) {
    this.#flags = `u${flags.replace(/[^is]/g, '')}`
  }

  parse(): Node {
    const node = this.#choice()
    if (this.#at < this.source.length) throw this.#refuse('balanced brackets')
    return node
  }

  #refuse(what: string): RangeError {
    return outOfRange(`a pattern with ${what}`, 'pattern', `/${this.source}/`)
  }

  #choice(): Node {
    if (++this.#depth > MOST_DEPTH) throw this.#refuse(`at most ${MOST_DEPTH} nested groups`)
    const items = [this.#sequence()]
    while (this.source[this.#at] === '|') {
      this.#at++
      items.push(this.#sequence())
    }
    this.#depth--
    return items.length === 1 ? items[0]! : { type: 'choice', items }
  }

  #sequence(): Node {
    const items: Node[] = []
    while (this.#at < this.source.length && !'|)'.includes(this.source[this.#at]!)) {
      items.push(this.#repeat(this.#atom()))
    }
    return { type: 'sequence', items }
  }

  #repeat(item: Node): Node {
    const match = /^(?:[*+?]|\{(\d{1,4})(,(\d{0,4}))?\})(\??)/.exec(
      this.source.slice(this.#at, this.#at + 14),
    )
    if (!match) return item
    if (item.type === 'assert') throw this.#refuse('nothing repeated that has no length')
    this.#at += match[0].length
    const [all, least, comma, most] = match
    const min = least !== undefined ? Number(least) : all[0] === '+' ? 1 : 0
    const open = all[0] === '*' || all[0] === '+' || (comma !== undefined && most === '')
    const max = open ? Infinity : all[0] === '?' ? 1 : Number(most ?? least)
    if (max < min) throw this.#refuse('bounds in order')
    return this.#repeat({ type: 'repeat', item, min, max, greedy: match[4] === '' })
  }

  #atom(): Node {
    const c = String.fromCodePoint(this.source.codePointAt(this.#at)!)
    if (c === '(') return this.#group()
    if (c === '^' || c === '$') {
      this.#at++
      return { type: 'assert', what: c }
    }
    if ('*+?{'.includes(c)) throw this.#refuse('something before each of * + ? {')
    if (c !== '[' && c !== '\\')
      return this.#set(c === '/' || c === ']' || c === '}' ? `\\${c}` : c, c.length)
    const escape = /^\\(?:[pP]\{[^}]*\}|u\{[\da-fA-F]+\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|.)/su
    const source =
      c === '[' ? this.#brackets() : (escape.exec(this.source.slice(this.#at))?.[0] ?? '\\')
    if (source === '\\b' || source === '\\B') {
      this.#at += 2
      return { type: 'assert', what: source[1] as 'b' | 'B' }
    }
    if (/^\\[1-9k]/.test(source)) throw this.#refuse('no back references')
    return this.#set(source, source.length)
  }

  #brackets(): string {
    let end = this.#at + 1
    while (end < this.source.length && this.source[end] !== ']')
      end += this.source[end] === '\\' ? 2 : 1
    return this.source.slice(this.#at, end + 1)
  }

  #set(source: string, length: number): Node {
    this.#at += length
    let test = this.#sets.get(source)
    if (!test) {
      // What the platform refuses on its own, as "\-" with this flag, is taken without the flag.
      try {
        test = setOf(source, this.#flags)
      } catch {
        test = setOf(source, this.#flags.replace('u', ''))
      }
      this.#sets.set(source, test)
    }
    return { type: 'set', test }
  }

  #group(): Node {
    if (/^\(\?(?:[=!]|<[=!])/.test(this.source.slice(this.#at, this.#at + 4)))
      throw this.#refuse('no lookahead and no lookbehind')
    this.#at += /^\((?:\?:|\?<\w+>)?/.exec(this.source.slice(this.#at))![0].length
    if (this.source[this.#at] === '?') throw this.#refuse('plain groups')
    const node = this.#choice()
    if (this.source[this.#at++] !== ')') throw this.#refuse('balanced brackets')
    return node
  }
}

function compile(node: Node, steps: Step[], refuse: () => Error): void {
  const emit = (step: Step) => {
    if (steps.length >= MOST_STEPS) throw refuse()
    return steps.push(step) - 1
  }
  /** A step that goes on with what comes next or, when `patch` is called, elsewhere as well. */
  const fork = (greedy: boolean) => {
    const at = emit({ op: 'split', first: steps.length + 1, second: steps.length + 1 })
    return (to: number) => {
      steps[at] = greedy
        ? { op: 'split', first: at + 1, second: to }
        : { op: 'split', first: to, second: at + 1 }
    }
  }
  if (node.type === 'set') emit({ op: 'set', test: node.test })
  else if (node.type === 'assert') emit({ op: 'assert', what: node.what })
  else if (node.type === 'sequence') for (const item of node.items) compile(item, steps, refuse)
  else if (node.type === 'choice') {
    const ends: number[] = []
    node.items.forEach((item, i) => {
      const other = i < node.items.length - 1 ? fork(true) : undefined
      compile(item, steps, refuse)
      if (!other) return
      ends.push(emit({ op: 'jump', to: 0 }))
      other(steps.length)
    })
    for (const end of ends) steps[end] = { op: 'jump', to: steps.length }
  } else {
    for (let i = 0; i < node.min; i++) compile(node.item, steps, refuse)
    if (node.max === Infinity) {
      const start = steps.length
      const leave = fork(node.greedy)
      compile(node.item, steps, refuse)
      emit({ op: 'jump', to: start })
      leave(steps.length)
    } else {
      const leaves: ((to: number) => void)[] = []
      for (let i = node.min; i < node.max; i++) {
        leaves.push(fork(node.greedy))
        compile(node.item, steps, refuse)
      }
      for (const leave of leaves) leave(steps.length)
    }
  }
}

/** A list of states in order of preference, each with where its match began. */
class States {
  count = 0
  readonly steps: Int32Array
  readonly starts: Float64Array
  readonly #marks: Float64Array
  #mark = 0

  constructor(size: number) {
    this.steps = new Int32Array(size)
    this.starts = new Float64Array(size)
    this.#marks = new Float64Array(size).fill(-1)
  }

  clear(mark: number): void {
    this.count = 0
    this.#mark = mark
  }

  /** Whether the step is met for the first time since clear(). */
  visit(step: number): boolean {
    if (this.#marks[step] === this.#mark) return false
    this.#marks[step] = this.#mark
    return true
  }
}

export class Pattern {
  readonly #steps: Step[] = []
  #lists: [States, States]
  #marks = 0
  // By UTF-16 unit: 0 not known yet, 1 no match begins with it, 2 one may.
  readonly #first = new Uint8Array(UNITS)

  /** @throws TypeError or RangeError for what is no pattern, or none that runs in linear time */
  constructor(source: string | RegExp) {
    const text = typeof source === 'string' ? source : source instanceof RegExp ? source.source : ''
    if (text === '') throw wrongType('a regular expression', 'pattern', source)
    const flags = typeof source === 'string' ? '' : source.flags
    // The platform's own parser says what is wrong with one that is no regular expression.
    if (typeof source === 'string') new RegExp(source)
    const refuse = () => outOfRange(`a pattern of at most ${MOST_STEPS} steps`, 'pattern', source)
    compile(new Parser(text, flags).parse(), this.#steps, refuse)
    this.#steps.push({ op: 'match' })
    this.#lists = [new States(this.#steps.length), new States(this.#steps.length)]
  }

  /**
   * Matches that begin in [from, to), none of them empty and none in another; as RegExp finds them,
   * with ^ and $ for the ends of lines.
   */
  *matches(text: string, from: number, to: number): Generator<[start: number, end: number]> {
    let at = from
    while (at < to) {
      const match = this.#next(text, at, to)
      if (!match) return
      yield match
      at = match[1]
    }
  }

  #next(text: string, from: number, to: number): [number, number] | undefined {
    let [current, next] = this.#lists
    current.clear(this.#marks++)
    let best: [number, number] | undefined
    for (let i = from; i <= text.length;) {
      if (current.count === 0) {
        if (best) return best
        while (i < to && !this.#mayBegin(text, i)) i++
        if (i >= to) return undefined
        // What did not hold at the place before may hold here.
        current.clear(this.#marks++)
      }
      if (!best && i < to) this.#follow(current, 0, i, text, i)
      const code = i < text.length ? text.codePointAt(i)! : -1
      const step = code >= UNITS ? 2 : 1
      next.clear(this.#marks++)
      for (let n = 0; n < current.count; n++) {
        const state = this.#steps[current.steps[n]!]!
        const start = current.starts[n]!
        if (state.op === 'match') {
          if (i > start) {
            best = [start, i]
            break // what is less preferred is of no interest any more
          }
        } else if (state.op === 'set' && code >= 0 && i - start < LONGEST_MATCH && state.test(code))
          this.#follow(next, current.steps[n]! + 1, start, text, i + step)
      }
      ;[current, next] = [next, current]
      i += step
    }
    return best
  }

  /** Adds the states that are reached from a step without a character. */
  #follow(states: States, from: number, start: number, text: string, at: number): void {
    const stack = [from]
    while (stack.length > 0) {
      const index = stack.pop()!
      if (!states.visit(index)) continue
      const step = this.#steps[index]!
      if (step.op === 'jump') stack.push(step.to)
      else if (step.op === 'split') stack.push(step.second, step.first)
      else if (step.op === 'assert') {
        if (holds(step.what, text, at)) stack.push(index + 1)
      } else {
        states.steps[states.count] = index
        states.starts[states.count++] = start
      }
    }
  }

  #mayBegin(text: string, at: number): boolean {
    const unit = text.charCodeAt(at)
    if (this.#first[unit] === 0) {
      const states = new States(this.#steps.length)
      states.clear(0)
      this.#reach(states)
      const isSurrogate = unit >= 0xd800 && unit < 0xe000
      const may = Array.from(states.steps.subarray(0, states.count)).some((index) => {
        const step = this.#steps[index]!
        return isSurrogate || (step.op === 'set' && step.test(unit))
      })
      this.#first[unit] = may ? 2 : 1
    }
    return this.#first[unit] === 2
  }

  /** The states at the beginning, whatever stands around. */
  #reach(states: States): void {
    const stack = [0]
    while (stack.length > 0) {
      const index = stack.pop()!
      if (!states.visit(index)) continue
      const step = this.#steps[index]!
      if (step.op === 'jump') stack.push(step.to)
      else if (step.op === 'split') stack.push(step.second, step.first)
      else if (step.op === 'assert') stack.push(index + 1)
      else states.steps[states.count++] = index
    }
  }
}

function holds(what: '^' | '$' | 'b' | 'B', text: string, at: number): boolean {
  const before = at > 0 ? text.charCodeAt(at - 1) : 10
  const after = at < text.length ? text.charCodeAt(at) : 10
  if (what === '^') return before === 10
  if (what === '$') return after === 10 || after === 13
  return (isWordCode(before) !== isWordCode(after)) === (what === 'b')
}
