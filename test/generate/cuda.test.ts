// device: cuda
// timeout: 900
//
// Writing, reading and judging on the GPU: what the CPU says of the same model, and texts at once are
// the texts alone.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rowLosses } from '../../lib/evaluate/losses.js'
import { LanguageModel } from '../../lib/index.js'
import type { Rendered } from '../../lib/tokenizer/index.js'
import { GPT2, resolveModel } from '../../lib/models/index.js'
import { cpu } from '../../lib/tensor/index.js'
import type { Device } from '../../lib/tensor/index.js'
import { chatml, trainTokenizer } from '../../lib/tokenizer/index.js'
import { openCuda, skipsCuda } from '../tensor/cuda.js'

const text = 'How are you today? I am fine, thank you. Where is the red lamp? It is here. '.repeat(
  9,
)
const tokenizer = await trainTokenizer([text], {
  size: 290,
  special: ['<|endoftext|>', ...chatml.special],
})

/** Weights large enough that choices depend on what was read. */
async function build(device: Device, precision: 'float32' | 'bfloat16' = 'float32') {
  const config = resolveModel({ layers: 2, heads: 3, width: 48, context: 96 }, tokenizer.size)
  const source = await new GPT2(config, cpu(), 4).state()
  for (const [name, values] of source)
    if (!/ln_|bias/.test(name)) source.set(name, values.map((x) => x * 20)) // prettier-ignore
  const network = new GPT2(config, device, 4, precision)
  network.loadState(source)
  return new LanguageModel(network, tokenizer, chatml)
}

const apart = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  assert.is(a.length, b.length)
  let most = 0
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!))
  return most
}

if (skipsCuda()) {
  test('nothing without a GPU', () => {})
} else {
  const device = openCuda()
  const [here, there] = [await build(cpu()), await build(device)]
  const long = { maxTokens: 100, temperature: 0 } // beyond the context of 96

  test('the likeliest text is the CPU’s, beyond the context too; the same seed, the same text', async () => {
    const expected = await here.complete('How are', long)
    assert.ok(new Set(expected).size > 4, expected)
    assert.is(await there.complete('How are', long), expected)
    const drawn = { maxTokens: 30, temperature: 1, seed: 3 }
    assert.is(await there.complete('Where', drawn), await there.complete('Where', drawn))
  })

  for (const precision of ['float32', 'bfloat16'] as const)
    test(`n texts at once are the n texts alone: ${precision}`, async () => {
      const model = precision === 'float32' ? there : await build(device, precision)
      const options = { maxTokens: 30, temperature: 1, topP: 0.95, repetitionPenalty: 1.1 }
      const together = await model.completions('How are', { ...options, seed: 7, n: 3 })
      for (const [i, completion] of together.entries())
        assert.equal(
          completion,
          (await model.completions('How are', { ...options, seed: 7 + i }))[0],
        )
      assert.ok(new Set(together.map(({ text }) => text)).size > 1)
    })

  test('different prompts at once are each alone', async () => {
    const options = { maxTokens: 8, temperature: 0 }
    const prompts = ['How', 'Where is the red', 'It']
    const alone: string[] = []
    for (const prompt of prompts) alone.push(await there.complete(prompt, options))
    const encoded = prompts.map((prompt) => tokenizer.encode(prompt))
    assert.equal(await there.completeEach(encoded, options), alone)
  })

  test('a session goes on from its cache', async () => {
    const answers = async (model: LanguageModel) => {
      const session = model.session({ system: 'Be brief.' })
      const said: string[] = []
      for (const question of ['Hi', 'And?']) {
        let answer = ''
        for await (const piece of session.say(question, { maxTokens: 4, temperature: 0 }))
          answer += piece
        said.push(answer)
      }
      return said
    }
    assert.equal(await answers(there), await answers(here))
  })

  test('score, logits and embed are the CPU’s', async () => {
    const short = text.slice(0, 40)
    const [a, b] = [await here.logits(short), await there.logits(short)]
    assert.ok(apart(a.values, b.values) < 1e-3)
    const [mine, theirs] = [await there.score(text), await here.score(text)]
    assert.ok(Math.abs(mine.logLikelihood / theirs.logLikelihood - 1) < 1e-5)
    assert.ok(apart(await there.embed(short), await here.embed(short)) < 1e-3)
  })

  test('rows that are read together are the rows alone and the CPU’s, within 1e-6', async () => {
    const rows = Array.from({ length: 40 }, (_, i): Rendered => {
      const length = 2 + ((i * 7) % 23)
      return {
        tokens: Int32Array.from({ length }, (_, t) => (i * 31 + t * 17) % tokenizer.size),
        learn: Uint8Array.from({ length }, (_, t) => Number(i % 3 === 0 || t % i > 0)),
      }
    })
    const together = await rowLosses(there, rows)
    const cpus = await rowLosses(here, rows)
    const close = (a: number, b: number, what: string) =>
      assert.ok(Math.abs(a - b) <= 1e-6 * (1 + b), `${what}: ${a}, ${b}`)
    for (const [i, row] of rows.entries()) {
      close(together[i]!.nats, cpus[i]!.nats, `row ${i} on the CPU`)
      const [alone] = i % 8 === 0 ? await rowLosses(there, [row]) : [together[i]!]
      close(together[i]!.nats, alone!.nats, `row ${i} alone`)
    }
  })
}

test.run()
