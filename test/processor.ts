// For tests of how much work something is: neither the disk nor what else the machine does counts.

/** Seconds of processor time that a call takes, all threads together. */
export async function processorSeconds(body: () => unknown): Promise<number> {
  const before = process.cpuUsage()
  await body()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

/**
 * How many times the work of a plain loop over the letters of the text a call is, so that a slow processor
 * does not count either. The least of some turns of both.
 */
export async function timesPlainLoop(text: string, body: () => unknown): Promise<number> {
  const repeats = Math.ceil(2e7 / text.length) // some hundredths of a second
  let sum = 0
  const loop = () => {
    let hash = 0
    for (let i = 0; i < repeats; i++)
      for (let at = 0; at < text.length; at++)
        hash = Math.imul(hash ^ text.charCodeAt(at), 16777619)
    sum += hash
  }
  let [plain, called] = [Infinity, Infinity]
  for (let turn = 0; turn < 6; turn++) {
    plain = Math.min(plain, (await processorSeconds(loop)) / repeats)
    called = Math.min(called, await processorSeconds(body))
  }
  if (!Number.isInteger(sum)) throw new Error('the loop was left out')
  return called / plain
}
