import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Penalties } from '../../lib/generate/penalties.js'
import { StopFinder, checkStops } from '../../lib/generate/stop.js'
import fc from '../properties.js'

test('however a text is cut, it ends before its first stop string and nothing is lost', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c') })
  const stops = fc.array(
    fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }),
    {
      maxLength: 3,
    },
  )
  fc.assert(
    fc.property(fc.array(letters), stops, (pieces, stops) => {
      const text = pieces.join('')
      const finder = new StopFinder(stops)
      let out = ''
      // What stands in later pieces cannot end a text that was already found to end.
      let first = Infinity
      let seen = ''
      for (const piece of pieces) {
        seen += piece
        const at = Math.min(...stops.map((stop) => seen.indexOf(stop)).filter((at) => at >= 0))
        first = Math.min(first, at)
        out += finder.push(piece)
        assert.is(out, text.slice(0, out.length))
        if (first < Infinity) break
      }
      out += finder.end()
      assert.is(out, text.slice(0, first))
      assert.is(finder.found !== undefined, first < Infinity)
    }),
    { numRuns: 2000 },
  )
})

test('no more is held back than may become a stop string', () => {
  const finder = new StopFinder(['User:', '\n\n'])
  assert.is(finder.push('Hello Us'), 'Hello ')
  assert.is(finder.push('A\n'), 'UsA')
  assert.is(finder.push('x'), '\nx')
  assert.is(finder.push('Use'), '')
  assert.is(finder.push('r: no'), '')
  assert.is(finder.found, 'User:')
  assert.is(finder.end(), '')
  for (const bad of [3, [''], '', ['a', 3], {}])
    assert.throws(
      () => checkStops(bad),
      /Expected a string or a list of strings, none empty, for stop|for stop/,
    )
})

test('penalties, by their formulas', () => {
  const logits = Float32Array.of(2, -2, 1, 0.5)
  const apply = (options: object) => [...new Penalties(options).apply(logits, [0, 1], [2, 2])]
  assert.equal(apply({}), [...logits])
  assert.equal(apply({ repetitionPenalty: 2 }), [1, -4, 0.5, 0.5])
  assert.equal(apply({ presencePenalty: 0.5 }), [2, -2, 0.5, 0.5])
  assert.equal(apply({ frequencyPenalty: 0.5 }), [2, -2, 0, 0.5])
  assert.equal(apply({ logitBias: { 3: 1, 0: -Infinity, 99: 5 } }), [-Infinity, -2, 1, 1.5])
  assert.equal([...logits], [2, -2, 1, 0.5], 'the logits themselves are left')
  const fails = (options: object, pattern: RegExp) => assert.throws(() => apply(options), pattern)
  fails({ repetitionPenalty: 0 }, /repetitionPenalty, received 0/)
  fails({ presencePenalty: 'x' }, /presencePenalty, received "x"/)
  fails({ logitBias: [1] }, /for logitBias/)
  fails({ logitBias: { a: 1 } }, /token ids as keys for logitBias, received "a"/)
  fails({ logitBias: { 1: NaN } }, /logitBias\[1\], received NaN/)
})

test.run()
