/** A name at the top of an object, and whether its value is a list of objects or texts. */
export interface TopName {
  name: string
  opens: boolean
}

const STRING = /"(?:[^"\\\n]|\\.){0,1000}"/y

/**
 * The names of the first object in a JSON text, which may be cut off anywhere. A list around the
 * object is stepped into.
 */
export function namesAtStart(text: string): TopName[] {
  const found: TopName[] = []
  let at = text.indexOf('{')
  if (at < 0 || !/^[\s[]*$/.test(text.slice(0, Math.min(at, 1000)))) return found
  let depth = 0
  for (; at < text.length; at++) {
    const character = text[at]!
    if (character === '{' || character === '[') depth++
    else if (character === '}' || character === ']') {
      if (--depth === 0) return found
    } else if (character === '"') {
      STRING.lastIndex = at
      const string = depth === 1 ? STRING.exec(text)?.[0] : undefined
      const end = string ? at + string.length : endOfString(text, at)
      const value = string && /^\s*:\s*(\[\s*[{"]|[^\s])?/.exec(text.slice(end, end + 1000))
      if (value)
        found.push({ name: parse(string), opens: value[1]?.[0] === '[' && value[1].length > 1 })
      if (found.length >= 1000) return found
      at = end - 1
    }
  }
  return found
}

function endOfString(text: string, at: number): number {
  for (at++; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at + 1
  }
  return at
}

function parse(string: string): string {
  try {
    return JSON.parse(string) as string
  } catch {
    return string.slice(1, -1)
  }
}
