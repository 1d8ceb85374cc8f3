// Checkpoints of torch.save: the zip archives of PyTorch 1.6 and later and the older layout of one
// pickle after another. The pickle only describes: the elements lie beside it and are read by range.
import type { FileHandle } from 'node:fs/promises'
import { GptloomError, show } from '../errors.js'
import { DTYPE_BYTES } from './dtypes.js'
import type { SafetensorsData, SafetensorsDtype } from './dtypes.js'
import {
  elementCount,
  isNatural,
  isNaturals,
  openRegular,
  readElements,
  readPiece,
} from './elements.js'
import type { TensorInfo, TensorSource } from './elements.js'
import { PickleError, PickleGlobal, PickleOpaque, readPickle } from './pickle.js'
import type { PickleFunction, PickleOptions, PickleValue } from './pickle.js'
import { gather, isContiguous, reach } from './strides.js'
import { readZip } from './zip.js'

/** The longest pickle that is read, in bytes; that of GPT-2 XL with its optimizer takes one. */
const MAX_PICKLE = 1 << 24

const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn
const LEGACY_VERSION = 1001

const STORAGES: Record<string, SafetensorsDtype> = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
}

class Storage {
  /** Where it lies in the file, in bytes: found after the pickle has been read. */
  offset = -1

  constructor(
    readonly key: string,
    readonly dtype: SafetensorsDtype,
    /** In elements. */
    readonly size: number,
  ) {}

  get length(): number {
    return this.size * DTYPE_BYTES[this.dtype]
  }
}

/** A tensor as the pickle describes it: offset and strides in elements. */
class StoredTensor {
  constructor(
    readonly storage: PickleValue,
    readonly offset: PickleValue,
    readonly shape: PickleValue,
    readonly strides: PickleValue,
  ) {}
}

interface TorchEntry extends TensorInfo {
  readonly dtype: SafetensorsDtype
  readonly storage: Storage
  readonly offset: number
  readonly strides: readonly number[]
}

const opaque: PickleFunction = () => new PickleOpaque()
const tensor: PickleFunction = (storage = null, offset = null, shape = null, strides = null) =>
  new StoredTensor(storage, offset, shape, strides)
const first: PickleFunction = (value = null) => value

// All that state dicts and the optimizers beside them name. The functions here are ours: none of
// Python's is run.
const KNOWN = new Map<string, PickleFunction>([
  ['collections.OrderedDict', orderedDict],
  ['torch._utils._rebuild_tensor', tensor],
  ['torch._utils._rebuild_tensor_v2', tensor],
  ['torch._utils._rebuild_parameter', first],
  ['torch._utils._rebuild_parameter_with_state', first],
  ['torch.Size', first],
  ['torch.device', opaque],
  ['numpy.dtype', opaque],
  ['numpy.core.multiarray.scalar', opaque],
  ['numpy._core.multiarray.scalar', opaque],
  ['_codecs.encode', opaque],
  ...Object.keys(STORAGES).map((name): [string, PickleFunction] => [name, opaque]),
  ...['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'bool', 'uint8'].map(
    (name): [string, PickleFunction] => [`torch.${name}`, opaque],
  ),
])

function orderedDict(pairs: PickleValue = []): PickleValue {
  const map = new Map<PickleValue, PickleValue>()
  if (!Array.isArray(pairs)) throw new PickleError('an OrderedDict is not made of pairs')
  for (const pair of pairs) {
    if (!Array.isArray(pair)) throw new PickleError('an OrderedDict is not made of pairs')
    map.set(pair[0] ?? null, pair[1] ?? null)
  }
  return map
}

/** A checkpoint of PyTorch, open for reading. */
export class PytorchFile implements TensorSource {
  constructor(
    readonly path: string,
    /** All that was saved: a state dict, or a dict that holds one among other things. */
    readonly root: ReadonlyMap<PickleValue, PickleValue>,
    /** The tensors of the state dict. */
    readonly tensors: ReadonlyMap<string, TorchEntry>,
    private readonly file: FileHandle,
  ) {}

