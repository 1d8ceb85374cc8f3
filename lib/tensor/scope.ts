import { wrongType } from '../errors.js'
import type { Tensor } from './tensor.js'

/** @internal What tensors made just now belong to, innermost last. null: to nobody but the caller. */
const owners: (Set<Tensor> | null)[] = []

/** @internal */
export function own(tensor: Tensor): void {
  owners.at(-1)?.add(tensor)
}

/** @internal Runs body with every tensor made in it put into `owner` (null: into none). */
export function ownedBy<R>(owner: Set<Tensor> | null, body: () => R): R {
  owners.push(owner)
  try {
    return body()
  } finally {
    owners.pop()
  }
}

/**
 * Runs body and disposes every tensor made in it, but for those it returns: a tensor, or an array or
 * plain object of tensors.
 * @throws TypeError when body is asynchronous: what it makes after its first await would escape
 */
export function scope<R>(body: () => R): R {
  const made = new Set<Tensor>()
  try {
    const result = ownedBy(made, body)
    if (result instanceof Promise) throw wrongType('a synchronous function', 'scope()', result)
    for (const tensor of tensorsIn(result)) {
      if (made.delete(tensor)) own(tensor) // it now belongs to whatever is around this scope
    }
    return result
  } finally {
    for (const tensor of made) tensor.dispose()
  }
}

/** Takes a tensor out of the scope or tape that it was made in, so that it lives until its own dispose(). */
export function keep<T extends Tensor>(tensor: T): T {
  for (const owner of owners) owner?.delete(tensor)
  return tensor
}

function* tensorsIn(value: unknown): Iterable<Tensor> {
  if (typeof value !== 'object' || value === null) return
  if ('native' in value && 'dispose' in value) yield value as Tensor
  else for (const part of Object.values(value)) yield* tensorsIn(part)
}
