import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { modelfile } from '../../lib/formats/modelfile.js'

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + " +
  "'<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

/** Ollama's template language as far as our templates use it: conditions on .Role, and literals. */
function run(template: string, messages: { Role: string; Content: string }[]): string {
  const range = /^(.*?)\{\{ range \.Messages \}\}(.*)\{\{ end \}\}\{\{ end \}\}(.*)$/s.exec(
    template,
  )!
  const plain = (text: string, content: string) =>
    text
      .replace(
        /\{\{ ("(?:[^"\\]|\\.)*") \}\}/g,
        (_, literal: string) => JSON.parse(literal) as string,
      )
      .replace('{{ .Content }}', () => content)
  const branches = [
    ...range[2]!.matchAll(/\{\{ (?:else )?if eq \.Role "(\w+)" \}\}(.*?)(?=\{\{ else|$)/gs),
  ]
  const body = messages.map(({ Role, Content }) => {
    const branch = branches.find(([, role]) => role === Role)
    return branch ? plain(branch[2]!, Content) : ''
  })
  return plain(range[1]!, '') + body.join('') + plain(range[3]!, '')
}

const template = (text: string) => /^TEMPLATE """(.*)"""$/ms.exec(text)?.[1]

test('a model without chats continues its prompt', () => {
  assert.is(
    modelfile({ gguf: 'a.gguf', context: 64, temperature: 0.7, stop: ['\n\n', '"'] }),
    'FROM ./a.gguf\nTEMPLATE """{{ .Prompt }}"""\nPARAMETER num_ctx 64\nPARAMETER temperature 0.7\n' +
      'PARAMETER stop "\\n\\n"\nPARAMETER stop "\\""\n',
  )
  assert.match(modelfile({ gguf: 'a.gguf', adapter: 'b.gguf' }), /^ADAPTER \.\/b\.gguf$/m)
})

test('framed chats are translated', () => {
  const chat = [
    { Role: 'system', Content: 'Be kind.' },
    { Role: 'user', Content: 'Hi' },
    { Role: 'assistant', Content: 'Hello $& {{ x }}' },
    { Role: 'user', Content: 'Bye' },
  ]
  const ml = template(modelfile({ gguf: 'a', chatTemplate: CHATML }))!
  assert.is(
    run(ml, chat),
    '<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n' +
      '<|im_start|>assistant\nHello $& {{ x }}<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n' +
      '<|im_start|>assistant\n',
  )
  const plain = '{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}'
  const dialogue = template(modelfile({ gguf: 'a', chatTemplate: plain }))!
  assert.is(run(dialogue, chat.slice(1, 2)), 'Hi<|endoftext|>')
  const braces =
    "{{ bos_token }}{% for m in messages %}{{ '{{' + m.role + '}} ' + m.content + '\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '{{assistant}} ' }}{% endif %}"
  const odd = template(modelfile({ gguf: 'a', chatTemplate: braces, endOfText: '<s>' }))!
  assert.is(run(odd, chat.slice(1, 2)), '<s>{{user}} Hi\n{{assistant}} ')
})

test('a template that is no frame is left to the GGUF', () => {
  for (const chatTemplate of [
    '{{ messages | length }}',
    '{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}',
    '{{ raise_exception("no") }}',
    '{% broken',
    '{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}',
    '{% for m in messages %}{{ \'"""\' + m.content }}{% endfor %}"""',
  ]) {
    const text = modelfile({ gguf: 'a', chatTemplate })
    if (template(text) !== undefined) {
      assert.is(run(template(text)!, [{ Role: 'user', Content: 'x' }]), '"""x"""')
    } else assert.match(text, /^# The template of its chats stands in the GGUF\.$/m)
  }
})

test.run()
