import { cpu } from '../../lib/tensor/index.js'
import type { Device } from '../../lib/tensor/index.js'

/** The devices that must agree to the bit: as many threads as there are, 1 and 3. */
export const devices: Device[] = [cpu(), cpu({ threads: 1 }), cpu({ threads: 3 })]

/** What throws, rejects or does not: the error, or undefined. */
export async function failure(
  body: () => unknown,
): Promise<(Error & { code?: string }) | undefined> {
  try {
    await body()
  } catch (error) {
    return error as Error
  }
  return undefined
}
