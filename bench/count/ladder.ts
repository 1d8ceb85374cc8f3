// The ladder: naive versions of the main kernels, simplest first, counted as the shipped ones are.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const sources = path.join(root, 'bench', 'ladder')
const built = path.join(root, 'build', 'ladder')

export interface Rung {
  /** bench/ladder/<family>.cu. */
  family: string
  name: string
  /** The shipped op that it leads to. */
  of: { name: string; dtype: string }
  /** How many times the rung's work that op's is: what is counted is multiplied by it. */
  scale: number
  /** Bytes of each buffer. */
  buffers: number[]
  /** Lines for bench/ladder/launch.cc. */
  launches: string[]
  /** What is different from the rung before. */
  change: string
}

const up = (n: number, d: number) => Math.ceil(n / d)
const [rows, C] = [1024, 768]
const tensor = 4 * rows * C

/** b0 out or dx, b1 x, b2 dout, b3 and b4 parameters, b5 mean, b6 rstd, b7 and b8 their gradients. */
function layernorm(name: string, change: string, launches: string[]): Rung {
  const direction = name.split(' ')[0]!
  const buffers = [tensor, tensor, tensor, 4 * C, 4 * C, 4 * rows, 4 * rows, 4 * C, 4 * C]
  const of = { name: `layernorm ${direction}`, dtype: 'float32' }
  return { family: 'layernorm', name, of, scale: 8192 / rows, buffers, launches, change }
}

const [n, logitRows, V] = [1 << 20, 64, 50257]
const step = 'f1,1,0.9,0.95,0.001,1,0.00000001,0.0001'
const tensors = [4 * n, 4 * n, 4 * n, 4 * n, 4]
// One block of GPT-2 124M has 7.1 million parameters.
const adamw = { family: 'adamw', of: { name: 'AdamW', dtype: 'float32' }, scale: 7_087_872 / n }
const crossentropy = {
  family: 'crossentropy',
  of: { name: 'cross-entropy', dtype: 'bfloat16' },
  scale: 1,
  buffers: [4 * logitRows, 2 * logitRows * V, 4 * logitRows],
}
const logits = `b0 b1 b2 i${logitRows} i${V}`

const side = 256
const matmul = {
  family: 'matmul',
  of: { name: 'matmul: queries, keys, values', dtype: 'bfloat16' },
  scale: (1536 * 3 * C) / side ** 2,
  buffers: [2 * side * side, 2 * side * C, 2 * side * C],
}
const product = `b0 b1 b2 i${side} i${side} i${C}`

const T = 512
const attention = {
  family: 'attention',
  of: { name: 'attention forward', dtype: 'bfloat16' },
  scale: (2 * 1024 ** 2) / T ** 2,
  buffers: [2 * T * 64, 4 * T * T, 2 * T * 3 * 64],
}

