// Mutation of PTX: drops one barrier, wait, fence or condition at a time, and asks a command whether
// it notices.
//
//   node --import tsx test/ptx/mutate.ts <image> <harmless.json> <command> [arguments ...]
//
// The image is PTX text or a fat binary with uncompressed PTX; what is dropped is overwritten with
// spaces, so that nothing moves. The command is run with `{}` replaced by the mutated image's path
// and must fail for each mutant, by a wrong result or by a check of the emulator. A mutant that it
// lets pass must stand in harmless.json, { "<kernel>: <statement> #<n>": "why it is harmless" };
// one that stands there and is noticed is an error too. A name that ends in * leaves out all that
// begin with it, as kernels whose bugs are planted. MUTATE_TARGET (80) names the PTX that runs.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Mutant {
  /** Kernel, statement without registers, and its number among those of the kernel. */
  name: string
  /** Bytes of the image that become spaces. */
  from: number
  to: number
}

const dropped = [
  /\b(?:bar(?:rier)?(?:\.cta)?\.sync(?:\.aligned)?|bar\.warp\.sync|barrier\.cluster\.\w+)\b[^;]*;/g,
  /\bcp\.async\.(?:bulk\.)?wait_(?:group|all)\b[^;]*;/g,
  /\b(?:membar|fence)\.[^;]*;/g,
  /@!?%?\w+\s+bra\b[^;]*;/g,
  /@!?%?\w+(?=\s+(?!bra\b)\w)/g,
]

/** Where the PTX for `target` lies in an image: up to the next NUL or the end. */
function extent(image: string, target: number): [number, number] {
  const found = new RegExp(`\\.target\\s+sm_${target}\\b`).exec(image)
  if (!found) throw new Error(`The image holds no PTX for sm_${target}`)
  const end = image.indexOf('\0', found.index)
  return [found.index, end < 0 ? image.length : end]
}

/** Every mutant of an image's PTX, in the order of the text. */
export function mutants(image: string, target = 80): Mutant[] {
  const [begin, end] = extent(image, target)
  // Comments and strings hold no statements; blanked, they keep their length.
  const text = image
    .slice(begin, end)
    .replace(/\/\/[^\n]*|"[^"\n]*"/g, (match) => ' '.repeat(match.length))
  const kernels = [...text.matchAll(/\.(?:entry|func)\b[^;{]*?([A-Za-z_$][\w$]*)\s*\(/g)]
  const found: { at: number; length: number; label: string }[] = []
  for (const pattern of dropped) {
    for (const match of text.matchAll(pattern)) {
      const kernel = kernels.filter((entry) => entry.index < match.index).at(-1)?.[1] ?? ''
      const next = /^\s+([\w.:]+)/.exec(text.slice(match.index + match[0].length))?.[1]
      const words = match[0].startsWith('@')
        ? `@ ${/\bbra\b/.test(match[0]) ? 'bra' : next}`
        : match[0].replace(/\s+/g, ' ').replace(/%\w+/g, '%').replace(/;$/, '')
      found.push({
        at: begin + match.index,
        length: match[0].length,
        label: `${kernel}: ${words}`,
      })
    }
  }
  found.sort((a, b) => a.at - b.at)
  const counts = new Map<string, number>()
  return found.map(({ at, length, label }) => {
    const number = (counts.get(label) ?? 0) + 1
    counts.set(label, number)
    return { name: `${label} #${number}`, from: at, to: at + length }
  })
}

function succeeds(command: string[], env: NodeJS.ProcessEnv): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command[0]!, command.slice(1), { env, stdio: 'ignore', timeout: 120_000 })
    child.on('error', () => resolve(false))
    child.on('close', (code) => resolve(code === 0))
  })
}

/** Runs the command on each mutant, two at a time; returns how many there were, and complaints. */
export async function survey(
  imagePath: string,
  harmless: Record<string, string>,
  command: string[],
  env: NodeJS.ProcessEnv = {},
  target = 80,
): Promise<{ count: number; complaints: string[] }> {
  const image = readFileSync(imagePath)
  const left = Object.keys(harmless).filter((name) => name.endsWith('*'))
  const every = mutants(image.toString('latin1'), target)
  const list = every.filter(({ name }) => !left.some((head) => name.startsWith(head.slice(0, -1))))
  const complaints: string[] = []
  const folder = mkdtempSync(path.join(tmpdir(), 'mutants-'))
  // A mutant may never end: the emulator stops it.
  const all = { EMULATOR_WATCHDOG: String(2 ** 28), EMULATOR_THREADS: '1', ...process.env, ...env }
  const run = (file: string) =>
    succeeds(
      command.map((word) => word.replace('{}', file)),
      all,
    )
  try {
    if (!(await run(imagePath))) throw new Error('The command fails on the image itself')
    const names = new Set(list.map((mutant) => mutant.name))
    for (const name of Object.keys(harmless)) {
      if (!name.endsWith('*') && !names.has(name))
        complaints.push(`${name}: listed as harmless, and there is none`)
    }
    let next = 0
    const work = async (worker: number) => {
      const file = path.join(folder, `${worker}${path.extname(imagePath)}`)
      for (let k = next++; k < list.length; k = next++) {
        const { name, from, to } = list[k]!
        writeFileSync(file, Buffer.from(image).fill(' ', from, to))
        const passes = await run(file)
        if (passes && !(name in harmless)) complaints.push(`${name}: dropped, and nobody notices`)
        if (!passes && name in harmless) complaints.push(`${name}: listed as harmless, and noticed`)
      }
    }
    await Promise.all([work(0), work(1)])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return { count: list.length, complaints: complaints.sort() }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [image, harmless, ...command] = process.argv.slice(2)
  if (!image || !harmless || !command.length) {
    console.error('usage: mutate.ts <image> <harmless.json> <command> [arguments ...]')
    process.exit(2)
  }
  const list = JSON.parse(readFileSync(harmless, 'utf8')) as Record<string, string>
  const target = Number(process.env.MUTATE_TARGET ?? 80)
  const { count, complaints } = await survey(image, list, command, {}, target)
  for (const line of complaints) console.error(line)
  console.log(`${count} mutants, ${complaints.length} complaints`)
  process.exit(complaints.length ? 1 : 0)
}
