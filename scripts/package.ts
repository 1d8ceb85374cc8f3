// Makes build/package/: the tarball that is published, checksums of what it holds, its bill of materials.
//
//   npm run prebuilds && npm run build:image && npm run package
//
//   --dev    takes what binaries and kernels there are; without it, those of a release must all be there
//
// The tarball is packed from a copy of what is shipped, so that nothing else of the checkout comes in.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from './bundle.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const to = path.join(root, 'build', 'package')
const stage = path.join(to, 'stage')
const MOST = 15e6
const addons = ['linux-x64/gptloom.glibc', 'linux-x64/gptloom.musl', 'linux-arm64/gptloom.glibc']

interface Manifest {
  name: string
  version: string
  files: string[]
}

/** What npm prints; on Windows npm is a script, which takes a shell. */
function npm(args: string[], cwd: string): string {
  const shell = process.platform === 'win32'
  return execFileSync('npm', args, { cwd, encoding: 'utf8', shell, maxBuffer: 64 << 20 })
}

/** Why these are not the binaries and kernels of a release. */
function missing(): string[] {
  const lacks = addons
    .filter((addon) => !existsSync(path.join(root, 'prebuilds', `${addon}.node`)))
    .map((addon) => `the addon ${addon}: npm run prebuilds`)
  const manifest = path.join(root, 'prebuilds', 'cuda', 'manifest.json')
  const image = existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')) : undefined
  if (!image?.machineCode?.length) lacks.push('the kernels with machine code: npm run build:image')
  return lacks
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => statSync(path.join(folder, name)).isFile())
    .sort()
}

interface Bill {
  serialNumber?: string
  metadata: { timestamp?: string; component: { 'bom-ref': string } }
  components: { 'bom-ref': string }[]
  dependencies: { ref: string; dependsOn: string[] }[]
}

/**
 * The bill of materials of what is installed with the package. npm makes it of everything, since its own
 * `--omit dev` leaves out what a tool for development needs as well.
 */
function bill(): Bill {
  const whole = JSON.parse(
    npm(['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'], root),
  ) as Bill
  const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<
      string,
      { version: string; dev?: boolean; devOptional?: boolean; peer?: boolean }
    >
  }
  const shipped = new Set([whole.metadata.component['bom-ref']])
  for (const [folder, { version, dev, devOptional, peer }] of Object.entries(lock.packages)) {
    const name = folder.replace(/^node_modules\//, '')
    if (name && !dev && !devOptional && !peer) shipped.add(`${name}@${version}`)
  }
  const dependencies = whole.dependencies
    .filter(({ ref }) => shipped.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((to) => shipped.has(to)) }))
  const components = whole.components.filter((part) => shipped.has(part['bom-ref']))
  // Neither a random number nor the hour: what is packed twice has the same bytes.
  const { serialNumber, metadata, ...rest } = whole
  const { timestamp, ...about } = metadata
  return { ...rest, metadata: about, components, dependencies }
}

async function pack(): Promise<void> {
  rmSync(to, { recursive: true, force: true })
  mkdirSync(stage, { recursive: true })
  const text = readFileSync(path.join(root, 'package.json'), 'utf8')
  const manifest = JSON.parse(text) as Manifest
  for (const name of ['package.json', 'README.md', 'LICENSE', ...manifest.files]) {
    if (name === 'dist' || !existsSync(path.join(root, name))) continue
    cpSync(path.join(root, name), path.join(stage, name), { recursive: true })
  }
  // Built here: what an older build has left in dist stays out, and so do maps to sources.
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const dist = path.join(stage, 'dist')
  execFileSync(process.execPath, [tsc, '-p', root, '--outDir', dist], { stdio: 'inherit' })
  await bundle(dist)
  npm(['pack', '--ignore-scripts', '--silent', '--pack-destination', to], stage)
  const tarball = `${manifest.name}-${manifest.version}.tgz`
  const { size } = statSync(path.join(to, tarball))
  if (size > MOST) throw new Error(`${tarball} has ${size} bytes, at most ${MOST} are wanted`)

  const binaries = files(path.join(stage, 'prebuilds')).map((name) => `stage/prebuilds/${name}`)
  const sums = [tarball, ...binaries].map((name) => {
    const hash = createHash('sha256').update(readFileSync(path.join(to, name)))
    return `${hash.digest('hex')}  ${name.replace('stage/', '')}\n`
  })
  writeFileSync(path.join(to, 'SHA256SUMS'), sums.join(''))
  writeFileSync(path.join(to, 'sbom.cdx.json'), `${JSON.stringify(bill(), null, 2)}\n`)
  rmSync(stage, { recursive: true, force: true })
  console.log(`build/package/${tarball}: ${(size / 1e6).toFixed(1)} MB, with`)
  for (const name of binaries) console.log(`  ${name.replace('stage/', '')}`)
}

try {
  const dev = process.argv.includes('--dev')
  const lacks = dev ? [] : missing()
  if (lacks.length)
    throw new Error(`A release needs\n${lacks.map((lack) => `  ${lack}`).join('\n')}`)
  await pack()
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
