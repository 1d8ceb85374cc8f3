// Makes the addons that the package ships: prebuilds/<platform>-<arch>/, by prebuildify.
//
//   npm run prebuilds                   on Linux x64: linux-x64 and linux-arm64, for glibc 2.28 and newer,
//                                       and linux-x64-musl; elsewhere: this machine's own
//   npm run prebuilds -- linux-arm64    only what is named
//   npm run prebuilds -- --to FOLDER    into another folder than the checkout
//
// One that is newer than what it is made of is kept. Each is built in a folder of its own, from a copy of
// what the package ships: prebuildify wipes `build`, and what does not depend on the checkout can be built
// twice with the same bytes.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const NODE = '20.19.0'
const sources = ['package.json', 'binding.gyp', 'native', 'cuda']
const tools = ['exports.map', 'glibc.h', 'musl.sh', 'prebuild.ts', 'sysroot.sh']
const own = `${process.platform}-${process.arch}`

interface Target {
  /** The folder of prebuilds/. */
  platform: string
  libc?: 'glibc' | 'musl'
  /** What the compilers of scripts/sysroot.sh or scripts/musl.sh are called. */
  triple?: string
}

const linux: Record<string, Target> = {
  'linux-x64': { platform: 'linux-x64', libc: 'glibc', triple: 'x86_64-linux-gnu' },
  'linux-arm64': { platform: 'linux-arm64', libc: 'glibc', triple: 'aarch64-linux-gnu' },
  'linux-x64-musl': { platform: 'linux-x64', libc: 'musl', triple: 'x86_64-linux-musl' },
}
const targets: Record<string, Target> = own === 'linux-x64' ? linux : { [own]: { platform: own } }

function run(command: string, args: string[], env: NodeJS.ProcessEnv, cwd = root): void {
  const { status, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status === 0) return
  throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}`)
}

/** A folder of build/ with compilers, made by the script of its name. */
function compilers(name: string): string {
  const folder = path.join(root, 'build', name)
  run('bash', [path.join(root, 'scripts', `${name}.sh`), folder], {})
  return path.join(folder, 'bin')
}

/** Compilers, and flags for a binary that brings its own C++ library. */
function toolchain({ libc, triple }: Target): NodeJS.ProcessEnv {
  if (!triple) return {}
  const gnu = compilers('sysroot')
  const bin = libc === 'musl' ? compilers('musl') : gnu
  const common = {
    CC: path.join(bin, `${triple}-gcc`),
    CXX: path.join(bin, `${triple}-g++`),
    PREBUILD_LIBC: libc,
    JOBS: 'max',
  }
  const shown = `-Wl,--version-script=${path.join(root, 'scripts', 'exports.map')}`
  if (libc === 'musl') {
    const PREBUILD_STRIP_BIN = path.join(gnu, 'x86_64-linux-gnu-strip')
    return { ...common, LDFLAGS: shown, PREBUILD_STRIP_BIN }
  }
  return {
    ...common,
    AR: path.join(bin, `${triple}-ar`),
    PREBUILD_STRIP_BIN: path.join(bin, `${triple}-strip`),
    CXXFLAGS: `-include ${path.join(root, 'scripts', 'glibc.h')}`,
    LDFLAGS: `-static-libstdc++ -static-libgcc ${shown}`,
  }
}

/** Whether nothing of what an addon is made of is newer than it. */
function fresh(binary: string): boolean {
  const files = sources.flatMap((name) =>
    statSync(path.join(root, name)).isDirectory()
      ? readdirSync(path.join(root, name), { recursive: true, encoding: 'utf8' }).map((file) =>
          path.join(name, file),
        )
      : [name],
  )
  const made = [...files, ...tools.map((tool) => path.join('scripts', tool))]
  const time = (file: string) => statSync(file).mtimeMs
  return existsSync(binary) && made.every((file) => time(path.join(root, file)) < time(binary))
}

function prebuild(name: string, out: string): void {
  const target = targets[name]
  if (!target) {
    const known = Object.keys(targets).join(', ')
    throw new RangeError(`Expected one of ${known} for the addon to build, received ${name}`)
  }
  const [platform, arch] = target.platform.split('-') as [string, string]
  const tags = target.libc ? `.${target.libc}` : ''
  const binary = path.join(out, 'prebuilds', target.platform, `gptloom${tags}.node`)
  if (fresh(binary)) return
  const env = toolchain(target)
  const folder = mkdtempSync(path.join(tmpdir(), 'gptloom-prebuild-'))
  try {
    for (const source of sources) {
      cpSync(path.join(root, source), path.join(folder, source), { recursive: true })
    }
    symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'junction')
    const prebuildify = path.join(root, 'node_modules', 'prebuildify', 'bin.js')
    mkdirSync(path.dirname(binary), { recursive: true })
    rmSync(binary, { force: true })
    const options = ['--napi', '--strip', '-t', NODE, '--cwd', folder, '--out', out]
    if (target.libc) options.push('--tag-libc')
    run(process.execPath, [prebuildify, ...options, '--platform', platform, '--arch', arch], env)
    if (!existsSync(binary)) throw new Error(`prebuildify did not write ${binary}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

try {
  const { values, positionals } = parseArgs({
    options: { to: { type: 'string', default: root } },
    allowPositionals: true,
  })
  const names = positionals.length ? positionals : Object.keys(targets)
  for (const name of names) prebuild(name, path.resolve(values.to))
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
