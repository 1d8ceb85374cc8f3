// The house's rules that can be read from the tree: sizes, and who may include whom.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const LINES = 500
const COLUMNS = 110
const FUNCTION = 60

/** What is longer: loop nests over tiles in registers, lists of forms, and what has yet to be split. */
const LONGER = [
  'bench/measure/kernels.ts list',
  'cuda/attention_backward.cuh attention_backward_keys',
  'cuda/attention_backward.cuh attention_backward_queries',
  'cuda/attention_cached.cuh attention_cached_split',
  'cuda/crossentropy.cu crossentropy',
  'cuda/matmul_tensor.cuh tensor_matmul',
  'lib/tensor/ops/matmul.ts matmul',
  'lib/train/job.ts openJob',
  'lib/train/options.ts resolveOptions',
  'native/cpu/simd/attention_backward.h backward',
  'native/cuda/crossentropy.cc linear_crossentropy',
  'test/ptx/bind.cc special_index',
  'test/ptx/decode.cc statement',
  'test/ptx/decode.cc table_form',
  'test/ptx/decode_async.cc mbarriers',
  'test/ptx/decode_warp.cc warp_wide',
  'test/ptx/decode_warp.cc wmma',
  'test/ptx/lanes_integer.h put_integer',
  'test/ptx/lanes_pack.h put_pack',
  'test/ptx/programs/attention.cu attend',
  'test/ptx/specials.cc special_value',
]

/** A folder's source files, as paths from the root with forward slashes. */
function sources(...folders: string[]): string[] {
  return (
    folders
      .filter((folder) => existsSync(path.join(root, folder)))
      .flatMap((folder) =>
        (readdirSync(path.join(root, folder), { recursive: true }) as string[]).map(
          (name) => `${folder}/${name.replaceAll('\\', '/')}`,
        ),
      )
      .filter((name) => /\.(ts|js|mjs|cc|h|cu|cuh|py)$/.test(name))
      // The emulated GPU's tests hold programs in PTX, whose lines are not ours to break.
      .filter((name) => !/^test\/ptx\/core_test/.test(name))
  )
}

const read = (name: string) => readFileSync(path.join(root, name), 'utf8')
const all = sources('lib', 'native', 'cuda', 'test', 'bench', 'examples', 'scripts')

test('there is something to look at', () => {
  for (const folder of ['lib/', 'native/', 'test/']) {
    assert.ok(all.filter((name) => name.startsWith(folder)).length > 5, folder)
  }
})

test(`files have at most ${LINES} lines of at most ${COLUMNS} columns`, () => {
  const wrong: string[] = []
  for (const name of all) {
    const lines = read(name)
      .replace(/\r?\n$/, '')
      .split(/\r?\n/)
    if (lines.length > LINES) wrong.push(`${name} has ${lines.length} lines`)
    lines.forEach((line, i) => {
      // Nothing can break a regular expression.
      const most = /\/.{60,}\/[dgimsuvy]*/.test(line) ? 2 * COLUMNS : COLUMNS
      if ([...line].length > most) wrong.push(`${name}:${i + 1} has ${[...line].length} columns`)
    })
  }
  assert.equal(wrong, [])
})

/**
 * Functions and methods of a file, where the formatters of C++ and TypeScript put them: from a header that
 * ends in a brace to the brace of the header's own indent. Lambdas and the callbacks of tests are no
 * functions of their own here, and tables are none at all.
 */
function functions(text: string): { line: number; length: number; name: string }[] {
  const lines = text.split(/\r?\n/)
  const indent = (line: string) => line.search(/\S|$/)
  const statement =
    /^ *(?:\}|(?:if|for|while|switch|else|do|try|catch|return|case|default|const|let|test|PTX_TEST|namespace|struct|class|enum|union|interface|type)\b)/
  return lines.flatMap((line, last) => {
    let first = last
    while (
      /^(?: {4}|[)\]>]| {2}[)\]>:])/.test(lines[first]!) &&
      !/[;{}]$/.test(lines[first - 1]!)
    ) {
      first--
    }
    const depth = indent(lines[first]!)
    const head = lines.slice(first, last + 1).join(' ')
    const name = /^ *(?:[^(=]*[\s*&#:]|[#~])?([\w$~]+)(?:<[^(]*>)?\(/.exec(head)?.[1]
    if (!name || !line.endsWith('{') || depth > 2 || statement.test(head)) return []
    const end = lines.findIndex(
      (other, i) => i > last && /^[^#]/.test(other) && indent(other) <= depth,
    )
    if (end < 0 || lines[end] !== `${' '.repeat(depth)}}`) return []
    return [{ line: first + 1, length: end - first + 1, name }]
  })
}

test(`functions have at most ${FUNCTION} lines`, () => {
  const every = all.flatMap((name) =>
    functions(read(name)).map((found) => ({ ...found, place: `${name} ${found.name}` })),
  )
  assert.ok(every.length > 1500, `${every.length} functions found`)
  const long = every.filter(({ length }) => length > FUNCTION).map(({ place }) => place)
  assert.equal(
    long.filter((place) => !LONGER.includes(place)),
    [],
  )
})

test('nothing is left for later, and no line ends in spaces or holds a tab', () => {
  const marks = new RegExp(
    ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].map((mark) => `\\b${mark}\\b`).join('|'),
  )
  const wrong: string[] = []
  for (const name of all) {
    read(name)
      .split(/\r?\n/)
      .forEach((line, i) => {
        if (marks.test(line) || /[ \t]$|^\s*\t/.test(line))
          wrong.push(`${name}:${i + 1}: ${line.trim()}`)
      })
  }
  assert.equal(wrong, [])
})

