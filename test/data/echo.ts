// The work of the threads in crew.test.ts.
import { setTimeout } from 'node:timers/promises'
import { answer } from '../../lib/data/crew.js'
import { GptloomError } from '../../lib/errors.js'

export interface Batch {
  number: number
  wait?: number
  what?: 'throw' | 'refuse' | 'exit'
}

export interface Answer {
  number: number
  name: string
  bytes: Uint8Array
}

/** Waits as long as it is told, and says who was asked. */
export function echo(name: string) {
  return async ({ number, wait = 1, what }: Batch): Promise<Answer> => {
    await setTimeout(wait)
    if (what === 'throw') throw new RangeError(`number ${number}`)
    if (what === 'refuse') throw new GptloomError('ERR_TEMPLATE', `refused ${number}`)
    if (what === 'exit') process.exit(3)
    return { number, name, bytes: new Uint8Array(8).fill(number) }
  }
}

export function serve(setup: { name: string }): void {
  answer(echo(setup.name))
}
