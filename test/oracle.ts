// Every op of lib/tensor in float64, by plain loops over the formulas: what the devices are compared
// with. It shares nothing with the kernels, and is as slow as it is simple.
type Numbers = ArrayLike<number>

const zeros = (n: number) => new Float64Array(n)

/** 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks & Gimpel 2016). */
export function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
}

/** x Phi(x), Phi being the normal distribution (Hendrycks & Gimpel 2016). */
export function geluExact(x: number): number {
  return x * normal(x)
}

/**
 * The normal distribution: near 0 by its power series (Abramowitz & Stegun 26.2.11), further out by its
 * continued fraction (26.2.14).
 */
export function normal(x: number): number {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)
  if (Math.abs(x) < 3) {
    let [sum, term] = [0, x]
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum) && n < 200; n += 2) {
      sum += term
      term *= (x * x) / (n + 2)
    }
    return 0.5 + density * sum
  }
  let fraction = 0
  for (let n = 100; n > 0; n--) fraction = n / (Math.abs(x) + fraction)
  const tail = density / (Math.abs(x) + fraction)
  return x < 0 ? tail : 1 - tail
}

/** GELU in one of its forms; true is by tanh. */
export function geluOf(form: 'tanh' | 'exact' | true): (x: number) => number {
  return form === 'exact' ? geluExact : gelu
}

/** The derivative of a GELU by central differences. */
export function geluSlope(form: 'tanh' | 'exact', x: number): number {
  const f = geluOf(form)
  return (f(x + 1e-5) - f(x - 1e-5)) / 2e-5
}

export function add(a: Numbers, b: Numbers): Float64Array {
  return Float64Array.from(a, (x, i) => x + b[i]!)
}

export interface Matmul {
  M: number
  N: number
  K: number
  transposeA?: boolean
  transposeB?: boolean
  gelu?: 'tanh' | 'exact' | boolean
  bias?: Numbers | null
  residual?: Numbers | null
}

/** out[m, n] = act(sum over k of a[m, k] b[k, n] + bias[n]) + residual[m, n]. */
export function matmul(a: Numbers, b: Numbers, s: Matmul): Float64Array {
  const { M, N, K } = s
  const act = s.gelu ? geluOf(s.gelu) : (x: number) => x
  const out = zeros(M * N)
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = s.bias ? s.bias[n]! : 0
      for (let k = 0; k < K; k++) {
        sum += a[s.transposeA ? k * M + m : m * K + k]! * b[s.transposeB ? n * K + k : k * N + n]!
      }
      out[m * N + n] = act(sum) + (s.residual ? s.residual[m * N + n]! : 0)
    }
  }
  return out
}

/** (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row. */
export function layerNorm(
  x: Numbers,
  weight: Numbers,
  bias: Numbers | null,
  epsilon: number,
): Float64Array {
  const C = weight.length
  const out = zeros(x.length)
  for (let row = 0; row < x.length; row += C) {
    let mean = 0
    for (let c = 0; c < C; c++) mean += x[row + c]! / C
    let variance = 0
    for (let c = 0; c < C; c++) variance += (x[row + c]! - mean) ** 2 / C
    for (let c = 0; c < C; c++) {
      const normal = (x[row + c]! - mean) / Math.sqrt(variance + epsilon)
      out[row + c] = normal * weight[c]! + (bias ? bias[c]! : 0)
    }
  }
  return out
}

export interface Embedding {
  T: number
  C: number
  past?: number
  positions?: Numbers | null
  starts?: Numbers | null
}

/** out[b, t] = weight[tokens[b, t]] + positions[past + t - starts[b, t]]. */
export function embedding(tokens: Numbers, weight: Numbers, s: Embedding): Float64Array {
  const out = zeros(tokens.length * s.C)
  for (let i = 0; i < tokens.length; i++) {
    const position = (s.past ?? 0) + (i % s.T) - (s.starts ? s.starts[i]! : 0)
    for (let c = 0; c < s.C; c++) {
      out[i * s.C + c] =
        weight[tokens[i]! * s.C + c]! + (s.positions ? s.positions[position * s.C + c]! : 0)
    }
  }
  return out
}

