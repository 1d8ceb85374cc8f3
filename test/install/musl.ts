// A JavaScript runtime on musl, to try the addon in. npm has no Node for it, but Bun, which loads the same
// addons. It wants musl's loader, which scripts/sysroot.sh unpacks, and a C++ library for musl, of which
// nobody has one: the few functions that Bun takes from it are linked from GCC's, since they ask little of
// the C library.
import { symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { project, run, sysroot, unpack } from './packed.js'

// Ends of a program that is wrong, which GCC 10 does not have yet.
const shim = ['_ZSt28__throw_bad_array_new_lengthv', '_ZSt21__glibcxx_assert_failPKciS0_S0_']

/** What to put before the name of a script. */
export function bunOnMusl(): string[] {
  const bun = path.join(unpack('@oven/bun-linux-x64-musl@1.4.5'), 'bin', 'bun')
  const libraries = project('musl', {
    'shim.c': shim.map((name) => `void ${name}(void) { __builtin_trap(); }\n`).join(''),
  })
  const loader = path.join(sysroot, 'root', 'lib', 'ld-musl-x86_64.so.1')
  symlinkSync(loader, path.join(libraries, 'libc.musl-x86_64.so.1'))

  const tool = (name: string) => path.join(sysroot, 'bin', `x86_64-linux-gnu-${name}`)
  const part = (name: string) => run(tool('gcc'), [`-print-file-name=${name}`]).trim()
  const wanted = run(tool('objdump'), ['-T', bun])
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    // What it lacks, and types of which it has copies.
    .filter((words) => words.includes('*UND*') || words.at(-1)!.startsWith('_ZTVN10__cxxabi'))
    .map((words) => words.at(-1)!)
    .filter((name) => /^(_Z|__cxa_(?!finalize)|__gxx|__dynamic)/.test(name) && !shim.includes(name))
  writeFileSync(path.join(libraries, 'wanted'), wanted.map((name) => `-u ${name}\n`).join(''))
  const objects = ['libstdc++.a', 'libgcc_eh.a', 'libgcc.a', 'crtendS.o'].map(part)
  const options = ['-shared', '-fPIC', '-nostdlib', '-Wl,-soname,libstdc++.so.6', '@wanted']
  const inputs = [part('crtbeginS.o'), 'shim.c', ...objects]
  run(tool('gcc'), [...options, '-o', 'libstdc++.so.6', ...inputs], libraries)
  return [loader, '--library-path', libraries, bun]
}
