// The native addon, typed by hand. This is the only file that knows how it is found and what it exports.
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { GptloomError } from '../errors.js'
import { root } from '../package.js'

declare const share: unique symbol
/** A tensor's native half: an opaque share in a block of device memory. */
export interface NativeTensor {
  readonly [share]: never
}

/** The memory of a device, in bytes. */
export interface MemoryUse {
  /** Bytes in live tensors. */
  used: number
  /** The most that `used` has been. */
  peak: number
  /** Bytes held from the system: live, kept for reuse, and scratch. */
  reserved: number
}

/** What a GPU was told to do so far. */
export interface Counts {
  /** Kernels launched one by one. */
  kernels: number
  /** CUDA graphs launched, of up to 64 kernels each. */
  graphs: number
}

/** An op that has run, and when: seconds of a clock of the device's own. */
export interface Ran {
  /** `matmul of [2, 8, 4], [2, 8, 4], [4, 4] on CPU (avx2, 2 threads)` */
  what: string
  start: number
  end: number
}

/** Ops to run again; see Device.record(). */
export interface NativeReplay {
  /**
   * @param places by how much what is read now is further on in its text than what was recorded
   * @param steps by how much the step is, which names the random numbers; on the CPU alone
   */
  run(places: number, steps: number): void
  dispose(): void
}

type T = NativeTensor
type Optional = NativeTensor | null

/** A device's native half. Methods enqueue and return; arguments have been checked by the caller. */
export interface NativeDevice {
  name(): string
  memory(): MemoryUse
  /** Bytes that it can hold: what it holds and what is free; 0 on the CPU. */
  capacity(): number
  counts(): Counts
  /** On the CPU notes ops as they run, from here on or no more. Returns what was noted before. */
  watch(on: boolean): Ran[]
  tensor(dtype: number, shape: readonly number[]): T
  /** Another handle on the same memory, from the element `offset` on. */
  view(x: T, shape: readonly number[], offset: number): T
  share(x: T): ArrayBuffer
  dispose(x: T): void
  upload(out: T, source: ArrayBufferView): void
  download(x: T, target: ArrayBufferView): Promise<void>
  idle(): Promise<void>
  /** Keeps the ops that `body` enqueues, and the memory that they use. */
  record(body: () => void): NativeReplay
  /** Starts what has been enqueued, without waiting. */
  flush(): void
  /** Gives back to the system what is kept for reuse. Waits for what has been enqueued. */
  trim(): void
  close(): void

  /** Runs a kernel of another addon; see native/gptloom.h. */
  call(kernel: object, tensors: T[], params: Uint8Array): void

  fill(out: T, value: number): void
  copy(out: T, x: T): void
  cast(out: T, x: T): void
  add(out: T, a: T, b: T): void
  scale(x: T, factor: T): void
  sum(out: T, x: T): void
  norm(out: T, tensors: T[]): void
  randomNormal(out: T, mean: number, deviation: number, seed: number, stream: number): void
  randomUniform(out: T, low: number, high: number, seed: number, stream: number): void
  dropout(out: T, x: T, p: number, seed: number, stream: number, accumulate: boolean): void
  /** form: 1 by tanh, 2 exact; here and in products, where 0 is none. */
  geluForward(out: T, x: T, form: number): void
  geluBackward(dx: T, dout: T, x: T, form: number, accumulate: boolean): void
  matmul(
    out: T,
    pre: Optional,
    a: T,
    b: T,
    bias: Optional,
    residual: Optional,
    transposeA: boolean,
    transposeB: boolean,
    gelu: number,
    accumulate: boolean,
  ): void
  /** out (+)= (a b) gelu'(pre) */
  matmulGeluBackward(
    out: T,
    a: T,
    b: T,
    pre: T,
    transposeA: boolean,
    transposeB: boolean,
    gelu: number,
    accumulate: boolean,
  ): void
  /** out (+)= a b, and sums (+)= the sums of b's columns. */
  matmulBiasBackward(
    out: T,
    sums: T,
    a: T,
    b: T,
    transposeA: boolean,
    accumulate: boolean,
    accumulateSums: boolean,
  ): void
  biasBackward(dbias: T, dout: T, accumulate: boolean): void
  layernormForward(
    out: T,
    mean: Optional,
    rstd: Optional,
    x: T,
    weight: T,
    bias: Optional,
    epsilon: number,
  ): void
  layernormBackward(
    dx: Optional,
    dweight: Optional,
    dbias: Optional,
    dout: T,
    x: T,
    weight: T,
    mean: T,
    rstd: T,
    accumulateDx: boolean,
    accumulateDweight: boolean,
    accumulateDbias: boolean,
  ): void
  embeddingForward(out: T, tokens: T, starts: Optional, wte: T, wpe: Optional, past: number): void
  embeddingBackward(dwte: Optional, dwpe: Optional, dout: T, tokens: T, starts: Optional): void
  attentionForward(
    out: T,
    lse: Optional,
    qkv: T,
    starts: Optional,
    heads: number,
    window: number,
    dropout: number,
    seed: number,
    stream: number,
  ): void
  attentionBackward(
    dqkv: T,
    dout: T,
    qkv: T,
    out: T,
    lse: T,
    starts: Optional,
    heads: number,
    window: number,
    dropout: number,
    seed: number,
    stream: number,
    accumulate: boolean,
  ): void
  attentionCached(
    out: T,
    kCache: T,
    vCache: T,
    qkv: T,
    heads: number,
    window: number,
    past: number,
  ): void
  crossentropy(losses: T, dlogits: Optional, logits: T, targets: T, smoothing: number): void
  linearCrossentropy(
    losses: T,
    dx: Optional,
    dweight: Optional,
    x: T,
    weight: T,
    targets: T,
    smoothing: number,
  ): void
  /** Compact weights, see ops/compact.ts; on the CPU alone. */
  compactPack(packed: T, weight: T, transpose: boolean, int8: boolean): void
  compactMatmul(
    out: T,
    a: T,
    packed: T,
    bias: Optional,
    residual: Optional,
    gelu: number,
    int8: boolean,
  ): void
  compactEmbedding(
    out: T,
    tokens: T,
    starts: Optional,
    packed: T,
    wpe: Optional,
    past: number,
    count: number,
    int8: boolean,
  ): void
  adamw(
    params: T[],
    gradients: T[],
    m: T[],
    v: T[],
    masters: Optional[],
    weightDecays: number[],
    norm: Optional,
    learningRate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    gradientScale: number,
    maxNorm: number,
    step: number,
    seed: number,
  ): void
}

