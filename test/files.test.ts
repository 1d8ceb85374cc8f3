import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { GptloomError } from '../lib/errors.js'
import {
  AtomicFile,
  exists,
  fileProblem,
  readJson,
  removeStale,
  writeFileAtomic,
} from '../lib/files.js'

let folder = ''
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'gptloom-files-'))
})
test.after.each(() => rmSync(folder, { recursive: true, force: true }))

async function failure(call: Promise<unknown>): Promise<GptloomError> {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  )
  assert.instance(error, GptloomError, `expected a GptloomError, received ${error}`)
  return error as GptloomError
}

/** Mounts a small memory disk for one call, or says that it is not allowed to. */
async function onTmpfs(options: string, call: (mounted: string) => Promise<void>): Promise<void> {
  const mounted = join(folder, 'disk')
  mkdirSync(mounted)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mounted], { stdio: 'pipe' })
  } catch (error) {
    const reason = (error as Error).message.split('\n')[1] ?? ''
    return console.log(`\nSKIP no tmpfs can be mounted here: ${reason}`)
  }
  try {
    await call(mounted)
  } finally {
    execFileSync('umount', [mounted])
  }
}

test('strings, bytes and streams are written whole, with nothing beside them', async () => {
  const pieces = [Buffer.from('gr'), Buffer.alloc(0), Buffer.from('ün'), Buffer.from('\n')]
  await writeFileAtomic(join(folder, 'a'), 'grün\n')
  await writeFileAtomic(join(folder, 'b'), Buffer.from('grün\n'))
  await writeFileAtomic(join(folder, 'c'), pieces)
  await writeFileAtomic(
    join(folder, 'd'),
    (async function* () {
      yield* pieces
    })(),
  )
  await writeFileAtomic(join(folder, 'e'), '')
  for (const name of 'abcd') assert.is(readFileSync(join(folder, name), 'utf8'), 'grün\n')
  assert.is(readFileSync(join(folder, 'e')).length, 0)
  assert.equal(readdirSync(folder).sort(), ['a', 'b', 'c', 'd', 'e'])
})

test('a file larger than one write call', async () => {
  const bytes = Buffer.alloc((64 << 20) + 5)
  for (let i = 0; i < bytes.length; i += 997) bytes[i] = i % 251
  await writeFileAtomic(join(folder, 'large'), bytes)
  const hash = (data: Buffer) => createHash('sha1').update(data).digest('hex')
  assert.is(hash(readFileSync(join(folder, 'large'))), hash(bytes))
})

test('two writers of one path do not meet, and long names fit', async () => {
  const path = join(folder, 'n'.repeat(255))
  await Promise.all([1, 2, 3].map((n) => writeFileAtomic(path, String(n).repeat(100_000))))
  const text = readFileSync(path, 'utf8')
  assert.is(text, text[0]!.repeat(100_000))
  assert.is(readdirSync(folder).length, 1)
})

test('an error of the contents passes as it is; the old file stays', async () => {
  const path = join(folder, 'kept')
  writeFileSync(path, 'old')
  const mine = new Error('mine')
  const contents = (function* () {
    yield Buffer.alloc(100_000)
    throw mine
  })()
  const thrown = await writeFileAtomic(path, contents).catch((error: unknown) => error)
  assert.is(thrown, mine)
  assert.is(readFileSync(path, 'utf8'), 'old')
  assert.equal(readdirSync(folder), ['kept'])
})

test('a header can be written last; abort removes', async () => {
  const file = await AtomicFile.create(join(folder, 'x'))
  file.position = 4
  await file.write(Buffer.from('body'))
  await file.writeAt(Buffer.from('head'), 0)
  assert.is(await exists(join(folder, 'x')), false)
  await file.commit()
  await file.abort()
  assert.is(readFileSync(join(folder, 'x'), 'utf8'), 'headbody')
  const other = await AtomicFile.create(join(folder, 'y'))
  await other.write(Buffer.from('gone'))
  await other.abort()
  await other.abort()
  assert.equal(readdirSync(folder), ['x'])
})

test('places that cannot be written say what and why', async () => {
  writeFileSync(join(folder, 'file'), '')
  mkdirSync(join(folder, 'sub'))
  const cases: [string, RegExp, string][] = [
    [join(folder, 'file', 'x'), /a part of the path is a file/, 'ENOTDIR'],
    [join(folder, 'sub'), /it is a folder, not a file/, 'EISDIR'],
    [join(folder, 'none', 'x'), /there is no such file or folder/, 'ENOENT'],
  ]
  for (const [path, what, code] of cases) {
    const error = await failure(writeFileAtomic(path, 'x'))
    assert.is(error.code, 'ERR_FILE')
    assert.match(error.message, what)
    assert.ok(error.message.startsWith(`Cannot write ${path}: `), error.message)
    assert.is((error.cause as NodeJS.ErrnoException).code, code)
  }
  assert.equal(readdirSync(folder).sort(), ['file', 'sub'])
})

test('no permission', async () => {
  const root = process.getuid?.() === 0
  if (process.platform === 'win32') return console.log('\nSKIP Windows has other permissions')
  chmodSync(folder, 0o500)
  // Modes do not bind root: be nobody for a moment.
  if (root) process.seteuid!(65534)
  const call = failure(writeFileAtomic(join(folder, 'x'), 'x'))
  const error = await call.finally(() => {
    if (root) process.seteuid!(0)
  })
  chmodSync(folder, 0o700)
  assert.is(error.code, 'ERR_FILE')
  assert.match(error.message, /permission denied/)
})