export const rungs: Rung[] = [
  layernorm('forward 1', 'a thread a row, three passes', [
    `launch layernorm_forward_1_f32 ${up(rows, 256)} 1 256 1 0 b0 b5 b6 b1 b3 b4 l${rows} i${C} f1e-5`,
  ]),
  layernorm('forward 2', 'a warp a row: whole sectors', [
    `launch layernorm_forward_2_f32 ${up(rows, 8)} 1 256 1 0 b0 b5 b6 b1 b3 b4 l${rows} i${C} f1e-5`,
  ]),
  layernorm('backward 1', 'a thread a row, float atomics', [
    `launch layernorm_backward_1_f32 ${up(rows, 256)} 1 256 1 0 b0 b7 b8 b2 b1 b3 b5 b6 l${rows} i${C}`,
  ]),
  layernorm('backward 2', 'a warp a row, a thread a column: no atomics', [
    `launch layernorm_backward_2_f32 ${up(rows, 8)} 1 256 1 0 b0 b2 b1 b3 b5 b6 l${rows} i${C}`,
    `launch layernorm_parameters_2_f32 ${up(C, 256)} 1 256 1 0 b7 b8 b2 b1 b5 b6 l${rows} i${C}`,
  ]),
  {
    ...crossentropy,
    name: '1',
    change: 'a thread a row',
    launches: [`launch crossentropy_1_bf16 ${up(logitRows, 256)} 1 256 1 0 ${logits}`],
  },
  {
    ...crossentropy,
    name: '2',
    change: 'a block a row: whole sectors',
    launches: [`launch crossentropy_2_bf16 ${logitRows} 1 256 1 0 ${logits}`],
  },
  {
    ...adamw,
    name: '1',
    change: 'clipping is a pass of its own, one launch a tensor',
    buffers: tensors,
    launches: [
      `launch adamw_clip_1_f32 ${n / 256} 1 256 1 0 b1 b4 l${n} ${step}`,
      `launch adamw_step_1_f32 ${n / 256} 1 256 1 0 b0 b1 b2 b3 b4 l${n} ${step}`,
    ],
  },
  {
    ...adamw,
    name: '2',
    change: 'clipping within the step',
    buffers: tensors,
    launches: [`launch adamw_step_2_f32 ${n / 256} 1 256 1 0 b0 b1 b2 b3 b4 l${n} ${step}`],
  },
  {
    ...matmul,
    name: '1',
    change: 'a thread an element',
    launches: [`launch matmul_1_bf16 ${side / 32} ${side / 8} 32 8 0 ${product}`],
  },
  {
    ...matmul,
    name: '2',
    change: 'tiles of 64 x 64 in shared memory',
    launches: [`launch matmul_2_bf16 ${side / 64} ${side / 64} 256 1 0 ${product}`],
  },
  {
    ...matmul,
    name: '3',
    change: 'the same tiles on tensor cores',
    launches: [`launch matmul_3_bf16 ${side / 64} ${side / 64} 128 1 0 ${product}`],
  },
  {
    ...attention,
    name: '1',
    change: 'T x T scores in memory',
    launches: [
      `launch attention_scores_1_bf16 ${T / 32} ${T / 8} 32 8 0 b1 b2 i${T} i1`,
      `launch attention_softmax_1_bf16 ${T / 256} 1 256 1 0 b1 l${T} i${T}`,
      `launch attention_values_1_bf16 2 ${T / 8} 32 8 0 b0 b1 b2 i${T} i1`,
    ],
  },
  {
    ...attention,
    name: '2',
    change: 'a warp a query, the sum kept online',
    launches: [`launch attention_2_bf16 ${T / 8} 1 256 1 0 b0 b2 i${T} i1`],
  },
]

/** The shipped op that each family ends at, and what it does more. */
export const shipped: Record<string, string> = {
  'layernorm forward': 'the row stays in registers: one read',
  'layernorm backward': 'one read; sums in registers, slices of rows added in order',
  'cross-entropy': 'the row stays in registers and shared memory: one read, one write',
  AdamW: '16 bytes a lane, all tensors in one launch',
  'matmul: queries, keys, values': 'tiles of 256 x 128, swizzled, copies run stages ahead',
  'attention forward': 'queries of a block share keys and values, products on tensor cores',
}

/** What is missing to build the ladder: a command, or null. */
export function ladderNeeds(): string | null {
  const has = (command: string) => spawnSync(command, ['--version']).status === 0
  return ['nvcc', 'c++'].find((command) => !has(command)) ?? null
}

export const imageOf = ({ family }: Rung) => path.join(built, `${family}.fatbin`)

/** Compiles what has changed. */
export function buildLadder(): void {
  mkdirSync(built, { recursive: true })
  const launcher = path.join(sources, 'launch.cc')
  make(program, [launcher], ['c++', '-std=c++17', '-O2', '-o', program, launcher, '-ldl'])
  const kernels = path.join(root, 'cuda')
  const headers = readdirSync(kernels)
    .filter((name) => /\.(cuh|h)$/.test(name))
    .map((name) => path.join(kernels, name))
  for (const rung of new Map(rungs.map((rung) => [rung.family, rung])).values()) {
    const source = path.join(sources, `${rung.family}.cu`)
    make(
      imageOf(rung),
      [source, ...headers],
      [
        ...['nvcc', '-std=c++17', '-O3', '-fatbin', '--no-compress', '-I', kernels],
        ...['-gencode', 'arch=compute_80,code=compute_80', '-o', imageOf(rung), source],
      ],
    )
  }
}

const program = path.join(built, 'launch')

function make(output: string, from: string[], [command, ...args]: string[]): void {
  const time = (file: string) => (existsSync(file) ? statSync(file).mtimeMs : 0)
  if (time(output) > Math.max(...from.map(time))) return
  const { status, stderr } = spawnSync(command!, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} fails for ${output}:\n${stderr}`)
}

/** Launches a rung's kernels in a process of their own. */
export function launchRung(rung: Rung, env: NodeJS.ProcessEnv): void {
  const lines = [
    `module ${imageOf(rung)}`,
    ...rung.buffers.map((bytes) => `buffer ${bytes}`),
    ...rung.launches,
  ]
  const { status, stderr } = spawnSync(program, { input: lines.join('\n'), encoding: 'utf8', env })
  if (status !== 0) throw new Error(`${rung.family} ${rung.name} fails: ${stderr}`)
}
