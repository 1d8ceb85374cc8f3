import { checkInteger, checkNumber, outOfRange } from '../errors.js'
import { addon } from './binding.js'
import type { Counts, MemoryUse, NativeDevice } from './binding.js'
import { openGpu, usableGpu } from './gpu.js'
import { Tensor, checkShape, dtypes } from './tensor.js'
import type { Dtype, Values } from './tensor.js'

/** The dtypes of weights and activations that a kind of device computes with. */
const floats = { cpu: ['float32'], cuda: ['float32', 'bfloat16'] } as const

/**
 * A place where tensors live and ops run, in order, behind the event loop's back: an op enqueues and
 * returns at once; only reading a value waits. A failure while an op runs surfaces at the next `await`
 * on the device.
 */
export class Device {
  /** The dtypes that ops take for weights and activations. All devices can hold and cast the others. */
  readonly dtypes: readonly Dtype[]
  #closed = false

  /** @internal Devices come from cpu() and openDevice(). */
  constructor(
    readonly kind: 'cpu' | 'cuda',
    /** @internal */
    readonly native: NativeDevice,
    /** Which GPU, in the driver's order. */
    readonly ordinal = 0,
  ) {
    this.dtypes = floats[kind]
  }

  /** For people: the device, its instruction set and threads. */
  get name(): string {
    return this.native.name()
  }

  get closed(): boolean {
    return this.#closed
  }

  /** A tensor of undefined contents. */
  empty(shape: readonly number[], dtype: Dtype = 'float32'): Tensor {
    checkShape(shape)
    const index = dtypes.indexOf(dtype)
    if (index < 0) throw outOfRange(`'float32', 'bfloat16' or 'int32'`, 'dtype', dtype)
    return new Tensor(this, dtype, shape, this.native.tensor(index, shape))
  }

  /** A tensor holding `value` everywhere, of one of the device's `dtypes`. Default float32. */
  full(shape: readonly number[], value: number, dtype: Dtype = 'float32'): Tensor {
    if (!this.dtypes.includes(dtype)) throw outOfRange(this.dtypes.join(' or '), 'dtype', dtype)
    const out = this.empty(shape, dtype)
    this.native.fill(out.native, value)
    return out
  }

  /** A float32 tensor of zeros. */
  zeros(shape: readonly number[]): Tensor {
    return this.full(shape, 0)
  }

  /**
   * A tensor holding a copy of `values`, row-major.
   * @param shape default: one dimension
   * @param dtype default: int32 for an Int32Array, float32 for everything else. bfloat16 rounds to
   *   nearest even
   */
  tensor(
    values: Values | readonly number[],
    shape: readonly number[] = [values.length],
    dtype?: Dtype,
  ): Tensor {
    const typed = ArrayBuffer.isView(values) ? values : Float32Array.from(values)
    const out = this.empty(shape, dtype ?? (typed instanceof Int32Array ? 'int32' : 'float32'))
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

  /** Bytes that this device can hold: what it holds and what a GPU has free; undefined on the CPU. */
  get capacity(): number | undefined {
    return this.kind === 'cuda' ? this.native.capacity() : undefined
  }

  /** What a GPU was told to do so far; zeros on the CPU. */
  counts(): Counts {
    return this.native.counts()
  }

  /** Drops what has not started and ends the device's threads. Pending reads reject with ERR_DEVICE. */
  close(): void {
    this.#closed = true
    this.native.close()
  }
}

/** Which random numbers: the same names give the same numbers everywhere. */
export interface RandomOptions {
  /** An integer from 0 to 2^53 - 1. */
  seed: number
  /** Which of the seed's independent sequences. Default 0. */
  stream?: number
}

let sharedCpu: Device | undefined
const sharedGpus = new Map<string, Device>()

/**
 * The CPU.
 * @param options.threads a device of its own with that many threads; without it, the one device that this
 *   JavaScript thread shares, on as many threads as the process may use
 */
export function cpu(options: { threads?: number } = {}): Device {
  const open = (threads: number) => new Device('cpu', new (addon().Device)('cpu', threads))
  if (options.threads !== undefined) return open(checkInteger('threads', options.threads, 1, 1024))
  return (sharedCpu ??= open(0))
}

/** How a device is opened. */
export interface DeviceOptions {
  /** Of the CPU: see cpu(). A GPU has no use for it. */
  threads?: number
  /**
   * Of a GPU: float32 operands of matrix products of more than 16 rows may be rounded to tf32, 10 bits of
   * fraction in place of 23, which tensor cores multiply. The CPU is always exact. Default false.
   */
  tf32?: boolean
}

/**
 * An NVIDIA GPU: the one device on it that this JavaScript thread shares, with tf32 another one. It
 * computes in float32 and bfloat16, and needs NVIDIA's driver and nothing else.
 * @param ordinal which one, in the driver's order, counted from 0
 * @throws GptloomError ERR_NO_DRIVER without a driver, saying what the loader answered; ERR_DEVICE when
 *   there is no such GPU; ERR_KERNELS without the image of the kernels
 */
export function cuda(ordinal = 0, { tf32 = false }: Pick<DeviceOptions, 'tf32'> = {}): Device {
  checkInteger('ordinal', ordinal, 0, 1023)
  const key = `${ordinal} ${tf32}`
  let device = sharedGpus.get(key)
  if (!device || device.closed)
    sharedGpus.set(key, (device = new Device('cuda', openGpu(ordinal, { tf32 }), ordinal)))
  return device
}

/**
 * The device of that name: 'cpu'; 'cuda', or 'cuda:1' for the second GPU; 'auto' for the first GPU that
 * gptloom can use, and the CPU where there is none.
 * @throws GptloomError as cuda()
 */
export function openDevice(name: string = 'auto', options: DeviceOptions = {}): Device {
  if (name === 'cpu') return cpu(options)
  if (name === 'auto') {
    const ordinal = usableGpu()
    return ordinal === undefined ? cpu(options) : cuda(ordinal, options)
  }
  const [, ordinal] = /^cuda(?::(\d{1,3}))?$/.exec(name) ?? []
  if (!name.startsWith('cuda') || (ordinal === undefined && name !== 'cuda'))
    throw outOfRange("'auto', 'cpu', 'cuda' or 'cuda:1'", 'device', name)
  return cuda(Number(ordinal ?? 0), options)
}
