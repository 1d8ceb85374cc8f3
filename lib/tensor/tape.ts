import { GptloomError, outOfRange, show } from '../errors.js'
import { expectTensor } from './ops/check.js'
import { ownedBy, scope } from './scope.js'
import type { Dtype, Tensor } from './tensor.js'

/**
 * Where an op's backward writes the gradient of one input: `tensor += ` when accumulate, else
 * `tensor = `.
 */
export interface Slot {
  tensor: Tensor
  accumulate: boolean
}

/** One recorded op: how the gradient of its output becomes gradients of its inputs. */
export interface Node {
  /** The op's name, for messages. */
  op: string
  output: Tensor
  /** Tensors beside inputs and output that backward reads; freed after it. */
  saved?: (Tensor | null)[]
  /** Enqueues the gradients of the inputs. `dout` has the shape of output. */
  backward(dout: Tensor, gradients: Gradients): void
}

/** The gradients of a backward pass in progress. */
export class Gradients {
  readonly #flowing = new Map<Tensor, Tensor>()
  #passing: Tensor | null = null
  /** Gradients that the running backward writes in another dtype than they are kept in. */
  #converted: [x: Tensor, dx: Tensor][] = []

  /** @internal @param unit the root's gradient of 1, when the caller gave none */
  constructor(readonly unit: Tensor | null = null) {}

  /**
   * The slot for the gradient of x, made if need be; null when x needs none. Gradients of parameters
   * are kept in float32, so that they can be summed over many backwards, others in x's dtype if the
   * device computes with that.
   * @param dtype what the backward writes: x's dtype, 'float32', or 'kept' where it can write either
   */
  of(x: Tensor | null, dtype: Dtype | 'kept' | undefined = x?.dtype): Slot | null {
    if (!x || !needsGradient(x)) return null
    const kept = keptDtype(x)
    const empty = (dtype: Dtype) => ownedBy(null, () => x.device.empty(x.shape, dtype))
    if (dtype !== 'kept' && dtype !== kept) {
      const tensor = empty(dtype ?? kept)
      this.#converted.push([x, tensor])
      return { tensor, accumulate: false }
    }
    const existing = this.#get(x)
    if (existing) return { tensor: existing, accumulate: true }
    const tensor = empty(kept)
    this.#set(x, tensor)
    return { tensor, accumulate: false }
  }

