// Values as JSON has them, with the strings in them changed.

type Container = unknown[] | Record<string, unknown>

/**
 * A copy of a value with every string replaced by what `change` makes of it; names of fields and
 * all else stay. Without recursion, so that no depth is too deep. The value must be a tree.
 *
 * @param change is given the string and the name of the field that it stands in, '' for none
 */
export function mapStrings(
  value: unknown,
  change: (text: string, label: string) => string,
): unknown {
  const root: unknown[] = [undefined]
  const work: { from: unknown; into: Container; key: string | number; label: string }[] = [
    { from: value, into: root, key: 0, label: '' },
  ]
  for (let item = work.pop(); item; item = work.pop()) {
    const { from, into, key, label } = item
    if (typeof from === 'string') set(into, key, change(from, label))
    else if (Array.isArray(from)) {
      const copy: unknown[] = new Array(from.length)
      set(into, key, copy)
      for (let i = from.length - 1; i >= 0; i--)
        work.push({ from: from[i], into: copy, key: i, label })
    } else if (isPlain(from)) {
      const copy: Record<string, unknown> = {}
      set(into, key, copy)
      // Set first, since the order of the fields is kept and the work is done from the end.
      const keys = Object.keys(from)
      for (const name of keys) set(copy, name, undefined)
      for (const name of keys.reverse())
        work.push({ from: from[name], into: copy, key: name, label: name })
    } else set(into, key, from)
  }
  return root[0]
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Also for "__proto__", which an assignment would take for something else. */
function set(into: Container, key: string | number, value: unknown): void {
  Object.defineProperty(into, key, { value, writable: true, enumerable: true, configurable: true })
}