export interface Attention {
  B: number
  T: number
  H: number
  D: number
}

/**
 * softmax(q k^T / sqrt(D)) v for each head; position t sees starts[b, t] to t.
 * @param qkv [B, T, 3, H, D]
 * @param mask what each weight [B, H, T, T] is multiplied by after the softmax
 * @param window keys that a query sees at most, itself included
 */
export function attention(
  qkv: Numbers,
  { B, T, H, D }: Attention,
  starts: Numbers | null = null,
  mask: Numbers | null = null,
  window = Infinity,
): Float64Array {
  const at = (b: number, t: number, part: number, h: number) =>
    (((b * T + t) * 3 + part) * H + h) * D
  const out = zeros(B * T * H * D)
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let t = 0; t < T; t++) {
        const first = Math.max(starts ? starts[b * T + t]! : 0, t + 1 - window)
        const scores: number[] = []
        for (let s = first; s <= t; s++) {
          let dot = 0
          for (let d = 0; d < D; d++) dot += qkv[at(b, t, 0, h) + d]! * qkv[at(b, s, 1, h) + d]!
          scores.push(dot / Math.sqrt(D))
        }
        const weights = softmax(scores)
        for (let s = first; s <= t; s++) {
          const weight = weights[s - first]! * (mask ? mask[((b * H + h) * T + t) * T + s]! : 1)
          for (let d = 0; d < D; d++)
            out[((b * T + t) * H + h) * D + d]! += weight * qkv[at(b, s, 2, h) + d]!
        }
      }
    }
  }
  return out
}

/**
 * T new positions after `past` that stand in the caches [B, H, capacity, D].
 * @returns the output [B, T, H D] and both caches with the new positions in them
 */
export function attentionCached(
  qkv: Numbers,
  keys: Numbers,
  values: Numbers,
  instance: Attention & { past: number; capacity: number; window?: number },
): [Float64Array, Float64Array, Float64Array] {
  const { B, T, H, D, past, capacity, window } = instance
  const caches = [Float64Array.from(keys), Float64Array.from(values)] as const
  // The same thing as attention over all the positions: past ones have no query that matters.
  const total = past + T
  const whole = zeros(B * total * 3 * H * D)
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < total; t++) {
      for (let part = 0; part < 3; part++) {
        for (let h = 0; h < H; h++) {
          for (let d = 0; d < D; d++) {
            const to = (((b * total + t) * 3 + part) * H + h) * D + d
            const cached = ((b * H + h) * capacity + t) * D + d
            if (t >= past) {
              whole[to] = qkv[(((b * T + t - past) * 3 + part) * H + h) * D + d]!
              if (part > 0) caches[part - 1]![cached] = whole[to]!
            } else if (part > 0) whole[to] = caches[part - 1]![cached]!
          }
        }
      }
    }
  }
  const all = attention(whole, { B, T: total, H, D }, null, null, window)
  const out = zeros(B * T * H * D)
  for (let b = 0; b < B; b++) {
    out.set(all.subarray((b * total + past) * H * D, (b + 1) * total * H * D), b * T * H * D)
  }
  return [out, ...caches]
}

function softmax(x: Numbers): Float64Array {
  const most = Math.max(...Array.from(x))
  const powers = Float64Array.from(x, (value) => Math.exp(value - most))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / sum)
}

/** The sum over rows of log(sum of exp(logits)) - logits[target], where the target is not negative. */
export function crossEntropy(logits: Numbers, targets: Numbers, smoothing = 0): number {
  const V = logits.length / targets.length
  let loss = 0
  for (let row = 0; row < targets.length; row++) {
    if (targets[row]! < 0) continue
    let most = -Infinity
    for (let v = 0; v < V; v++) most = Math.max(most, logits[row * V + v]!)
    let sum = 0
    for (let v = 0; v < V; v++) sum += Math.exp(logits[row * V + v]! - most)
    const cost = (v: number) => Math.log(sum) + most - logits[row * V + v]!
    loss += (1 - smoothing) * cost(targets[row]!)
    for (let v = 0; smoothing > 0 && v < V; v++) loss += (smoothing / V) * cost(v)
  }
  return loss
}

