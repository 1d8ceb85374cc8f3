// What a bug report needs to know of a machine, without names of people.
import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import { join } from 'node:path'
import { addon } from '../tensor/binding.js'
import type { CpuInfo } from '../tensor/binding.js'
import { manifest, version } from '../package.js'
import type { Parsed, Verb } from './arguments.js'
import { bytes, plural, table } from './format.js'
import { describeGpu, findGpu } from './gpu.js'

export const doctor: Verb = {
  name: 'doctor',
  usage: '[--json]',
  summary: 'tell what this machine has and whether gptloom works on it',
  flags: [{ title: 'Output', flags: [{ name: 'json', help: 'as one JSON object' }] }],
  examples: ['gptloom doctor'],
  run,
}

async function run({ values }: Parsed): Promise<number> {
  const report = anonymous(await examine())
  process.stdout.write(values.json ? JSON.stringify(report) + '\n' : describe(report))
  return 'error' in report.addon ? 1 : 0
}

type Report = Awaited<ReturnType<typeof examine>>

async function examine() {
  const engine = loadAddon()
  const disk = await statfs('.').catch(() => undefined)
  const limit = process.constrainedMemory?.() ?? 0
  return {
    gptloom: version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    system: `${os.type()} ${os.release()}`,
    libc: libc(),
    addon: engine,
    cpu: {
      model: os.cpus()[0]?.model.trim() || 'unknown',
      processors: os.cpus().length,
      // What decides how many threads there are, apart from GPTLOOM_THREADS.
      affinity: affinity(),
      quota: quota(),
    },
    memory: {
      total: os.totalmem(),
      free: os.freemem(),
      // A limit beyond what the machine has is none.
      limit: limit > 0 && limit < os.totalmem() ? limit : null,
    },
    diskFree: disk ? disk.bavail * disk.bsize : null,
    gpu: findGpu('error' in engine ? undefined : addon().cuda()),
    dependencies: dependencies(),
    environment: environment(),
  }
}

function loadAddon(): ({ path: string } & CpuInfo) | { error: string } {
  try {
    const info = addon().cpu()
    // Node knows what it has loaded, however it was found.
    const path = Object.keys(createRequire(import.meta.url).cache).find((file) =>
      file.endsWith('.node'),
    )
    return { path: path ?? 'unknown', ...info }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

function libc(): string | null {
  if (process.platform !== 'linux') return null
  const { header } = process.report.getReport() as unknown as {
    header: { glibcVersionRuntime?: string }
  }
  return header.glibcVersionRuntime ? `glibc ${header.glibcVersionRuntime}` : 'not glibc (musl?)'
}

/** The processors that this process may run on, as the kernel writes them: `0-3,8`. */
function affinity(): string | null {
  return /^Cpus_allowed_list:\s*(.+)$/m.exec(contents('/proc/self/status'))?.[1] ?? null
}

/** The processors that the tightest cgroup above this process is worth; null without a quota. */
function quota(): number | null {
  const found: number[] = []
  const take = (quota: string, period: string) => {
    if (Number(quota) > 0 && Number(period) > 0) found.push(Number(quota) / Number(period))
  }
  const groups = contents('/proc/self/cgroup').split('\n')
  const [v2 = '', v1 = ''] = [/^0::\/?(.*)$/, /^\d+:(?:.*,)?cpu(?:,.*)?:\/?(.*)$/].map((line) =>
    groups.map((group) => line.exec(group)?.[1]).find((path) => path !== undefined),
  )
  for (const folder of ancestors(v2)) {
    const [quota = '', period = ''] = contents(`/sys/fs/cgroup${folder}/cpu.max`).trim().split(' ')
    take(quota, period)
  }
  for (const folder of ancestors(v1)) {
    const read = (name: string) => contents(`/sys/fs/cgroup/cpu${folder}/cpu.cfs_${name}_us`)
    take(read('quota'), read('period'))
  }
  return found.length > 0 ? Math.min(...found) : null
}

/** 'a/b' as '/a/b', '/a' and ''. */
function ancestors(path: string): string[] {
  const parts = path.split('/').filter(Boolean)
  return parts.map((_, i) => `/${parts.slice(0, parts.length - i).join('/')}`).concat('')
}

function contents(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function dependencies(): Record<string, string> {
  const require = createRequire(import.meta.url)
  // Not by require(): what a package does not export cannot be required.
  const installed = (name: string) =>
    (require.resolve.paths(name) ?? [])
      .map((folder) => contents(join(folder, name, 'package.json')))
      .flatMap((text) => (text ? [(JSON.parse(text) as { version: string }).version] : []))[0]
  const names = Object.keys(manifest.dependencies)
  return Object.fromEntries(names.map((name) => [name, installed(name) ?? 'missing']))
}

function environment(): Record<string, string> {
  const matters = /^(GPTLOOM_.*|NODE_OPTIONS|CUDA_VISIBLE_DEVICES|NO_COLOR|TERM|PREBUILDS_ONLY)$/
  return Object.fromEntries(
    Object.entries(process.env)
      .filter(([name]) => matters.test(name))
      .sort(),
  ) as Record<string, string>
}

/** The same with the home folder as ~, and the user's name out of every path. */
function anonymous<T>(value: T): T {
  if (typeof value === 'string') return withoutNames(value) as T
  if (Array.isArray(value)) return value.map(anonymous) as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, anonymous(inner)]),
  ) as T
}

