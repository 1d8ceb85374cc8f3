// The places in PTX where a barrier, a wait or a condition can be dropped, by where they come from in
// the source that nvcc compiled with -lineinfo.
//
// A site is one place of the source, a line and column, and what stands there. Inlining, unrolling and
// templates make many statements of it, which are dropped together, as they would be if the source
// lacked it. Barriers and waits, of which there are few, are sites of their own in each kernel and for
// each place that they were inlined at. Where the innermost place is in a header of the toolkit
// (__syncwarp), that of the call is taken. Edits keep the length of the text, so that an image can be
// changed in place.
import path from 'node:path'

export interface Edit {
  from: number
  to: number
  /** What stands there instead, padded with spaces. */
  text: string
}

export interface Place {
  /** As the compiler was given it. */
  file: string
  line: number
  column: number
}

export interface Site {
  /** What is dropped: 'bar.sync 0', 'if', 'loop', 'first of selp' ... */
  kind: string
  place: Place
  /** Of barriers and waits: where `place` was inlined, when it was. */
  caller?: Place
  /** The edits of each kernel that has it. */
  kernels: Map<string, Edit[]>
}

const waits = new RegExp(
  String.raw`^(?:bar(?:rier)?(?:\.cta)?\.sync|bar\.warp\.sync|barrier\.cluster\.\w+|membar|fence)\b|` +
    String.raw`^cp\.async\.(?:bulk\.)?(?:commit_group|wait_group|wait_all)\b`,
)

/** Whether sites of this kind are barriers or waits. */
export const isWait = (kind: string) => waits.test(kind)

/** What can be dropped in a statement: a name, and the statement that is left. */
function drops(statement: string, isBackward: (label: string) => boolean): [string, string][] {
  if (waits.test(statement)) return [[statement.replace(/(\.aligned)?\s+/g, ' ').trim(), '']]
  const guard = /^@!?%\w+\s+(.*)$/s.exec(statement)
  if (guard) {
    const label = /^bra(?:\.uni)?\s+([\w$]+)/.exec(guard[1]!)?.[1]
    if (label === undefined) return [['guard', guard[1]!]]
    return [[isBackward(label) ? 'loop' : 'if', '']]
  }
  const [, opcode, operands] = /^(selp|and\.pred|or\.pred)(\s.*|\..*)$/s.exec(statement) ?? []
  if (!opcode) return []
  const type = opcode === 'selp' ? /^\.\w+/.exec(operands!)![0] : '.pred'
  const [to, first, second] = operands!
    .replace(/^\.\w+/, '')
    .split(',')
    .map((word) => word.trim())
  return [
    [`first of ${opcode}`, `mov${type} ${to}, ${first}`],
    [`second of ${opcode}`, `mov${type} ${to}, ${second}`],
  ]
}

/** Kernels of PTX text by name, each with where it begins and ends. */
export function kernelsOf(text: string): Map<string, [number, number]> {
  const heads = [...text.matchAll(/^(?:\.visible\s+)?\.entry\s+(\w+)\s*\(/gm)]
  return new Map(
    heads.map((head) => {
      const end = text.indexOf('\n}', head.index)
      if (end < 0) throw new Error(`The kernel ${head[1]} has no end`)
      return [head[1]!, [head.index, end + 2]]
    }),
  )
}

/** Every site of PTX text. */
export function sitesOf(text: string): Site[] {
  const files = new Map<number, string>()
  for (const [, number, name] of text.matchAll(/^\s*\.file\s+(\d+)\s+"([^"]+)"/gm))
    files.set(Number(number), name!)
  const sites = new Map<string, Site>()
  for (const [kernel, [begin, end]] of kernelsOf(text)) {
    const body = text.slice(begin, end)
    const labels = new Map(
      [...body.matchAll(/^([\w$]+):/gm)].map((match) => [match[1]!, match.index]),
    )
    let at: Where = { file: 0, line: 0, column: 0 }
    for (const match of body.matchAll(/^[ \t]*(\.loc[^\n]*|[@a-z][^;\n]*;)/gm)) {
      const statement = match[1]!
      if (statement.startsWith('.loc')) {
        at = located(statement, at)
        continue
      }
      const isBackward = (label: string) => (labels.get(label) ?? Infinity) < match.index
      for (const [kind, left] of drops(statement.slice(0, -1), isBackward)) {
        const from = begin + match.index + match[0].length - statement.length
        const edit = {
          from,
          to: from + statement.length,
          text: left ? `${left};` : '',
        }
        if (edit.text.length > statement.length) throw new Error(`${statement} became longer`)
        const site = described(kind, at, files)
        const key = JSON.stringify([kind, site.place, site.caller, isWait(kind) && kernel])
        const known = sites.get(key) ?? site
        sites.set(key, known)
        known.kernels.set(kernel, [...(known.kernels.get(kernel) ?? []), edit])
      }
    }
  }
  return [...sites.values()]
}

interface Where {
  file: number
  line: number
  column: number
  inlined?: { file: number; line: number; column: number }
}

/** What a .loc says; line 0 says that it is not known, and the last one holds on. */
function located(statement: string, before: Where): Where {
  const [file, line, column] = /^\.loc\s+(\d+)\s+(\d+)\s+(\d+)/
    .exec(statement)!
    .slice(1)
    .map(Number)
  if (line === 0) return before
  const inlined = /inlined_at\s+(\d+)\s+(\d+)\s+(\d+)/.exec(statement)?.slice(1).map(Number)
  return {
    file: file!,
    line: line!,
    column: column!,
    ...(inlined && { inlined: { file: inlined[0]!, line: inlined[1]!, column: inlined[2]! } }),
  }
}

function described(kind: string, { inlined, ...at }: Where, files: Map<number, string>): Site {
  const place = (where: { file: number; line: number; column: number }): Place => ({
    file: files.get(where.file) ?? '',
    line: where.line,
    column: where.column,
  })
  const isOfToolkit = path.isAbsolute(files.get(at.file) ?? '')
  if (isOfToolkit && inlined) return { kind, place: place(inlined), kernels: new Map() }
  return {
    kind,
    place: place(at),
    ...(isWait(kind) && inlined && { caller: place(inlined) }),
    kernels: new Map(),
  }
}

/** A part of the text that begins at `base`, with these edits. */
export function edited(part: Buffer, edits: Edit[], base = 0): Buffer {
  for (const { from, to, text } of edits)
    part.fill(' ', from - base, to - base).write(text, from - base, 'latin1')
  return part
}
