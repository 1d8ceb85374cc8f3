import { GptloomError, checkInteger, checkNumber, outOfRange } from '../errors.js'
import { addon } from './binding.js'
import type { MemoryUse, NativeDevice } from './binding.js'
import { Tensor, checkShape, dtypes } from './tensor.js'
import type { Dtype, Values } from './tensor.js'

/**
 * A place where tensors live and ops run, in order, behind the event loop's back: an op enqueues and
 * returns at once; only reading a value waits. A failure while an op runs surfaces at the next `await`
 * on the device.
 */
export class Device {
  /** @internal */
  readonly native: NativeDevice
  readonly kind = 'cpu'

  /** @param threads threads of this device's own pool; 0 shares the process's pool */
  constructor(threads = 0) {
    this.native = new (addon().Device)(checkInteger('threads', threads, 0, 1024))
  }

  /** For people: the device, its instruction set and threads. */
  get name(): string {
    return this.native.name()
  }

  /** A tensor of undefined contents. */
  empty(shape: readonly number[], dtype: Dtype = 'float32'): Tensor {
    checkShape(shape)
    const index = dtypes.indexOf(dtype)
    if (index < 0) throw outOfRange(`'float32' or 'int32'`, 'dtype', dtype)
    return new Tensor(this, dtype, shape, this.native.tensor(index, shape))
  }

  /** A float32 tensor holding `value` everywhere. */
  full(shape: readonly number[], value: number): Tensor {
    const out = this.empty(shape)
    this.native.fill(out.native, value)
    return out
  }

  /** A float32 tensor of zeros. */
  zeros(shape: readonly number[]): Tensor {
    return this.full(shape, 0)
  }

  /**
   * A tensor holding a copy of `values`, row-major. Int32Array gives int32, everything else float32.
   * @param shape default: one dimension
   */
  tensor(values: Values | readonly number[], shape: readonly number[] = [values.length]): Tensor {
    const typed = ArrayBuffer.isView(values) ? values : Float32Array.from(values)
    const out = this.empty(shape, typed instanceof Int32Array ? 'int32' : 'float32')
    return out.write(typed)
  }

  /** A float32 tensor of normally distributed numbers, the same for the same seed and stream everywhere. */
  normal(
    shape: readonly number[],
    options: RandomOptions & { mean?: number; deviation?: number },
  ): Tensor {
    const { mean = 0, deviation = 1, seed, stream = 0 } = options
    checkNumber('mean', mean)
    checkNumber('deviation', deviation)
    checkInteger('seed', seed, 0)
    checkInteger('stream', stream, 0)
    const out = this.empty(shape)
    this.native.randomNormal(out.native, mean, deviation, seed, stream)
    return out
  }

  /** A float32 tensor of numbers uniform in [low, high), the same for the same seed and stream everywhere. */
  uniform(
    shape: readonly number[],
    options: RandomOptions & { low?: number; high?: number },
  ): Tensor {
    const { low = 0, high = 1, seed, stream = 0 } = options
    checkNumber('low', low)
    checkNumber('high', high)
    checkInteger('seed', seed, 0)
    checkInteger('stream', stream, 0)
    const out = this.empty(shape)
    this.native.randomUniform(out.native, low, high, seed, stream)
    return out
  }

  /**
   * Waits until all that was enqueued has run.
   * @throws GptloomError of the first op that failed since the last await, naming it and its shapes
   */
  idle(): Promise<void> {
    return this.native.idle()
  }

  memory(): MemoryUse {
    return this.native.memory()
  }

  /** Drops what has not started and ends the device's thread. Pending reads reject with ERR_DEVICE. */
  close(): void {
    this.native.close()
  }
}

export interface RandomOptions {
  /** An integer from 0 to 2^53 - 1. */
  seed: number
  /** Which of the seed's independent sequences. Default 0. */
  stream?: number
}

let shared: Device | undefined

/**
 * The CPU.
 * @param options.threads a device of its own with that many threads; without it, the one device that this
 *   JavaScript thread shares, on as many threads as the process may use
 */
export function cpu(options: { threads?: number } = {}): Device {
  if (options.threads !== undefined)
    return new Device(checkInteger('threads', options.threads, 1, 1024))
  return (shared ??= new Device())
}

/**
 * The device of that name: 'cpu', or 'auto' for the best there is.
 * @throws GptloomError ERR_NO_DRIVER for 'cuda', which this version does not have
 */
export function openDevice(name: string = 'auto', options: { threads?: number } = {}): Device {
  if (name === 'auto' || name === 'cpu') return cpu(options)
  if (/^cuda(:\d+)?$/.test(name)) {
    throw new GptloomError(
      'ERR_NO_DRIVER',
      "This version of gptloom trains on the CPU only: use device 'cpu' or 'auto'",
    )
  }
  throw outOfRange("'auto' or 'cpu'", 'device', name)
}
