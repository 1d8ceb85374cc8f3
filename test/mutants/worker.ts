// A process that tries mutants of the images on the subjects. It says { ready: kernels } first, the
// kernels that any subject launches; for each Task it answers
// { id, noticed }: who noticed, and why, or empty.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Edit } from '../ptx/sites.js'
import { imageOf } from './images.js'
import { complaint, subjects } from './subjects.js'

export interface Task {
  id: number
  family: string
  /** The kernels that the edits are of. */
  kernels: string[]
  edits: Edit[]
  /** How many cases are tried at most, the cheapest first; all without it. */
  most?: number
}

export interface Answer {
  id: number
  noticed: string
}

const scratch = process.argv[2]!
const log = path.join(scratch, 'launches.jsonl')

async function main(): Promise<void> {
  const all = await subjects(log, scratch, new RegExp(process.env.MUTANTS_CASES ?? ''))
  const tried = async ({ family, kernels, edits, most }: Task): Promise<string> => {
    const launching = all.filter((subject) => kernels.some((name) => subject.kernels.has(name)))
    for (const subject of launching.slice(0, most)) {
      const image = path.join(subject.folder, `${family}.fatbin`)
      writeFileSync(image, imageOf(family, subject.kernels, edits))
      const why = await complaint(subject)
      writeFileSync(image, imageOf(family, subject.kernels))
      if (!why) continue
      if (!subject.isSound) {
        const without = await complaint(subject)
        if (without) throw new Error(`${subject.name}: not the same twice: ${without}`)
        subject.isSound = true
      }
      return `${subject.name}: ${why}`
    }
    return ''
  }
  process.on('message', (task: Task) => {
    void tried(task).then((noticed) => process.send!({ id: task.id, noticed } satisfies Answer))
  })
  process.send!({ ready: [...new Set(all.flatMap(({ kernels }) => [...kernels]))] })
}

void main()