/** crossEntropy(x weight^T, targets). */
export function linearCrossEntropy(
  x: Numbers,
  weight: Numbers,
  targets: Numbers,
  smoothing = 0,
): number {
  const M = targets.length
  const K = x.length / M
  const logits = matmul(x, weight, { M, N: weight.length / K, K, transposeB: true })
  return crossEntropy(logits, targets, smoothing)
}

export function sum(x: Numbers): number {
  return Array.from(x).reduce((a, b) => a + b, 0)
}

/** The square root of the sum of squares of everything. */
export function norm(tensors: Numbers[]): number {
  return Math.sqrt(sum(tensors.map((x) => sum(Array.from(x, (value) => value * value)))))
}

export interface Adamw {
  learningRate: number
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** What the gradient is multiplied by first: the scale, and what clipping makes of it. */
  gradientFactor: number
  step: number
}

/** One step of AdamW (Loshchilov & Hutter 2019, algorithm 2): [param, m, v] after it. */
export function adamw(
  param: Numbers,
  gradient: Numbers,
  m: Numbers,
  v: Numbers,
  s: Adamw,
): [Float64Array, Float64Array, Float64Array] {
  const out = [Float64Array.from(param), Float64Array.from(m), Float64Array.from(v)] as const
  for (let i = 0; i < param.length; i++) {
    const g = gradient[i]! * s.gradientFactor
    out[1][i] = s.beta1 * m[i]! + (1 - s.beta1) * g
    out[2][i] = s.beta2 * v[i]! + (1 - s.beta2) * g * g
    const mHat = out[1][i]! / (1 - s.beta1 ** s.step)
    const vHat = out[2][i]! / (1 - s.beta2 ** s.step)
    const update = mHat / (Math.sqrt(vHat) + s.epsilon) + s.weightDecay * param[i]!
    out[0][i] = param[i]! - s.learningRate * update
  }
  return [...out]
}

const WORD = 0xffffffffn

/** Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011): four words for a 128-bit counter and a 64-bit key. */
export function philox(counter: bigint, key: bigint): bigint[] {
  const word = (i: bigint) => (counter >> (32n * i)) & WORD
  let [c0, c1, c2, c3] = [word(0n), word(1n), word(2n), word(3n)]
  let [k0, k1] = [key & WORD, key >> 32n]
  for (let round = 0; round < 10; round++) {
    const [p0, p1] = [c0 * 0xd2511f53n, c2 * 0xcd9e8d57n]
    ;[c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & WORD, (p0 >> 32n) ^ c3 ^ k1, p0 & WORD]
    ;[k0, k1] = [(k0 + 0x9e3779b9n) & WORD, (k1 + 0xbb67ae85n) & WORD]
  }
  return [c0, c1, c2, c3]
}

/** The first n words of a stream: element i is word i % 4 of the counter {i / 4, stream}. */
export function words(n: number, seed: number, stream: number): number[] {
  const out: number[] = []
  for (let i = 0; i < n; i += 4) {
    out.push(...philox((BigInt(stream) << 64n) | BigInt(i / 4), BigInt(seed)).map(Number))
  }
  return out.slice(0, n)
}

/** What dropout multiplies with: 0 where the word's upper 24 bits are below 2^24 p, else 1 / (1 - p). */
export function dropoutMask(n: number, p: number, seed: number, stream: number): Float64Array {
  const threshold = Math.ceil(Math.fround(p) * 2 ** 24)
  return Float64Array.from(words(n, seed, stream), (word) =>
    word >>> 8 < threshold ? 0 : 1 / (1 - p),
  )
}
