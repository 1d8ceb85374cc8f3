// Makes the addons that the package ships: prebuilds/<platform>-<arch>/, by prebuildify.
//
//   npm run prebuilds                   on Linux x64: linux-x64 and linux-arm64, for glibc 2.28 and newer;
//                                       elsewhere: this machine's own
//   npm run prebuilds -- linux-arm64    only what is named
//
// Each is built in a folder of its own, from a copy of what the package ships: prebuildify wipes `build`, and
// what does not depend on the checkout can be built twice with the same bytes.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const NODE = '20.19.0'
const triples: Record<string, string> = {
  'linux-x64': 'x86_64-linux-gnu',
  'linux-arm64': 'aarch64-linux-gnu',
}
const own = `${process.platform}-${process.arch}`
const sysroot = path.join(root, 'build', 'sysroot')

function run(command: string, args: string[], env: NodeJS.ProcessEnv, cwd = root): void {
  const { status, error } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status === 0) return
  throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}`)
}

/** The compilers of scripts/sysroot.sh, and flags for a binary that brings its own C++ library. */
function toolchain(triple: string): NodeJS.ProcessEnv {
  run('bash', [path.join(root, 'scripts', 'sysroot.sh'), sysroot], {})
  const tool = (name: string) => path.join(sysroot, 'bin', `${triple}-${name}`)
  return {
    CC: tool('gcc'),
    CXX: tool('g++'),
    AR: tool('ar'),
    PREBUILD_STRIP_BIN: tool('strip'),
    PREBUILD_LIBC: 'glibc',
    JOBS: 'max',
    CXXFLAGS: `-include ${path.join(root, 'scripts', 'glibc.h')}`,
    LDFLAGS: '-static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL',
  }
}

function prebuild(target: string): void {
  const triple = triples[target]
  if (target !== own && !triple) {
    const known = [...new Set([own, ...Object.keys(triples)])].join(', ')
    throw new RangeError(`Expected one of ${known} for the platform to build, received ${target}`)
  }
  const env = triple && process.platform === 'linux' ? toolchain(triple) : {}
  const folder = mkdtempSync(path.join(tmpdir(), 'gptloom-prebuild-'))
  try {
    for (const name of ['package.json', 'binding.gyp', 'native', 'cuda']) {
      cpSync(path.join(root, name), path.join(folder, name), { recursive: true })
    }
    symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'), 'junction')
    const [platform, arch] = target.split('-') as [string, string]
    const prebuildify = path.join(root, 'node_modules', 'prebuildify', 'bin.js')
    const to = path.join(root, 'prebuilds', target)
    rmSync(to, { recursive: true, force: true })
    mkdirSync(to, { recursive: true })
    const options = ['--napi', '--strip', '--tag-libc', '-t', NODE, '--cwd', folder, '--out', root]
    const machine = ['--platform', platform, '--arch', arch]
    run(process.execPath, [prebuildify, ...options, ...machine], env)
    if (!existsSync(to)) throw new Error(`prebuildify wrote nothing to ${to}`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const named = process.argv.slice(2)
const all = own === 'linux-x64' ? Object.keys(triples) : [own]
try {
  for (const target of named.length ? named : all) prebuild(target)
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