function withoutNames(text: string): string {
  const home = os.homedir()
  const parts = home.length > 1 ? text.split(home) : [text]
  // Only as a whole path or the start of one: /root is neither in /rootfs nor in /tmp/root.
  let short = parts[0]!
  for (const part of parts.slice(1))
    short += (/^[\w-]/.test(part) || /[\w.-]$/.test(short) ? home : '~') + part
  const name = userName()
  return name
    ? short
        .split(/(?<=[\\/])|(?=[\\/])/)
        .map((part) => (part === name ? '<user>' : part))
        .join('')
    : short
}

function userName(): string {
  try {
    return os.userInfo().username
  } catch {
    return '' // a user id without an entry, as in containers
  }
}

function describe(report: Report): string {
  const { addon, cpu, memory, gpu } = report
  const works = !('error' in addon)
  const list = (of: Record<string, string>) =>
    Object.entries(of)
      .map(([name, value]) => `${name} ${value}`)
      .join(', ')
  return (
    table([
      ['gptloom', report.gptloom],
      ['node', report.node],
      ['platform', [report.platform, report.system, report.libc].filter(Boolean).join(', ')],
      ['addon', works ? addon.path : 'cannot be loaded, see below'],
      ['processor', cpu.model],
      ...(works
        ? [['instructions', `${addon.isa} (runnable: ${addon.runnable.join(', ')})`] as const]
        : []),
      ['threads', (works ? `${addon.threads}: ` : '') + reasons(report)],
      [
        'memory',
        `${bytes(memory.total)}, ${bytes(memory.free)} free, ` +
          (memory.limit === null ? 'no limit' : `limited to ${bytes(memory.limit)}`),
      ],
      [
        'disk',
        report.diskFree === null ? 'unknown' : `${bytes(report.diskFree)} free in this folder`,
      ],
      ['gpu', describeGpu(gpu)],
      ['device', gpu.devices.some(({ usable }) => usable) ? 'cuda' : 'cpu'],
      ['dependencies', list(report.dependencies)],
      ['environment', list(report.environment) || 'nothing that matters'],
    ]) + (works ? '\ngptloom works on this machine.\n' : `\nerror: ${addon.error}\n`)
  )
}

/** Why there are so many threads. */
function reasons({ cpu, environment }: Report): string {
  const asked = environment.GPTLOOM_THREADS
  return [
    asked === undefined ? '' : `GPTLOOM_THREADS is ${asked}`,
    plural(cpu.processors, 'processor'),
    cpu.affinity === null ? '' : `affinity ${cpu.affinity}`,
    process.platform !== 'linux'
      ? ''
      : cpu.quota === null
        ? 'no cgroup quota'
        : `cgroup quota ${cpu.quota}`,
  ]
    .filter(Boolean)
    .join(', ')
}
