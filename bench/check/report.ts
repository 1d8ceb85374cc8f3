// The report of npm run gpu-check: what a person reads, and behind it everything as JSON.
import os from 'node:os'
import { FLOPS, TOKENS, machines, roofline } from '../count/roofline.js'
import type { Report as Counters } from '../count/count.js'
import type { Bench } from '../measure/bench.js'
import { benchText, columns } from '../measure/text.js'
import type { Comparison } from './compare.js'

export interface TestOutcome {
  file: string
  passed: number
  failed: number
  seconds: number
  /** The end of what a file that failed has printed. */
  output: string
}

export interface GpuReport {
  date: string
  commit: string
  /** What `gptloom doctor --json` says. */
  doctor: unknown
  /** What `gptloom doctor` says. */
  doctorText: string
  /** Clocks, power and temperature before and after, where nvidia-smi is there. */
  clocks: string[]
  tests: TestOutcome[]
  comparisons: Comparison[]
  bench: Bench | null
  /** What could not be done, and why. */
  problems: string[]
}

/** Whether everything was done and was right. */
export const passed = ({ tests, comparisons, problems, bench }: GpuReport): boolean =>
  problems.length === 0 &&
  bench !== null &&
  tests.every(({ failed }) => failed === 0) &&
  comparisons.length > 0 &&
  comparisons.every((each) => each.passed)

export function text(report: GpuReport, counters: Counters): string {
  const { date, commit, doctorText, clocks, tests, comparisons, bench, problems } = report
  const part = (title: string, body: string) => `## ${title}\n\n${body.trim()}\n\n`
  const code = (body: string) => `\`\`\`\n${body.trimEnd()}\n\`\`\``
  return (
    `# gptloom on a GPU: ${passed(report) ? 'everything passed' : 'NOT everything passed'}\n\n` +
    `${date}, commit ${commit}. Nothing here names a person; please send it back as it is.\n\n` +
    (problems.length > 0 ? part('Problems', problems.map((each) => `- ${each}`).join('\n')) : '') +
    part('Machine', code([doctorText, ...clocks].join('\n'))) +
    part('Tests', code(testsText(tests))) +
    part('Against the CPU', code(comparisonsText(comparisons))) +
    part('Speed', bench ? code(benchText(bench)) : 'Not measured.') +
    part('Against the estimates', code(estimatesText(bench, counters))) +
    `## Everything, for machines\n\n\`\`\`json\n${JSON.stringify(report)}\n\`\`\`\n`
  )
}

function testsText(tests: TestOutcome[]): string {
  const rows = tests.map(({ file, passed, failed, seconds }) => [
    file,
    `${passed} passed`,
    failed > 0 ? `${failed} FAILED` : '',
    `${seconds.toFixed(1)} s`,
  ])
  const failures = tests.filter(({ failed }) => failed > 0)
  const table = rows.length > 0 ? columns(rows) : 'none ran'
  return [table, ...failures.map(({ file, output }) => `\n${file}:\n${output}`)].join('\n')
}

function comparisonsText(comparisons: Comparison[]): string {
  if (comparisons.length === 0) return 'Not compared.'
  return columns(
    comparisons.map(({ what, worst, limit, passed }) => [
      what,
      worst === null ? 'no number' : worst.toExponential(1),
      `at most ${limit}`,
      passed ? 'passed' : 'FAILED',
    ]),
  )
}

/** The training step that was counted on the emulated GPU, and the same step here. */
function estimatesText(bench: Bench | null, counters: Counters): string {
  const lines = roofline(counters)
  const rows = machines.map(({ name }, i) => {
    const seconds = lines.reduce((sum, { times }) => sum + times[i]!.seconds, 0)
    return [`${name}, estimated from counts: at least`, ...figures(seconds)]
  })
  const measured = bench?.results.find(
    ({ name }) => name === 'train GPT-2 124M, B 8, T 1024 (bfloat16)',
  )
  return columns([
    ['GPT-2 124M, 8 x 1024 tokens, bfloat16', '', '', ''],
    ...rows,
    measured
      ? [`${bench!.device}, measured`, ...figures(measured.seconds)]
      : ['this GPU: not measured', '', '', ''],
  ])
}

const figures = (seconds: number) => [
  `${(1000 * seconds).toFixed(1)} ms`,
  `${Math.round(TOKENS / seconds).toLocaleString('en-US')} tokens/s`,
  `${(FLOPS / seconds / 1e12).toFixed(1)} TFLOP/s`,
]

/** Without the name of the user's folder. */
export const withoutHome = (text: string): string => text.split(os.homedir()).join('~')
