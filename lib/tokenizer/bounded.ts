// Jinja that ends. A template comes with somebody's model: it may ask for a billion turns of a loop, or
// for a list in which a list stands twice in which a list stands twice ... So every step is counted with
// the size of what it gives. Counted, not timed: the same template fails or not on every machine.
import { createRequire } from 'node:module'

/** A value of a template's. */
interface Value {
  type: string
  value?: unknown
}

type Statement = { type: string; iterable?: { lhs?: object } } | undefined

// Its declarations name files that NodeNext does not find.
interface Jinja {
  Template: new (source: string) => {
    parsed: unknown
    render(values: Record<string, unknown>): string
  }
  Environment: new () => { set(name: string, value: unknown): void }
  Interpreter: new (environment: unknown) => {
    run(program: unknown): Value
    evaluate(statement: Statement, environment: unknown): Value
  }
}

/** Loaded for the first template, since most models have none of their own. */
const jinja = () =>
  (loaded ??= counting(createRequire(import.meta.url)('@huggingface/jinja') as Jinja))
let loaded: ReturnType<typeof counting> | undefined

// A second or two of work at the very most, and some 100 MB.
const STEPS = 1e6
// Elements of a list, with those of the lists in it; steps of a range.
const SIZE = 1e6
// Characters of a template. The lexer takes the square of a run of spaces, so that these are bounded too.
const LENGTH = 1e5
const LONG_RUN = /\s{1001}/

/** A template whose rendering is bounded. */
export class BoundedTemplate {
  readonly #template: InstanceType<Jinja['Template']>

  /** @throws Error for a template that is too long, and what the parser throws */
  constructor(source: string) {
    if (source.length > LENGTH) throw new Error(`it has more than ${LENGTH} characters`)
    if (LONG_RUN.test(source)) throw new Error('it has more than 1000 spaces in a row')
    this.#template = new (jinja().Template)(source)
  }

  /** @throws Error for a template that refuses, fails, or does not come to an end */
  render(values: Record<string, unknown>): string {
    const { Environment, Counting } = jinja()
    const environment = new Environment()
    for (const [name, value] of Object.entries({ ...globals(), ...values }))
      environment.set(name, value)
    return new Counting(environment).run(this.#template.parsed).value as string
  }
}

/** What every template may name, as Jinja and Transformers have it. */
function globals(): Record<string, unknown> {
  return {
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
    raise_exception: (message: string) => {
      throw new Error(message)
    },
    range,
    strftime_now: (format: string) =>
      new (jinja().Template)('{{ strftime_now(f) }}').render({ f: format }),
  }
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second]
  if (step === 0) throw new Error('range() has a step of 0')
  const count = Math.max(0, Math.ceil((stop - start) / step))
  if (count > SIZE) throw new Error(`range() of ${count} steps: the most is ${SIZE}`)
  return Array.from({ length: count || 0 }, (_, i) => start + i * step)
}

function counting({ Template, Environment, Interpreter }: Jinja) {
  class Counting extends Interpreter {
    #steps = 0
    readonly #sizes = new WeakMap<Value, number>()
    readonly #looped = new WeakSet<object>()

    override evaluate(statement: Statement, environment: unknown): Value {
      this.#count(1)
      // A loop takes its steps even where nothing stands in it.
      if (statement?.type === 'For')
        this.#looped.add(statement.iterable!.lhs ?? statement.iterable!)
      const value = super.evaluate(statement, environment)
      const inside = value.value
      if (typeof inside === 'string') this.#count(inside.length / 64)
      else if (isContainer(inside)) {
        const { length } = childrenOf(inside)
        this.#count(this.#looped.has(statement!) ? length : length / 64)
        if (this.#sizeOf(value) > SIZE) throw new Error(`a list of more than ${SIZE} elements`)
      }
      return value
    }

    #count(steps: number): void {
      this.#steps += steps
      if (this.#steps > STEPS) throw new Error(`it has not ended after ${STEPS} steps`)
    }

    /** How many values stand in one, each as often as it stands there. */
    #sizeOf(value: Value): number {
      const known = this.#sizes.get(value)
      if (known !== undefined) return known
      if (!isContainer(value.value)) return 1
      let size = 1
      for (const child of childrenOf(value.value)) {
        // It can change later, so that what holds it would have no size.
        if (isNamespace(child)) throw new Error('a namespace in a list or in another one')
        size += this.#sizeOf(child)
      }
      if (!isNamespace(value)) this.#sizes.set(value, size)
      return size
    }
  }
  return { Template, Environment, Counting }
}

const isNamespace = ({ type }: Value) => type === 'NamespaceValue'

type Container = Value[] | Map<string, Value>

function isContainer(inside: unknown): inside is Container {
  return Array.isArray(inside) || inside instanceof Map
}

function childrenOf(container: Container): Value[] {
  return Array.isArray(container) ? container : [...container.values()]
}
