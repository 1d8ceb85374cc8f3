import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GptloomError } from '../lib/errors.js'
import { parseJson } from '../lib/json.js'
import { Random } from '../lib/random.js'

function message(text: string | Uint8Array, unique = false): string | null {
  try {
    parseJson(Buffer.from(text as string), 'f', { unique })
    return null
  } catch (error) {
    assert.instance(error, GptloomError)
    assert.is((error as GptloomError).code, 'ERR_FORMAT')
    return (error as GptloomError).message
  }
}

test('where and what', () => {
  const cases: [string, RegExp][] = [
    ['', /line 1, column 1: expected a value, found the end of the file/],
    ['{"a": 1\n "b": 2}', /line 2, column 2: expected a comma or the end .* found "\\"b\\": 2}"/],
    ['[1, 2,\n\n  ]', /line 3, column 3: expected a value, found "]"/],
    ['{"a" 1}', /column 6: expected a colon, found "1}"/],
    ["{'a': 1}", /column 2: expected a name in double quotes or }/],
    ['[1}', /column 3: expected a comma or the end of the list/],
    ['{"a": nul}', /column 7: expected a value, found "nul}"/],
    ['{"a": 01}', /column 7: expected a value, found "01}"/],
    ['[1] x', /column 5: expected the end, found "x"/],
    ['{"a": "b', /column 7: expected a value, found "\\"b"/],
    ['{"a": "x\ty"}', /column 7: expected a value/],
    ['{"a": [1, {"b": tru', /column 17: expected a value, found "tru"/],
  ]
  for (const [text, pattern] of cases) assert.match(message(text) ?? 'no error', pattern)
  assert.match(message(new Uint8Array([0x22, 0xff, 0x22]))!, /not UTF-8/)
})

test('names that stand twice', () => {
  assert.is(message('{"a": 1, "a": 2}'), null)
  const twice = message('{"a": 1,\n"\\u0061": 2}', true)!
  assert.match(twice, /line 2, column 1: the name "\\u0061" stands twice/)
  assert.is(message('{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}', true), null)
  assert.match(message('{"__proto__": 1, "__proto__": 2}', true)!, /stands twice/)
})

test('random mutations: an error exactly where JSON.parse has one', () => {
  const random = new Random(1)
  const start = '{"a":[1,-2.5e+3,true,null,{}],"b":{"c":"x\\n\\u00e9","d":[[],[0]]} , "e":false}'
  const marks = '{}[]:,"\\ 0123eE+-.truefalsn\n\u0001é'
  let wrong = 0
  for (let round = 0; round < 20_000; round++) {
    let text = start
    for (let edits = 1 + random.integer(3); edits > 0; edits--) {
      const at = random.integer(text.length + 1)
      const mark = marks[random.integer(marks.length)]!
      const put = random.integer(3) ? mark : ''
      text = text.slice(0, at) + put + text.slice(at + random.integer(3))
    }
    let valid = true
    try {
      JSON.parse(text)
    } catch {
      valid = false
    }
    const error = message(text, true)
    // With `unique` the walk runs over valid texts too: it may complain of a double name only.
    if (valid) assert.ok(error === null || error.includes('stands twice'), `${text}: ${error}`)
    // An invalid text must be explained by the walk, not by what JSON.parse said.
    else assert.match(error ?? 'no error', /expected .*found|stands twice/, text)
    if (!valid) wrong++
  }
  assert.ok(wrong > 5000 && wrong < 19_900, String(wrong))
})

test('deep nesting and long strings do not exhaust the stack', () => {
  assert.match(message('['.repeat(1_000_000))!, /found the end of the file/)
  assert.match(message(`{"a": "${'x\\n'.repeat(2_000_000)}" 1}`)!, /expected a comma/)
})

test.run()
