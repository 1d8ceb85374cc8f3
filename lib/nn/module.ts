import { GptloomError, show } from '../errors.js'
import { Tensor } from '../tensor/index.js'
import type { Values } from '../tensor/index.js'

/**
 * Something with parameters. They are found by walking the object: each property that is a Tensor is a
 * parameter, each Module or array of Modules is descended into, and the path of property names is the
 * parameter's name: 'h.0.attn.c_attn.weight'.
 */
export abstract class Module {
  /**
   * Every parameter by name, in the order of the properties; one that is shared comes once, under
   * its first name.
   */
  namedParameters(prefix = ''): Iterable<[name: string, parameter: Tensor]> {
    const names = new Map<Tensor, string>()
    collect(this, prefix, names)
    return Array.from(names, ([parameter, name]) => [name, parameter])
  }

  parameters(): Tensor[] {
    return Array.from(this.namedParameters(), ([, parameter]) => parameter)
  }

  /** How many numbers the parameters hold together. */
  get size(): number {
    return this.parameters().reduce((sum, parameter) => sum + parameter.size, 0)
  }

  /** Frees the gradients, so that the next backward pass starts new ones. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) {
      parameter.grad?.dispose()
      parameter.grad = null
    }
  }

  /** A copy of every parameter's values, by name. */
  async state(): Promise<Map<string, Float32Array>> {
    const named = [...this.namedParameters()]
    const values = await Promise.all(named.map(([, parameter]) => parameter.data()))
    return new Map(named.map(([name], i) => [name, values[i] as Float32Array]))
  }

  /**
   * Overwrites every parameter.
   * @throws GptloomError ERR_FORMAT when one is missing or has another size
   */
  loadState(state: Iterable<readonly [string, Values]>): void {
    const values = new Map(state)
    for (const [name, parameter] of this.namedParameters()) {
      const given = values.get(name)
      if (given?.length !== parameter.size) {
        const received = given ? `${given.length} values` : 'none'
        throw new GptloomError(
          'ERR_FORMAT',
          `Expected ${parameter.size} values ${show(parameter.shape)} for ${name}, received ${received}`,
        )
      }
      parameter.write(given)
    }
  }

  dispose(): void {
    for (const parameter of this.parameters()) parameter.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

// No generator: every step asks for the parameters, to free their gradients.
function collect(value: object, prefix: string, names: Map<Tensor, string>): void {
  for (const [key, part] of Object.entries(value)) {
    const name = prefix === '' ? key : `${prefix}.${key}`
    if (part instanceof Tensor) {
      if (!names.has(part)) names.set(part, name)
    } else if (part instanceof Module || Array.isArray(part)) collect(part, name, names)
  }
}
