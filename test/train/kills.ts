// Runs that are killed again and again, at moments that no code chose, each resumed until it ends:
// npm run test:kills [-- count]. The test beside it does the same with fewer.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { train } from '../../lib/index.js'
import { Random } from '../../lib/random.js'
import { finish, fresh, nano, start, strays, textFile, weights } from './nano.js'

/** What came of it: every hash must be that of the run that nobody disturbed. */
export interface Killed {
  kills: number
  /** Kills that left a file or folder half-written. */
  inWrites: number
  /** Kills before the process had said anything: while it took up what was there. */
  early: number
  /** Runs that came to their end, the last of them included. */
  ends: number
  expected: string
  /** Of the final weights and of the last checkpoint, for each run that ended. */
  hashes: string[]
  /** Temporary files that the runs that ended have left. */
  left: string[]
}

// Saved and evaluated all the time, so that most moments fall into a write.
const options = nano({
  data: textFile(),
  steps: 400,
  evaluateEvery: 2,
  evaluateTokens: 64,
  checkpointEvery: 1,
  seed: 9,
  accumulate: 2,
  model: { dropout: 0.1, width: 48, layers: 3 },
})

function hash(output: string): string {
  const last = readdirSync(join(output, 'checkpoints')).at(-1)!
  const sum = createHash('sha256').update(last).update(weights(output))
  for (const name of ['model.safetensors', 'optimizer.safetensors'])
    sum.update(weights(join(output, 'checkpoints', last), name))
  return sum.digest('hex')
}

/**
 * @param seed of the moments
 * @param onKill hears of each
 */
export async function killAndResume(
  count: number,
  seed: number,
  onKill: (kills: number) => void = () => {},
): Promise<Killed> {
  const { model } = await train({ ...options, output: options.output })
  model.dispose()
  const random = new Random(seed)
  const expected = hash(options.output)
  const result: Killed = {
    kills: 0,
    inWrites: 0,
    early: 0,
    ends: 0,
    expected,
    hashes: [],
    left: [],
  }
  let output = fresh()
  const ended = () => {
    result.ends++
    result.hashes.push(hash(output))
    result.left.push(...strays(output))
  }
  while (result.kills < count) {
    const fate = await killed(output, random)
    if (fate === 'ended') {
      ended()
      output = fresh() // there is more to kill
      continue
    }
    onKill(++result.kills)
    if (fate === 'early') result.early++
    if (existsSync(output) && strays(output).length > 0) result.inWrites++
  }
  const { code, err } = await finish(start('train', { ...options, output, resume: true }))
  if (code !== 0) throw new Error(`the last run failed: ${err}`)
  ended()
  return result
}

/** Starts or resumes the run and kills it at a random moment, if that comes before its end. */
async function killed(output: string, random: Random): Promise<'early' | 'killed' | 'ended'> {
  const child = start('train', { ...options, output, resume: true })
  const end = finish(child)
  let spoke = false
  const first = new Promise<void>((resolve) => {
    const heard = (said: boolean) => {
      spoke ||= said
      resolve()
    }
    child.stdout.once('data', () => heard(true)).once('close', () => heard(false))
  })
  // Mostly from the first event on, so that every run gets somewhere however slow the machine is.
  if (random.uniform() < 0.1) await setTimeout(random.uniform() * 1500)
  else {
    await first
    await setTimeout(random.uniform() * 400)
  }
  child.kill('SIGKILL')
  const { signal, code, err } = await end
  if (signal === 'SIGKILL') return spoke ? 'killed' : 'early'
  if (code !== 0) throw new Error(`a resumed run failed: ${err}`)
  return 'ended'
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const seed = Date.now()
  const started = performance.now()
  const count = Number(process.argv[2] ?? 200)
  const onKill = (kills: number) => {
    if (kills % 10 === 0) console.log(`${kills} of ${count}`)
  }
  const { hashes, ...found } = await killAndResume(count, seed, onKill)
  const same = hashes.every((hash) => hash === found.expected)
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(JSON.stringify({ seed, seconds, ...found, same }))
  if (!same || found.left.length > 0) process.exitCode = 1
}