/** What the CPU engine found on this machine. */
export interface CpuInfo {
  /** The instruction set in use. */
  isa: string
  /** Threads that the process may use: its affinity and cgroup quota, or GPTLOOM_THREADS. */
  threads: number
  /** Every instruction set that can run here, best first. */
  runnable: string[]
}

/** A GPU as the driver describes it. */
export interface GpuInfo {
  name: string
  /** 80 for 8.0. */
  computeCapability: number
  multiprocessors: number
  /** Bytes on board. */
  memory: number
}

/** What the CUDA driver says. */
export interface CudaInfo {
  /** The newest CUDA that the driver serves, 12040 for 12.4; null without a driver. */
  version: number | null
  /** Why there is no driver: what the loader or the driver itself answered. Empty when there is one. */
  reason: string
  devices: GpuInfo[]
}

export interface CudaOptions {
  /** The folder of kernel images. */
  folder: string
  /** Whether work that repeats is launched as CUDA graphs. */
  graphs: boolean
  /** Whether every tensor gets memory of exactly its size that is never used again, for memory checkers. */
  exact: boolean
  /** Whether float32 operands of large products are rounded to tf32. */
  tf32: boolean
}

interface Addon {
  Device: {
    new (kind: 'cpu', threads: number): NativeDevice
    new (kind: 'cuda', ordinal: number, options: CudaOptions): NativeDevice
  }
  /** The name of a kernel of another addon. */
  kernel(kernel: object): string
  cpu(): CpuInfo
  /**
   * What the CPU does at most, for the bench; blocks. Kinds: 0 FLOPs, 1 bytes read, 2 copied, 3 copied
   * past the caches, a second. Size: bytes of memory; of FLOPs, pieces of some 0.3 ms.
   */
  probe(kind: number, threads: number, size: number, passes: number): number
  cuda(): CudaInfo
}

let loaded: Addon | undefined

/**
 * The addon: a build in build/Release, else the prebuilt binary for this platform.
 * @throws GptloomError ERR_ADDON, saying what was looked for and how to build it
 */
export function addon(): Addon {
  if (loaded) return loaded
  const require = createRequire(import.meta.url)
  try {
    const load = require('node-gyp-build') as (folder: string) => { open(error: unknown): Addon }
    return (loaded = load(root).open(GptloomError))
  } catch (error) {
    throw new GptloomError(
      'ERR_ADDON',
      `The native addon of gptloom cannot be loaded for ${process.platform}-${process.arch}, ` +
        `Node ${process.versions.node}: ${(error as Error).message.split('\n')[0]}. ` +
        `The package holds binaries for ${prebuilt()}. Where none fits, build it with ` +
        '`npm rebuild gptloom`, which takes a C++17 compiler, make and Python',
      { cause: error },
    )
  }
}

/** The platforms whose binaries were installed, such as `linux-x64 (glibc)`. */
function prebuilt(): string {
  const folder = path.join(root, 'prebuilds')
  const entries = existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : []
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  const platforms = names.sort().flatMap((name) => {
    const files = readdirSync(path.join(folder, name)).filter((file) => file.endsWith('.node'))
    const libc = files.flatMap((file) => /\.(glibc|musl)\.node$/.exec(file)?.[1] ?? [])
    return files.length ? [libc.length ? `${name} (${libc.join(', ')})` : name] : []
  })
  return platforms.join(', ') || 'no platform'
}