  /** @throws GptloomError ERR_FORMAT when there is none of the name */
  async read(name: string): Promise<SafetensorsData> {
    const entry = this.tensors.get(name)
    if (!entry) throw problem(this.path, `it holds no tensor ${show(name)}`)
    const { storage, dtype, shape, strides, offset } = entry
    const size = DTYPE_BYTES[dtype]
    const count = elementCount(shape)
    const fail = (what: string) => problem(this.path, `tensor ${show(name)}: ${what}`)
    const span = count === 0 ? 0 : reach(shape, strides) + 1
    const range = { dtype, offset: storage.offset + offset * size, length: span * size }
    const data = await readElements(this.file, this.path, range, fail)
    return isContiguous(shape, strides) ? data : gather(data, shape, strides, count)
  }

  async close(): Promise<void> {
    await this.file.close()
  }
}

/**
 * Opens a file of torch.save without running anything that it holds.
 *
 * @throws GptloomError ERR_FILE when it cannot be read, ERR_FORMAT when it is damaged or asks for a
 *   function that tensors do not need
 */
export async function openPytorch(path: string): Promise<PytorchFile> {
  const { file, size } = await openRegular(path)
  try {
    const start = await readPiece(file, path, 0, Math.min(size, 4))
    const zip = start.length === 4 && start.readUInt32LE() === 0x04034b50
    const root = await (zip ? readArchive : readLegacy)(file, path, size)
    if (!(root instanceof Map)) throw problem(path, 'it holds no dict of tensors')
    return new PytorchFile(path, root, findTensors(root, path), file)
  } catch (error) {
    await file.close()
    if (error instanceof PickleError) throw problem(path, error.message)
    throw error
  }
}

/**
 * The value of a pickle file that holds nothing but numbers, texts, lists and dicts.
 *
 * @throws GptloomError ERR_FILE, ERR_FORMAT
 */
export async function readPickleFile(path: string): Promise<PickleValue> {
  const { file, size } = await openRegular(path)
  try {
    const bytes = await readPiece(file, path, 0, Math.min(size, MAX_PICKLE))
    const persistent = () => {
      throw new PickleError('it refers to something outside of it')
    }
    return readPickle(bytes, { find: () => undefined, persistent }).value
  } catch (error) {
    if (error instanceof PickleError) throw problem(path, error.message)
    throw error
  } finally {
    await file.close()
  }
}

/** The options of a pickle, and the storages that it will have named. */
function machine(): { storages: Map<string, Storage>; options: PickleOptions } {
  const storages = new Map<string, Storage>()
  const persistent = (id: PickleValue): PickleValue => {
    const [kind, type, key, , size, view = null] = Array.isArray(id) ? id : []
    const name = type instanceof PickleGlobal ? type.name : ''
    const dtype = Object.hasOwn(STORAGES, name) ? STORAGES[name] : undefined
    if (kind !== 'storage' || typeof key !== 'string' || !isNatural(size) || view !== null) {
      throw new PickleError('it refers to something that is no storage')
    }
    if (!dtype) throw new PickleError(`the storage ${show(key)} is of an unknown type`)
    const known = storages.get(key)
    if (known && (known.dtype !== dtype || known.size !== size)) {
      throw new PickleError(`the storage ${show(key)} is described in two ways`)
    }
    const storage = known ?? new Storage(key, dtype, size)
    storages.set(key, storage)
    return storage
  }
  return { storages, options: { find: (name) => KNOWN.get(name), persistent } }
}