  /**
   * Adds a finished gradient to that of x, and owns it from here on; costs nothing when it is the
   * first and of the dtype it is kept in. A backward may give its dout away, as its last act.
   */
  give(x: Tensor | null, dx: Tensor): void {
    if (dx === this.#passing) this.#passing = null
    if (!x || !needsGradient(x)) return dx.dispose()
    const kept = keptDtype(x)
    if (dx.dtype !== kept) {
      const slot = this.of(x, 'kept')!
      const { native } = x.device
      if (!slot.accumulate) native.cast(slot.tensor.native, dx.native)
      else {
        const cast = ownedBy(null, () => x.device.empty(x.shape, kept))
        native.cast(cast.native, dx.native)
        native.add(slot.tensor.native, slot.tensor.native, cast.native)
        cast.dispose()
      }
      return dx.dispose()
    }
    const existing = this.#get(x)
    if (!existing) return this.#set(x, dx)
    x.device.native.add(existing.native, existing.native, dx.native)
    dx.dispose()
  }

  /** @internal */
  take(x: Tensor): Tensor | undefined {
    const found = this.#flowing.get(x)
    this.#flowing.delete(x)
    return found
  }

  /** @internal Runs a node's backward, and frees dout unless that gave it away. */
  run(node: Node, dout: Tensor): void {
    const [around, converted] = [this.#passing, this.#converted]
    this.#passing = dout
    this.#converted = []
    node.backward(dout, this)
    for (const [x, dx] of this.#converted) this.give(x, dx)
    if (this.#passing === dout) dout.dispose()
    this.#passing = around
    this.#converted = converted
  }

  /** @internal */
  dispose(): void {
    for (const gradient of this.#flowing.values()) gradient.dispose()
    this.#flowing.clear()
  }

  #get(x: Tensor): Tensor | null {
    return x.requiresGrad ? x.grad : (this.#flowing.get(x) ?? null)
  }

  #set(x: Tensor, gradient: Tensor): void {
    if (x.requiresGrad) x.grad = gradient
    else this.#flowing.set(x, gradient)
  }
}

/**
 * Records the ops of a forward pass, to run them backwards. It owns every tensor made in run(), and
 * frees each as soon as the backward pass is done with it.
 *
 *     using tape = new Tape()
 *     const loss = tape.run(() => model.loss(tokens, targets))
 *     tape.backward(loss)          // parameters now have .grad
 */
export class Tape {
  readonly #nodes: Node[] = []
  readonly #made = new Set<Tensor>()

  /** Runs body with its ops recorded. May be called more than once before backward(). */
  run<R>(body: () => R): R {
    return recordingOn(this, () => ownedBy(this.#made, body))
  }

  /** @internal Called by ops. */
  record(node: Node): void {
    node.output.tape = this
    this.#nodes.push(node)
  }

  /** Gives up a tensor that was made in run(): it lives until its own dispose(). */
  release(tensor: Tensor): void {
    this.#made.delete(tensor)
  }

  /**
   * Adds the gradient of root with respect to every parameter it depends on to that parameter's `grad`.
   * @param root a tensor made in run(); it stays usable until the tape is disposed
   * @param dout the gradient of root, of its shape; default 1, for which root must have one element
   */
  backward(root: Tensor, dout?: Tensor): void {
    if (root.tape !== this)
      throw new GptloomError('ERR_DISPOSED', 'backward() needs a tensor made in run(), once')
    if (dout) expectTensor('dout', dout, root.shape, root.dtype)
    else if (root.size !== 1)
      throw outOfRange('one element', 'backward() without dout', show(root.shape))
    recordingOn(null, () =>
      ownedBy(null, () => {
        const unit = dout ? null : root.device.full(root.shape, 1, keptDtype(root))
        const start = dout ? copyOf(dout) : unit!
        const gradients = new Gradients(unit)
        gradients.give(root, start)
        try {
          this.replay(gradients, root)
        } finally {
          gradients.dispose()
        }
      }),
    )
    for (const tensor of this.#made) if (tensor !== root) this.#free(tensor)
    root.tape = null
    root.device.native.flush()
  }

  /** @internal Walks the tape backwards, freeing as it goes. */
  replay(gradients: Gradients, root: Tensor): void {
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      const dout = gradients.take(node.output)
      if (dout) gradients.run(node, dout)
      for (const tensor of node.saved ?? []) if (tensor) this.#free(tensor)
      if (node.output !== root) this.#free(node.output)
    }
  }

  dispose(): void {
    this.#nodes.length = 0
    for (const tensor of this.#made) tensor.dispose()
    this.#made.clear()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  // Only what this tape made: a kept or foreign tensor is left alone.
  #free(tensor: Tensor): void {
    if (this.#made.delete(tensor)) tensor.dispose()
  }
}

let active: Tape | null = null

function recordingOn<R>(tape: Tape | null, body: () => R): R {
  const around = active
  active = tape
  try {
    return body()
  } finally {
    active = around
  }
}

// Sums of gradients are made where they are kept: in a dtype that the device computes with.
function keptDtype(x: Tensor): Dtype {
  return x.requiresGrad || !x.device.dtypes.includes(x.dtype) ? 'float32' : x.dtype
}

function needsGradient(x: Tensor): boolean {
  return x.requiresGrad || x.tape !== null
}

/** Runs body without recording its ops. */
export function unrecorded<R>(body: () => R): R {
  return recordingOn(null, body)
}

/** The tape that an op on these inputs must be recorded on; null when nobody will want its gradient. */
export function recording(...inputs: (Tensor | null | undefined)[]): Tape | null {
  return active && inputs.some((x) => x && needsGradient(x)) ? active : null
}

/**
 * Runs body without keeping what its backward would need: that is computed again when the backward pass
 * gets there (Chen et al. 2016, activation checkpointing). It saves memory for the time of one more
 * forward.
 * @param body a function of tensors; called again in the backward, so it must do the same both times
 */
export function recompute(body: (...inputs: Tensor[]) => Tensor, ...inputs: Tensor[]): Tensor {
  const tape = active
  const output = recordingOn(null, () => scope(() => body(...inputs)))
  if (inputs.includes(output)) return output // nothing to compute again
  tape?.record({
    op: 'recompute',
    output,
    backward(dout, gradients) {
      using inner = new Tape()
      const again = inner.run(() => body(...inputs))
      gradients.give(again, dout)
      inner.replay(gradients, again)
    },
  })
  return output
}

/** A tensor of its own with the same values. */
export function copyOf(x: Tensor): Tensor {
  const out = x.device.empty(x.shape, x.dtype)
  x.device.native.copy(out.native, x.native)
  return out
}
