import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random } from '../../lib/random.js'
import { cachedModel, defaultCache, download, isRepository } from '../../lib/hub/index.js'
import type { DownloadOptions, DownloadProgress } from '../../lib/hub/index.js'
import { COMMIT, Hub } from './server.js'

const root = mkdtempSync(join(tmpdir(), 'gptloom-hub-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
for (const name of ['HF_TOKEN', 'HF_ENDPOINT', 'HF_HOME', 'HF_HUB_CACHE', 'HF_HUB_OFFLINE']) {
  delete process.env[name]
}
let counter = 0

const random = new Random(4)
const weights = Buffer.from(Uint8Array.from({ length: 700_001 }, () => random.integer(256)))

/** A hub with a small model, and a cache of its own. */
async function prepare(): Promise<{ hub: Hub; cache: string; options: DownloadOptions }> {
  const hub = await new Hub().start()
  hub.add('config.json', '{"model_type":"gpt2"}')
  hub.add('tokenizer.json', '{}')
  hub.add('merges.txt', '')
  hub.add('README.md', '# not needed')
  hub.add('model.safetensors', weights, true)
  hub.add('pytorch_model.bin', 'not needed', true)
  const cache = join(root, String(counter++))
  return { hub, cache, options: { endpoint: hub.endpoint, cache, retryDelay: 1 } }
}

/** Runs a test against a hub that is closed after it. */
function withHub(name: string, run: (c: Awaited<ReturnType<typeof prepare>>) => Promise<void>) {
  test(name, async () => {
    const context = await prepare()
    try {
      await run(context)
    } finally {
      context.hub.close()
    }
  })
}

async function refusal(options: DownloadOptions, repo = 'org/tiny'): Promise<Error> {
  return download(repo, options).then(
    () => assert.unreachable('expected a refusal') as never,
    (error: Error) => error,
  )
}

const incomplete = (cache: string) =>
  readdirSync(join(cache, 'models--org--tiny/blobs')).filter((name) => /incomplete/.test(name))

withHub("what is needed lies in the hub's cache layout", async ({ hub, cache, options }) => {
  const seen: DownloadProgress[] = []
  const onProgress = (progress: DownloadProgress) => seen.push(progress)
  const folder = await download('org/tiny', { ...options, onProgress })
  const repository = join(cache, 'models--org--tiny')
  assert.is(folder, join(repository, 'snapshots', COMMIT))
  assert.is(readFileSync(join(repository, 'refs/main'), 'utf8'), COMMIT)
  const names = ['config.json', 'merges.txt', 'model.safetensors', 'tokenizer.json']
  assert.equal(readdirSync(folder).sort(), names)
  for (const name of names) {
    assert.ok(readFileSync(join(folder, name)).equals(hub.files.get(name)!), name)
    assert.ok(lstatSync(join(folder, name)).isSymbolicLink())
    assert.is(readlinkSync(join(folder, name)), join('..', '..', 'blobs', hub.hashOf(name)))
  }
  assert.equal(
    readdirSync(join(repository, 'blobs')).sort(),
    names.map((name) => hub.hashOf(name)).sort(),
  )
  const last = seen.at(-1)!
  assert.equal(last, {
    ...{ file: 'model.safetensors', received: 700_001, size: 700_001, index: 4, files: 4 },
  })
  assert.ok(seen.some(({ received }) => received > 0 && received < 700_001))
  // Again: one question for the commit, nothing else.
  hub.asked.length = 0
  assert.is(await download('org/tiny', options), folder)
  assert.is(hub.asked.length, 1)
  assert.is(await cachedModel('org/tiny', { cache }), folder)
})

withHub('the token goes to the hub and to nobody else', async ({ hub, options }) => {
  await download('org/tiny', { ...options, token: 'hf_secret' })
  const storage = hub.asked.filter(({ host }) => host === 'storage')
  assert.is(storage.length, 1)
  assert.is(storage[0]!.token, undefined)
  for (const { host, token, path } of hub.asked) {
    if (host === 'hub') assert.is(token, 'Bearer hf_secret', path)
  }
})

withHub('a small file behind a redirect within the hub', async ({ hub, options }) => {
  const other = '/api/resolve-cache/config.json'
  hub.hook = ({ path, method }, response) => {
    if (path === other) {
      response.setHeader('etag', `W/"${hub.hashOf('config.json')}"`)
      response.setHeader('content-length', hub.files.get('config.json')!.length)
      response.end(method === 'HEAD' ? undefined : hub.files.get('config.json'))
    } else if (path.endsWith('/config.json')) {
      response.writeHead(307, { location: other })
      response.end()
    } else return false
    return true
  }
  const folder = await download('org/tiny', { ...options, token: 'hf_secret' })
  assert.is(readFileSync(join(folder, 'config.json'), 'utf8'), '{"model_type":"gpt2"}')
  for (const { path, token } of hub.asked) if (path === other) assert.is(token, 'Bearer hf_secret')
})

withHub('several downloads of one model at once', async ({ hub, cache, options }) => {
  const folders = await Promise.all([1, 2, 3].map(() => download('org/tiny', options)))
  assert.equal(new Set(folders).size, 1)
  for (const [name, contents] of hub.files) {
    if (!existsSync(join(folders[0]!, name))) continue
    assert.ok(readFileSync(join(folders[0]!, name)).equals(contents), name)
  }
  assert.is(await cachedModel('org/tiny', { cache }), folders[0])
  assert.equal(incomplete(cache), [])
})

withHub('HF_ENDPOINT, HF_TOKEN and HF_HOME are honoured', async ({ hub, cache }) => {
  Object.assign(process.env, { HF_ENDPOINT: `${hub.endpoint}/`, HF_TOKEN: 'abc', HF_HOME: cache })
  try {
    const folder = await download('org/tiny')
    assert.ok(folder.startsWith(join(cache, 'hub', 'models--org--tiny')))
    assert.is(hub.asked[0]!.token, 'Bearer abc')
  } finally {
    for (const name of ['HF_ENDPOINT', 'HF_TOKEN', 'HF_HOME']) delete process.env[name]
  }
  assert.is(defaultCache({ HF_HUB_CACHE: '/a', HF_HOME: '/b' }), '/a')
  assert.is(defaultCache({ HF_HOME: '/b' }), join('/b', 'hub'))
  assert.is(defaultCache({ XDG_CACHE_HOME: '/c' }), join('/c', 'huggingface', 'hub'))
})

withHub('cut connections go on where they were cut', async ({ hub, options }) => {
  hub.cutAfter = 100_000
  const folder = await download('org/tiny', options)
  assert.ok(readFileSync(join(folder, 'model.safetensors')).equals(weights))
  const ranges = hub.asked.filter(({ host }) => host === 'storage').map(({ range }) => range)
  assert.ok(ranges.length >= 8, `${ranges.length} requests`)
  for (const range of ranges.slice(1)) assert.match(range!, /^bytes=[1-9]\d+-$/)
})

withHub('what was fetched before the process ended is not fetched again', async (context) => {
  const { hub, cache, options } = context
  const stop = new AbortController()
  const error = await refusal({
    ...options,
    signal: stop.signal,
    onProgress: ({ received }) => received > 200_000 && stop.abort(new Error('enough')),
  })
  assert.is(error.name, 'AbortError')
  assert.is((error.cause as Error).message, 'enough')
  assert.equal(incomplete(cache), [`${hub.hashOf('model.safetensors')}.incomplete`])
  assert.is(await cachedModel('org/tiny', { cache }), undefined)
  hub.asked.length = 0
  const folder = await download('org/tiny', options)
  const [asked] = hub.asked.filter(({ host }) => host === 'storage')
  assert.ok(Number(/\d+/.exec(asked!.range!)![0]) > 200_000)
  assert.ok(readFileSync(join(folder, 'model.safetensors')).equals(weights))
  assert.equal(incomplete(cache), [])
})

withHub('what a killed process left is taken over, a living one keeps its own', async (context) => {
  const { hub, cache, options } = context
  const blobs = join(cache, 'models--org--tiny/blobs')
  mkdirSync(blobs, { recursive: true })
  const hash = hub.hashOf('model.safetensors')
  const dead = spawnSync(process.execPath, ['-e', '']).pid
  writeFileSync(join(blobs, `${hash}.${dead}.0.incomplete`), weights.subarray(0, 500_000))
  writeFileSync(join(blobs, `${hash}.${process.ppid}.0.incomplete`), 'of another')
  await download('org/tiny', options)
  const [asked] = hub.asked.filter(({ host }) => host === 'storage')
  assert.is(asked!.range, 'bytes=500000-')
  assert.equal(incomplete(cache), [`${hash}.${process.ppid}.0.incomplete`])
})

for (const [what, had] of [
  ['of another file', Buffer.alloc(300_000)],
  ['too long', Buffer.alloc(800_000)],
  ['whole and wrong', Buffer.alloc(weights.length)],
] as const) {
  withHub(`a beginning that is ${what} is fetched again`, async ({ hub, cache, options }) => {
    const blobs = join(cache, 'models--org--tiny/blobs')
    mkdirSync(blobs, { recursive: true })
    writeFileSync(join(blobs, `${hub.hashOf('model.safetensors')}.incomplete`), had)
    const folder = await download('org/tiny', options)
    assert.ok(readFileSync(join(folder, 'model.safetensors')).equals(weights))
  })
}

withHub(
  'a server without ranges begins anew, and gives up when it always cuts',
  async (context) => {
    const { hub, cache, options } = context
    const blobs = join(cache, 'models--org--tiny/blobs')
    mkdirSync(blobs, { recursive: true })
    const hash = hub.hashOf('model.safetensors')
    writeFileSync(join(blobs, `${hash}.incomplete`), weights.subarray(0, 1000))
    hub.ranges = false
    hub.cutAfter = 300_000
    assert.match((await refusal(options)).message, /model\.safetensors of org\/tiny could not be/)
    hub.cutAfter = Infinity
    const folder = await download('org/tiny', options)
    assert.ok(readFileSync(join(folder, 'model.safetensors')).equals(weights))
  },
)

for (const [name, large] of [
  ['model.safetensors', true],
  ['config.json', false],
] as const) {
  withHub(`a wrong hash of ${name} is refused, and nothing of it appears`, async (context) => {
    const { hub, cache, options } = context
    const right = hub.files.get(name)!
    const wrong = Buffer.from(right)
    wrong[7]! ^= 1
    const hash = hub.hashOf(name)
    hub.hook = ({ method, host }, response) => {
      if (method === 'GET' && (host === 'storage' || !large)) hub.files.set(name, wrong)
      else hub.files.set(name, right)
      void response
      return false
    }
    const error = await refusal(options)
    assert.is((error as { code?: string }).code, 'ERR_HUB')
    assert.match(error.message, new RegExp(`its hash is [0-9a-f]{40,64}, expected ${hash}`))
    assert.not.ok(existsSync(join(cache, 'models--org--tiny/blobs', hash)))
    assert.not.ok(existsSync(join(cache, 'models--org--tiny/snapshots', COMMIT, name)))
    hub.hook = () => false
    hub.files.set(name, right)
    const folder = await download('org/tiny', options)
    assert.ok(readFileSync(join(folder, name)).equals(right))
  })
}

withHub('refusals say what to do', async ({ hub, options }) => {
  for (const [status, pattern] of [
    [401, /refuses org\/tiny \(status 401\): it is private, gated or does not exist.*HF_TOKEN/],
    [403, /refuses org\/tiny \(status 403\)/],
    [404, /has no org\/tiny \(status 404\): check the name/],
    [400, /has no org\/tiny \(status 400\)/],
  ] as const) {
    hub.asked.length = 0
    hub.hook = (_, response) => {
      response.statusCode = status
      response.end('no')
      return true
    }
    const error = await refusal(options)
    assert.is((error as { code?: string }).code, 'ERR_HUB')
    assert.match(error.message, pattern)
    assert.is(hub.asked.length, 1, 'it is not asked again')
  }
  assert.match((await refusal({ ...options, revision: 'v2' })).message, /org\/tiny at v2/)
})

withHub('what passes is tried again, as the hub asks', async ({ hub, options }) => {
  let failures = 0
  const failing = (status: number, count: number, wait?: string) => {
    failures = 0
    hub.hook = (_, response) => {
      if (failures >= count) return false
      failures++
      response.statusCode = status
      if (wait !== undefined) response.setHeader('retry-after', wait)
      response.end()
      return true
    }
  }
  failing(429, 1, '1')
  const start = Date.now()
  await download('org/tiny', options)
  assert.ok(Date.now() - start >= 990, 'it waited a second')
  failing(503, 3)
  await download('org/tiny', options)
  assert.is(failures, 3)
  failing(429, Infinity, '3600')
  const fresh = () => ({ ...options, cache: join(root, String(counter++)) })
  const error = await refusal(fresh())
  assert.match(error.message, /too many requests.*try again in 3600 s/)
  assert.is(failures, 1)
  failing(500, Infinity)
  assert.match((await refusal(fresh())).message, /status 500/)
  assert.is(failures, 6)
})

withHub('without a hub the cache is taken, when it holds all', async (context) => {
  const { hub, cache, options } = context
  assert.match((await offline(() => refusal(options))).message, /not in the cache.*HF_HUB_OFFLINE/)
  const folder = await download('org/tiny', options)
  hub.close()
  assert.is(await download('org/tiny', options), folder)
  assert.is(await offline(() => download('org/tiny', options)), folder)
  assert.is(await download('org/tiny', { ...options, revision: COMMIT }), folder)
  rmSync(join(cache, 'models--org--tiny/blobs', hub.hashOf('model.safetensors')))
  assert.is(await cachedModel('org/tiny', { cache }), undefined)
  const error = await refusal(options)
  assert.match(error.message, /org\/tiny could not be fetched from .*Check the connection/)
})

async function offline<T>(run: () => Promise<T>): Promise<T> {
  process.env.HF_HUB_OFFLINE = '1'
  try {
    return await run()
  } finally {
    delete process.env.HF_HUB_OFFLINE
  }
}

withHub('shards are those that the index lists, by plain names', async ({ hub, options }) => {
  hub.files.delete('model.safetensors')
  const index = (...names: string[]) =>
    JSON.stringify({ weight_map: Object.fromEntries(names.map((name, i) => [`t${i}`, name])) })
  hub.add('model.safetensors.index.json', index('a-1.safetensors', 'a-2.safetensors'))
  hub.add('a-1.safetensors', 'one', true)
  hub.add('a-2.safetensors', 'two', true)
  const folder = await download('org/tiny', options)
  assert.is(readFileSync(join(folder, 'a-2.safetensors'), 'utf8'), 'two')
  assert.is(hub.count(/pytorch/), 0)
  hub.add('model.safetensors.index.json', index('../../../../escape.safetensors'))
  hub.add('../../../../escape.safetensors', 'bad', true)
  const error = await refusal({ ...options, cache: join(root, 'other') })
  assert.match(error.message, /name of a file in the same folder/)
  assert.is(hub.count(/escape/, 'HEAD'), 0)
})

withHub('adapters, and models that are none', async ({ hub, options }) => {
  hub.files.clear()
  hub.add('adapter_config.json', '{}')
  hub.add('adapter_model.safetensors', 'x', true)
  const folder = await download('org/tiny', options)
  assert.equal(readdirSync(folder).sort(), ['adapter_config.json', 'adapter_model.safetensors'])
  hub.files.clear()
  hub.add('config.json', '{}')
  hub.add('model.gguf', 'x', true)
  assert.match((await refusal(options)).message, /org\/tiny holds no model that can be read/)
})

withHub('a hub that lies is not believed', async ({ hub, cache, options }) => {
  const reply = (path: RegExp, send: (response: Parameters<Hub['hook']>[1]) => void) => {
    hub.hook = (asked, response) => {
      if (!path.test(asked.path)) return false
      send(response)
      return true
    }
  }
  const listing = (value: unknown) =>
    reply(/^\/api/, (response) => response.end(JSON.stringify(value)))
  for (const value of [null, 7, {}, { sha: '../../x', siblings: [] }, { sha: COMMIT }]) {
    listing(value)
    assert.match((await refusal(options)).message, /has no commit or no files/)
  }
  listing({ sha: COMMIT, siblings: [null, 1, { rfilename: 4 }, { rfilename: '../x' }] })
  assert.match((await refusal(options)).message, /holds no model that can be read/)
  reply(/^\/api/, (response) => response.end('<html>'))
  assert.match((await refusal(options)).message, /is not JSON/)
  reply(/^\/api/, (response) => {
    response.on('error', () => {})
    for (let i = 0; i < 20; i++) response.write(Buffer.alloc(1 << 20, 32))
    response.end()
  })
  assert.match((await refusal(options)).message, /is too long/)
  const file = (headers: Record<string, string>, status = 200) =>
    reply(/config\.json$/, (response) => {
      response.writeHead(status, headers)
      response.end()
    })
  for (const etag of ['"../../../evil"', '"x"', '', `"${'a'.repeat(41)}"`]) {
    file({ etag, 'content-length': '21' })
    assert.match((await refusal(options)).message, /does not say what config\.json of org\/tiny/)
  }
  file({ 'x-linked-etag': `"${'a'.repeat(64)}"`, 'x-linked-size': '-5' })
  assert.match((await refusal(options)).message, /size "-5"/)
  file({ location: 'file:///etc/passwd' }, 302)
  assert.match((await refusal(options)).message, /redirects to an address that is not safe/)
  file({ location: 'http://' }, 302)
  assert.match((await refusal(options)).message, /redirects to an address that is not safe/)
  hub.hook = ({ path }, response) => {
    response.writeHead(307, { location: path })
    response.end()
    return true
  }
  assert.match((await refusal(options)).message, /redirects more than 5 times/)
  // More bytes than it said: given up, and nothing grows without bound.
  hub.hook = ({ method, path }, response) => {
    if (method !== 'GET' || !/config\.json$/.test(path)) return false
    response.on('error', () => {})
    response.write('x'.repeat(1000))
    response.end()
    return true
  }
  assert.match((await refusal(options)).message, /more than 21 bytes came/)
  const left = incomplete(cache).map((name) => lstatSync(join(cache, BLOBS, name)).size)
  assert.ok(left.every((size) => size <= 21))
})

const BLOBS = 'models--org--tiny/blobs'

withHub('a full disk is said before anything is fetched', async ({ hub, options }) => {
  hub.hook = ({ path, method }, response) => {
    if (method !== 'HEAD' || !/model\.safetensors$/.test(path)) return false
    const size = '900000000000000'
    response.writeHead(200, { 'x-linked-etag': 'b'.repeat(64), 'x-linked-size': size })
    response.end()
    return true
  }
  const error = await refusal(options)
  assert.is((error as { code?: string }).code, 'ERR_FILE')
  assert.match(error.message, /needs 900000\.00 GB more, the disk has [\d.]+ GB.*Free some space/)
  assert.is(hub.count(/model\.safetensors$/), 0)
})

test('names and options that cannot be', async () => {
  for (const name of ['gpt2', 'openai-community/gpt2', 'a/b.c_d-e']) assert.ok(isRepository(name))
  for (const name of ['', '.', '..', '../x', 'a/b/c', '/a', 'a/', 'a/..', 'a\\b', 'a b', './a']) {
    assert.not.ok(isRepository(name), name)
    const error = await refusal({}, name)
    assert.instance(error, RangeError)
  }
  for (const revision of ['', '..', '../x', 'a/../b', '/a', 'a//b', 'a\\b', '.', 'refs/..']) {
    assert.instance(await refusal({ revision }), RangeError, revision)
  }
  assert.match((await refusal({ endpoint: 'file:///x' })).message, /http or https for endpoint/)
  assert.match((await refusal({ endpoint: 'nothing' })).message, /http or https for endpoint/)
  assert.match((await refusal({ tokn: 'x' } as object)).message, /did you mean "token"/)
  assert.match((await refusal({ token: 'a\nb' })).message, /ASCII/)
  const signal = AbortSignal.abort()
  assert.is((await refusal({ signal, endpoint: 'http://127.0.0.1:1' })).name, 'AbortError')
})

test.run()
