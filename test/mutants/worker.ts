// A process that tries mutants of the images on the subjects. It says { ready: kernels } first, the
// kernels that any subject launches; for each { id, family, kernels, edits } it answers
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
}

export interface Answer {
  id: number
  noticed: string
}

const scratch = process.argv[2]!
const log = path.join(scratch, 'launches.jsonl')

async function main(): Promise<void> {
  const all = await subjects(log, scratch)
  const tried = async ({ family, kernels, edits }: Task): Promise<string> => {
    for (const subject of all) {
      if (!kernels.some((kernel) => subject.kernels.has(kernel))) continue
      const image = path.join(subject.folder, `${family}.fatbin`)
      writeFileSync(image, imageOf(family, subject.kernels, edits))
      const why = await complaint(subject)
      writeFileSync(image, imageOf(family, subject.kernels))
      if (why) return `${subject.name}: ${why}`
    }
    return ''
  }
  process.on('message', (task: Task) => {
    void tried(task).then((noticed) => process.send!({ id: task.id, noticed } satisfies Answer))
  })
  process.send!({ ready: [...new Set(all.flatMap(({ kernels }) => [...kernels]))] })
}

void main()
