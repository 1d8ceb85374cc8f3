// The public surface of the package, written down: docs/api/<entry>.api.md, so that a change of it shows in
// the diff. `npm run api` brings the files up to date; with --check nothing is written and a change fails.
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const folder = path.join(root, 'docs', 'api')
const fresh = path.join(root, 'build', 'api')
const check = process.argv.includes('--check')

interface Manifest {
  exports: Record<string, string | { types: string }>
}

/** Extracts the report of one entry to build/api, and returns it. */
function report(name: string, types: string): string {
  const none = { enabled: false }
  const config = ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: path.join(root, 'package.json'),
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: path.join(root, types),
      compiler: { tsconfigFilePath: path.join(root, 'tsconfig.json') },
      apiReport: {
        enabled: true,
        reportFileName: name,
        reportFolder: fresh,
        reportTempFolder: path.join(fresh, 'temp'),
      },
      docModel: none,
      dtsRollup: none,
      tsdocMetadata: none,
      messages: {
        compilerMessageReporting: { default: { logLevel: 'none' as never } },
        extractorMessageReporting: { default: { logLevel: 'none' as never } },
        tsdocMessageReporting: { default: { logLevel: 'none' as never } },
      },
    },
  })
  Extractor.invoke(config, { localBuild: true, showVerboseMessages: false, messageCallback: quiet })
  return readFileSync(path.join(fresh, `${name}.api.md`), 'utf8').replaceAll('\r\n', '\n')
}

function quiet(message: { logLevel: string; handled: boolean; text: string }): void {
  if (message.logLevel === 'error') console.error(message.text)
  message.handled = true
}

mkdirSync(fresh, { recursive: true })
mkdirSync(folder, { recursive: true })
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Manifest
let changed = 0
for (const [entry, target] of Object.entries(manifest.exports)) {
  if (typeof target === 'string') continue
  const name = entry === '.' ? 'gptloom' : entry.slice(2)
  const text = report(name, target.types)
  const file = path.join(folder, `${name}.api.md`)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  changed++
  console.log(`${check ? 'differs' : 'written'}: docs/api/${name}.api.md`)
  if (!check) writeFileSync(file, text)
}
rmSync(fresh, { recursive: true, force: true })
if (check && changed) {
  console.error(
    'The public API is not what docs/api says: run npm run api, look at the diff, say it in CHANGELOG.md',
  )
  process.exitCode = 1
}