// ---- who may include whom -----------------------------------------------------------------------

/** What a C++ or CUDA file includes between quotes. */
const includes = (name: string) =>
  [...read(name).matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)].map((match) => match[1]!)

test('cuda/ includes only itself', () => {
  const wrong = sources('cuda').flatMap((name) =>
    includes(name)
      .filter(
        (header) =>
          !existsSync(path.join(root, 'cuda', header)) &&
          !existsSync(path.join(root, path.dirname(name), header)),
      )
      .map((header) => `${name} includes ${header}`),
  )
  assert.equal(wrong, [])
})

test('only the glue knows of Node', () => {
  const engine = sources('native').filter((name) => !name.startsWith('native/glue/'))
  const node = /#\s*include\s+["<](?:[^">]*glue\/|node_api|napi|node\.h|uv\.h|v8)/
  const wrong = engine.filter((name) => node.test(read(name)))
  assert.equal(wrong, [])
})

test("the CPU engine and the headers of Device know nothing of each other's users", () => {
  const wrong = sources('native/cpu')
    .filter((name) => !/\/cpu_device\.(cc|h)$/.test(name))
    .flatMap((name) => includes(name).map((header) => [name, header] as const))
    .filter(
      ([, header]) =>
        !header.startsWith('cpu/') &&
        !/^(array|bfloat16|error|foreign|gelu|gptloom)\.h$/.test(header),
    )
    .map(([name, header]) => `${name} includes ${header}`)
  assert.equal(wrong, [])
})

/**
 * Folders of lib, each with those it may import beside itself and the files of lib itself. Lower ones
 * never import higher ones: cli -> train, generate -> models -> nn, optim -> tensor.
 */
const allowed: Record<string, string[]> = {
  tensor: [],
  tokenizer: [],
  privacy: [],
  data: ['tokenizer', 'privacy'],
  nn: ['tensor'],
  optim: ['tensor'],
  testing: ['tensor'],
  models: ['tensor', 'nn'],
  formats: ['tensor', 'nn', 'models', 'tokenizer'], // a Hugging Face folder is a model and a tokenizer
  hub: ['formats'],
  generate: ['tensor', 'nn', 'models', 'tokenizer', 'formats', 'hub'],
  evaluate: ['tensor', 'tokenizer', 'data', 'privacy', 'generate'],
  train: [
    'tensor',
    'nn',
    'optim',
    'models',
    'tokenizer',
    'data',
    'privacy',
    'formats',
    'hub',
    'generate',
    'evaluate',
  ],
  cli: [
    'tensor',
    'models',
    'tokenizer',
    'data',
    'privacy',
    'formats',
    'hub',
    'generate',
    'evaluate',
    'train',
  ],
}

/** [importing file, imported file] within lib. */
function imports(): [string, string][] {
  return sources('lib').flatMap((name) =>
    [...read(name).matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(
      (match): [string, string] => [name, path.posix.join(path.posix.dirname(name), match[1]!)],
    ),
  )
}
const folderOf = (name: string) => /^lib\/([^/]+)\//.exec(name)?.[1]

test('every folder of lib has its place in the order', () => {
  const entries = readdirSync(path.join(root, 'lib'), { withFileTypes: true })
  const folders = entries.filter((entry) => entry.isDirectory())
  assert.equal(
    folders.map(({ name }) => name).filter((name) => !(name in allowed)),
    [],
  )
})

test('lib imports only downwards', () => {
  const wrong = imports()
    .filter(([from, to]) => {
      const [a, b] = [folderOf(from), folderOf(to)]
      if (a === undefined || a === b) return false
      if (b === undefined) return to === 'lib/index.js'
      return !allowed[a]?.includes(b)
    })
    .map(([from, to]) => `${from} imports ${to}`)
  assert.equal(wrong, [])
})

test('only tensor/binding.ts loads the addon', () => {
  const others = sources('lib').filter((name) => name !== 'lib/tensor/binding.ts')
  const wrong = others.filter((name) =>
    /(require\(|from |import\()'node-gyp-build'/.test(read(name)),
  )
  assert.equal(wrong, [])
})

test('relative imports name the .js that they become', () => {
  const wrong = imports()
    .filter(([, to]) => !to.endsWith('.js'))
    .map(([from, to]) => `${from} imports ${to}`)
  assert.equal(wrong, [])
})

test.run()