test('a full disk: the old file stays, nothing half-written', async () => {
  await onTmpfs('size=1m', async (disk) => {
    const path = join(disk, 'model')
    writeFileSync(path, 'old')
    const error = await failure(writeFileAtomic(path, Buffer.alloc(3 << 20, 1)))
    assert.is(error.code, 'ERR_FILE')
    assert.match(error.message, /model: the disk is full\. Free some space/)
    assert.is((error.cause as NodeJS.ErrnoException).code, 'ENOSPC')
    assert.equal(readdirSync(disk), ['model'])
    assert.is(readFileSync(path, 'utf8'), 'old')
    await writeFileAtomic(path, Buffer.alloc(1 << 19, 2)) // and it can go on
    assert.is(readFileSync(path).length, 1 << 19)
  })
})

test('a write that is cut short and then fails, without a disk of its own', async () => {
  if (process.platform === 'win32') return console.log('\nSKIP Windows has no limit of file sizes')
  const path = join(folder, 'model')
  writeFileSync(path, 'old')
  const module = new URL('../lib/files.ts', import.meta.url).href
  const script = `import { writeFileAtomic } from ${JSON.stringify(module)}
    const bytes = Buffer.alloc(3_000_000)
    const error = await writeFileAtomic(${JSON.stringify(path)}, bytes).catch((e) => e)
    console.log(error.code, error.cause.code, error.message)`
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script]
  const args = ['-c', 'ulimit -f 2000; exec "$@"', 'sh', ...node]
  const output = execFileSync('sh', args, { encoding: 'utf8' })
  assert.match(output, /^ERR_FILE EFBIG Cannot write .*model: it would be larger than/)
  assert.is(readFileSync(path, 'utf8'), 'old')
  assert.equal(readdirSync(folder), ['model'])
})

test('a read-only disk', async () => {
  await onTmpfs('size=1m,ro', async (disk) => {
    const error = await failure(writeFileAtomic(join(disk, 'x'), 'x'))
    assert.match(error.message, /the file system is read-only/)
  })
})

test('a killed writer leaves the old file and a temporary one that removeStale knows', async () => {
  const path = join(folder, 'model')
  writeFileSync(path, 'old')
  const module = new URL('../lib/files.ts', import.meta.url).href
  const script = `import { writeFileAtomic } from ${JSON.stringify(module)}
    function* forever() { for (;;) { yield Buffer.alloc(1000); process.stdout.write('.') } }
    await writeFileAtomic(${JSON.stringify(path)}, forever())`
  const args = ['--import', 'tsx', '--input-type=module', '-e', script]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  assert.equal(await removeStale(folder), [], 'the writer lives')
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.is(readFileSync(path, 'utf8'), 'old')
  assert.is(readdirSync(folder).length, 2)
  const removed = await removeStale(folder)
  assert.is(removed.length, 1)
  assert.match(removed[0]!, new RegExp(`^\\.model\\.${child.pid}\\.\\d+\\.tmp$`))
  assert.equal(readdirSync(folder), ['model'])
})

test('removeStale: our open files stay, those of an earlier process of our number go', async () => {
  const file = await AtomicFile.create(join(folder, 'open'))
  writeFileSync(join(folder, `.x.${process.pid}.999999.tmp`), '')
  writeFileSync(join(folder, `.parent.${process.ppid}.0.tmp`), '') // runs
  writeFileSync(join(folder, `.aged.${process.ppid}.0.tmp`), '')
  utimesSync(join(folder, `.aged.${process.ppid}.0.tmp`), 1e9, 1e9)
  for (const name of ['.x.tmp', 'x.1.2.tmp', '.x.1a.2.tmp']) writeFileSync(join(folder, name), '')
  const removed = await removeStale(folder)
  assert.equal(removed.sort(), [`.aged.${process.ppid}.0.tmp`, `.x.${process.pid}.999999.tmp`])
  await file.commit()
  assert.equal(await removeStale(join(folder, 'none')), [])
})

test('readJson', async () => {
  const path = join(folder, 'a.json')
  writeFileSync(path, '\uFEFF{"a": [1, null], "__proto__": 2}')
  const value = (await readJson(path)) as Record<string, unknown>
  assert.equal(Object.entries(value), [
    ['a', [1, null]],
    ['__proto__', 2],
  ])
  writeFileSync(path, '{\n  "a": 1,\n}')
  const error = await failure(readJson(path))
  assert.is(error.code, 'ERR_FORMAT')
  assert.match(error.message, /a\.json is not valid JSON: line 3, column 1: expected a name/)
  const missing = await failure(readJson(join(folder, 'none.json')))
  assert.is(missing.code, 'ERR_FILE')
  assert.match(missing.message, /^Cannot read .*none\.json: there is no such file or folder/)
})

test('fileProblem leaves other errors alone and shows where a relative path leads', () => {
  const error = new TypeError('x')
  assert.is(fileProblem(error, 'p', 'read'), error)
  const system = Object.assign(new Error('odd'), { code: 'EODD', errno: -999 })
  const wrapped = fileProblem(system, 'p', 'read') as GptloomError
  assert.is(wrapped.message, `Cannot read p (${join(process.cwd(), 'p')}): odd.`)
  assert.is(wrapped.cause, system)
  assert.is(fileProblem(wrapped, 'q', 'read'), wrapped)
})

test.run()