async function readArchive(file: FileHandle, path: string, size: number): Promise<PickleValue> {
  const entries = await readZip(file, path, size)
  const name = [...entries.keys()].find((key) => /^[^/]+\/data\.pkl$/.test(key))
  const pickle = entries.get(name ?? '')
  if (name === undefined || !pickle) {
    const script = [...entries.keys()].some((key) => key.includes('/code/'))
    throw problem(
      path,
      script ? 'it is a TorchScript program, not a state dict' : 'the archive holds no data.pkl',
    )
  }
  if (pickle.length > MAX_PICKLE) throw problem(path, `its pickle claims ${pickle.length} bytes`)
  const root = name.slice(0, -'data.pkl'.length)
  const order = entries.get(`${root}byteorder`)
  if (order && order.length < 16) {
    const text = (await readPiece(file, path, order.offset, order.length)).toString()
    if (text !== 'little') throw problem(path, `its byte order is ${show(text)}, expected "little"`)
  }
  const { storages, options } = machine()
  const { value } = readPickle(await readPiece(file, path, pickle.offset, pickle.length), options)
  for (const storage of storages.values()) {
    const entry = entries.get(`${root}data/${storage.key}`)
    if (!entry) throw problem(path, `the storage ${show(storage.key)} is missing`)
    if (entry.length !== storage.length) {
      throw problem(
        path,
        `the storage ${show(storage.key)} has ${entry.length} bytes, expected ${storage.length}`,
      )
    }
    storage.offset = entry.offset
  }
  return value
}

// Five pickles: a magic number, a version, facts of the machine, the object, the storages' keys in
// the order in which they follow, each as its size (u64) and its elements.
async function readLegacy(file: FileHandle, path: string, size: number): Promise<PickleValue> {
  const bytes = await readPiece(file, path, 0, Math.min(size, MAX_PICKLE))
  if (bytes[0] !== 0x80) throw problem(path, 'it begins like neither a zip archive nor a pickle')
  const { storages, options } = machine()
  let start = 0
  const next = (): PickleValue => {
    const { value, end } = readPickle(bytes, { ...options, start })
    start = end
    return value
  }
  if (next() !== LEGACY_MAGIC) throw problem(path, 'it is a pickle, but not one of torch.save')
  if (next() !== LEGACY_VERSION) throw problem(path, 'its version is not known')
  const facts = next()
  if (facts instanceof Map && facts.get('little_endian') === false) {
    throw problem(path, 'its numbers are big-endian')
  }
  const value = next()
  const keys = next()
  if (!Array.isArray(keys) || keys.length !== storages.size) {
    throw problem(path, 'its list of storages is damaged')
  }
  for (const key of keys) {
    const storage = storages.get(key as string)
    if (!storage || storage.offset >= 0) throw problem(path, 'its list of storages is damaged')
    const claimed = await readPiece(file, path, start, 8)
    if (claimed.length < 8 || Number(claimed.readBigUInt64LE()) !== storage.size) {
      throw problem(path, `the storage ${show(key)} is not as long as the pickle says`)
    }
    storage.offset = start + 8
    start += 8 + storage.length
    if (start > size) throw problem(path, `the storage ${show(key)} is cut off`)
  }
  return value
}

// A state dict itself, or under the names that training programs give it.
function findTensors(root: Map<PickleValue, PickleValue>, path: string): Map<string, TorchEntry> {
  for (const candidate of [root.get('model'), root.get('state_dict'), root]) {
    if (!(candidate instanceof Map)) continue
    const tensors = new Map<string, TorchEntry>()
    for (const [name, value] of candidate) {
      if (typeof name === 'string' && value instanceof StoredTensor) {
        tensors.set(name, checkTensor(value, path, name))
      }
    }
    if (tensors.size > 0) return tensors
  }
  throw problem(path, 'it holds no dict of tensors')
}

function checkTensor(value: StoredTensor, path: string, name: string): TorchEntry {
  const { storage, offset, shape, strides } = value
  const fail = (what: string) => problem(path, `tensor ${show(name)}: ${what}`)
  if (!(storage instanceof Storage)) throw fail('it has no storage')
  const sound = isNaturals(shape) && isNaturals(strides) && shape.length === strides.length
  if (!sound || shape.length > 16 || !isNatural(offset)) throw fail('its shape is damaged')
  const count = elementCount(shape)
  const end = count === 0 ? offset : offset + reach(shape, strides) + 1
  if (end > storage.size || count > storage.size) {
    throw fail(`shape ${show(shape)} reaches beyond its storage of ${storage.size} elements`)
  }
  return { dtype: storage.dtype, shape, strides, offset, storage }
}

function problem(path: string, what: string): GptloomError {
  return new GptloomError('ERR_FORMAT', `${path} is not a checkpoint that can be read: ${what}`)
}
