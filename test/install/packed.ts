// What the tests of the package share: the tarball, and projects of strangers that install it.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import * as assert from 'uvu/assert'

export const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))))
export const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'gptloom-install-')))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

/** Compilers of an older Debian, which prebuilds() has made. */
export const sysroot = path.join(root, 'build', 'sysroot')

export interface Ran {
  status: number | null
  stdout: string
  stderr: string
}

export function attempt(
  command: string,
  args: string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Ran {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  })
  return { status, stdout: stdout ?? '', stderr: `${stderr ?? ''}${error?.message ?? ''}` }
}

/** What a command prints; the test fails when it does. */
export function run(
  command: string,
  args: string[],
  cwd = root,
  env: NodeJS.ProcessEnv = {},
): string {
  const { status, stdout, stderr } = attempt(command, args, cwd, env)
  assert.is(status, 0, `${command} ${args.join(' ')} in ${cwd}\n${stdout}\n${stderr}`.slice(-6000))
  return stdout
}

export const hasCommand = (command: string) =>
  spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

let built = false

/** Builds the binaries that this machine can make for shipping; `npm run test:install` has done so before. */
export function prebuilds(): string {
  const to = path.join(root, 'prebuilds')
  if (!built) run('npm', ['run', '--silent', 'prebuilds'])
  built = true
  return to
}

/** The folder of a package of npm, with no script of it run. */
export function unpack(spec: string): string {
  const to = path.join(folder, 'unpacked', spec.replace(/\W+/g, '-'))
  if (existsSync(to)) return to
  mkdirSync(to, { recursive: true })
  const [made] = JSON.parse(run('npm', ['pack', spec, '--json'], to))
  run('tar', ['xzf', made.filename], to)
  return path.join(to, 'package')
}

let packed = ''

export const pack = () => run('npm', ['run', '--silent', 'package', '--', '--dev'])

/** The package as it is published, but for kernels without machine code. */
export function tarball(): string {
  if (packed) return packed
  prebuilds()
  pack()
  const to = path.join(root, 'build', 'package')
  const name = readdirSync(to).find((file) => file.endsWith('.tgz'))
  assert.ok(name, `a tarball in ${to}`)
  return (packed = path.join(to, name))
}

/** A PATH with node and npm alone: no compiler, no make, no Python, no shell. */
export function bare(): NodeJS.ProcessEnv {
  const bin = path.join(folder, 'bin')
  if (!existsSync(bin)) {
    mkdirSync(bin)
    symlinkSync(process.execPath, path.join(bin, 'node'))
    const npm = run('sh', ['-c', 'command -v npm']).trim()
    symlinkSync(realpathSync(npm), path.join(bin, 'npm'))
  }
  return { PATH: bin, npm_config_build_from_source: '' }
}

/** An empty project with these files. */
export function project(name: string, files: Record<string, string> = {}): string {
  const to = path.join(folder, name)
  mkdirSync(to, { recursive: true })
  const manifest = JSON.stringify({ name: 'stranger', version: '1.0.0', private: true })
  for (const [file, text] of Object.entries({ 'package.json': manifest, ...files })) {
    mkdirSync(path.dirname(path.join(to, file)), { recursive: true })
    writeFileSync(path.join(to, file), text)
  }
  return to
}

/** Installs with scripts disabled and nothing but node and npm on the PATH. */
export function install(to: string, ...what: string[]): void {
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel', 'error']
  run('npm', ['install', '--ignore-scripts', ...quiet, ...what], to, bare())
}

/** Trains a tiny model and lets it write; ends by printing what it wrote as JSON. */
export const trial = `
const run = train({
  data: 'text.txt',
  model: 'nano',
  tokenizer: 'character',
  output: 'model',
  steps: 3,
  device: 'cpu',
})
const losses = []
for await (const event of run) if (event.type === 'step') losses.push(event.loss)
const { model } = await run
console.log(JSON.stringify({ losses, text: await model.complete('The lamp', { maxTokens: 8, seed: 1 }) }))
`

export const text =
  'The lamp is lit, and the ship goes on; the sea is dark and the night is long. '.repeat(99)

/** Checks what `trial` printed. */
export function trained(output: string): { losses: number[]; text: string } {
  const result = JSON.parse(output.trim().split('\n').at(-1)!) as { losses: number[]; text: string }
  assert.is(result.losses.length, 3)
  assert.ok(result.losses[2]! < result.losses[0]!, `losses fall: ${result.losses.join(', ')}`)
  assert.ok(result.text.length > 0)
  return result
}
