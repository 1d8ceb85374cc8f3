// Bundles lib/ into dist/: Node takes half a millisecond to load a module, and there are two hundred. What
// several entries hold is in chunks that they share, so that a class is the same in all of them. Nothing is
// minified, and dependencies stay outside.
//
//   npm run build:js
import { build } from 'esbuild'
import type { BuildOptions } from 'esbuild'
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const lib = path.join(root, 'lib')

interface Manifest {
  exports: Record<string, string | { default: string }>
  bin: Record<string, string>
}

/** The exports and the commands. */
function entries(): string[] {
  const { exports, bin } = JSON.parse(
    readFileSync(path.join(root, 'package.json'), 'utf8'),
  ) as Manifest
  const targets = Object.values(exports).flatMap((target) =>
    typeof target === 'string' ? [] : [target.default],
  )
  return [...targets, ...Object.values(bin)].map((file) =>
    path.join(lib, path.relative('dist', file).replace(/\.js$/, '.ts')),
  )
}

/** The modules that threads serve by. */
function threads(): string[] {
  const sources = (readdirSync(lib, { recursive: true }) as string[])
    .filter((name) => name.endsWith('.ts'))
    .map((name) => path.join(lib, name))
  return sources.filter((file) => /^export function serve\(/m.test(readFileSync(file, 'utf8')))
}

/** @param sourcemap whether maps to the sources are written too */
export async function bundle(folder: string, { sourcemap = false } = {}): Promise<void> {
  for (const name of readdirSync(folder, { recursive: true }) as string[])
    if (/\.js(\.map)?$/.test(name)) rmSync(path.join(folder, name))
  const options: BuildOptions = {
    outdir: folder,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    sourcemap,
    sourcesContent: false,
    logLevel: 'warning',
  }
  await build({ ...options, entryPoints: entries(), outbase: lib, splitting: true })
  // Each in one file of its own: shared with them, the chunks of the others would be twice as many.
  await build({ ...options, entryPoints: threads(), entryNames: '[name]' })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await bundle(path.join(root, 'dist'), { sourcemap: true })
