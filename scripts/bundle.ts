// Bundles lib/ into dist/: Node takes half a millisecond to load a module, and there are two hundred. What
// several entries hold is in chunks that they share, so that a class is the same in all of them. Nothing is
// minified, and dependencies stay outside.
//
//   npm run build:js
import { build } from 'esbuild'
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const lib = path.join(root, 'lib')

interface Manifest {
  exports: Record<string, string | { default: string }>
  bin: Record<string, string>
}

/** What is loaded from outside: the exports, the commands, and the modules that threads serve by. */
function entries(): string[] {
  const { exports, bin } = JSON.parse(
    readFileSync(path.join(root, 'package.json'), 'utf8'),
  ) as Manifest
  const built = [
    ...Object.values(exports).flatMap((target) =>
      typeof target === 'string' ? [] : [target.default],
    ),
    ...Object.values(bin),
  ]
  const threads = (readdirSync(lib, { recursive: true }) as string[]).filter(
    (name) =>
      name.endsWith('.ts') &&
      /^export function serve\(/m.test(readFileSync(path.join(lib, name), 'utf8')),
  )
  return [
    ...built.map((file) => path.relative('dist', file).replace(/\.js$/, '.ts')),
    ...threads,
  ].map((name) => path.join(lib, name))
}

/** @param sourcemap whether maps to the sources are written too */
export async function bundle(folder: string, { sourcemap = false } = {}): Promise<void> {
  for (const name of readdirSync(folder, { recursive: true }) as string[])
    if (/\.js(\.map)?$/.test(name)) rmSync(path.join(folder, name))
  await build({
    entryPoints: entries(),
    outbase: lib,
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    sourcemap,
    sourcesContent: false,
    logLevel: 'warning',
  })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  await bundle(path.join(root, 'dist'), { sourcemap: true })
