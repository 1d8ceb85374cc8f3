// A base by its name: from the hub's cache, fetched only when asked, and an adapter that finds it again.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { load, train } from '../../lib/index.js'
import { Hub } from '../hub/server.js'
import { eventsOf, failure, fresh, nano } from './nano.js'

for (const name of ['HF_TOKEN', 'HF_HUB_CACHE', 'HF_HUB_OFFLINE']) delete process.env[name]

test('train({ base, download }) and load() by name', async () => {
  const made = fresh('made')
  ;(await train(nano({ output: made, steps: 4 }))).model.dispose()
  const hub = await new Hub().start()
  process.env.HF_ENDPOINT = hub.endpoint
  process.env.HF_HOME = fresh('home')
  try {
    for (const name of readdirSync(made))
      if (/\.(json|txt|safetensors)$/.test(name) && !/^(report|training)/.test(name))
        hub.add(name, readFileSync(join(made, name)), name.endsWith('safetensors'))
    const { tokenizer: _, model: __, ...common } = nano({ steps: 4 })
    const options = { ...common, base: 'org/tiny', lora: true }
    const refused = await failure(train(options))
    assert.is((refused as { code?: string }).code, 'ERR_FILE')
    assert.match(refused.message, /org\/tiny is no folder.*`download: true`/)
    assert.is(hub.asked.length, 0)

    const events = await eventsOf(train({ ...options, download: true }))
    const shares = events.flatMap((event) =>
      event.type === 'prepare' && event.phase === 'download' ? [event.progress] : [],
    )
    assert.ok(shares.length > 0 && shares.every((share) => share >= 0 && share <= 1))
    assert.is(shares.at(-1), 1)
    const config = join(options.output, 'adapter_config.json')
    assert.is(JSON.parse(readFileSync(config, 'utf8')).base_model_name_or_path, 'org/tiny')
    assert.match(
      readFileSync(join(options.output, 'README.md'), 'utf8'),
      /^base_model: org\/tiny$/m,
    )

    // From here on the cache has it.
    const before = hub.asked.length
    using adapted = await load(options.output)
    assert.is(adapted.adapter, 'default')
    using base = await load('org/tiny')
    using plain = await load(made)
    assert.equal((await base.logits('The cat')).values, (await plain.logits('The cat')).values)
    ;(await train({ ...options, output: fresh() })).model.dispose()
    assert.is(hub.asked.length, before)
  } finally {
    hub.close()
  }
})

test.run()
